"""Reading Parquet as lines of JSON, in bounded memory, whatever program wrote it.

Columns are brought to what the trace format expects of them (`data.ingest.arrow_columns`), and rows
become lines that are checked as those of a log are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from data.errors import IngestError, UsageError, machine_error
from data.ingest.arrow_columns import UNKNOWN, Fitting, flat, is_bytes, is_list
from data.ingest.block import BLOCK, Block, Limits, Source
from data.ingest.odd_rows import mended
from data.ingest.validation import Left
from data.schema.shape import TRACE
from data.store.parquet import workbench

# The type stubs of Arrow do not cover nested arrays.
pc: Any = pyarrow.compute
Column = Any

NOT_FROM_STDIN = "--format parquet cannot be read from standard input; give the file."
_ROWS = 8_000
_REQUIRED = ("turn_id", "dialogue_id", "turn_index", "started_at")


def parquet_blocks(source: Source, limits: Limits) -> Iterator[Block]:
    """The rows of a Parquet file as blocks of lines.

    Raises `IngestError`, in one sentence, where the file is damaged, encrypted, or no table of
    traces.
    """
    if source.path is None:
        raise UsageError(NOT_FROM_STDIN)
    try:
        # Opened here, as a name need not be text.
        with source.open() as raw:
            head = raw.read(4)
            if not head:
                raise IngestError(f"{source.name} is empty; expected one turn per row.")
            if head == b"PARE":
                raise IngestError(
                    f"{source.name} is an encrypted Parquet file; write it without encryption."
                )
            raw.seek(0)
            with pq.ParquetFile(raw) as file:
                _must_be_traces(source, file.schema_arrow)
                _must_be_bounded(source, file.metadata, limits)
                texts = _texts(file.metadata)
            raw.seek(0)
            # Texts that repeat are kept once, so that a small file cannot fill the memory.
            with pq.ParquetFile(raw, read_dictionary=texts) as file, workbench() as con:
                yield from _blocks(source, file, con, limits)
    except pa.ArrowInvalid as error:
        raise IngestError(
            f"{source.name} is not a Parquet file, or a damaged one; expected columns of a trace."
        ) from error
    except OSError as error:
        if error.errno is not None:
            raise
        # Arrow's words for what it finds while it reads.
        if "crypt" in str(error):
            raise IngestError(
                f"{source.name} has encrypted columns; write it without encryption."
            ) from error
        raise IngestError(
            f"{source.name} is a damaged Parquet file; copy it again, nothing was ingested."
        ) from error
    except (pa.ArrowException, duckdb.Error) as error:
        raise machine_error(error) or IngestError(
            f"{source.name} has columns of a type that cannot be read as a trace; write them as "
            "the format has them, or leave them out."
        ) from error


def bounded_batches(stream: BinaryIO, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Some columns of a Parquet file, in batches that hold little text each."""
    with pq.ParquetFile(stream) as file:
        texts = _texts(file.metadata)
    stream.seek(0)
    with pq.ParquetFile(stream, read_dictionary=texts) as file:
        for batch in _batches(file, list(columns)):
            yield from _pieces(batch)


def _must_be_traces(source: Source, schema: pa.Schema) -> None:
    if not schema.names:
        raise IngestError(f"{source.name} has no columns; expected those of a trace.")
    for required in _REQUIRED:
        if required not in schema.names:
            got = "" if source.linked else f", got {', '.join(schema.names[:12])}"
            raise IngestError(
                f"{source.name} has no column '{required}'; expected the columns of a trace{got}. "
                "For a table of another system, propose a mapping with: faultline mapping FILE."
            )
    for name, count in Counter(schema.names).items():
        if count > 1:
            named = "of one name" if source.linked else f"named '{name}'"
            raise IngestError(
                f"{source.name} has {count} columns {named}; expected one of each name."
            )


def _must_be_bounded(source: Source, metadata: pq.FileMetaData, limits: Limits) -> None:
    """Refuse what unpacks to far more than the file; sizes and counts are in its footer."""
    if metadata.num_rows == 0:
        raise IngestError(f"{source.name} is empty; expected one turn per row.")
    unpacked = 0
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group)
        unpacked += rows.total_byte_size
        # Equal values of a column take no space in the file, but eight bytes each in memory.
        values = max((rows.column(i).num_values for i in range(rows.num_columns)), default=0)
        if limits.exceeded(8 * values, source.size or 0):
            unpacked += 8 * values
    if limits.exceeded(unpacked, source.size or 0):
        raise IngestError(f"{source.name} {limits.too_large}; nothing was ingested.")


def _texts(metadata: pq.FileMetaData) -> list[str]:
    """The columns of bytes, by the path of the leaf."""
    if not metadata.num_row_groups:
        return []
    group = metadata.row_group(0)
    leaves = [group.column(i) for i in range(group.num_columns)]
    return [leaf.path_in_schema for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]


def _blocks(
    source: Source, file: pq.ParquetFile, con: duckdb.DuckDBPyConnection, limits: Limits
) -> Iterator[Block]:
    total, seen = file.metadata.num_rows, 0
    unpacked = 0
    for batch in _batches(file):
        for rows in _pieces(batch):
            seen += rows.num_rows
            done = (source.size or 0) * min(seen, total) // total
            left_out: Left = Counter()
            size = sum(map(_size, rows.columns))
            unpacked += size
            if limits.exceeded(unpacked, source.size or 0):
                yield Block(b"", done, limits=limits, cut=limits.too_large)
                return
            if rows.num_rows == 1 and size > limits.longest_line:
                yield Block(b" " * (limits.longest_line + 1) + b"\n", done, limits=limits)
                continue
            whole, faults = _without_odd(rows)
            lines = _lines(source, con, whole, left_out)
            yield Block(lines, done, None, limits, None, left_out, faults, rows.num_rows)
    if seen != total:
        raise IngestError(
            f"{source.name} is a damaged Parquet file: it says that it has {total:,} rows, and has "
            f"{seen:,}; nothing was ingested."
        )


def _batches(file: pq.ParquetFile, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    # One row group after the other: a batch over two would have two dictionaries of nested texts.
    for group in range(file.metadata.num_row_groups):
        yield from file.iter_batches(_ROWS, [group], columns)


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """A batch, halved until its texts are no larger than a block, or it has a single row."""
    if batch.num_rows <= 1 or sum(map(_size, batch.columns)) <= BLOCK:
        if batch.num_rows:
            yield batch
        return
    half = batch.num_rows // 2
    yield from _pieces(batch.slice(0, half))
    yield from _pieces(batch.slice(half))


def _size(array: Column) -> int:
    """Bytes of the texts and numbers in a column, each text counted as often as it occurs."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        if not is_bytes(kind.value_type):
            return 8 * len(array)
        sizes = pc.fill_null(pc.binary_length(array.dictionary), 0).cast(pa.int64())
        return int(pc.sum(sizes.take(array.indices)).as_py() or 0) + len(array)
    if is_bytes(kind):
        return int(pc.sum(pc.binary_length(array).cast(pa.int64())).as_py() or 0) + len(array)
    if isinstance(array, pa.ExtensionArray):
        return _size(array.storage)
    if pa.types.is_struct(kind):
        return sum(map(_size, array.flatten())) + len(array)
    if is_list(kind) or pa.types.is_map(kind):
        return _size(flat(array)) + len(array)
    return 8 * len(array)


def _without_odd(rows: pa.RecordBatch) -> tuple[pa.RecordBatch, dict[int, tuple[str, str]]]:
    """Rows without what no line can carry; field and reason of the rows that had it, from 1."""
    columns: list[Column] = []
    faults: dict[int, tuple[str, str]] = {}
    for name, column in zip(rows.schema.names, rows.columns, strict=True):
        column, found = mended(column, name)
        columns.append(column)
        for path, reason, mask in found:
            for row in np.flatnonzero(mask).tolist():
                faults.setdefault(row + 1, (path, reason))
    return pa.RecordBatch.from_arrays(columns, rows.schema.names), faults


def _lines(
    source: Source, con: duckdb.DuckDBPyConnection, rows: pa.RecordBatch, left_out: Left
) -> bytes:
    """Rows as lines of JSON; columns that a store derives itself are left out."""
    skip = _derived(rows.schema)
    if "extra" in rows.schema.names and rows["extra"].null_count == rows.num_rows:
        skip = (*skip, "extra")
    fields = [field for field in rows.schema if field.name not in skip]
    fitting = Fitting(source.name, left_out)
    columns, parts = [], []
    for number, item in enumerate(fields):
        shape = TRACE.fields.get(item.name, UNKNOWN)
        column = fitting.fitted(
            rows.column(rows.schema.get_field_index(item.name)), shape, item.name
        )
        columns.append(column)
        # Columns are numbered, because names that differ in case alone are one to DuckDB.
        name, key = f"c{number}", "'" + item.name.replace("'", "''") + "'"
        if pa.types.is_timestamp(column.type):
            # A time without a zone stays without one, and is then refused for it.
            zone = "Z" if column.type.tz else ""
            utc = f"timezone('UTC', {name})" if zone else name
            parts.append(f"{key}, strftime({utc}, '%Y-%m-%dT%H:%M:%S.%f{zone}')")
        elif shape.kind == "whole" and pa.types.is_floating(column.type):
            # One that is not whole does not spoil the others.
            whole = f"CASE WHEN {name} = floor({name}) AND abs({name}) < {2**53} THEN"
            parts.append(f"{key}, {whole} to_json({name}::BIGINT) ELSE to_json({name}) END")
        elif item.name == "extra" and is_bytes(column.type):
            # What is no JSON is a text.
            parts.append(f"{key}, coalesce(TRY_CAST({name} AS JSON), to_json({name}))")
        else:
            parts.append(f"{key}, {name}")
    names = [f"c{number}" for number in range(len(columns))]
    con.register("batch", pa.Table.from_arrays(columns, names))
    try:
        sql = f"SELECT json_object({', '.join(parts)})::VARCHAR FROM batch"
        lines = con.execute(sql).fetchall()
    finally:
        con.unregister("batch")
    return "\n".join(line for (line,) in lines).encode() + b"\n"


def _derived(schema: pa.Schema) -> tuple[str, ...]:
    """The columns that a store adds to a trace, if the file is an export with them."""
    derived = {"digest": pa.int64(), "day": pa.date32()}
    own = all(
        name in schema.names and schema.field(name).type == kind for name, kind in derived.items()
    )
    return tuple(derived) if own else ()
