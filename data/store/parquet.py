"""Writes the store's Parquet files: sorted rows in, one or a few files per partition out.

A file is named `part-<random>-<CRC-32 of its bytes>.parquet`, so that a changed one is noticed.
"""

from __future__ import annotations

import itertools
import re
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.schema.layout import Layout

ROW_GROUP = 64_000
# A row group of wide rows is smaller: it is held in memory as a whole.
_GROUP_BYTES = 256 << 20
FILE_ROWS = 1_000_000
# Rows per batch handed from DuckDB to the writer.
BATCH = 16_000
# Bytes of a file read at a time.
_PIECE = 1 << 20
_CHECKSUM = re.compile(r"part-[0-9a-f]{32}-([0-9a-f]{8})\.parquet")


@dataclass(frozen=True)
class DataFile:
    """One live Parquet file of a table; `path` is relative to the table's folder."""

    path: str
    size: int
    rows: int
    partition: Mapping[str, str]


def workbench(memory: str = "1500MB", spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """A private in-memory DuckDB connection: UTC, bounded memory, spilling to `spill`."""
    con = duckdb.connect(config={"memory_limit": memory, "python_enable_replacements": False})
    if spill is not None:
        con.execute("SET temp_directory = ?", [str(spill)])
    con.execute("SET GLOBAL TimeZone = 'UTC'; SET enable_progress_bar = false")
    return con


def order_by(layout: Layout) -> str:
    """The ORDER BY list of a table: partitions first, then the order inside a file."""
    return ", ".join(f'"{name}"' for name in (*layout.partition, *layout.order))


def write_query(
    con: duckdb.DuckDBPyConnection, source: str, layout: Layout, folder: Path
) -> list[DataFile]:
    """Sort the rows of `source` (a SELECT with all columns of the table), write them into `folder`.

    Returns the files written.
    """
    columns = ", ".join(f'"{name}"' for name in layout.columns)
    reader = con.sql(
        f"SELECT {columns} FROM ({source}) ORDER BY {order_by(layout)}"
    ).to_arrow_reader(BATCH)
    return write_batches(reader, layout, folder)


def write_batches(
    batches: Iterable[pa.RecordBatch], layout: Layout, folder: Path
) -> list[DataFile]:
    """Write record batches, already grouped by partition; returns the files written.

    A partition that ends and occurs again later gets a second file.
    """
    stored = pa.schema([layout.schema.field(name) for name in layout.stored])
    files: list[DataFile] = []
    writer: _Writer | None = None
    try:
        for batch in batches:
            for partition, rows in split(batch, layout.partition):
                if writer is None or writer.partition != partition or writer.rows >= FILE_ROWS:
                    if writer is not None:
                        files.append(writer.close())
                    writer = _Writer(folder, partition, stored)
                writer.write(rows.select(list(layout.stored)))
        if writer is not None:
            files.append(writer.close())
    except BaseException:
        if writer is not None:
            writer.discard()
        for file in files:
            (folder / file.path).unlink(missing_ok=True)
        raise
    return files


def fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table cast to `schema`; only columns whose type differs are cast.

    Casting a nested column copies it, even to its own type.
    """
    for index, field in enumerate(schema):
        if table.schema.field(index).type != field.type:
            table = table.set_column(index, field, table.column(index).cast(field.type))
    return table if table.schema == schema else table.cast(schema)


def checksum(path: Path) -> str:
    """CRC-32 of a file's bytes, as eight hexadecimal digits; some 4 GB a second."""
    value = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            value = zlib.crc32(piece, value)
    return f"{value:08x}"


def known_checksum(path: Path) -> str:
    """`checksum`, of a file that is as this process has read it before without reading it again."""
    stat = path.stat()
    return _checksum(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=16_384)
def _checksum(path: Path, size: int, changed: int) -> str:
    return checksum(path)


def stated_checksum(path: Path) -> str | None:
    """The checksum in a data file's name; None if an earlier version wrote it."""
    match = _CHECKSUM.fullmatch(path.name)
    return match[1] if match else None


def partition_in(path: str) -> dict[str, str]:
    """The values of the partition columns in a data file's relative path."""
    pairs = (part.split("=", 1) for part in path.split("/")[:-1])
    return {key: unquote(value) for key, value in pairs}


class _Writer:
    """Writes one file; gathers small batches into row groups."""

    def __init__(self, folder: Path, partition: Mapping[str, str], schema: pa.Schema) -> None:
        self.partition = partition
        self.rows = 0
        self._schema = schema
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = self._pending_bytes = 0
        self._folder = folder
        where = [f"{name}={value}" for name, value in partition.items()]
        self._path = folder.joinpath(*where, f"part-{uuid.uuid4().hex}.parquet")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._writer = pq.ParquetWriter(self._path, schema, compression="zstd")
        except BaseException:
            # It writes a few bytes at once, which a full disk refuses.
            self._path.unlink(missing_ok=True)
            raise

    def write(self, batch: pa.RecordBatch) -> None:
        self._pending.append(batch)
        self._pending_rows += batch.num_rows
        self._pending_bytes += batch.nbytes
        self.rows += batch.num_rows
        if self._pending_rows >= ROW_GROUP or self._pending_bytes >= _GROUP_BYTES:
            self._flush()

    def close(self) -> DataFile:
        self._flush()
        self._writer.close()
        path = self._path.with_name(f"{self._path.stem}-{checksum(self._path)}.parquet")
        self._path.rename(path)
        relative = path.relative_to(self._folder).as_posix()
        return DataFile(relative, path.stat().st_size, self.rows, self.partition)

    def discard(self) -> None:
        """Give the file up, which cannot be finished."""
        with suppress(OSError, pa.ArrowException):
            self._writer.close()
        self._path.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._pending:
            table = fitted(pa.Table.from_batches(self._pending), self._schema)
            self._writer.write_table(table, row_group_size=2 * ROW_GROUP)
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0


def split(
    batch: pa.RecordBatch, partition: tuple[str, ...]
) -> Iterator[tuple[dict[str, str], pa.RecordBatch]]:
    """Split a batch where a partition column changes; yields partition values and rows."""
    if batch.num_rows == 0:
        return
    if not partition:
        yield {}, batch
        return
    change = np.zeros(batch.num_rows - 1, dtype=bool)
    for name in partition:
        codes: Any = pc.dictionary_encode(batch.column(name))
        change |= np.diff(codes.indices.to_numpy(zero_copy_only=False)) != 0
    cuts = [0, *(np.flatnonzero(change) + 1).tolist(), batch.num_rows]
    for start, end in itertools.pairwise(cuts):
        values = {name: str(batch.column(name)[start].as_py()) for name in partition}
        yield values, batch.slice(start, end - start)
