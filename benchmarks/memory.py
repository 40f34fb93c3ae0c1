"""Peak memory of a process and its children together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil


@contextmanager
def peak_gib(
    pid: int | None = None, every_s: float = 0.2, shared_once: bool = False
) -> Iterator[Callable[[], float]]:
    """Watch the memory while the block runs; yields a function that returns the peak in GiB.

    Of the process `pid`, by default this one, and its children. It sums the resident memory of
    every process, so that shared libraries count several times; with `shared_once`, each page that
    several processes share counts once (Linux).
    """
    highest = 0
    done = threading.Event()
    process = psutil.Process(pid)

    def used(member: psutil.Process) -> int:
        with suppress(psutil.Error):
            info = member.memory_full_info() if shared_once else member.memory_info()
            return int(info.pss if shared_once else info.rss)
        return 0

    def watch() -> None:
        nonlocal highest
        while not done.wait(every_s):
            # The process itself may have ended.
            with suppress(psutil.Error):
                family = [process, *process.children(recursive=True)]
                highest = max(highest, sum(map(used, family)))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield lambda: highest / 2**30
    finally:
        done.set()
        watcher.join()


def listening(port: int) -> int:
    """The id of the process that listens on a TCP port; raises `RuntimeError` if none does."""
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
            return int(connection.pid)
    raise RuntimeError(f"nothing listens on port {port}")
