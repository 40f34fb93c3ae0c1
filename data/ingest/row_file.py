"""Rows that are written to a Parquet file as they come, as there may be millions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

# Rows collected before they are written: 20,000 of 2,000 characters are 80 MB at worst.
_HELD = 20_000


class RowFile:
    """A Parquet file of rows, tuples in the order of the schema; none is made without rows."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.count = 0
        self._path = path
        self._schema = schema
        self._rows: list[tuple[Any, ...]] = []
        self._writer: pq.ParquetWriter | None = None

    def write(self, *row: Any) -> None:
        self.count += 1
        self._rows.append(row)
        if len(self._rows) >= _HELD:
            self._flush()

    def close(self) -> Path | None:
        """The file; None if it has no rows."""
        self._flush()
        if self._writer is None:
            return None
        self._writer.close()
        return self._path

    def _flush(self) -> None:
        if not self._rows:
            return
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, self._schema)
        self._writer.write_table(table_of(self._rows, self._schema))
        self._rows.clear()


def table_of(rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    """Rows, tuples in the order of the schema, as a table."""
    columns = list(zip(*rows, strict=True)) if rows else [() for _ in schema]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
