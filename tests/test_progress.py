"""Progress of long work, as a log, a terminal and a program read it."""

from __future__ import annotations

import io
import os
import time

import pytest
from rich.console import Console

from data.errors import UsageError
from progress import (
    FORMAT_VARIABLE,
    JsonLines,
    Progress,
    Step,
    Terminal,
    listener,
    portion,
    run_reporting,
)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the module sees, in its only element."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_log_names_each_step_once_and_counts_every_five_seconds(clock: list[float]) -> None:
    console = Console(file=io.StringIO(), width=200, color_system=None, force_terminal=False)
    with Terminal(console) as progress:
        progress(0, 2, "reading features")
        progress(1, 2, "boosting")
        progress(1, 2, "boosting")
        progress(0, 20_000, "scoring", 0)
        clock[0] += 4
        progress(8_000, 20_000, "scoring", 8_000)
        clock[0] += 4
        progress(16_000, 20_000, "scoring", 16_000)
        progress(18_000, 20_000, "scoring", 18_000)
        clock[0] += 5
        # A name is not markup, and the size of standard input is unknown.
        progress(900, None, "[red]-", 10)
        clock[0] += 5
        progress(1800, None, "[red]-", 20)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "reading features …",
        "boosting …",
        "scoring: 80%, 16,000 turns, 2,000 turns/s",
        "[red]-: 10 turns, 2 turns/s",
        "[red]-: 20 turns, 2 turns/s",
    ]


def test_a_log_without_announcements_has_only_slow_steps(clock: list[float]) -> None:
    console = Console(file=io.StringIO(), width=200, color_system=None, force_terminal=False)
    with Terminal(console, announce=False) as progress:
        progress(0, 8, "compacting")
        clock[0] += 4
        progress(1, 8, "compacting")
        clock[0] += 4
        progress(2, 8, "compacting")
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "compacting, 25% …\n"


def test_a_terminal_shows_one_bar(clock: list[float]) -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    with Terminal(console) as progress:
        progress(1, 4, "boosting [out of fold]")
        clock[0] += 1
        progress(10, 40, "a.jsonl", 4_000)
        clock[0] += 1
        progress(20, 40, "a.jsonl", 8_000)
    assert isinstance(console.file, io.StringIO)
    printed = console.file.getvalue()
    assert "boosting [out of fold]" in printed
    assert "8,000 turns, 4,000 turns/s" in printed
    assert "50%" in printed


def test_a_program_reads_back_the_steps_reported(clock: list[float]) -> None:
    file = io.StringIO()
    progress = JsonLines(file)
    calls: list[Step] = [
        Step(0, 2, "reading"),
        Step(1, 2, "scoring [x]", 10),
        # Too soon after the last step, and of the same name.
        Step(1.5, 2, "scoring [x]", 15),
        Step(2, 2, "scoring [x]", 20),
        Step(7, None, "-", 3),
    ]
    for step in calls:
        progress(*step)
    read = [Step.parse(line) for line in file.getvalue().splitlines()]
    assert read == [calls[0], calls[1], calls[3], calls[4]]
    for line in ("", "Error: no", "{}", "[1]", '{"progress": {"done": "x"}}', "12"):
        assert Step.parse(line) is None


def test_the_work_ends_when_the_reading_program_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    progress = JsonLines(io.StringIO())
    monkeypatch.setattr(os, "getppid", lambda: 1_000_000)
    with pytest.raises(SystemExit):
        progress(1, 2, "going on")


def test_the_environment_selects_the_format(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO())
    monkeypatch.delenv(FORMAT_VARIABLE, raising=False)
    assert isinstance(listener(console), Terminal)
    monkeypatch.setenv(FORMAT_VARIABLE, "json")
    assert isinstance(listener(console), JsonLines)


def test_a_portion_reports_within_its_share() -> None:
    steps: list[Step] = []

    def note(done: float, total: float | None, what: str, turns: int | None = None) -> None:
        steps.append(Step(done, total, what, turns))

    part = portion(note, 0.2, 0.8)
    for done, total in ((0, 3), (3, 3), (9, 3), (1, None)):
        part(done, total, "fitting")
    assert [round(step.share, 3) for step in steps] == [0.2, 0.8, 0.8, 0.2]


def test_a_command_of_its_own_reports_and_fails_in_one_sentence(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FORMAT_VARIABLE, "json")

    def work(progress: Progress) -> None:
        progress(1, 2, "going on")
        raise UsageError("Give more.")

    assert run_reporting(work) == UsageError.exit_code
    step, error = capfd.readouterr().err.splitlines()
    assert Step.parse(step) == Step(1, 2, "going on")
    assert error == "Error: Give more."
