"""The data files in a mirror: how much room they take, and which of them have to stay.

Files that were used least recently go when there is no room for new ones. Those that an open
snapshot or a writer needs stay, whatever the limit: each process lists them in a folder of its own,
which the others see until it ends, however it ends.
"""

from __future__ import annotations

import os
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from data.errors import UsageError
from data.schema.layout import TABLES
from data.store.delta_log import LOG
from data.store.temporary import clear, new_draft

SIZE = "FAULTLINE_CACHE_SIZE"
_DEFAULT = 20 * 10**9
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_AMOUNT = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([KMGT]?)B?", re.IGNORECASE)
# Seconds after which the use of a file is noted again.
_NOTED_FOR = 60.0
# A draft not written to for this long belongs to a fetch that was killed.
_DEAD_S = 3600.0


def limit() -> int:
    """Bytes that the data files of one store's mirror may take, from FAULTLINE_CACHE_SIZE.

    Raises `UsageError` if that is no size.
    """
    given = os.environ.get(SIZE, "").strip()
    if not given:
        return _DEFAULT
    match = _AMOUNT.fullmatch(given)
    if match is None:
        raise UsageError(f"{SIZE} is '{given[:40]}'; give a size, such as 20GB.")
    return int(float(match[1]) * _UNITS[match[2].upper()])


class Cache:
    """The data files of the mirror in the folder `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._pins = root.parent / "pins"
        self._room_lock = root.parent / ".room.lock"
        self._own: Path | None = None
        self._cleared = False
        self._held = ExitStack()
        self._lock = threading.Lock()

    def pin(self, paths: Iterable[Path], pin: str | None = None) -> str:
        """Keep some files until `unpin`; returns the pin, to which more can be added.

        Waits while another process makes room: what it has decided to remove is gone afterwards.
        """
        with self._lock, FileLock(self._room_lock):
            if self._own is None or not self._own.is_dir():
                self._pins.mkdir(exist_ok=True)
                self._own = self._held.enter_context(new_draft(self._pins))
            pin = pin or uuid.uuid4().hex
            with (self._own / pin).open("a", encoding="utf-8") as file:
                file.writelines(f"{path.relative_to(self.root).as_posix()}\n" for path in paths)
            return pin

    def is_pinned(self, pin: str) -> bool:
        """Whether a pin is still there; somebody may remove a cache while it is in use."""
        return self._own is not None and (self._own / pin).exists()

    def unpin(self, pin: str) -> None:
        """Let the files of a pin go, once there is no room."""
        if self._own is not None:
            with suppress(OSError):
                (self._own / pin).unlink()

    def used(self, paths: Iterable[Path]) -> None:
        """Note that files are in use now; their time of modification stays."""
        now = time.time()
        for path in paths:
            with suppress(OSError):
                stat = path.stat()
                if stat.st_atime < now - _NOTED_FOR:
                    os.utime(path, ns=(time.time_ns(), stat.st_mtime_ns))

    def make_room(self, size: int, again: Callable[[], set[Path]]) -> None:
        """Remove files until there is room for `size` bytes more, as far as none is in use.

        `again` gives the files that can be fetched again: a writer's own, which are nowhere else
        yet, are not among them.
        """
        room = limit() - size
        with suppress(Timeout), FileLock(self._room_lock, timeout=10):
            self._clear_drafts()
            present = list(self._files())
            total = sum(stat.st_size for _, stat in present)
            if total <= room:
                return
            keep, replaceable = self._pinned(), again()
            for path, stat in sorted(present, key=lambda one: one[1].st_atime):
                if total <= room:
                    break
                if path in replaceable and path.relative_to(self.root).as_posix() not in keep:
                    path.unlink(missing_ok=True)
                    total -= stat.st_size

    def _clear_drafts(self) -> None:
        """Remove, once in a process, what fetches that were killed have left."""
        if self._cleared:
            return
        self._cleared = True
        for name in TABLES:
            for path in (self.root / name).rglob(".*"):
                with suppress(OSError):
                    if path.is_file() and time.time() - path.stat().st_mtime > _DEAD_S:
                        path.unlink()

    def _files(self) -> Iterable[tuple[Path, os.stat_result]]:
        for name in TABLES:
            for path in (self.root / name).rglob("part-*.parquet"):
                if LOG not in path.parts:
                    with suppress(FileNotFoundError):
                        yield path, path.stat()

    def _pinned(self) -> set[str]:
        clear(self._pins)
        names: set[str] = set()
        for pin in self._pins.glob("*/*"):
            with suppress(OSError):
                names.update(pin.read_text("utf-8").splitlines())
        return names


class Lease:
    """The files that a snapshot or a writer may ask for, kept in the mirror once they were."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._pin: str | None = None
        self._held: set[Path] = set()
        self._lock = threading.Lock()

    def hold(self, paths: Iterable[Path]) -> None:
        """Keep these files too."""
        with self._lock:
            if self._pin is not None and not self._cache.is_pinned(self._pin):
                self._held.clear()
            if new := [path for path in paths if path not in self._held]:
                self._pin = self._cache.pin(new, self._pin)
                self._held.update(new)

    def close(self) -> None:
        """Need the files no longer."""
        if self._pin is not None:
            self._cache.unpin(self._pin)
            self._pin = None
            self._held.clear()
