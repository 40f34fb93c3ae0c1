"""OpenVoiceOS: the sample in all forms, other recorders, and sessions that never end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.ingest.adapters.adapter import Settings
from data.ingest.adapters.ovos import ADAPTER
from data.ingest.adapters.registry import recognised
from tests.log_samples import (
    FORMS,
    OWN,
    assembled,
    differences,
    expected_of,
    in_form,
    must_bear_spoilt_files,
    must_bear_spoilt_logs,
    own_lines,
    sample,
    taken,
    without_nulls,
)

OWN_LOG = OWN / "ovos.txt"
SAME = "7 expected, 7 got, 0 not expected, 0 differences\n"


@pytest.mark.parametrize("form", FORMS)
def test_the_sample_in_all_forms(form: str, tmp_path: Path) -> None:
    log = sample("ovos-bus") / "bus.log"
    lines = log.read_bytes().splitlines()
    path = in_form(form, log, lines, tmp_path, 11)
    result = taken(tmp_path, path)
    assert differences(log.parent / "expected.jsonl", result.turns, tmp_path) == SAME
    assert [field for field, _ in result.quarantined] == [""] * (1 + (form == "twice"))


def test_own_log(tmp_path: Path) -> None:
    result = taken(tmp_path, OWN_LOG)
    assert [without_nulls(turn) for turn in result.turns] == expected_of(OWN_LOG)
    reasons = sorted(reason for _, reason in result.quarantined)
    assert [reason.split()[0] for reason in reasons] == ["expected", "no", "not"]
    # The text of an exception may hold anything.
    assert "Anna" not in json.dumps(result.turns)


def test_how_long_a_pause_ends_a_dialogue() -> None:
    turns, _ = assembled(ADAPTER, own_lines(OWN_LOG), Settings(idle_minutes=30))
    indices = [turn["turn_index"] for turn in turns if turn["turn_id"].startswith("default")]
    assert indices == [0, 1, 2, 3]


def test_dialogues_of_different_days_have_different_names() -> None:
    other_day = [line.replace(b"2026-08-09", b"2026-08-10") for line in own_lines(OWN_LOG)]
    days = [assembled(ADAPTER, lines)[0] for lines in (own_lines(OWN_LOG)[:24], other_day[:24])]
    names = [{turn["dialogue_id"] for turn in turns} for turns in days]
    assert len(names[0]) == 1
    assert names[0].isdisjoint(names[1])


def test_messages_of_mycroft_have_no_session() -> None:
    lines = []
    for line in own_lines(OWN_LOG)[:6]:
        begin = line.index(b"{")
        message = json.loads(line[begin:])
        message["context"] = {}
        message["data"].pop("session", None)
        lines.append(line[:begin] + json.dumps(message).encode())
    assert recognised(b"\n".join(lines)) == "ovos"
    turns, faulty = assembled(ADAPTER, lines)
    assert faulty == 0
    assert turns[0]["turn_id"] == "default:2026-08-09T07:00:00Z"
    assert turns[0]["nlu"]["hypotheses"][0]["intent"] == "skill-alarm.rook:set"


def test_spoilt_logs() -> None:
    # A wake word ends one turn and begins another.
    must_bear_spoilt_logs(ADAPTER, own_lines(OWN_LOG), inputs=1_500, most_of_one=2)


def test_spoilt_files(tmp_path: Path) -> None:
    must_bear_spoilt_files(ADAPTER, OWN_LOG.read_bytes(), tmp_path, inputs=8)


@pytest.mark.parametrize("place", ["before", "within"])
@pytest.mark.parametrize("digits", [0, 3, 6, 9])
def test_seconds_since_1970_may_be_counted_in_finer_units(place: str, digits: int) -> None:
    lines = []
    for number, line in enumerate(own_lines(OWN_LOG)[:6]):
        message = line[line.index(b"{") :]
        time = f"{1_786_258_800 + number}{'0' * digits}"
        if place == "before":
            lines.append(f"{time} ".encode() + message)
        else:
            lines.append(json.dumps({**json.loads(message), "timestamp": int(time)}).encode())
    turns, faulty = assembled(ADAPTER, lines)
    assert faulty == 0
    assert [turn["started_at"] for turn in turns] == ["2026-08-09T07:00:00Z"]
