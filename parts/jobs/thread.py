"""A job in a thread of this process: for work that lets other threads run."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from data.errors import FaultlineError, machine_error
from parts.jobs.job import State
from progress import Progress, Step

T = TypeVar("T")

# For jobs that may take hundreds of megabytes each, and would only compete for the cores.
_ALONE = threading.Semaphore(1)
_POLL_S = 0.1


class Stopped(Exception):
    """Raised inside the work when somebody stopped it."""


class ThreadJob(Generic[T]):
    """A `parts.jobs.job.Job` that calls `work` with a `Progress`, which ends it once it is stopped.

    Parameters
    ----------
    name: what the work is called.
    alone: whether it waits until no other such job is running.
    """

    def __init__(self, name: str, work: Callable[[Progress], T], *, alone: bool = False) -> None:
        self.name = name
        self._alone = alone
        self._began = time.monotonic()
        self._ended: float | None = None
        self._progress = Step()
        self._result: T | None = None
        self._error: Exception | None = None
        self._state: State = "running"
        self._stop = threading.Event()
        self._end = threading.Event()
        threading.Thread(target=self._run, args=(work,), daemon=True).start()

    @property
    def state(self) -> State:
        return self._state

    @property
    def progress(self) -> Step:
        return self._progress

    @property
    def seconds(self) -> float:
        return (self._ended or time.monotonic()) - self._began

    @property
    def result(self) -> T | None:
        return self._result

    @property
    def error(self) -> Exception | None:
        return self._error

    def stop(self) -> None:
        """Ask it to end; it does so at its next step."""
        self._stop.set()

    def wait(self, seconds: float) -> State:
        self._end.wait(seconds)
        return self._state

    def _step(self, done: float, total: float | None, what: str, turns: int | None = None) -> None:
        self._progress = Step(done, total, what, turns)
        if self._stop.is_set():
            raise Stopped

    def _run(self, work: Callable[[Progress], T]) -> None:
        state: State = "failed"
        try:
            self._result = self._work(work)
            state = "done"
        except Stopped:
            state = "stopped"
        except FaultlineError as error:
            self._error = error
        except OSError as error:
            reason = error.strerror or str(error)
            problem = machine_error(error)
            self._error = problem or FaultlineError(f"{self.name} failed: {reason}.")
        except Exception as error:
            if problem := machine_error(error):
                self._error = problem
                return
            logging.getLogger(__name__).exception("%s failed", self.name)
            self._error = FaultlineError(f"{self.name} failed: {type(error).__name__}.")
        finally:
            self._ended = time.monotonic()
            # Last: whoever sees this state may read the result or the error.
            self._state = state
            self._end.set()

    def _work(self, work: Callable[[Progress], T]) -> T:
        if not self._alone:
            return work(self._step)
        while not _ALONE.acquire(timeout=_POLL_S):
            self._step(0, None, "waiting for its turn")
        try:
            return work(self._step)
        finally:
            _ALONE.release()
