"""Turns → feature matrix."""

from __future__ import annotations

from typing import Literal

import duckdb
import pyarrow as pa

from features import (
    asr,
    context_after,
    context_before,
    dialogue,
    er,
    nlu,
    result,
    wake,
)
from features.bounds import finite
from features.categories import Vocabulary
from features.feature import Feature
from features.frame import register
from features.multi_device import WITHIN_S
from features.text import FIELDS, fields_used

Context = Literal["hindsight", "live"]
LOGGED: list[Feature] = [
    *wake.FEATURES,
    *asr.FEATURES,
    *nlu.FEATURES,
    *er.FEATURES,
    *result.FEATURES,
    *dialogue.FEATURES,
    *context_before.FEATURES,
    *context_after.FEATURES,
]


def logged(context: Context) -> list[Feature]:
    """The catalogue's features available in `context`; live excludes those of later turns."""
    return [f for f in LOGGED if context == "hindsight" or f.when != "after"]


def open_frame(
    turns: pa.Table, context: Context, within: float = WITHIN_S
) -> duckdb.DuckDBPyConnection:
    """A connection with the `frame` of `turns`: complete dialogues in the shape of `TURNS`.

    `gold` is not read. `within`: see `features.frame.register`. Close the connection to free its
    memory.
    """
    con = duckdb.connect()
    con.execute("SET enable_progress_bar = false")
    con.execute("SET TimeZone = 'UTC'")
    register(con, turns, hindsight=context == "hindsight", within=within)
    return con


def learn(con: duckdb.DuckDBPyConnection, context: Context) -> Vocabulary:
    """Which values and signals of the frame's turns become columns."""
    return Vocabulary.learn(con, hindsight=context == "hindsight")


def columns(con: duckdb.DuckDBPyConnection, vocabulary: Vocabulary, context: Context) -> pa.Table:
    """Features of every turn of the frame.

    Returns
    -------
    Table with `turn_id` and one float32 column per feature, one row per turn, ordered by `turn_id`;
    null where the trace does not log the signal, and where no finite number comes out (a rate over
    next to no time).
    """
    expressions = ", ".join(f'TRY_CAST({f.sql} AS FLOAT) AS "{f.name}"' for f in logged(context))
    table: pa.Table = con.sql(f"SELECT turn_id, {expressions} FROM frame").to_arrow_table()
    # Takes a third of the time of sorting so many columns in SQL.
    table = table.sort_by("turn_id")
    for i, name in enumerate(table.column_names[1:], 1):
        column = table[name]
        if (kept := finite(column)) is not column:
            table = table.set_column(i, name, kept)
    for name, values in vocabulary.columns_of(con).items():
        table = table.append_column(name, pa.array(values, pa.float32(), from_pandas=True))
    return table


def texts(con: duckdb.DuckDBPyConnection, context: Context) -> pa.Table:
    """Input of the encoder: `turn_id`, one string column per text field, `intent`, `slot_names`.

    Rows are ordered by `turn_id`, as those of `columns`.
    """
    fields = ", ".join(f"{FIELDS[name]} AS {name}" for name in fields_used(context == "hindsight"))
    table: pa.Table = con.sql(
        f"SELECT turn_id, {fields}, coalesce(intent, '') AS intent,"
        " coalesce(list_distinct([s.name for s in slots if coalesce(s.name, '') <> '']), [])"
        " AS slot_names"
        " FROM frame ORDER BY turn_id"
    ).to_arrow_table()
    return table


def build(turns: pa.Table, vocabulary: Vocabulary, context: Context = "hindsight") -> pa.Table:
    """`columns` of `turns` in one call."""
    with open_frame(turns, context) as con:
        return columns(con, vocabulary, context)
