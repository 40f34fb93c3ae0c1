"""A spool: records that are on disk before anybody is told so, in numbered segment files.

A record is a header (magic, CRC-32 of all that follows, length, kind, time of arrival in
microseconds since 1970) and its body. One process appends, in one segment after the other; another
one reads, also while it is written to, and removes segments. A writer never goes on in a segment of
an earlier one: whatever a crash left at its end was acknowledged to nobody.
"""

from __future__ import annotations

import errno
import io
import os
import queue
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

from filelock import FileLock, Timeout

from data.errors import UsageError
from data.store.durability import sync

# Bytes after which a segment is closed.
SEGMENT = 32 << 20
# A segment is closed after so many quiet seconds, too: it holds what people said.
_QUIET_S = 60.0
_MAGIC = b"\xf1SPL"
_HEADER = struct.Struct("<4sIIBQ")
# The checksum covers what stands behind it.
_CHECKED = 8
_SUFFIX = ".spool"
# Segments of records that were taken over from others, see `carry`; read first.
_CARRIED = "carried-"


class Record(NamedTuple):
    """A record as it was read; `segment` is the name of its file, `arrived` microseconds."""

    kind: int
    arrived: int
    body: bytes
    segment: str


def packed(kind: int, arrived: int, body: bytes) -> bytes:
    """A record as it stands in a segment; `kind` is 0 to 255."""
    rest = _HEADER.pack(_MAGIC, 0, len(body), kind, arrived)[_CHECKED:]
    checksum = zlib.crc32(body, zlib.crc32(rest))
    return b"".join((_MAGIC, checksum.to_bytes(4, "little"), rest, body))


def segments(folder: Path) -> list[Path]:
    """The segments of a spool in the order in which they are to be read."""
    found = [path for path in folder.glob(f"*{_SUFFIX}") if not path.name.startswith(".")]
    return sorted(found, key=lambda path: (not path.name.startswith(_CARRIED), path.name))


def size(folder: Path) -> int:
    """Bytes of all segments."""
    total = 0
    for path in segments(folder):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def oldest(folder: Path) -> float | None:
    """When the oldest record arrived, in seconds since 1970; None if there is none.

    Looks at the first record of each segment, which is the oldest or, if it was carried, nearly so.
    """
    arrived = []
    for path in segments(folder):
        with suppress(FileNotFoundError), path.open("rb") as file:
            header = file.read(_HEADER.size)
            if len(header) == _HEADER.size and header.startswith(_MAGIC):
                arrived.append(_HEADER.unpack(header)[4])
    return min(arrived) / 1e6 if arrived else None


def exclusive(folder: Path) -> FileLock:
    """The lock on a spool, held; raises `UsageError` if another process holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UsageError(
            f"Another collector is using the spool at {folder}; stop it, or give this one a folder "
            "of its own with --spool."
        ) from None
    return lock


class Writer:
    """Appends records; each call of `append` is durable when it returns.

    `segment_bytes`: size at which the next segment begins.
    """

    def __init__(self, folder: Path, segment_bytes: int = SEGMENT) -> None:
        self._folder = folder
        self._most = segment_bytes
        self._file: io.FileIO | None = None
        self._path = folder
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, records: Sequence[bytes]) -> None:
        """Write `packed` records and wait for the disk.

        Raises OSError, also if the spool is not at its place any more; none of the records is in
        the spool then, unless the disk keeps what it said it had not: a reader may see them, a
        sender was told to send them again.
        """
        file = self._file or self._next()
        before = self._size
        try:
            left = memoryview(b"".join(records))
            self._size += len(left)
            while left:
                left = left[file.write(left) :]
            os.fdatasync(file.fileno())
            # One that was removed, or whose folder was moved, would take everything all the same.
            if not os.path.samestat(os.fstat(file.fileno()), self._path.stat()):
                raise FileNotFoundError(errno.ENOENT, "The segment is gone", str(self._path))
        except OSError:
            # After an error, what a file holds is uncertain: nothing more is written to it.
            self._file = None
            with suppress(OSError):
                os.ftruncate(file.fileno(), before)
            with suppress(OSError):
                file.close()
            raise
        if self._size >= self._most:
            self.close()

    def close(self) -> None:
        """Close the segment; the next record begins a new one."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def rotate(self) -> None:
        """Begin the next segment if this one holds anything, so that a reader may remove it."""
        if self._file is not None and self._size:
            self.close()
            self._next()

    def _next(self) -> io.FileIO:
        numbers = [int(path.stem) for path in segments(self._folder) if path.stem.isdecimal()]
        # The time keeps the order where all earlier segments have been removed.
        number = max([time.time_ns() // 1_000, *(number + 1 for number in numbers)])
        path = self._folder / f"{number:020d}{_SUFFIX}"
        file = path.open("xb", buffering=0)
        try:
            # What is written to a file is not durable before its name is.
            sync([self._folder])
        except OSError:
            file.close()
            with suppress(OSError):
                path.unlink()
            raise
        self._file, self._path, self._size = file, path, 0
        return file


def carry(folder: Path, records: Iterator[tuple[int, int, bytes]]) -> str:
    """Write records (kind, arrived, body) into a segment of their own, so that those they came from
    can be removed; returns its name. It appears complete or not at all."""
    name = f"{_CARRIED}{time.time_ns() // 1_000:020d}{_SUFFIX}"
    draft = folder / f".{name}"
    try:
        with draft.open("wb") as file:
            for record in records:
                file.write(packed(*record))
        sync([draft])
        os.replace(draft, folder / name)
        sync([folder])
    finally:
        draft.unlink(missing_ok=True)
    return name


class GroupCommit:
    """A thread that appends: all records that wait for the disk share one wait.

    `done` is called in the thread with None, or with the error, for each record put in.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._waiting: queue.SimpleQueue[tuple[bytes, Callable[[OSError | None], None]] | None]
        self._waiting = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="spool")
        self._thread.start()

    def put(self, record: bytes, done: Callable[[OSError | None], None]) -> None:
        """Append a `packed` record some time soon, then call `done`."""
        self._waiting.put((record, done))

    def close(self) -> None:
        """Append what is waiting, and end the thread."""
        self._waiting.put(None)
        self._thread.join()
        self._writer.close()

    def _run(self) -> None:
        ending = False
        while not ending:
            try:
                batch = [self._waiting.get(timeout=_QUIET_S)]
            except queue.Empty:
                with suppress(OSError):
                    self._writer.rotate()
                continue
            with suppress(queue.Empty):
                while True:
                    batch.append(self._waiting.get_nowait())
            ending = None in batch
            together = [item for item in batch if item is not None]
            problem = None
            if together:
                try:
                    self._writer.append([record for record, _ in together])
                except OSError as error:
                    problem = error
            for _, done in together:
                done(problem)


class Reader:
    """Reads a spool from its beginning and on while it grows.

    Attributes
    ----------
    damaged: bytes that were skipped as they belong to no whole record, though others follow.
    passed: names of the segments that were read to their end and will not grow.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._current: Path | None = None
        self._offset = 0
        self.damaged = 0
        self.passed: set[str] = set()
        # Written by this process, whose records it has.
        self.own: set[str] = set()

    def read(self, most: int) -> list[Record]:
        """The records that are there, of at most about `most` bytes; none if there is no more."""
        read: list[Record] = []
        taken = 0
        while taken < most:
            # Listed before the current one is read: if there is a later one by then, the current
            # one has already got its last byte.
            later = self._later()
            if self._current is not None:
                records, self._offset = self._records(self._current, bool(later), most - taken)
                read += records
                taken += sum(len(record.body) for record in records)
                if taken >= most:
                    break
            if not later:
                break
            if self._current is not None:
                self.passed.add(self._current.name)
            self._current, self._offset = later[0], 0
        return read

    def sizes(self) -> tuple[int, int]:
        """Bytes of the whole spool, and those that have not been read."""
        total = unread = 0
        later = {path.name for path in self._later()}
        for path in segments(self._folder):
            with suppress(FileNotFoundError):
                length = path.stat().st_size
                total += length
                if path.name in later:
                    unread += length
                elif path == self._current:
                    unread += max(0, length - self._offset)
        return total, unread

    def finish(self) -> None:
        """The writer has ended: the segment that was read last will not grow either."""
        if self._current is not None and not self._later():
            self.passed.add(self._current.name)

    def forget(self, name: str) -> None:
        """A segment has been removed."""
        self.passed.discard(name)
        self.own.discard(name)

    def _later(self) -> list[Path]:
        paths = [path for path in segments(self._folder) if path.name not in self.own]
        if self._current is None:
            return paths
        key = (not self._current.name.startswith(_CARRIED), self._current.name)
        return [p for p in paths if (not p.name.startswith(_CARRIED), p.name) > key]

    def _records(self, path: Path, ended: bool, most: int) -> tuple[list[Record], int]:
        """Whole records from the current offset on, and where the next one begins."""
        records: list[Record] = []
        offset, taken = self._offset, 0
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return [], offset
        with file:
            while taken < most:
                file.seek(offset)
                header = file.read(_HEADER.size)
                record, length = self._whole(file, header, path.name)
                if record is not None:
                    records.append(record)
                    taken += length
                    offset += _HEADER.size + length
                    continue
                if not header or not ended:
                    break
                # Nothing more is coming, so that what is here is no record.
                following = _next_record(path, offset + 1)
                end = following if following is not None else path.stat().st_size
                if following is not None:
                    self.damaged += end - offset
                offset = end
        return records, offset

    def _whole(self, file: BinaryIO, header: bytes, name: str) -> tuple[Record | None, int]:
        if len(header) < _HEADER.size:
            return None, 0
        magic, checksum, length, kind, arrived = _HEADER.unpack(header)
        if magic != _MAGIC:
            return None, 0
        body = file.read(length)
        if len(body) < length or zlib.crc32(body, zlib.crc32(header[_CHECKED:])) != checksum:
            return None, 0
        return Record(kind, arrived, body, name), length


def _next_record(path: Path, start: int) -> int | None:
    """Where the next header stands at or behind `start`."""
    data = path.read_bytes()
    found = data.find(_MAGIC, start)
    return found if found >= 0 else None
