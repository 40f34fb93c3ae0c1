"""Writes rows of a snapshot to a file: Parquet, CSV or JSON lines."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from data.errors import UsageError, machine_error
from data.export.one_select import only_select
from data.export.spreadsheet import copy_options, guarded_sql
from data.schema.access import PEOPLE
from data.schema.layout import TABLES
from data.store.durability import replacing
from data.store.snapshot import (
    Snapshot,
    connect,
    literal,
)

# Columns that the store derives and that are not part of a trace record.
_DERIVED = ("digest", "day")
_SUFFIXES = (".parquet", ".csv", ".jsonl")
# Columns of `turns` that an export of predictions can have beside its own.
ADDED: Mapping[str, tuple[str, ...]] = {
    "stages": ("prompt", "wake", "asr", "nlu", "er", "result", "tts"),
    "gold": ("gold",),
}


def export(
    snapshot: Snapshot,
    table: str,
    to: str | Path,
    where: str | None = None,
    params: Mapping[str, Any] | None = None,
    added: Sequence[str] = (),
) -> int:
    """Write the rows of one table to a file and return how many.

    Parameters
    ----------
    table
        `turns`, `predictions`, ...
    to
        The file to write; its suffix (.parquet, .csv, .jsonl) decides the format. It appears only
        when it is complete. A JSONL file of `turns` contains trace records, which can be ingested
        again.
    where
        A SQL condition on the table's columns. It can read only the tables of the snapshot.
    params
        Values of the condition's `$name` parameters.
    added
        Of predictions: which of `ADDED` to put beside each turn, as logged.

    Rows are ordered by time. In CSV, a text that a spreadsheet would interpret as a formula gets an
    apostrophe in front (`data.export.spreadsheet`). Raises `UsageError` for an unknown table or
    suffix, a file that cannot be written, or a condition that cannot be used; `NotPermitted` for a
    snapshot of somebody who sees no rows.
    """
    snapshot.access.require("turns")
    target = Path(to).expanduser()
    if table not in TABLES:
        raise UsageError(f"There is no table '{table}'; there are: {', '.join(TABLES)}.")
    schema = exported(table, added)
    if target.suffix.lower() not in _SUFFIXES:
        raise UsageError(
            f"Cannot export to '{target.name}'; its name must end in {', '.join(_SUFFIXES)}."
        )
    if target.is_dir() or not target.parent.is_dir():
        raise UsageError(f"Cannot write {target}; give a file in a folder that exists.")
    try:
        with (
            replacing(target) as draft,
            connect(
                snapshot.files,
                "1500MB",
                snapshot.spill,
                writable=[draft],
                access=snapshot.access,
                walled=bool(where) and not params,
            ) as con,
        ):
            if not params:
                _check(snapshot, con, table, where)
            # Explicit, because DuckDB does not keep the order of files when it writes in parallel.
            rows = f"{rows_sql(table, where, added)} ORDER BY {', '.join(_order(table))}"
            columns = _columns(table, schema, target.suffix)
            sql = f"COPY (SELECT {columns} {rows}) TO {literal(draft)}"
            try:
                result = con.execute(
                    f"{sql} ({_options(schema, target.suffix.lower())})", dict(params or {}) or None
                ).fetchall()
            except duckdb.Error as error:
                raise machine_error(error, target) or _bad(snapshot, table, where, error) from error
    except duckdb.Error as error:
        raise machine_error(error, target) or snapshot.explained(error) from error
    except OSError as error:
        problem = machine_error(error, target)
        raise problem or UsageError(f"Cannot write {target}: {error.strerror}.") from error
    return int(result[0][0])


def exported(table: str, added: Sequence[str] = ()) -> pa.Schema:
    """The columns of an export; raises UsageError for columns that cannot be added."""
    schema = TABLES[table].schema
    for name in added:
        if name not in ADDED:
            raise UsageError(f"'{name}' cannot be added; give some of {', '.join(ADDED)}.")
    if added and table != "predictions":
        raise UsageError(
            f"Columns can be added to predictions only, and this exports {table}; export turns "
            "for their stages and gold."
        )
    turns = TABLES["turns"].schema
    more = [turns.field(name) for name in _added_columns(added)]
    return pa.schema([*schema, *more])


def rows_sql(table: str, where: str | None, added: Sequence[str] = ()) -> str:
    """The FROM clause of an export, with its condition."""
    # The condition is on a line of its own, so that a comment in it ends there.
    condition = f" WHERE (\n{where}\n)" if where else ""
    if not added:
        return f'FROM "{table}"{condition}'
    names = ", ".join(_added_columns(added))
    return (
        f'FROM (FROM "{table}"{condition}) AS "{table}" LEFT JOIN '
        f"(SELECT turn_id, day, {names} FROM turns) AS logged USING (turn_id, day)"
    )


def _added_columns(added: Sequence[str]) -> list[str]:
    """In the order of `ADDED`, however they were asked for."""
    return [name for group, names in ADDED.items() if group in added for name in names]


_OPTIONS = {".parquet": "FORMAT parquet, COMPRESSION zstd", ".jsonl": "FORMAT json"}
# SQL types whose values are no texts: in CSV they need neither guard nor quotes.
_NOT_TEXT = re.compile(
    r"BOOLEAN|U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL\(.*\)|DATE|TIME|TIMESTAMP.*"
)


def _options(schema: pa.Schema, suffix: str) -> str:
    if suffix != ".csv":
        return _OPTIONS[suffix]
    return copy_options(schema.names, [f'"{c.name}"' for c in schema if _is_text(c.type)])


def _is_text(kind: pa.DataType) -> bool:
    """Whether a column is text in CSV; nested values are, as JSON."""
    return bool(pa.types.is_string(kind) or pa.types.is_nested(kind))


def check_condition(snapshot: Snapshot, table: str, where: str | None) -> None:
    """Raise `UsageError` unless a condition is one expression over a table."""
    with connect(
        snapshot.files, "1500MB", snapshot.spill, access=snapshot.access, walled=True
    ) as con:
        _check(snapshot, con, table, where)


def condition_error(
    snapshot: Snapshot, table: str, where: str | None, error: duckdb.Error
) -> Exception:
    """The error to raise where a statement with a condition fails."""
    return machine_error(error) or _bad(snapshot, table, where, error)


def _check(
    snapshot: Snapshot, con: duckdb.DuckDBPyConnection, table: str, where: str | None
) -> None:
    """Raise `UsageError` unless the condition is one expression over the table."""
    if where is None:
        return
    try:
        if snapshot.access.limited:
            # A query in it could read a file, which holds more than the table.
            only_select(
                con, f'SELECT 1 FROM "{table}" WHERE (\n{where}\n)', set(TABLES) - set(PEOPLE)
            )
        # Parsed as an expression of its own, so that a `)` in it cannot close an outer bracket.
        con.table(table).filter(where).limit(0).fetchall()
    except duckdb.Error as error:
        raise condition_error(snapshot, table, where, error) from error


def _bad(snapshot: Snapshot, table: str, where: str | None, error: duckdb.Error) -> Exception:
    explained = snapshot.explained(error)
    if explained is not error:
        return explained
    # Without DuckDB's names for its errors ("Binder Error: ").
    reason = re.sub(r"^(?:[A-Z][A-Za-z]* )+Error: ", "", str(error).strip().splitlines()[0])
    return UsageError(
        f"The condition {where!r} cannot be used: {reason.rstrip('.!: ')}. "
        f"The columns of {table} are: {', '.join(TABLES[table].columns)}."
    )


def _order(table: str) -> tuple[str, ...]:
    """The sort order of an export: by time if the table has one, else as the rows are stored.

    Turns of the same time are in the order of their dialogue.
    """
    layout = TABLES[table]
    if {"started_at", "turn_id"} <= set(layout.columns):
        within = ("dialogue_id", "turn_index", "turn_id")
        return (f'"{table}".started_at', *(name for name in within if name in layout.columns))
    return tuple(dict.fromkeys((*layout.partition, *layout.order))) or (layout.columns[0],)


def _columns(table: str, schema: pa.Schema, suffix: str) -> str:
    """The SELECT list of an export.

    In Parquet columns are as stored; in text formats times are RFC 3339 in UTC and, in CSV, nested
    values are JSON.
    """
    if suffix.lower() == ".parquet":
        return ", ".join(f'"{name}"' for name in schema.names)
    parts = []
    for field in schema:
        name = f'"{field.name}"'
        if suffix.lower() == ".jsonl" and table == "turns" and field.name in _DERIVED:
            continue
        if pa.types.is_timestamp(field.type):
            parts.append(f"{_rfc3339(name)} AS {name}")
        elif suffix.lower() == ".csv" and pa.types.is_nested(field.type):
            parts.append(f"to_json({name})::VARCHAR AS {name}")
        elif suffix.lower() == ".csv" and pa.types.is_string(field.type):
            parts.append(f"{guarded_sql(name)} AS {name}")
        elif suffix.lower() == ".jsonl" and field.name in ("extra", "unknown_fields"):
            parts.append(f"TRY_CAST({name} AS JSON) AS {name}")
        else:
            parts.append(name)
    return ", ".join(parts)


def copy_sql(source: str, columns: Sequence[tuple[str, str]], to: Path, suffix: str) -> str:
    """SQL that copies a view with these columns (name, SQL type) to a file, as `export` does."""
    suffix, parts = suffix.lower(), []
    texts: list[str] = []
    for number, (column, kind) in enumerate(columns):
        name = '"' + column.replace('"', '""') + '"'
        # In CSV, the statement's own names stand in the header only, where they are guarded.
        alias = f"column_{number}" if suffix == ".csv" else name
        nested = kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION"))
        if suffix != ".parquet" and kind == "TIMESTAMP WITH TIME ZONE":
            parts.append(f"{_rfc3339(name)} AS {alias}")
        elif suffix == ".csv" and not _NOT_TEXT.fullmatch(kind):
            text = f"to_json({name})::VARCHAR" if nested or kind == "JSON" else f"{name}::VARCHAR"
            parts.append(f"{guarded_sql(text)} AS {alias}")
            texts.append(alias)
        else:
            parts.append(f"{name} AS {alias}")
    select = f'SELECT {", ".join(parts)} FROM "{source}"'
    names = [column for column, _ in columns]
    options = copy_options(names, texts) if suffix == ".csv" else _OPTIONS[suffix]
    return f"COPY ({select}) TO {literal(to)} ({options})"


def _rfc3339(name: str) -> str:
    """SQL for a time in RFC 3339, to the millisecond, or to the microsecond if it has any."""
    utc = f"timezone('UTC', {name})"
    return (
        f"CASE WHEN epoch_us({name}) % 1000 = 0 THEN strftime({utc}, '%Y-%m-%dT%H:%M:%S.%gZ') "
        f"ELSE strftime({utc}, '%Y-%m-%dT%H:%M:%S.%fZ') END"
    )
