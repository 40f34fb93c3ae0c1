"""The columns of the tables as SQL knows them: names, nested fields, types."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import duckdb
import pyarrow as pa

from data.schema.layout import TABLES


class Column(NamedTuple):
    """A column, or a field of a nested one: `asr.hypotheses[].text`, with its SQL type."""

    path: str
    kind: str

    @property
    def nested(self) -> bool:
        """Whether it is a field of a column."""
        return "." in self.path


@cache
def columns(table: str) -> tuple[Column, ...]:
    """The columns of a table and their fields, in the order of the table."""
    fields = [pair for field in TABLES[table].schema for pair in _fields(field.name, field.type)]
    schema = pa.schema([(str(n), kind) for n, (_, kind) in enumerate(fields)])
    with duckdb.connect() as con:
        kinds = [str(kind) for kind in con.from_arrow(schema.empty_table()).types]
    return tuple(Column(path, _short(kind)) for (path, _), kind in zip(fields, kinds, strict=True))


@cache
def sql_type(kind: pa.DataType) -> str:
    """An Arrow type as DuckDB writes it, fields of structs included."""
    with duckdb.connect() as con:
        return str(con.from_arrow(pa.schema([("kind", kind)]).empty_table()).types[0])


def _fields(path: str, kind: pa.DataType) -> Iterator[tuple[str, pa.DataType]]:
    yield path, kind
    while pa.types.is_list(kind):
        path, kind = f"{path}[]", kind.value_type
    if pa.types.is_struct(kind):
        for field in kind:
            yield from _fields(f"{path}.{field.name}", field.type)


def _short(kind: str) -> str:
    """A type without the fields of a struct, which follow as columns of their own."""
    if not kind.startswith("STRUCT("):
        return kind
    depth = len(kind) - len(kind.rstrip("[]"))
    return "STRUCT" + kind[len(kind) - depth :]
