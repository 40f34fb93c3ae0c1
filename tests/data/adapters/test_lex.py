"""Lex V2: the samples in every envelope, and the traps of its entries."""

from __future__ import annotations

import gzip
import io
import json
import random
import shutil
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from benchmarks.lex_lines import lines
from data.ingest.adapters.adapter import Piece, Reading, Settings
from data.ingest.adapters.common import CUT_OFF
from data.ingest.adapters.lex import ADAPTER
from data.ingest.adapters.registry import recognised
from tests.data.adapters.in_memory import read
from tests.log_samples import differences, sample, shuffled, taken

TRAPS = Path(__file__).parent / "lex_traps.jsonl"
FILES = ("log.jsonl", "filter-log-events.json", "s3-export.gz", "subscription.gz")
SAME = "13 expected, 13 got, 0 not expected, 0 differences\n"


def _entries(number: int, seed: int = 1) -> list[dict[str, Any]]:
    return [json.loads(line) for line in islice(lines(number * 2, seed), number)]


def _event(entry: dict[str, Any], index: int) -> dict[str, Any]:
    return {
        "logStreamName": f"aws/lex/B/A/en_GB/{index % 3}",
        "timestamp": 1_772_438_400_000 + index,
        "message": json.dumps(entry),
        "eventId": str(index),
    }


def _document(entries: list[dict[str, Any]], name: str = "events") -> dict[str, Any]:
    # Not the first key, nor the last one.
    return {
        "searchedLogStreams": [{"logStreamName": "a", "searchedCompletely": True}],
        name: [_event(entry, index) for index, entry in enumerate(entries)],
        "nextToken": "abc",
    }


def _tail(entries: list[dict[str, Any]]) -> str:
    return "\n".join(
        f"{entry['timestamp'][:-1]}000+00:00 aws/lex/B/A/en_GB/0\n{json.dumps(entry, indent=4)}"
        for entry in entries
    )


def _subscription(entries: list[dict[str, Any]], end: str) -> str:
    control = {"messageType": "CONTROL_MESSAGE", "logEvents": [{"message": "CWL CONTROL MESSAGE"}]}
    documents = [control]
    for index in range(0, len(entries), 4):
        document = {"messageType": "DATA_MESSAGE", "owner": "0", "logGroup": "/lex"}
        documents.append(document | _document(entries[index : index + 4], "logEvents"))
    return "".join(json.dumps(document) + end for document in documents)


ENVELOPES: dict[str, Callable[[list[dict[str, Any]]], str]] = {
    "events": lambda entries: json.dumps(_document(entries)),
    "events, indented": lambda entries: json.dumps(_document(entries), indent=4),
    "pages of events": lambda entries: "".join(
        json.dumps(_document(entries[at : at + 7]), indent=1) for at in range(0, len(entries), 7)
    ),
    "events on one line each": lambda entries: "\n".join(
        json.dumps(_event(entry, index)) for index, entry in enumerate(entries)
    ),
    "subscription": lambda entries: _subscription(entries, ""),
    "subscription lines": lambda entries: _subscription(entries, "\n"),
    "tail, json": _tail,
    "tail, detailed": lambda entries: "\n".join(
        f"{entry['timestamp'][:-1]}+00:00 aws/lex/B {json.dumps(entry)}" for entry in entries
    ),
    "tail, short": lambda entries: "\n".join(
        f"{entry['timestamp'][:19]} {json.dumps(entry)}" for entry in entries
    ),
    "array": lambda entries: json.dumps(entries, indent=1),
    "indented, one after the other": lambda entries: "\n".join(
        json.dumps(entry, indent=2) for entry in entries
    ),
}


@pytest.mark.parametrize("file", FILES)
def test_each_sample(file: str, tmp_path: Path) -> None:
    folder = sample("lex-v2")
    turns = taken(tmp_path, folder / file).turns
    assert differences(folder / "expected.jsonl", turns, tmp_path) == SAME


@pytest.mark.parametrize("form", ["folder", "gz", "twice", "shuffled"])
def test_the_samples_in_other_forms(form: str, tmp_path: Path) -> None:
    folder = sample("lex-v2")
    log = (folder / "log.jsonl").read_bytes()
    given = tmp_path / "exportedlogs" / "a1b2"
    given.mkdir(parents=True)
    if form == "folder":
        for file in FILES:
            shutil.copy(folder / file, given)
        # What an export to S3 leaves beside its objects.
        (given.parent / "aws-logs-write-test").write_text("Permission Check Successful")
    elif form == "gz":
        (given / "000000.gz").write_bytes(gzip.compress(log))
    elif form == "twice":
        for name in ("a.jsonl", "b.jsonl"):
            (given / name).write_bytes(log)
    else:
        (given / "log.jsonl").write_bytes(shuffled(log.splitlines(keepends=True), 3))
    turns = taken(tmp_path, given.parent).turns
    assert differences(folder / "expected.jsonl", turns, tmp_path) == SAME


@pytest.mark.parametrize("name", ENVELOPES)
def test_every_envelope_holds_the_same_turns(name: str) -> None:
    entries = _entries(40)
    plain = read(ADAPTER, "\n".join(map(json.dumps, entries)).encode())
    text = ENVELOPES[name](entries).encode()
    assert recognised(text) == "lex-v2"
    log = read(ADAPTER, text)
    assert len(plain.turns) > 30
    assert (log.turns, log.faults) == (plain.turns, [])


@pytest.mark.parametrize("name", ["events", "events, indented", "subscription", "tail, json"])
def test_a_document_that_is_cut_off_loses_its_last_entry_alone(name: str) -> None:
    entries = _entries(20)
    text = ENVELOPES[name](entries)
    end = text.rindex("inputTranscript")
    log = read(ADAPTER, text[:end].encode())
    plain = read(ADAPTER, "\n".join(map(json.dumps, entries[:-1])).encode())
    assert log.turns == plain.turns
    assert [reason for _, reason in log.faults] == [CUT_OFF]


def test_an_entry_that_is_damaged_loses_itself_alone() -> None:
    entries = _entries(20)
    document = json.dumps(_document(entries), indent=4)
    log = read(ADAPTER, document.replace('"eventId": "7"', '"eventId": "7', 1).encode())
    del entries[7]
    plain = read(ADAPTER, "\n".join(map(json.dumps, entries)).encode())
    assert log.turns == plain.turns
    assert len(log.faults) == 1


class _Endless(io.RawIOBase):
    """A document of very many events, made while it is read, of which nothing is kept."""

    def __init__(self, events: int) -> None:
        self._parts = self._all(events)
        self._rest = b""

    @staticmethod
    def _all(events: int) -> Iterator[bytes]:
        yield b'{"searchedLogStreams": [], "events": ['
        event = json.dumps(_event(_entries(1)[0], 0)).encode()
        for _ in range(events - 1):
            yield event + b","
        yield event + b"]}"

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._rest = self._rest or next(self._parts, b"")
        part = self._rest[: len(buffer)]
        buffer[: len(part)] = part
        self._rest = self._rest[len(part) :]
        return len(part)


def test_a_document_of_any_size_is_read_in_constant_memory() -> None:
    import tracemalloc

    def peak(events: int) -> int:
        tracemalloc.start()
        stream: Any = io.BufferedReader(_Endless(events))
        assert sum(1 for _ in ADAPTER.records(stream)) == events
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    # 8 and 32 MB.
    assert peak(12_000) < 1.2 * peak(3_000)


def test_the_traps_of_entries() -> None:
    log = read(ADAPTER, TRAPS.read_bytes())
    turns = log.turns
    assert sorted(turns) == ["q1", "q2", "q3", "q5", "q6"]
    assert [turns[name]["turn_index"] for name in ("q1", "q2", "q3")] == [0, 1, 2]
    # Missed: no intent fields, and an empty transcript is no hypothesis. The next one barged in.
    assert turns["q1"] == {
        "turn_id": "q1",
        "dialogue_id": "call-1",
        "turn_index": 0,
        "started_at": "2026-07-03T10:00:05Z",
        "assistant": "Flowers",
        "locale": "en-US",
        "asr": {"hypotheses": [], "audio_ms": 900.0},
        "nlu": {"hypotheses": []},
        "result": {"status": "no_match", "response": "Say that again?", "acts": []},
        "feedback": {"barge_in": True},
    }
    # What was passed on comes first; an obfuscated slot is named, but has no value and no mention.
    heard = turns["q2"]["asr"]["hypotheses"]
    assert [(each["text"], each["confidence"]) for each in heard] == [
        ("a dozen roses", 0.6), ("a dozen noses", 0.4)]  # fmt: skip
    assert turns["q2"]["nlu"]["hypotheses"][0]["slots"] == [
        {"name": "Kind", "value": "rose"}, {"name": "Name"}]  # fmt: skip
    assert turns["q2"]["er"]["mentions"] == [
        {"slot": "Kind", "text": "roses", "candidates": [{"name": "rose"}, {"name": "tea rose"}]}
    ]
    # Keys are no speech; what the fulfilment says later belongs to the request.
    assert "asr" not in turns["q3"]
    assert turns["q3"]["result"] == {
        "status": "error",
        "response": "One moment.\nThat did not work.",
        "acts": [{"act": "Failed"}],
    }
    # A masked transcript is none, and the confidence of typed text means nothing.
    assert turns["q5"]["asr"]["hypotheses"] == []
    assert turns["q6"]["asr"]["hypotheses"] == [{"text": "hello"}]
    # An id that is used again after two days begins another dialogue.
    assert turns["q5"]["dialogue_id"] == "chat-2"
    assert (turns["q6"]["dialogue_id"], turns["q6"]["turn_index"]) == (
        "chat-2 2026-07-05T10:02:00Z", 0)  # fmt: skip
    assert [number for number, _ in log.faults] == [8, 9]


def test_a_session_that_never_ends_is_not_held() -> None:
    (entry,) = _entries(1)
    entry["sessionId"] = "for ever"

    def pieces() -> Iterator[Piece]:
        for number in range(10_000):
            entry["requestId"] = f"r{number:06d}"
            yield from ADAPTER.pieces(json.dumps(entry).encode())

    given = 0

    def counted() -> Iterator[Piece]:
        nonlocal given
        for piece in pieces():
            given += 1
            yield piece

    for done, turn in enumerate(ADAPTER.turns(counted(), Settings()), 1):
        assert getattr(turn, "turn", None)
        assert given - done <= 64
    assert done == given == 10_000


def test_the_generator_of_lines_makes_as_many_turns_as_it_says() -> None:
    made = list(lines(500, seed=4))
    assert made == list(lines(500, seed=4))
    log = read(ADAPTER, b"".join(random.Random(1).sample(made, len(made))))
    assert (len(log.turns), log.faults) == (500, [])
    assert ADAPTER.reading(b"".join(made)) is Reading.LINES


@pytest.mark.parametrize("name", ["events", "logEvents"])
def test_a_faulty_event_leaves_those_behind_it_on_its_line(name: str) -> None:
    entries = _entries(6)
    good = read(ADAPTER, json.dumps(_document(entries, name)).encode()).turns
    document = _document(entries, name)
    document[name][1]["message"] = "no entry"
    document[name][4]["message"] = None
    log = read(ADAPTER, json.dumps(document).encode() + b"\n")
    left = [entry["requestId"] for entry in (entries[0], entries[2], entries[3], entries[5])]
    assert sorted(log.turns) == sorted(left)
    assert log.turns.keys() < good.keys()
    ((line, reason),) = log.faults
    assert line == 1
    assert "not JSON" in reason
    assert "so are 1 more of its events" in reason
