"""Engines: what runs a stream of tasks and yields their results in order.

Work that is split into parts takes an `Engine` and knows nothing of where its parts run: in this
process, in a pool of processes (`local`), or on a cluster (`data.cluster`).
"""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol, TypeVar

from data.errors import WorkerLost

K = TypeVar("K")
T = TypeVar("T")


class Pool(Protocol):
    """Runs tasks while its engine's context lasts."""

    def map(self, function: Callable[..., T], work: Iterator[tuple[Any, ...]]) -> Iterator[T]:
        """Yield `function(*arguments)` for each tuple of `work`, in order.

        `function` and its arguments are pickled; what it writes to files it renames into place, as
        it may be killed at any moment and run again. Raises `WorkerLost` if too many processes were
        killed, and whatever `function` raises.
        """
        ...


class Engine(Protocol):
    """Where parts of some work run, each on one core of a process other than this one."""

    def __call__(self, tasks: int, shared: Sequence[Path] = ()) -> AbstractContextManager[Pool]:
        """A pool for so many tasks.

        shared: files that the tasks read; what runs on other machines sees to it that they are the
            same there, and that their folders can be written to.
        """
        ...


def in_order(
    engine: Engine,
    parts: Sequence[K],
    finished: Mapping[K, T],
    function: Callable[..., T],
    arguments: Callable[[K], tuple[Any, ...]],
    shared: Sequence[Path] = (),
) -> Iterator[T]:
    """The results of all parts of some work, in order.

    Those in `finished` are as they are; the others are `function(*arguments(part))`, run by the
    engine, which `shared` is for.
    """
    left = [part for part in parts if part not in finished]
    with engine(len(left), shared) as pool:
        results = pool.map(function, (arguments(part) for part in left))
        for part in parts:
            yield finished[part] if part in finished else next(results)


def local(processes: int) -> Engine:
    """The engine of a pool with at most this many processes of this machine."""

    def engine(tasks: int, shared: Sequence[Path] = ()) -> AbstractContextManager[Runner]:
        return runner(min(tasks, processes))

    return engine


class Runner:
    """Runs a function over a stream of arguments: in this process, or in a pool with a short queue.

    Made by `runner`.
    """

    def __init__(self, pool: ProcessPoolExecutor | None, workers: int) -> None:
        self._pool = pool
        self._ahead = workers + 1
        self.processes = workers

    def map(self, function: Callable[..., T], work: Iterator[tuple[Any, ...]]) -> Iterator[T]:
        """Yield `function(*arguments)` for each tuple of `work`, in order.

        Raises `WorkerLost` if a process was killed, and whatever `function` raises.
        """
        if self._pool is None:
            for arguments in work:
                yield function(*arguments)
            return
        waiting: deque[Future[T]] = deque()
        try:
            for arguments in work:
                with _signals_blocked():
                    future = self._pool.submit(function, *arguments)
                waiting.append(future)
                if len(waiting) > self._ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except (KeyboardInterrupt, SystemExit):
            # Nobody waits for the running tasks.
            _kill(self._pool)
            raise
        except BrokenProcessPool as error:
            raise WorkerLost(
                "A worker process was killed, probably for lack of memory; free some, or use fewer "
                "processes."
            ) from error
        finally:
            for future in waiting:
                future.cancel()
            # After a failure no task may go on writing into a folder that may be removed.
            for future in waiting:
                if not future.cancelled():
                    future.exception()


_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Ctrl-C and termination are blocked in processes started inside, even before `_start` runs.

    They inherit the signal mask; a signal to this process is delivered at the end of the block.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def runner(processes: int) -> Iterator[Runner]:
    """A runner with this many processes; with fewer than two, tasks run in this process.

    If the body fails or is interrupted, the processes are killed in the middle of their tasks, so
    tasks rename what they write into place, or write into folders that are removed as a whole.
    """
    if processes < 2:
        yield Runner(None, 1)
        return
    # Spawned, not forked: the caller may have threads (Streamlit does).
    context = get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, initializer=_start, initargs=(os.getpid(),))
    try:
        yield Runner(pool, processes)
    except BaseException:
        _kill(pool)
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def without_gc() -> Iterator[None]:
    """No search for reference cycles, which costs a tenth of the time where millions of small
    objects are made that have none."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _kill(pool: ProcessPoolExecutor) -> None:
    # Python 3.14 has `kill_workers` for this.
    for process in list((pool._processes or {}).values()):
        process.kill()


def _start(parent: int) -> None:
    """Set up a worker: it ignores Ctrl-C, which the parent handles, and exits with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
