"""Peak memory of this process and its children together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil


@contextmanager
def peak_gib(every_s: float = 0.2) -> Iterator[Callable[[], float]]:
    """Watch the memory while the block runs; yields a function that returns the peak in GiB.

    It sums the resident memory of every process, so that shared libraries count several times.
    """
    highest = 0
    done = threading.Event()
    own = psutil.Process()

    def watch() -> None:
        nonlocal highest
        while not done.wait(every_s):
            total = 0
            for process in [own, *own.children(recursive=True)]:
                with suppress(psutil.Error):
                    total += process.memory_info().rss
            highest = max(highest, total)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield lambda: highest / 2**30
    finally:
        done.set()
        watcher.join()
