"""Rasa: trackers and broker messages of the samples, and the traps of its events."""

from __future__ import annotations

import gzip
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from data.ingest.adapters.rasa import ADAPTER
from data.ingest.adapters.registry import recognised
from data.ingest.validation import Fault
from data.store.store import Store
from tests.data.adapters.in_memory import read
from tests.log_samples import (
    HOSTILE,
    OWN,
    assembled,
    differences,
    expected_of,
    must_bear_spoilt_files,
    must_bear_spoilt_logs,
    own_lines,
    sample,
    shuffled,
    taken,
    without_nulls,
)

OWN_LOG = OWN / "rasa.jsonl"
SAME = "9 expected, 9 got, 0 not expected, 0 differences\n"


@pytest.mark.parametrize(
    "form", ["broker", "trackers", "folder", "gz", "twice", "shuffled", "indented", "array"]
)
def test_the_samples_in_all_forms(form: str, tmp_path: Path) -> None:
    folder = sample("rasa")
    broker = folder / "event-broker.jsonl"
    trackers = sorted(folder.glob("tracker-*.json"))
    given = tmp_path / "given"
    given.mkdir()
    if form in ("broker", "folder"):
        shutil.copy(broker, given)
    if form in ("trackers", "folder"):
        for file in trackers:
            shutil.copy(file, given)
    loaded = [json.loads(file.read_text()) for file in trackers]
    if form == "gz":
        (given / "a.jsonl.gz").write_bytes(gzip.compress(broker.read_bytes()))
    elif form == "twice":
        for name in ("a.jsonl", "b.jsonl"):
            shutil.copy(broker, given / name)
    elif form == "shuffled":
        lines = broker.read_bytes().splitlines()
        (given / "a.jsonl").write_bytes(shuffled(lines, 3))
    elif form == "indented":
        # Names in order: the events stand before whose they are.
        for at, tracker in enumerate(loaded):
            (given / f"{at}.json").write_text(json.dumps(tracker, indent=2, sort_keys=True))
    elif form == "array":
        (given / "all.json").write_text(json.dumps(loaded, indent=2))
    result = differences(folder / "expected.jsonl", taken(tmp_path, given).turns, tmp_path)
    assert result == SAME


def test_own_log(tmp_path: Path) -> None:
    result = taken(tmp_path, OWN_LOG)
    assert [without_nulls(turn) for turn in result.turns] == expected_of(OWN_LOG)
    assert [field for field, _ in result.quarantined] == ["sender_id", "timestamp"]


def test_dialogues_have_the_same_names_whatever_part_is_read(tmp_path: Path) -> None:
    whole = {turn["turn_id"]: turn["dialogue_id"] for turn in expected_of(OWN_LOG)}
    lines = own_lines(OWN_LOG)
    cut = next(at for at, line in enumerate(lines) if b'"restart"' in line and b"m3" not in line)
    part, _ = assembled(ADAPTER, lines[cut:])
    assert len(part) == 4
    assert all(whole[turn["turn_id"]] == turn["dialogue_id"] for turn in part)


def test_a_log_that_grows_goes_on_in_the_same_dialogue(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    lines = [line for line in own_lines(OWN_LOG) if b"tel-7" in line]
    for end in (5, len(lines)):
        (tmp_path / "log.jsonl").write_bytes(b"\n".join(lines[:end]))
        turns = taken(tmp_path, tmp_path / "log.jsonl", store=store).turns
    assert [without_nulls(turn) for turn in turns] == expected_of(OWN_LOG)[:4]


def test_the_tracker_of_a_long_conversation_is_a_stream() -> None:
    """Its events are handed on one by one, before the rest of it has been read."""
    record = json.loads(own_lines(OWN_LOG)[-5])
    events = json.dumps(record["events"] * 500)
    head = f'{{"sender_id": "web-1", "events": {events[:-1]},\n'.encode()
    stream = io.BytesIO(head + b"what follows is no JSON")
    found = ADAPTER.records(stream)
    for _ in range(2_000):
        _, event = next(found)
        assert isinstance(event, bytes)
        assert json.loads(event)["sender_id"] == "web-1"
    with pytest.raises(Fault, match="not JSON"):
        list(found)


@pytest.mark.parametrize("value", HOSTILE[:-3])
def test_documents_that_are_something_else(value: Any) -> None:
    for document in (value, [value], {"events": value}, {"sender_id": value, "events": [value]}):
        stream = io.BytesIO(json.dumps(document, indent=1).encode())
        try:
            records = [record for _, record in ADAPTER.records(stream)]
        except Fault:
            continue
        turns, _ = assembled(ADAPTER, records)
        assert turns == []


def test_recognised() -> None:
    assert recognised(OWN_LOG.read_bytes()) == "rasa"
    assert recognised(b'{"sender_id": "a", "text": "a channel\'s own log"}') is None


def test_spoilt_logs() -> None:
    # A tracker and a session's beginning have to do with several turns.
    must_bear_spoilt_logs(ADAPTER, own_lines(OWN_LOG), inputs=1_500, most_of_one=4)


def test_spoilt_files(tmp_path: Path) -> None:
    tracker = json.dumps(json.loads(own_lines(OWN_LOG)[-5]), indent=1).encode()
    must_bear_spoilt_files(ADAPTER, tracker, tmp_path, inputs=12)


def test_a_tracker_between_lines_that_are_none_of_it() -> None:
    events = [
        {"event": "user", "timestamp": 1_772_438_400.0 + number, "text": f"hello {number}",
         "parse_data": {"intent": {"name": "greet", "confidence": 0.9}}}
        for number in range(9)
    ]  # fmt: skip
    document = json.dumps({"sender_id": "a", "events": events}, indent=1).encode()
    good = read(ADAPTER, document).turns
    assert len(good) == 9
    for given in (b"# a tracker\n" + document, document + b"\nDone.\n"):
        log = read(ADAPTER, given)
        assert log.turns == good
        ((_, reason),) = log.faults
        assert "not JSON" in reason
