"""Long work in a thread of its own: it can be waited for, watched and stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

# One at a time: each may take hundreds of megabytes, and two would take turns at the cores.
_ROOM = threading.Semaphore(1)
_PATIENCE_S = 0.1


class Stopped(Exception):
    """Raised inside the work when somebody stopped it."""


class Job(Generic[T]):
    """Work that begins at once; `work` gets a function to call with the share done, 0 to 1.

    Attributes
    ----------
    share: how much is done. result: what the work returned, None before or without it.
    error: what it raised; a job that was stopped has neither.
    """

    def __init__(self, work: Callable[[Callable[[float], None]], T]) -> None:
        self.share = 0.0
        self.result: T | None = None
        self.error: Exception | None = None
        self._stop = threading.Event()
        self._done = threading.Event()
        threading.Thread(target=self._run, args=(work,), daemon=True).start()

    @property
    def done(self) -> bool:
        """Whether it has come to an end, good or bad."""
        return self._done.is_set()

    @property
    def stopped(self) -> bool:
        """Whether it was stopped before it had a result."""
        return self._stop.is_set() and self.result is None

    def stop(self) -> None:
        """Ask it to end; it does so at its next step."""
        self._stop.set()

    def wait(self, seconds: float) -> bool:
        """Wait for the end, at most so long; whether it has ended."""
        return self._done.wait(seconds)

    def watch(self, seconds: float = 0.2) -> Iterator[float]:
        """The share done, every so often, until the end."""
        while not self.wait(seconds):
            yield self.share

    def _step(self, share: float) -> None:
        self.share = max(self.share, share)
        if self._stop.is_set():
            raise Stopped

    def _run(self, work: Callable[[Callable[[float], None]], T]) -> None:
        try:
            while not _ROOM.acquire(timeout=_PATIENCE_S):
                self._step(0.0)
            try:
                self.result = work(self._step)
            finally:
                _ROOM.release()
        except Stopped:
            pass
        except Exception as error:  # Told by whoever waits.
            self.error = error
        finally:
            self._done.set()
