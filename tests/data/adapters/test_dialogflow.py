"""Dialogflow CX and ES: the samples, and the traps of their rows and entries."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from data.ingest.adapters.registry import named, recognised
from tests.data.adapters.in_memory import Log, read
from tests.log_samples import OWN, differences, sample, shuffled, taken

FILES = (("cx", "bq-extract.json"), ("cx", "bq-query.json"), ("es", "cloud-logging.jsonl"))
TURNS = {"cx": 9, "es": 4}


def _own(which: str) -> Log:
    (path,) = OWN.glob(f"dialogflow-{which}.*")
    return read(named(f"dialogflow-{which}"), path.read_bytes())


def _records(which: str) -> list[dict[str, Any]]:
    (path,) = OWN.glob(f"dialogflow-{which}.*")
    text = path.read_text()
    loaded: list[dict[str, Any]] = (
        json.loads(text) if text.startswith("[") else [json.loads(x) for x in text.splitlines()]
    )
    return loaded


@pytest.mark.parametrize("form", ["as it is", "gz", "twice", "folder", "shuffled", "array"])
@pytest.mark.parametrize(("which", "file"), FILES)
def test_the_samples_in_all_forms(which: str, file: str, form: str, tmp_path: Path) -> None:
    folder = sample(f"dialogflow-{which}")
    content = (folder / file).read_bytes()
    lines = content.splitlines(keepends=True)
    given = tmp_path / "given"
    given.mkdir()
    if form == "gz":
        (given / "000.gz").write_bytes(gzip.compress(content))
    elif form == "shuffled" and content.startswith(b"{"):
        (given / file).write_bytes(shuffled(lines, 5))
    elif form == "array" and content.startswith(b"{"):
        whole = [json.loads(line) for line in lines if line.endswith(b"}\n")]
        (given / "rows.json").write_text(json.dumps(whole))
    else:
        (given / file).write_bytes(content)
    if form == "twice":
        (given / "again.json").write_bytes(content)
    turns = taken(tmp_path, given if form in ("folder", "twice") else next(given.iterdir())).turns
    result = differences(folder / "expected.jsonl", turns, tmp_path)
    assert result.endswith(f"{TURNS[which]} got, 0 not expected, 0 differences\n"), result


@pytest.mark.parametrize("which", ["cx", "es"])
@pytest.mark.parametrize("indent", [None, 1])
def test_lines_and_arrays_are_the_same(which: str, indent: int | None) -> None:
    records = _records(which)
    array = json.dumps(records, indent=indent).encode()
    lines = "\n".join(map(json.dumps, records)).encode()
    assert recognised(array) == recognised(lines) == f"dialogflow-{which}"
    adapter = named(f"dialogflow-{which}")
    assert read(adapter, array).turns == read(adapter, lines).turns == _own(which).turns


def test_rows_of_cx() -> None:
    log = _own("cx")
    session = "projects/gym/sessions"
    assert log.turns[f"{session}/s1/2"] == {
        "turn_id": f"{session}/s1/2",
        "dialogue_id": f"{session}/s1",
        # The event before it is no request.
        "turn_index": 1,
        "started_at": "2026-07-02T09:00:09.500000Z",
        "assistant": "a-1",
        "locale": "de",
        "asr": {"hypotheses": [{"text": "buche yoga"}]},
        # Slots are those of the match, not of the session; the match is not its own alternative.
        "nlu": {
            "hypotheses": [
                {
                    "intent": "book",
                    "confidence": 0.8,
                    "slots": [{"name": "course", "value": "yoga"}],
                },
                {"intent": "cancel", "confidence": 0.3},
            ]
        },
        "result": {
            "status": "ok",
            "response": "Einen Moment.\nGebucht.",
            "acts": [],
            "latency_ms": 150.5,
        },
        "feedback": {"explicit": "yes"},
    }
    keys, playbook, noise = (log.turns[f"{session}/s2/{n}"] for n in (1, 2, 3))
    assert "asr" not in keys
    # Whether an intent was found is not known.
    assert "nlu" not in playbook
    assert playbook["result"]["acts"] == [{"act": "NOT_FOUND"}]
    assert playbook["result"]["status"] == "error"
    assert (noise["asr"], noise["nlu"]) == ({"hypotheses": []}, {"hypotheses": []})
    assert noise["result"]["status"] == "no_match"
    assert [number for number, _ in log.faults] == [6, 7]


def test_cx_in_cloud_logging() -> None:
    entries = [
        {
            "insertId": str(number),
            "logName": "projects/gym/logs/dialogflow-runtime.googleapis.com%2Frequests",
            "timestamp": row["request_time"].replace(" UTC", "Z").replace(" ", "T"),
            "labels": {"session_id": row["conversation_name"], "agent_id": "a-1"},
            "jsonPayload": row["response"],
        }
        for number, row in enumerate(_records("cx"))
        if isinstance(row["response"], dict) and "conversation_name" in row
    ]
    data = "\n".join(map(json.dumps, entries)).encode()
    assert recognised(data) == "dialogflow-cx"
    turns = read(named("dialogflow-cx"), data).turns
    assert [turn["asr"]["hypotheses"] for turn in turns.values()] == [
        [{"text": "wann öffnet ihr"}], []]  # fmt: skip


def test_entries_of_es() -> None:
    log = _own("es")
    assert sorted(log.turns) == ["r-2", "r-4", "r-5", "r-6"]
    assert log.turns["r-4"] == {
        "turn_id": "r-4",
        "dialogue_id": "guest-2",
        "turn_index": 0,
        "started_at": "2026-07-01T08:00:31.250000Z",
        "assistant": "hotel-desk",
        "locale": "en",
        # A confidence of 0 is none.
        "asr": {"hypotheses": [{"text": "more towels"}]},
        "nlu": {
            "hypotheses": [
                {
                    "intent": "room.order",
                    "confidence": 0.66,
                    "slots": [
                        {"name": "count", "value": "3.0"},
                        {"name": "thing", "value": '["towel","soap"]'},
                    ],
                }
            ]
        },
        "result": {
            "status": "error",
            "response": "I cannot order\nthat now.",
            "acts": [{"act": "UNAVAILABLE"}],
            "latency_ms": 812.0,
        },
    }
    assert log.turns["r-5"]["nlu"] == {"hypotheses": []}
    assert [log.turns[name]["result"]["status"] for name in ("r-2", "r-5", "r-6")] == [
        "no_match", "no_match", "ok"]  # fmt: skip
    (fault,) = log.faults
    assert "older agents" in fault[1]
