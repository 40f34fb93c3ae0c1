"""A few processes that work through a stream of tasks, in order."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, TypeVar

from data.errors import WorkerLost

T = TypeVar("T")


class Runner:
    """Runs a function over many arguments, in order: here, or in a few processes with a short
    queue."""

    def __init__(self, pool: ProcessPoolExecutor | None, workers: int) -> None:
        self._pool = pool
        self._ahead = workers + 1

    def map(self, function: Callable[..., T], work: Iterator[tuple[Any, ...]]) -> Iterator[T]:
        if self._pool is None:
            for arguments in work:
                yield function(*arguments)
            return
        waiting: deque[Future[T]] = deque()
        try:
            for arguments in work:
                with _deaf():
                    future = self._pool.submit(function, *arguments)
                waiting.append(future)
                if len(waiting) > self._ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except (KeyboardInterrupt, SystemExit):
            # Nobody waits for what is under way.
            _kill(self._pool)
            raise
        except BrokenProcessPool as error:
            raise WorkerLost(
                "A worker process was killed, probably for want of memory; free some, or use fewer "
                "processes."
            ) from error
        finally:
            for future in waiting:
                future.cancel()
            # A failed input must not leave work behind that writes into a removed folder.
            for future in waiting:
                if not future.cancelled():
                    future.exception()


_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def _deaf() -> Iterator[None]:
    """A process started inside hears no Ctrl-C, not even before `_start` has run in it.

    It inherits the mask; an interrupt of this process waits until the end of the block.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def runner(processes: int) -> Iterator[Runner]:
    """A runner with so many processes; with one or none, the work is done here.

    If the body fails or is interrupted, the processes are killed in the middle of their work: it
    must be in folders that are removed as a whole.
    """
    if processes < 2:
        yield Runner(None, 1)
        return
    # Spawned, not forked: the caller may well have threads (Streamlit has).
    context = get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, initializer=_start, initargs=(os.getpid(),))
    try:
        yield Runner(pool, processes)
    except BaseException:
        _kill(pool)
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _kill(pool: ProcessPoolExecutor) -> None:
    # From Python 3.14 on there is `kill_workers` for it.
    for process in list((pool._processes or {}).values()):
        process.kill()


def _start(parent: int) -> None:
    """Set up a worker: Ctrl-C is for the parent, and without the parent there is no work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
