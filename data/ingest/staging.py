"""Staging of a block of lines: validate them, convert them to Arrow, write turns and faults.

Runs in worker processes. For each block there are three files in the staging folder: its turns
(Arrow, grouped by day), their keys (Parquet, to find duplicates without loading the turns) and its
faults.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.ingest.block import Block
from data.ingest.row_file import RowFile
from data.ingest.validation import (
    Fault,
    Notes,
    check,
    excerpt,
)
from data.schema.columns import sql_type
from data.schema.layout import TABLES
from data.schema.trace import TURNS, schema
from data.store.misdated import Clock
from data.store.parquet import (
    DataFile,
    fitted,
    workbench,
    write_batches,
)
from data.store.privacy import Privacy
from data.store.snapshot import literal

FAULTS = schema(
    [
        ("line", pa.int64()),
        ("field", pa.string()),
        ("reason", pa.string()),
        ("excerpt", pa.string()),
    ]
)
# Bytes of a block that are split into lines at once.
_PIECE = 1 << 20
# A shorter line cannot be a trace.
_SHORT = 80
_MOST_SHORT = 1_000
STAGED = pa.schema([field for field in TURNS if field.name != "day"])
# Computed alike for stored and for staged rows; turns with equal digest and equal gold are equal.
GOLD_TEXT = "CASE WHEN gold IS NOT NULL THEN md5(to_json(gold)::VARCHAR) END"


@dataclass(frozen=True)
class Staged:
    """The result of one block. `days` are (day, rows, bytes) of the record batches of `turns`."""

    index: int
    lines: int
    count: int
    turns: Path
    keys: Path
    days: Sequence[tuple[Any, int, int]]
    # Ids, times and positions of the turns whose date cannot be right; None if there are none.
    misdated: Path | None
    faults: Path | None
    faulty: int
    # Faulty lines that are not JSON objects at all.
    junk: int
    notes: Notes
    done: int
    # Why nothing of the source is read after this block.
    cut: str | None
    # How many rows of a table it was.
    rows: int | None
    # Where its lines stood in the files that they were made of (`assembly.ORIGINS`).
    origins: Path | None = None


def stage(
    block: Block, index: int, folder: Path, clock: Clock, privacy: Privacy | None = None
) -> Staged:
    """Check a block and write its turns, keys and faults into `folder`.

    The turns are redacted before anything of them is written; faults are by `ingest`.
    """
    # Pieces of the canonical lines, joined once: copying each line would cost more than checking
    # it.
    pieces: list[bytes] = []
    extras: list[str | None] = []
    digests: list[bytes] = []
    numbers: list[int] = []
    notes = Notes()
    notes.add(Counter(), block.left_out)
    faults = _Faults(folder / f"{index}.faults.parquet")
    longest, too_long = block.limits.longest_line, block.limits.too_long
    data = block.load()
    if block.cut:
        faults.add(1, Fault("", block.cut), data)
        data = b""
    given = block.numbers[0] if block.numbers else itertools.count(1)
    for number, line in zip(given, split_lines(data), strict=False):
        if not line or line.isspace():
            if len(line) > longest:
                faults.add(number, Fault("", too_long), line)
            continue
        if block.faults and number in block.faults:
            faults.add(number, Fault(*block.faults[number]), line)
            continue
        if len(line) < _SHORT and line in faults.short:
            faults.add(number, faults.short[line], line)
            continue
        try:
            if len(line) > longest:
                raise Fault("", too_long)
            body, gold, extra, digest = check(line, notes, privacy)
        except Fault as fault:
            faults.add(number, fault, line)
            if len(line) < _SHORT and len(faults.short) < _MOST_SHORT:
                faults.short[line] = fault.with_traceback(None)
            continue
        pieces += (b'{"turn":', body, b',"gold":', gold, b"}\n")
        extras.append(extra)
        digests.append(digest)
        numbers.append(number)
    # Every block but the last one ends with a line break.
    total = data.count(b"\n") + (data[-1:] not in (b"", b"\n")) + (block.cut is not None)
    if block.numbers:
        total = block.numbers[1]
    del data
    turns, keys = folder / f"{index}.arrow", folder / f"{index}.keys.parquet"
    days: list[tuple[Any, int, int]] = []
    misdated: Path | None = None
    if numbers:
        table = _to_arrow(pieces, folder / f"{index}.jsonl", max(2 * longest, 32 << 20))
        # Arrays of Python values make pyarrow import pandas, which costs more than a small file.
        no_extras = all(extra is None for extra in extras)
        extra_column = (
            pa.nulls(len(extras), pa.string()) if no_extras else pa.array(extras, pa.string())
        )
        table = table.append_column("extra", extra_column)
        digest_column = np.frombuffer(b"".join(digests), dtype="<i8")
        table = fitted(table.append_column("digest", pa.array(digest_column)), STAGED)
        days, rows = _write(table, np.array(numbers, dtype=np.int32), index, turns, keys)
        mask = clock.impossible(rows["started_at"])
        if mask.any():
            misdated = folder / f"{index}.misdated.parquet"
            pq.write_table(rows.filter(pa.array(mask)), misdated)
    return Staged(
        index,
        total,
        len(numbers),
        turns,
        keys,
        days,
        misdated,
        faults.close(),
        faults.count,
        faults.junk,
        notes,
        block.done,
        block.cut,
        block.rows,
    )


class _Faults(RowFile):
    """The faulty lines of a block.

    `junk`: how many are no JSON object. `short`: the faults of short lines seen before, which are
    mostly the same line over and over.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, FAULTS)
        self.junk = 0
        self.short: dict[bytes, Fault] = {}

    def add(self, number: int, fault: Fault, line: bytes) -> None:
        self.junk += fault.reason.startswith(("not JSON", "expected a JSON object"))
        self.write(number, fault.field, fault.reason, excerpt(line))


def split_lines(data: bytes) -> Iterator[bytes]:
    """The lines of a block, split a piece at a time: millions of empty ones would be gigabytes."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start + _PIECE)
        end = len(data) if end < 0 else end
        yield from data[start:end].split(b"\n")
        start = end + 1


def _to_arrow(pieces: list[bytes], scratch: Path, largest: int) -> pa.Table:
    """Canonical JSON to Arrow: DuckDB parses it faster from a file than from memory."""
    with scratch.open("wb") as file:
        file.write(b"".join(pieces))
    expected = len(pieces) // 5
    pieces.clear()
    try:
        table: pa.Table = (
            _con()
            .sql(
                f"SELECT turn.*, gold FROM read_json({literal(scratch)}, columns = {_COLUMNS}, "
                f"format = 'newline_delimited', maximum_object_size = {largest})"
            )
            .to_arrow_table()
        )
    finally:
        os.unlink(scratch)
    if table.num_rows != expected:
        raise AssertionError(f"{expected} lines became {table.num_rows} rows")
    return table


_local = threading.local()


def _con() -> duckdb.DuckDBPyConnection:
    """One reused connection per thread: opening one costs a tenth of the time of a block."""
    if not hasattr(_local, "con"):
        _local.con = workbench("1GB")
        # One thread keeps the rows in the order of the lines; the parallelism is in the processes.
        _local.con.execute("SET threads = 1")
    con: duckdb.DuckDBPyConnection = _local.con
    return con


def _write(
    table: pa.Table, lines: np.ndarray[Any, Any], index: int, turns: Path, keys: Path
) -> tuple[list[tuple[Any, int, int]], pa.Table]:
    """Write the turns, one record batch per day, and their keys.

    Returns (day, rows, bytes) of each batch, and the ids, times and positions of all turns.
    """
    day = pc.floor_temporal(table["started_at"], unit="day").cast(pa.date32()).combine_chunks()
    number = day.cast(pa.int32()).to_numpy()
    if (np.diff(number) < 0).any():
        order = np.argsort(number, kind="stable")
        table, lines, number, day = table.take(order), lines[order], number[order], day.take(order)
    table = table.combine_chunks()
    cuts = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(number)]
    sizes = np.diff(cuts)
    widths: list[int] = []
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with (
        pa.OSFile(str(turns), "wb") as sink,
        pa.ipc.new_file(sink, STAGED, options=options) as writer,
    ):
        for start, size in zip(cuts, sizes, strict=False):
            part = table.slice(start, int(size))
            widths.append(part.nbytes)
            writer.write_table(part)
    position: dict[str, Any] = {
        "block": pa.array(np.full(len(number), index, dtype=np.int32)),
        "batch": pa.array(np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)),
        "row": pa.array(np.arange(len(number)) - np.repeat(cuts[:-1], sizes), pa.int32()),
    }
    ids: dict[str, Any] = {"turn_id": table["turn_id"].combine_chunks(), "day": day, **position}
    pq.write_table(
        pa.table({**ids, "digest": table["digest"].combine_chunks(), "line": pa.array(lines)}),
        keys,
        compression="lz4",
    )
    days = [
        (day[start].as_py(), int(size), width)
        for start, size, width in zip(cuts, sizes, widths, strict=False)
    ]
    rows = pa.table(ids)
    for name in ("dialogue_id", "started_at"):
        rows = rows.append_column(name, table[name])
    return days, rows


@dataclass(frozen=True)
class Part:
    """A record batch of a staged file, without the rows in `drop`."""

    turns: Path
    batch: int
    drop: np.ndarray[Any, Any] | None

    def read(self, columns: Sequence[str] = STAGED.names) -> pa.Table:
        with pa.memory_map(str(self.turns)) as source:
            # The other columns are not even decompressed.
            fields = [STAGED.get_field_index(name) for name in columns]
            options = pa.ipc.IpcReadOptions(included_fields=fields)
            batch = pa.ipc.open_file(source, options=options).get_batch(self.batch)
        table = pa.Table.from_batches([batch]).select(list(columns))
        if self.drop is not None and len(self.drop):
            keep = np.ones(table.num_rows, dtype=bool)
            keep[self.drop] = False
            table = table.filter(pa.array(keep))
        return table


def write_day(day: Any, parts: Sequence[Part], folder: Path) -> list[DataFile]:
    """Collect the staged rows of one day, sort them, and write the final Parquet file."""
    layout = TABLES["turns"]
    table = pa.concat_tables([part.read() for part in parts])
    table = table.sort_by([(name, "ascending") for name in layout.order])
    table = table.append_column("day", pa.repeat(pa.scalar(day, pa.date32()), table.num_rows))
    return write_batches(table.to_batches(), layout, folder)


def _columns() -> str:
    inner = [f for f in TURNS if f.name not in ("gold", "extra", "digest", "day")]
    # Times are canonical UTC here, so they can be parsed as TIMESTAMP, without time zones.
    turn = sql_type(pa.struct(inner)).replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMP")
    return f"{{turn: '{turn}', gold: '{sql_type(TURNS.field('gold').type)}'}}"


_COLUMNS = _columns()
