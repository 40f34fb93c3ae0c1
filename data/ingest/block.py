"""What ingestion reads: inputs, and the blocks of whole lines that they are cut into."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from data.errors import IngestError

# Of traces: one JSON object per line, or the rows of a table. Any other format is the name of an
# adapter.
TRACE_FORMATS = ("jsonl", "parquet")

BLOCK = 16 << 20
LONGEST_LINE = 16 << 20


@dataclass(frozen=True)
class Limits:
    """What an input may demand; what is beyond goes to quarantine.

    Attributes
    ----------
    longest_line: bytes of a line, or of the JSON of a row of Parquet.
    expansion: what a compressed input may expand to, as a multiple of its own size, once it is
    larger than `expansion_from` bytes. Traces that differ in nothing but a counter and a time reach
    460 (zstd -19); gzip cannot exceed 1,032, a zstd file that is made to fill a disk reaches
    32,000.
    """

    longest_line: int = LONGEST_LINE
    expansion: int = 1_000
    expansion_from: int = 64 << 20

    def allowed(self, packed: int) -> int:
        """How many bytes `packed` ones may expand to."""
        return max(self.expansion_from, self.expansion * packed)

    def exceeded(self, size: int, packed: int) -> bool:
        """Whether `packed` bytes have expanded to too many."""
        return size > self.allowed(packed)

    @property
    def too_long(self) -> str:
        """The reason for which a line is quarantined."""
        size = self.longest_line
        text = (
            f"{size >> 20} MiB" if size >= 1 << 20 and not size % (1 << 20) else f"{size:,} bytes"
        )
        return f"longer than {text}; --longest-line allows more"

    @property
    def too_large(self) -> str:
        """The reason for which the rest of a compressed input is quarantined."""
        return (
            f"expands to more than {self.expansion:,} times its size, as no log does; "
            "--most-expansion allows more"
        )


@dataclass(frozen=True)
class Source:
    """One input: a file, or standard input (`path` is None).

    `found`: it was not named but found in a folder, so it has to be a regular file. `linked`: the
    path that was given leads through a link. Who may name one need not be allowed to read what lies
    behind it, so nothing of its content may be shown.
    """

    name: str
    path: Path | None
    format: str
    size: int | None
    found: bool = False
    linked: bool = False

    def open(self) -> BinaryIO:
        """The file, open for reading."""
        if self.path is None:
            raise AssertionError("standard input is open already")
        return opened(self.path, self.found)


def opened(path: Path, regular: bool) -> BinaryIO:
    """A file, open for reading; with `regular`, no link, pipe or device in its place."""
    flags = os.O_RDONLY | os.O_CLOEXEC
    if regular:
        # What was found may have been exchanged since; a pipe would wait for its writer.
        flags |= os.O_NOFOLLOW | os.O_NONBLOCK
    file = os.open(path, flags)
    if regular and not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise IngestError(f"{path} is no longer a regular file; ingest the folder again.")
    return os.fdopen(file, "rb")


@dataclass
class Block:
    """Whole lines of a source: the bytes themselves, or where they lie in a plain file.

    Attributes
    ----------
    done: bytes of the source (as stored) read so far.
    place: read by the worker instead of being sent to it: (source, first byte, end).
    limits: of the source. A line that is too long is cut behind its first bytes beyond the limit.
    cut: why the source is not read beyond this block, whose lines are then its last line's
    beginning.
    left_out: values left out before there were lines, as `validation.Notes` counts them.
    faults: field and reason of lines that are known to be faulty, by their number from 1.
    rows: how many rows of a table the lines stand for, none of them blank.
    numbers: of the lines, from 1, where blank ones between them have been left out, and how many
    lines there were with these.
    """

    data: bytes
    done: int = 0
    place: tuple[Source, int, int] | None = None
    limits: Limits = field(default_factory=Limits)
    cut: str | None = None
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    rows: int | None = None
    numbers: tuple[Sequence[int], int] | None = None

    def load(self) -> bytes:
        """The lines. Raises `IngestError` if the file has become shorter since it was split."""
        if self.place is None:
            return self.data
        source, start, end = self.place
        try:
            with source.open() as file:
                file.seek(start)
                data = file.read(end - start)
        except FileNotFoundError:
            data = b""
        if len(data) < end - start:
            # As a rotation by copy and truncate does.
            raise IngestError(
                f"{source.name} has become shorter while it was read, so that nothing of it was "
                "ingested; ingest it, and where its lines have gone, again."
            )
        return data
