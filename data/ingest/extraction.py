"""First half of reading other systems' logs: files → pieces of turns, spilled to disk.

A unit of work is some small files, or a part of a large one. Its pieces become one Parquet file,
sorted by a hash of their group, so that `data.ingest.assembly` can pick a share of the groups from
all units without reading the rest. Faulty records of a unit become another file.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from itertools import count
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from data.errors import IngestError
from data.ingest.adapters.adapter import HEAD, Adapter, Piece, Reading, Settings, Unfit
from data.ingest.adapters.registry import named
from data.ingest.block import Block, Limits, Source
from data.ingest.magic import refused
from data.ingest.row_file import RowFile, table_of
from data.ingest.sources import blocks_of_lines, unpacked_head, unpacked_stream
from data.ingest.staging import FAULTS, split_lines
from data.ingest.validation import Fault, excerpt
from data.parallel import without_gc
from data.schema.trace import schema

PIECES = schema(
    [
        ("hash", pa.uint32()),
        ("group", pa.string()),
        ("at", pa.int64()),
        ("key", pa.string()),
        ("data", pa.binary()),
        ("part", pa.int32()),
        ("number", pa.int64()),
    ]
)
PART_FAULTS = schema([("part", pa.int32()), *FAULTS])
# Bytes of input that one unit of work reads; smaller files are put together.
_UNIT = 8 << 20
# Rows that are read together when a share of the groups is picked.
_ROW_GROUP = 4_000
# Files that one unit of work reads.
_MOST_PARTS = 500
# Bytes of pieces that one process holds at a time.
_MOST_HELD = 32 << 20


@dataclass(frozen=True)
class Part:
    """What one task reads of one file: a block of its lines, records that have been cut already, or
    (neither) the whole file, by `reading`.

    `index` counts the parts of all inputs, `file` the files.
    """

    index: int
    file: int
    source: Source
    limits: Limits
    block: Block | None = None
    records: Sequence[tuple[int, Any]] | None = None
    reading: Reading = Reading.WHOLE

    @property
    def size(self) -> int:
        if self.block is not None:
            place = self.block.place
            return place[2] - place[1] if place else len(self.block.data)
        if self.records is not None:
            return sum(len(record) for _, record in self.records if isinstance(record, bytes))
        return self.source.size or 0


@dataclass(frozen=True)
class Extracted:
    """The result of one unit.

    Attributes
    ----------
    pieces, faults: its files, None where there are none. count, size: pieces, and their bytes.
    faulty: faulty records. lines: of each part, if it is a block of lines, how many it has; else 0.
    failed: the files that cannot be read at all, and why. done: bytes of input.
    """

    pieces: Path | None
    count: int
    size: int
    faults: Path | None
    faulty: int
    lines: dict[int, int]
    failed: dict[int, str]
    done: int


def units(
    adapter: Adapter, sources: Sequence[Source], limits: Limits, failed: dict[int, str]
) -> Iterator[list[Part]]:
    """The parts of all files, together in units of about the same size; a file that cannot be read
    is added to `failed`, with the reason."""
    unit: list[Part] = []
    size = 0
    numbers = count()
    for file, source in enumerate(sources):
        try:
            for part in _parts(adapter, file, source, limits):
                unit.append(replace(part, index=next(numbers)))
                size += part.size
                if size >= _UNIT or len(unit) >= _MOST_PARTS:
                    yield unit
                    unit, size = [], 0
        except IngestError as error:
            failed[file] = str(error)
        except OSError as error:
            failed[file] = f"{source.name} cannot be read: {error.strerror or error}."
    if unit:
        yield unit


def _parts(adapter: Adapter, file: int, source: Source, limits: Limits) -> Iterator[Part]:
    if source.size == 0:
        raise IngestError(f"{source.name} is empty; expected {adapter.title}.")
    head = unpacked_head(source, HEAD)
    reading = adapter.reading(head)
    if reading is Reading.LINES and len(head) == HEAD and b"\n" not in head:
        # A line that is longer than any may be is a document.
        reading = adapter.reading(unpacked_head(source, limits.longest_line + 1))
    # The first bytes of what an adapter knows may be those of something else, such as of UTF-16.
    reason = refused(head, source.name)
    if reason and reading is not Reading.SEEK and not adapter.recognises(head):
        raise IngestError(f"{source.name} {reason}.")
    if reading is Reading.LINES:
        for block in blocks_of_lines(source, limits):
            yield Part(0, file, source, limits, block)
    elif reading is Reading.CUT and (source.size or 0) > _UNIT:
        yield from _cut(adapter, file, source, limits)
    else:
        yield Part(0, file, source, limits, reading=reading)


def _cut(adapter: Adapter, file: int, source: Source, limits: Limits) -> Iterator[Part]:
    """The records of a large file in parts of `_UNIT` bytes."""
    records: list[tuple[int, Any]] = []
    size = 0
    for number, record in _whole(adapter, source, limits, Reading.CUT):
        records.append((number, record))
        size += len(record) if isinstance(record, bytes) else 0
        if size >= _UNIT:
            yield Part(0, file, source, limits, records=records)
            records, size = [], 0
    if records:
        yield Part(0, file, source, limits, records=records)


def _whole(
    adapter: Adapter, source: Source, limits: Limits, reading: Reading
) -> Iterator[tuple[int, Any]]:
    """The records of a file with their numbers; where it cannot be read on, a `Fault` as the last
    one."""
    number = 0
    seek = reading is Reading.SEEK
    with source.open() if seek else unpacked_stream(source, limits) as stream:
        try:
            for number, record in adapter.records(stream):
                yield number, record
        except Fault as fault:
            yield number + 1, fault.with_traceback(None)
        except Unfit as error:
            raise IngestError(f"{source.name} {error}") from None


def extract(
    name: str, unit: Sequence[Part], index: int, folder: Path, settings: Settings
) -> Extracted:
    """Read the parts of a unit; write its pieces and the faulty records into `folder`."""
    with without_gc():
        return _extract(named(name, settings), unit, index, folder)


def _extract(adapter: Adapter, unit: Sequence[Part], index: int, folder: Path) -> Extracted:
    pieces = _Pieces(folder / f"unit-{index}.pieces.parquet")
    faults = RowFile(folder / f"unit-{index}.faults.parquet", PART_FAULTS)
    lines: dict[int, int] = {}
    failed: dict[int, str] = {}
    done = 0
    for part in unit:
        try:
            lines[part.index], records = _records(adapter, part)
            for number, record in records:
                try:
                    if isinstance(record, Fault):
                        raise record
                    for piece in adapter.pieces(record):
                        pieces.add(piece, part.index, number)
                except Fault as fault:
                    what = (fault.field, fault.reason, excerpt_of(record))
                    faults.write(part.index, number, *what)
        except IngestError as error:
            failed[part.file] = str(error)
        except OSError as error:
            failed[part.file] = f"{part.source.name} cannot be read: {error.strerror or error}."
        done += part.size
    return Extracted(
        pieces.close(), pieces.count, pieces.size, faults.close(), faults.count, lines, failed, done
    )


def record_texts(
    adapter: Adapter, source: Source, limits: Limits, wanted: Set[int]
) -> dict[int, str]:
    """The beginnings of some records of a file, by line or number, as quarantine shows them."""
    found: dict[int, str] = {}
    before = 0
    for part in _parts(adapter, 0, source, limits):
        total, records = _records(adapter, part)
        for number, record in records:
            if before + number in wanted:
                found[before + number] = excerpt_of(record)
        if found.keys() == wanted:
            break
        before += total
    return found


def _records(adapter: Adapter, part: Part) -> tuple[int, Iterable[tuple[int, Any]]]:
    """How many lines a part has, if it is a block of lines (else 0), and its records."""
    if part.block is not None:
        return _lines_of(part.block)
    if part.records is not None:
        return 0, part.records
    return 0, _whole(adapter, part.source, part.limits, part.reading)


def _lines_of(block: Block) -> tuple[int, Iterator[tuple[int, Any]]]:
    """How many lines a block has, and those that are not blank, with their numbers."""
    data = block.load()
    total = data.count(b"\n") + (data[-1:] not in (b"", b"\n"))
    if block.numbers:
        total = block.numbers[1]

    def lines() -> Iterator[tuple[int, Any]]:
        if block.cut:
            yield 1, Fault("", block.cut)
            return
        given = block.numbers[0] if block.numbers else count(1)
        for number, line in zip(given, split_lines(data), strict=False):
            if len(line) > block.limits.longest_line:
                yield number, Fault("", block.limits.too_long)
            elif line and not line.isspace():
                yield number, line

    return total, lines()


class _Pieces:
    """The pieces of a unit, written in row groups that are sorted by hash."""

    def __init__(self, path: Path) -> None:
        self.count = 0
        self.size = 0
        self._path = path
        self._rows: list[tuple[Any, ...]] = []
        self._held = 0
        self._writer: pq.ParquetWriter | None = None

    def add(self, piece: Piece, part: int, number: int) -> None:
        group, at, key, data, _, _ = piece
        self._rows.append((zlib.crc32(group.encode()), group, at, key, data, part, number))
        self._held += len(data) + 64
        if self._held > _MOST_HELD:
            self._flush()

    def close(self) -> Path | None:
        self._flush()
        if self._writer is None:
            return None
        self._writer.close()
        return self._path

    def _flush(self) -> None:
        if not self._rows:
            return
        # Sorted by hash; of one hash in the order of arrival.
        self._rows.sort(key=itemgetter(0))
        table = table_of(self._rows, PIECES)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, PIECES, compression="lz4")
        self._writer.write_table(table, row_group_size=_ROW_GROUP)
        self.count += len(self._rows)
        self.size += self._held
        self._rows, self._held = [], 0


def excerpt_of(record: Any) -> str:
    """The beginning of a record as quarantine shows it."""
    if isinstance(record, Fault):
        return ""
    if isinstance(record, bytes):
        return excerpt(record)
    return excerpt(msgspec.json.encode(record))
