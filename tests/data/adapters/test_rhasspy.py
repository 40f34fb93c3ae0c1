"""Rhasspy: the sample in all forms, recorders of other habits, and audio in between."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from data.ingest.adapters.registry import recognised
from data.ingest.adapters.rhasspy import ADAPTER
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

OWN_LOG = OWN / "rhasspy-hermes.txt"
SAME = "8 expected, 8 got, 0 not expected, 0 differences\n"


@pytest.mark.parametrize("form", FORMS)
def test_the_sample_in_all_forms(form: str, tmp_path: Path) -> None:
    log = sample("rhasspy-hermes") / "mosquitto_sub.log"
    lines = log.read_bytes().split(b"\n")
    path = in_form(form, log, lines, tmp_path, 5)
    result = taken(tmp_path, path)
    assert differences(log.parent / "expected.jsonl", result.turns, tmp_path) == SAME
    assert [field for field, _ in result.quarantined] == ["payload"] * (1 + (form == "twice"))


def test_own_log(tmp_path: Path) -> None:
    result = taken(tmp_path, OWN_LOG)
    assert [without_nulls(turn) for turn in result.turns] == expected_of(OWN_LOG)
    reasons = sorted(reason for _, reason in result.quarantined)
    assert len(reasons) == 2
    assert "mosquitto_sub -t 'hermes/#' -F '%I %t %p'" in reasons[0]
    assert "not JSON" in reasons[1]


@pytest.mark.parametrize("mark", [b" ", b" 1 "])
def test_a_log_without_times_is_quarantined_with_advice(mark: bytes) -> None:
    """As -v writes it, and with the quality of service in place of a time."""
    lines = [line.split(b" ", 1)[1] for line in own_lines(OWN_LOG) if line.startswith(b"2026")]
    lines = [mark.lstrip() + line for line in lines if b"hermes/asr" in line]
    assert recognised(b"\n".join(lines)) == "rhasspy-hermes"
    turns, faulty = assembled(ADAPTER, lines)
    assert turns == []
    assert faulty == len(lines)
    with pytest.raises(Exception, match="record with"):
        list(ADAPTER.pieces(lines[0]))


def test_times_of_whole_seconds(tmp_path: Path) -> None:
    """As %I of older recorders has them: within a second, messages go by what they are."""
    lines = [line[:19] + line[23:] for line in own_lines(OWN_LOG) if line.startswith(b"2026")]
    lines = [line for line in lines if b"loft-jay-1" in line or b"hotword" in line]
    random.Random(1).shuffle(lines)
    turns, _ = assembled(ADAPTER, lines)
    first, second = (turn for turn in turns if turn["dialogue_id"] == "loft-jay-1")
    assert first["result"]["response"] == "Quelle lampe ?"
    assert first["wake"] == {"phrase": "jay"}
    assert second["result"]["status"] == "error"


def test_audio_is_passed_over() -> None:
    chance = random.Random(7)
    lines = []
    for line in own_lines(OWN_LOG)[:-3]:
        audio = b"2026-06-07T10:00:00+0200 hermes/audioServer/loft/audioFrame RIFF" + bytes(
            chance.getrandbits(8) for _ in range(8_000)
        )
        lines += [*audio.split(b"\n"), line]
    turns, faulty = assembled(ADAPTER, lines)
    assert faulty == 0
    assert turns == assembled(ADAPTER, own_lines(OWN_LOG)[:-3])[0]


def test_spoilt_logs() -> None:
    # A wake word and a session's end may have to do with two turns.
    must_bear_spoilt_logs(ADAPTER, own_lines(OWN_LOG), inputs=1_500, most_of_one=2)


def test_spoilt_files(tmp_path: Path) -> None:
    must_bear_spoilt_files(ADAPTER, OWN_LOG.read_bytes(), tmp_path, inputs=8)
