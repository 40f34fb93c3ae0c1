"""How long work reports how far it is, and who listens: a person at a terminal, or a program.

Every long step calls a `Progress`. By default that is `silent`; the command line gives what
`listener` returns; a job of the dashboard sets `FORMAT_VARIABLE` to `json` in its process and reads
the lines with `Step.parse`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self, TextIO

from data.errors import FaultlineError, machine_error

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

# `json` in this environment variable makes commands report to a program, not to a person.
FORMAT_VARIABLE = "FAULTLINE_PROGRESS"
# Seconds between two lines about the same step: in a log, and to a program.
_LOG_INTERVAL = 5.0
_JSON_INTERVAL = 0.2


class Progress(Protocol):
    """Called by long work: `done` of `total` is done, and `what` is being done.

    `total` is None where nobody knows it. Work that goes through turns also gives how many it has
    been through as `turns`, because `done` may be in another unit, such as bytes; `what` then names
    what is counted (a file, or the work), otherwise one step of several. What the callable raises
    ends the work.
    """

    def __call__(
        self, done: float, total: float | None, what: str, turns: int | None = None
    ) -> None: ...


def silent(done: float, total: float | None, what: str, turns: int | None = None) -> None:
    """The default `Progress`: nobody listens."""


def portion(progress: Progress, start: float, stop: float) -> Progress:
    """The `Progress` of one stage of the work, which takes it from the share `start` to `stop`."""

    def stage(done: float, total: float | None, what: str, turns: int | None = None) -> None:
        progress(start + (stop - start) * share(done, total), 1.0, what, turns)

    return stage


def share(done: float, total: float | None) -> float:
    """How much is done, from 0 to 1; 0 where the total is not known."""
    return min(max(done / total, 0.0), 1.0) if total else 0.0


class Step(NamedTuple):
    """What a `Progress` was called with."""

    done: float = 0
    total: float | None = None
    what: str = ""
    turns: int | None = None

    @property
    def share(self) -> float:
        """How much is done, from 0 to 1."""
        return share(self.done, self.total)

    def line(self) -> str:
        """As one line of JSON."""
        return json.dumps({"progress": self._asdict()})

    @classmethod
    def parse(cls, line: str) -> Step | None:
        """What `line` wrote; None for any other line."""
        try:
            values = json.loads(line)["progress"]
            total, turns = values["total"], values["turns"]
            return cls(
                float(values["done"]),
                None if total is None else float(total),
                str(values["what"]),
                None if turns is None else int(turns),
            )
        except (ValueError, TypeError, KeyError):
            return None


class Terminal:
    """A bar on a terminal, plain lines in a log: a step when it begins, counts every few seconds.

    A context manager; the bar disappears at its end. Without `announce`, a log has nothing of work
    that is over within five seconds.
    """

    def __init__(self, console: Console, *, announce: bool = True) -> None:
        self._console = console
        self._announce = announce
        self._step: Step | None = None
        self._began = self._spoke = self._called = time.monotonic()
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        if console.is_terminal:
            # Only here: Rich takes a while to import, and every room imports this module.
            from rich.progress import (
                BarColumn,
                Progress,
                TaskProgressColumn,
                TextColumn,
                TimeRemainingColumn,
            )

            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[count]}", markup=False),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(
        self, done: float, total: float | None, what: str, turns: int | None = None
    ) -> None:
        changed = self._step is None or what != self._step.what
        first = self._step is None or (changed and turns is not None)
        self._step = Step(done, total, what, turns)
        if first:
            # Of turns, each thing has a count and a rate of its own; steps share one bar. Turns
            # that are there at its first call were worked through since the last one.
            self._began = self._called if turns else time.monotonic()
        self._called = time.monotonic()
        if self._bar:
            self._draw(self._bar, first)
        elif turns is None and changed and self._announce:
            self._print(f"[dim]{_escaped(what)} …[/dim]")
        elif time.monotonic() - self._spoke >= _LOG_INTERVAL:
            part = f"{self._step.share:.0%}" if total else ""
            if turns is None:
                self._print(f"[dim]{_escaped(what)}, {part or 'still busy'} …[/dim]")
            else:
                words = ", ".join(filter(None, [part, self._count()]))
                self._print(f"{_escaped(what)}: {words}")

    def _count(self) -> str:
        if self._step is None or self._step.turns is None:
            return ""
        turns = self._step.turns
        rate = turns / max(time.monotonic() - self._began, 1e-3)
        return f"{turns:,} turns, {rate:,.0f} turns/s"

    def _draw(self, bar: Bar, first: bool) -> None:
        assert self._step is not None
        done, total, what, _ = self._step
        if self._task is None:
            self._task = bar.add_task(what, total=total, count="")
        elif first:
            bar.reset(self._task, total=total)
        bar.update(self._task, completed=done, total=total, description=what, count=self._count())

    def _print(self, line: str) -> None:
        self._spoke = time.monotonic()
        self._console.print(line)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


class JsonLines:
    """One JSON object per line (`Step.line`), for the program that started this process.

    The work ends with that program: without it, nobody waits for the outcome.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._parent = os.getppid()
        self._what: str | None = None
        self._wrote = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __call__(
        self, done: float, total: float | None, what: str, turns: int | None = None
    ) -> None:
        if os.getppid() != self._parent:
            raise SystemExit(1)
        now = time.monotonic()
        if what == self._what and now - self._wrote < _JSON_INTERVAL and done != total:
            return
        self._what, self._wrote = what, now
        print(Step(done, total, what, turns).line(), file=self._file, flush=True)


def listener(console: Console, *, announce: bool = True) -> Terminal | JsonLines:
    """Who listens to this process: whoever reads `console`, or, as `FORMAT_VARIABLE` says, the
    program that started it, on standard error. For `announce` see `Terminal`."""
    if os.environ.get(FORMAT_VARIABLE) == "json":
        return JsonLines(sys.stderr)
    return Terminal(console, announce=announce)


def run_reporting(work: Callable[[Progress], object]) -> int:
    """Run `work` as the whole of a command, its progress and errors on standard error.

    Returns the exit code; a user's error is one sentence, as on the command line.
    """
    from rich.console import Console

    try:
        with listener(Console(stderr=True, highlight=False, soft_wrap=True)) as progress:
            work(progress)
    except FaultlineError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    except Exception as error:
        problem = machine_error(error)
        if problem is None:
            raise
        print(f"Error: {problem}", file=sys.stderr)
        return problem.exit_code
    return 0
