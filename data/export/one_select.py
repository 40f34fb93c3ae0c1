"""One SELECT statement over the tables of a snapshot, and nothing else: the check of a user's SQL.

It does not rest on a single rule. Functions and names are looked at in the parsed statement; the
statement is bound where there are no files; and the connection that runs it opens none by name
(`data.store.snapshot.connect`, `walled`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import duckdb

from data.errors import UsageError
from data.export.sql_errors import Place, did_you_mean, nearest, place_of
from data.schema.layout import TABLES
from data.store.snapshot import empty_tables

# Table functions that read nothing outside the statement.
_SOURCES = frozenset({"range", "generate_series", "unnest", "repeat", "repeat_row", "json_each",
                      "json_tree"})  # fmt: skip
# Functions that reveal or change the state of the server, or only wait.
_CLOSED = frozenset({"current_setting", "getvariable", "getenv", "write_log", "nextval", "setval",
                     "currval", "current_query", "current_query_id", "current_connection_id",
                     "current_transaction_id", "txid_current", "sleep_ms", "setseed", "stats",
                     "get_block_size", "json_serialize_plan", "col_description", "obj_description",
                     "shobj_description", "format_type", "which_secret"})  # fmt: skip
# The same by how their names begin: what PostgreSQL and DuckDB know about their own catalogues.
_CLOSED_PREFIXES = ("duckdb_", "pragma_", "pg_", "has_")
_OPEN = frozenset({"pg_typeof", "pg_size_pretty"})
# Besides the tables themselves, what SHOW can be asked for.
_LISTS = frozenset({"tables", "__show_tables_expanded"})
# On a line of its own; it only binds the statement.
_PREPARE = "PREPARE statement AS\n"


def only_select(con: duckdb.DuckDBPyConnection, sql: str, tables: set[str]) -> str:
    """The single SELECT statement of a text, if it reads only `tables`.

    Raises UsageError for none, several or other statements, for other tables, and for functions
    that read files or reveal the server's state; DuckDB's own error if it cannot be parsed.
    """
    if "\0" in sql:
        raise UsageError("The statement contains a NUL character; remove it.")
    statements = con.extract_statements(sql)
    if not statements:
        raise UsageError("There is no statement; write one, for example: FROM predictions LIMIT 9")
    if len(statements) > 1:
        raise UsageError(f"There are {len(statements)} statements; give one.")
    text = statements[0].query
    kind = statements[0].type.name
    if kind != "SELECT":
        raise UsageError(f"This is not a SELECT statement but {kind.replace('_', ' ')}; only "
                         "reading is possible here.")  # fmt: skip
    tree = json.loads(
        con.execute("SELECT json_serialize_sql($1::VARCHAR)", [text]).fetchall()[0][0]
    )
    if tree["error"]:
        raise UsageError(f"This kind of statement cannot be run here: {tree['error_message']}")
    nodes = list(_nodes(tree["statements"]))
    # Without what stood before the statement.
    skipped = max(sql.encode().find(text.encode()), 0)

    def refused(reason: str, node: dict[str, Any]) -> _Refused:
        offset = node.get("query_location")
        if not isinstance(offset, int) or offset >= len(text.encode()):
            return _Refused(reason)
        return _Refused(reason, place_of(sql, skipped + offset))

    cte_names = {
        str(entry["key"]).lower()
        for node in nodes
        if isinstance(node.get("cte_map"), dict)
        for entry in node["cte_map"]["map"]
    }
    for name in sorted(cte_names):
        # Out of its scope the name would be that of a file, which has a dot.
        if name.startswith(("duckdb_", "sqlite_", "pg_", "pragma_")) or not re.fullmatch(
            r"\w+", name
        ):
            raise UsageError(
                f"A query in WITH cannot be called “{name[:60]}”; give it a name of letters, "
                "digits and underscores."
            )
    for node in nodes:
        name = str(node.get("function_name") or "").lower()
        if node.get("type") == "TABLE_FUNCTION":
            source = str(node["function"].get("function_name") or "").lower()
            if source not in _SOURCES:
                raise refused(
                    f"The function “{source}” cannot be read from here; read from "
                    f"{', '.join(sorted(tables))}.", node
                )  # fmt: skip
        elif name in _CLOSED or (name.startswith(_CLOSED_PREFIXES) and name not in _OPEN):
            raise refused(f"The function “{name}” cannot be used here.", node)
        elif node.get("type") == "SHOW_REF" and not node.get("query"):
            # Without a query it is a list of DuckDB's, or a setting.
            shown = str(node.get("table_name") or "").strip('"').lower()
            if shown not in tables | _LISTS:
                raise refused(f"SHOW “{shown}” cannot be used here; use SHOW TABLES.", node)
        elif node.get("type") == "BASE_TABLE":
            table = str(node.get("table_name") or "").lower()
            outside = node.get("schema_name") not in ("", None, "main") or node.get("catalog_name")
            if outside or table not in tables | cte_names:
                alike = did_you_mean(nearest(table, tables | cte_names))
                raise refused(
                    f"There is no table “{node.get('table_name')}” here{alike}; there are: "
                    f"{', '.join(sorted(tables))}.", node
                )  # fmt: skip
    bind_without_files(text, tables)
    # A final semicolon, possibly followed by a comment, would break the enclosing statements.
    encoded = text.encode()
    semicolons = [
        position
        for position, _ in duckdb.tokenize(text)
        if encoded[position : position + 1] == b";"
    ]
    return encoded[: semicolons[0]].decode() if semicolons else text


def bind_without_files(text: str, tables: set[str]) -> None:
    """Raise DuckDB's error if a statement names anything but `tables`.

    It is bound where these are all that there is, empty, and no file can be opened: so DuckDB
    itself decides on the scope of each name in WITH.
    """
    # Identifiers cannot be escaped: a statement that reads a table contains its name.
    words = text.lower() + (" predictions" if "slice" in tables else "")
    with empty_tables([name for name in TABLES if name in tables and name in words]) as bare:
        if "slice" in tables:
            bare.execute("CREATE VIEW slice AS FROM predictions")
        bound_relation(bare, text)


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of a parsed statement; iterative, because the tree may be deep."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            yield node
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)


class _Refused(UsageError):
    """A statement that may not run, and where in its text the reason is."""

    def __init__(self, reason: str, where: Place | None = None) -> None:
        super().__init__(f"{str(where).capitalize()}: {reason}" if where else reason)
        self.where = where


def bound_relation(con: duckdb.DuckDBPyConnection, sql: str) -> duckdb.DuckDBPyRelation:
    """The relation of a checked statement."""
    try:
        return con.sql(sql)
    except duckdb.Error:
        # A relation does not say where in the text its error is; a prepared statement does.
        con.execute(f"{_PREPARE}{sql}")
        raise
