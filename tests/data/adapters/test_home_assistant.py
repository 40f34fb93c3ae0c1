"""Home Assistant: the samples in all their forms, and the traps of its events."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from data.ingest.adapters.adapter import Reading, Settings
from data.ingest.adapters.home_assistant import ADAPTER, is_finished, run_line
from data.ingest.adapters.registry import recognised
from data.store.store import Store
from tests.data.adapters.in_memory import read
from tests.log_samples import (
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

OWN_LOG = OWN / "home-assistant.jsonl"
VERSIONS = {"home-assistant-2024.3": 13, "home-assistant-2026.2": 14}


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.name != "expected.jsonl")


@pytest.mark.parametrize("version", VERSIONS)
def test_each_file_of_the_samples_gives_the_expected_records(version: str, tmp_path: Path) -> None:
    folder = sample(version)
    for file in _files(folder):
        if file.name == "pipeline_debug_list.json":
            continue
        target = tmp_path / file.stem
        target.mkdir()
        result = differences(folder / "expected.jsonl", taken(target, file).turns, target)
        *bad, summary = result.splitlines()
        # Debug answers hold the last runs only.
        assert all(" turn missing " in line for line in bad), result
        assert " 0 not expected" in summary
        assert bad == [] or file.stem.startswith("pipeline_debug_get"), result


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("form", ["folder", "gz", "twice", "shuffled", "coalesced"])
def test_the_samples_in_other_forms(version: str, form: str, tmp_path: Path) -> None:
    folder = sample(version)
    log = folder / "websocket.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    given = tmp_path / "given"
    given.mkdir()
    if form == "folder":
        for file in _files(folder):
            shutil.copy(file, given)
    elif form == "gz":
        (given / "log.jsonl.gz").write_bytes(gzip.compress(log.read_bytes()))
    elif form == "twice":
        for name in ("a.jsonl", "b.jsonl"):
            shutil.copy(log, given / name)
    elif form == "shuffled":
        (given / "log.jsonl").write_bytes(shuffled(lines, 7))
    else:
        # As a client gets them that asks for several messages at once.
        whole = [line.strip() for line in lines[:-1]]
        arrays = [b"[" + b",".join(whole[at : at + 5]) + b"]" for at in range(0, len(whole), 5)]
        (given / "log.jsonl").write_bytes(b"\n".join(arrays))
    turns = taken(tmp_path, given).turns
    result = differences(folder / "expected.jsonl", turns, tmp_path)
    assert result.endswith(f"{VERSIONS[version]} got, 0 not expected, 0 differences\n"), result


def test_own_log(tmp_path: Path) -> None:
    result = taken(tmp_path, OWN_LOG)
    expected = expected_of(OWN_LOG)
    assert [without_nulls(turn) for turn in result.turns] == expected
    fields = sorted(field for field, _ in result.quarantined)
    assert fields == ["", "run-start"]
    assert not any("s3cret" in json.dumps(turn) for turn in result.turns)


def test_a_list_of_runs_is_recognised_and_gives_nothing() -> None:
    answer = {"pipeline_runs": [{"pipeline_run_id": "a", "timestamp": "2026-05-04T08:00:00+00:00"}]}
    for text in (json.dumps(answer), json.dumps(answer, indent=1), json.dumps({"result": answer})):
        assert recognised(text.encode()) == "home-assistant"
    assert list(ADAPTER.pieces(json.dumps(answer).encode())) == []


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ('{"id":1}\n{"id":2}', Reading.LINES),
        ('{"id":1,"result":{}}', Reading.LINES),
        ('[{"id":1}]\n', Reading.LINES),
        ("< " + '{"id":1}', Reading.LINES),
        ('{"id": 1, "type": "event", "event": {"type": "stt-end", "data": {"stt_output": {"te\n{}',
         Reading.LINES),
        ('{\n "a": 1\n}', Reading.WHOLE),
        ("[\n", Reading.WHOLE),
        ("[", Reading.WHOLE),
    ],
)  # fmt: skip
def test_reading(text: str, reading: Reading) -> None:
    assert ADAPTER.reading(text.encode()) is reading


def _answer() -> dict[str, Any]:
    record = next(json.loads(line) for line in own_lines(OWN_LOG) if b"01R2" in line)
    return {"events": record["events"]}


def test_a_debug_answer_becomes_a_line_for_the_spool() -> None:
    answer = _answer()
    answer["events"][0]["data"]["tts_output"] = {"token": "s3cret", "url": "/api/s3cret"}
    unfinished = {"events": answer["events"][:2]}
    assert is_finished(answer)
    assert not is_finished(unfinished)
    early, late = (run_line(each, "01old", "01R2") for each in (unfinished, answer))
    assert late.endswith(b"\n")
    assert b"s3cret" not in late
    once, _ = assembled(ADAPTER, [late])
    # In whatever order they were written.
    assert assembled(ADAPTER, [late, early])[0] == assembled(ADAPTER, [early, late])[0] == once
    assert once[0]["turn_id"] == "ha:01old:2026-05-04T09:01:00Z"
    assert once[0]["result"]["response"] == "Turned off"


def test_a_pause_ends_the_dialogue_of_a_device(tmp_path: Path) -> None:
    turns, _ = assembled(ADAPTER, own_lines(OWN_LOG), Settings(idle_minutes=60))
    assert {turn["dialogue_id"] for turn in turns if turn["device"]["id"] == "d-tablet"} == {
        "d-tablet:2026-05-04T09:00:00Z"
    }


def test_two_connections_with_the_same_ids_in_two_files(tmp_path: Path) -> None:
    lines = [line for line in own_lines(OWN_LOG) if b'"id":5,' in line]
    other = [line.replace(b"01study", b"01other").replace(b"c-2", b"c-9") for line in lines]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    later = b"\n".join(other).replace(b"02.0", b"02.1").replace(b"0+00:00", b"7+00:00")
    (tmp_path / "b.jsonl").write_bytes(later)
    turns = taken(tmp_path, tmp_path / "a.jsonl", tmp_path / "b.jsonl").turns
    assert [turn["dialogue_id"] for turn in turns] == ["c-2", "c-9"]
    assert all(turn["nlu"]["hypotheses"][0]["intent"] == "HassTurnOff" for turn in turns)
    assert [turn["asr"]["latency_ms"] for turn in turns] == [2000.0, 2100.0]


def test_a_log_that_is_rotated_in_a_run(tmp_path: Path) -> None:
    lines = [line for line in own_lines(OWN_LOG) if b'"id":5,' in line]
    for name, part in (("1.jsonl", lines[:4]), ("2.jsonl", lines[4:])):
        (tmp_path / name).write_bytes(b"\n".join(part))
    assert len(taken(tmp_path, tmp_path / "1.jsonl", tmp_path / "2.jsonl").turns) == 1


def test_a_conversation_goes_on_in_a_later_input(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    first, second = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    lines = own_lines(OWN_LOG)
    cut = next(at for at, line in enumerate(lines) if b"08:31:40" in line)
    first.write_bytes(b"\n".join(lines[:cut]))
    second.write_bytes(b"\n".join(lines[cut:]))
    taken(tmp_path, first, store=store)
    turns = taken(tmp_path, second, store=store).turns
    expected = expected_of(OWN_LOG)
    assert [without_nulls(turn) for turn in turns] == expected


def test_good_events_beside_a_bad_one_are_kept() -> None:
    answer = _answer()
    answer["events"].insert(1, {"type": "stt-start", "data": {}, "timestamp": "yesterday"})
    turns, faulty = assembled(ADAPTER, [json.dumps(answer).encode()])
    assert (len(turns), faulty) == (1, 1)


@pytest.mark.parametrize("record", ["7", '"run-start"', "{}", "[]", "[[]]", '{"a": 1}', "null"])
def test_other_json_is_a_fault_or_nothing(record: str) -> None:
    turns, faulty = assembled(ADAPTER, [record.encode()])
    assert turns == []
    assert faulty == (record not in ("{}", "[]"))


def test_spoilt_logs() -> None:
    # A run's end among others' events can only spoil itself; a line holds up to two runs.
    must_bear_spoilt_logs(ADAPTER, own_lines(OWN_LOG), inputs=1_500, most_of_one=2)


def test_spoilt_files(tmp_path: Path) -> None:
    runs = {
        f"r{at}": json.loads(line)
        for at, line in enumerate(own_lines(OWN_LOG))
        if b'"01R2"' in line
    }
    must_bear_spoilt_files(ADAPTER, json.dumps(runs, indent=1).encode(), tmp_path, inputs=12)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("form", ["array", "object"])
def test_a_document_between_lines_that_are_none_of_it(form: str, mark: bytes) -> None:
    runs: list[dict[str, Any]] = []
    for number in range(40):
        day = f"2026-02-14T19:{number:02}:"
        runs.append({"events": [
            {"type": "run-start", "data": {"conversation_id": f"c{number}"},
             "timestamp": day + "00+00:00"},
            {"type": "intent-start", "data": {"intent_input": "lights on"},
             "timestamp": day + "01+00:00"},
            {"type": "intent-end", "data": {"intent_output": {"conversation_id": f"c{number}"}},
             "timestamp": day + "02+00:00"},
            {"type": "run-end", "data": None, "timestamp": day + "03+00:00"},
        ]})  # fmt: skip
    value: Any = runs if form == "array" else {f"r{n}": run for n, run in enumerate(runs)}
    document = json.dumps(value, indent=1).encode()
    good = read(ADAPTER, document).turns
    assert len(good) == 40
    before = read(ADAPTER, mark + b"# exported by a tool\n" + document)
    behind = read(ADAPTER, mark + document + b"\nDone.\n")
    assert before.turns == behind.turns == good
    for log in (before, behind):
        ((_, reason),) = log.faults
        assert "not JSON" in reason
        assert "cut off" not in reason
