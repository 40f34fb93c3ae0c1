"""A command beside a collector: one at a time, ended with it, and its failures logged alone."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from collect.repeating import Repeating

# Writes when it began and ended.
_SLOW = """
import sys, time
with open(sys.argv[1], "a") as file:
    print("begins", file=file, flush=True)
    time.sleep(float(sys.argv[2]))
    print("ends", file=file, flush=True)
sys.exit(int(sys.argv[3]))
"""


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not what():
        assert time.monotonic() < until
        time.sleep(0.05)


def slow(file: Path, seconds: float, code: int) -> list[str]:
    return [sys.executable, "-c", _SLOW, str(file), str(seconds), str(code)]


def test_one_runs_at_a_time_and_a_failure_is_logged_once(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with capture_logs() as logs:
        beside = Repeating(slow(file, 0.2, 3), 0.05)
        wait_for(lambda: file.exists() and file.read_text().count("ends") >= 3)
        beside.stop()
    words = file.read_text().split()
    assert all(pair == ("begins", "ends") for pair in zip(words[:6:2], words[1:6:2], strict=True))
    assert ["ended with code 3" in log["message"] for log in logs] == [True]


def test_a_long_one_does_not_hold_up_the_end(tmp_path: Path) -> None:
    file = tmp_path / "log"
    beside = Repeating(slow(file, 600, 0), 0.05)
    wait_for(file.exists)
    began = time.monotonic()
    beside.stop()
    assert time.monotonic() - began < 30
    assert "ends" not in file.read_text()


@pytest.mark.parametrize(
    ("command", "words"),
    [(["/nowhere/faultline"], "ended with code"), (None, "did not end in 0.2 s")],
)
def test_what_cannot_run_and_what_hangs(
    tmp_path: Path, command: list[str] | None, words: str
) -> None:
    with capture_logs() as logs:
        beside = Repeating(command or slow(tmp_path / "log", 600, 0), 0.05, longest_s=0.2)
        wait_for(lambda: bool(logs))
        beside.stop()
    assert words in logs[0]["message"]
