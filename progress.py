"""Progress of long commands: a bar on a terminal, plain lines every few seconds in a log."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

_EVERY = 5.0  # seconds between two lines of a log


class _Bar:
    """What both kinds share: a Rich bar if the console is a terminal, else a clock for lines."""

    def __init__(
        self, console: Console, *columns: TextColumn | BarColumn | MofNCompleteColumn
    ) -> None:
        self._console = console
        self._began = self._spoke = time.monotonic()
        self._bar = (
            Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
            if console.is_terminal
            else None
        )

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar:
            self._bar.stop()

    def _due(self) -> bool:
        if time.monotonic() - self._spoke < _EVERY:
            return False
        self._spoke = time.monotonic()
        return True

    def _rate(self, done: int, since: float) -> float:
        return done / max(time.monotonic() - since, 1e-3)


class Ingesting(_Bar):
    """Called by `data.ingest.ingest.ingest`: one bar per input, by bytes, with turns per second."""

    def __init__(self, console: Console) -> None:
        super().__init__(
            console,
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[rate]:,.0f} turns/s"),
        )
        self._tasks: dict[str, tuple[TaskID | None, float]] = {}

    def __call__(self, file: str, turns: int, done: int, total: int | None) -> None:
        if file not in self._tasks:
            task = self._bar.add_task(file, total=total, rate=0.0) if self._bar else None
            self._tasks[file] = (task, time.monotonic())
        task, began = self._tasks[file]
        rate = self._rate(turns, began)
        if self._bar and task is not None:
            self._bar.update(task, completed=done, rate=rate)
        elif self._due():
            share = f"{done / total:.0%}, " if total else ""
            self._console.print(
                f"{file}: {share}{turns:,} turns, {rate:,.0f} turns/s", markup=False
            )


class Counting(_Bar):
    """Called with (turns done, turns to do)."""

    def __init__(self, console: Console, what: str) -> None:
        super().__init__(
            console,
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:,.0f} turns/s"),
        )
        self._what = what
        self._task: TaskID | None = None

    def __call__(self, done: int, total: int) -> None:
        rate = self._rate(done, self._began)
        if self._bar:
            if self._task is None:
                self._task = self._bar.add_task(self._what, total=total, rate=0.0)
            self._bar.update(self._task, completed=done, total=total, rate=rate)
        elif done and self._due():
            self._console.print(f"{self._what}: {done:,} of {total:,} turns, {rate:,.0f} turns/s")
