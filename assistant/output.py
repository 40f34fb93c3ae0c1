"""Files of simulated turns: trace records as lines or Parquet, and the truth about them."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Protocol, Self

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from assistant.simulate import Simulated
from data.schema.trace import TURNS, schema

# A trace record, without the columns that a store derives.
RECORD = pa.schema([field for field in TURNS if field.name not in ("extra", "digest", "day")])
_STR: pa.DataType = pa.string()
# The truth: failure point and gold of every turn, annotated or not; the goal of the user (turns
# with the same goal are attempts at the same thing), and the style of the utterance.
TRUTH = schema(
    [
        ("turn_id", _STR),
        ("dialogue_id", _STR),
        ("failure_point", _STR),
        ("unsupported", pa.bool_()),
        ("goal", _STR),
        ("tries", pa.int32()),
        ("style", _STR),
        ("source", _STR),
        ("gold", TURNS.field("gold").type),
    ]
)
_ROWS = 20_000


class Writer(Protocol):
    """Writes turns, batch after batch."""

    def write(self, batch: Sequence[Simulated]) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


def writer_for(path: Path) -> Writer:
    """A writer of trace records in the format of the file name."""
    if path.suffix.lower() == ".parquet":
        return records(path)
    return Lines(path)


class Lines:
    """Trace records as JSON lines, compressed if the file name ends so."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        self._raw: Any = self._path.open("wb")
        suffix = self._path.suffix.lower()
        self._out: IO[bytes] | Any = self._raw
        if suffix == ".gz":
            # No name and no time in the header, so that the same turns are the same bytes.
            self._out = gzip.GzipFile("", "wb", 6, self._raw, mtime=0)
        elif suffix == ".zst":
            self._out = zstandard.ZstdCompressor(level=6).stream_writer(self._raw, closefd=False)
        return self

    def __exit__(self, *error: object) -> None:
        if self._out is not self._raw:
            self._out.close()
        self._raw.close()

    def write(self, batch: Sequence[Simulated]) -> None:
        option = orjson.OPT_APPEND_NEWLINE
        self._out.write(b"".join(orjson.dumps(turn.record, option=option) for turn in batch))


class Table:
    """Rows collected into row groups of a Parquet file; `row` makes a row of a turn."""

    def __init__(
        self, path: Path, schema: pa.Schema, row: Callable[[Simulated], dict[str, Any]]
    ) -> None:
        self._path = path
        self._schema = schema
        self._row = row
        self._rows: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self._writer = pq.ParquetWriter(self._path, self._schema, compression="zstd")
        return self

    def __exit__(self, *error: object) -> None:
        self._flush()
        self._writer.close()

    def write(self, batch: Sequence[Simulated]) -> None:
        self._rows += [self._row(turn) for turn in batch]
        if len(self._rows) >= _ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []


def records(path: Path) -> Table:
    """A writer of trace records as Parquet."""
    return Table(path, RECORD, lambda turn: {**turn.record, "started_at": turn.at})


def truths(path: Path) -> Table:
    """A writer of the truth as Parquet, columns `TRUTH`."""
    return Table(path, TRUTH, lambda turn: turn.truth)
