"""The SQL by which somebody's access limits a table: what its view is made of.

A view with hidden columns has `NULL` in their place and never reads them; one with hidden rows has
the condition inside. A condition in a view is no wall for a statement that somebody wrote: DuckDB
may evaluate their own conditions first, on hidden rows, and an error, or its absence, says what
those hold. Where users' statements run (`walled`), a LIMIT that nothing reaches stands in between:
no condition can be moved through it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from urllib.parse import quote

from data.schema.access import OPEN_SETTINGS, SHOWN, Access
from data.schema.columns import sql_type
from data.schema.layout import TABLES

# Of pseudonyms; they are those of one process, and nobody can look an id up by hashing it.
_SALT = secrets.token_hex(16)
_WALL = 9_223_372_036_854_775_807
_TURN = "turn:"
# Columns of decisions on slices that people fill in.
_WRITTEN = ("owner", "version", "note", "link")


def limited_sql(name: str, scan: str, access: Access, walled: bool = False) -> str:
    """The SELECT of a table's view, where `scan` reads all of its rows.

    Views of tables that come earlier in `data.schema.layout.TABLES` have to exist.
    """
    if access.everything:
        return scan
    where = [_rows(name, access)] if access.limited else []
    if access.aggregates_only and name == "triage":
        where.append(f"NOT starts_with(t.slice, '{_TURN}')")
    if name == "settings":
        where.append(f"t.name IN ({_texts(OPEN_SETTINGS)})")
    condition = f" WHERE ({') AND ('.join(where)})" if where else ""
    wall = f" LIMIT {_WALL}" if walled and where else ""
    return f"SELECT {_columns(name, access)} FROM ({scan}) AS t{condition}{wall}"


def _columns(name: str, access: Access) -> str:
    shown, parts = SHOWN[name], []
    for field in TABLES[name].schema:
        column = f't."{field.name}"'
        if not access.aggregates_only or field.name in shown.open:
            if access.limited and name == "triage" and field.name in _WRITTEN:
                # What is written about a slice of everybody's turns may quote any of them.
                column = f"CASE WHEN {_attributed(access)} THEN {column} END"
        elif field.name in shown.ids:
            column = _pseudonym(column)
        else:
            column = f"NULL::{sql_type(field.type)}"
        parts.append(f'{column} AS "{field.name}"')
    return ", ".join(parts)


def _pseudonym(column: str) -> str:
    return f"md5('{_SALT}' || {column})"


def _rows(name: str, access: Access) -> str:
    """The condition under which a row of `t`, the table, is theirs."""
    match SHOWN[name].rows:
        case "own":
            return " AND ".join(
                f"t.{column} IN ({_texts(values)})" for column, values in _limits(access)
            )
        case "assistant":
            return f"t.assistant IN ({_texts(access.assistants)})"
        case "turn":
            return _of_turn("t.turn_id", "t.day", access)
        case "first_turn":
            return _of_turn("t.first_turn", "t.day", access)
        case "rewrite":
            return "t.rewrite_id IN (SELECT rewrite_id FROM rewrites)"
        case "slice":
            # Of a slice it is none: DuckDB evaluates both sides of the CASE.
            turn = f"TRY_CAST(substr(t.slice, {len(_TURN) + 1}) AS JSON)"
            day = f"TRY_CAST({turn}->>'$.day' AS DATE)"
            own = _of_turn(f"({turn}->>'$.turn')", day, access)
            # Conditions on other assistants or locales; a slice without any is everybody's.
            within = " AND ".join(_within(column, values) for column, values in _limits(access))
            return f"CASE WHEN starts_with(t.slice, '{_TURN}') THEN {own} ELSE {within} END"
        case "link":
            return "t.url IN (SELECT link FROM triage)"
        case "every":
            return "true"
        case "none":
            return "false"


def _limits(access: Access) -> list[tuple[str, Sequence[str]]]:
    pairs = [("assistant", access.assistants), ("locale", access.locales)]
    return [(column, values) for column, values in pairs if values]


def _of_turn(turn: str, day: str, access: Access) -> str:
    # The view is limited already, and of viewers' turns it has pseudonyms.
    turn = _pseudonym(f"({turn})") if access.aggregates_only else turn
    return f"({turn}, {day}) IN (SELECT (turn_id, day) FROM turns)"


def _named(column: str) -> str:
    """The values that a slice's key has for a dimension, encoded as in `analysis.slices`."""
    return f"regexp_extract_all(t.slice, '(?:^[a-z_]+:|;){column}=([^;]*)', 1)"


def _within(column: str, values: Sequence[str]) -> str:
    allowed = ", ".join(literal(quote(value, safe="")) for value in values)
    return f"list_has_all([{allowed}], {_named(column)})"


def _attributed(access: Access) -> str:
    each = " AND ".join(f"len({_named(column)}) > 0" for column, _ in _limits(access))
    return f"(starts_with(t.slice, '{_TURN}') OR ({each}))"


def _texts(values: Sequence[str]) -> str:
    return ", ".join(literal(value) for value in values)


def literal(text: object) -> str:
    """A SQL string literal, for values that cannot be bound: file lists and COPY targets."""
    return "'" + str(text).replace("'", "''") + "'"
