"""The process in which `data.export.sandbox` runs a statement: `python -m
data.export.sandbox_worker`.

It reads a request from standard input as JSON. It writes one line of JSON with the outcome to
standard output, followed by the rows as an Arrow stream.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from data.errors import FaultlineError, UsageError
from data.export.export import copy_sql
from data.export.sandbox import LATE
from data.export.sql_errors import Place, did_you_mean, nearest, place_of, sentence
from data.schema.access import PEOPLE, Access
from data.schema.layout import TABLES
from data.store.damage import may_be_damage
from data.store.snapshot import connect, empty_tables

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
_BATCH = 1024
# On a line of its own; it only binds the statement.
_PREPARE = "PREPARE statement AS\n"
# Address space beyond DuckDB's memory: threads' stacks, arenas, and rows being written out.
_HEADROOM = 700_000_000


def main() -> None:
    """Run the request on standard input."""
    # Ctrl-C is for the parent, which stops this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    request = json.loads(sys.stdin.buffer.read())
    out = os.fdopen(os.dup(1), "wb")
    # Anything printed must not get between the rows.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    with contextlib.suppress(OSError):
        os.nice(5)
    head: dict[str, Any]
    table: pa.Table | None = None
    late = threading.Event()
    try:
        head, table = _answer(request, late)
    except Exception as error:
        words, where = _sentence(error, request)
        head = {"error": words, "place": where, "damage": may_be_damage(error)}
    if late.is_set() and "error" in head:
        head = {"late": True}
    out.write(json.dumps(head).encode() + b"\n")
    if table is not None:
        with pa.ipc.new_stream(out, table.schema) as writer:
            writer.write_table(table)
    out.flush()
    # A statement that cannot be interrupted must not keep the process alive.
    os._exit(0)


def _answer(request: dict[str, Any], late: threading.Event) -> tuple[dict[str, Any], pa.Table]:
    files = {name: [Path(path) for path in paths] for name, paths in request["files"].items()}
    target = Path(request["to"]) if request["to"] else None
    spill = Path(request["spill"]) / "spill"
    con = connect(
        files,
        f"{request['megabytes']}MB",
        spill,
        writable=[target] if target else [],
        before_lock=[
            "SET threads = 2",
            "SET max_temp_directory_size = '1GB'",
            *([f"CREATE TEMP VIEW slice AS {request['slice']}"] if request["slice"] else []),
        ],
        access=Access(
            request["access"]["role"],
            tuple(request["access"]["assistants"]),
            tuple(request["access"]["locales"]),
        ),
        walled=True,
    )
    # Before the statement is parsed, which may take long too.
    _bound(request, target)

    def interrupt() -> None:
        late.set()
        con.interrupt()
        # Some functions check for an interrupt too rarely.
        time.sleep(2)
        os._exit(LATE)

    timer = threading.Timer(request["seconds"], interrupt)
    timer.daemon = True
    timer.start()
    began = time.monotonic()
    try:
        offered = set(TABLES) - set(PEOPLE)
        sql = only_select(con, request["sql"], {*offered, *(["slice"] if request["slice"] else [])})
        relation = _bound_relation(con, sql)
        columns = [(str(n), str(t)) for n, t in zip(relation.columns, relation.types, strict=True)]
        if len({name for name, _ in columns}) < len(columns):
            raise UsageError("Two columns have the same name; name each with AS.")
        head: dict[str, Any] = {"columns": columns, "cut": False}
        if target:
            relation.create_view("answer")
            copied = con.execute(copy_sql("answer", columns, target, target.suffix)).fetchall()
            head["rows"], table = int(copied[0][0]), pa.table({})
        else:
            table, head["cut"] = _first_rows(relation, request)
            head["rows"] = table.num_rows
    finally:
        timer.cancel()
    return head | {"seconds": time.monotonic() - began}, table


def _bound_relation(con: duckdb.DuckDBPyConnection, sql: str) -> duckdb.DuckDBPyRelation:
    """The relation of a checked statement."""
    try:
        return con.sql(sql)
    except duckdb.Error:
        # A relation does not say where in the text its error is; a prepared statement does.
        con.execute(f"{_PREPARE}{sql}")
        raise


def _first_rows(
    relation: duckdb.DuckDBPyRelation, request: dict[str, Any]
) -> tuple[pa.Table, bool]:
    """The first rows, up to the limits on their number and size, and whether there are more."""
    most, room = request["rows"], request["result_megabytes"] * 1_000_000
    reader = relation.limit(most + 1).to_arrow_reader(_BATCH)
    batches: list[pa.RecordBatch] = []
    rows, cut = 0, False
    for batch in reader:
        room -= batch.nbytes
        if room < 0:
            cut = True
            if batches:
                break
            raise UsageError(
                f"One row is larger than {request['result_megabytes']} MB; cut its texts."
            )
        batches.append(batch)
        rows += batch.num_rows
    table = pa.Table.from_batches(batches, reader.schema)
    return table.slice(0, most), cut or rows > most


def _bound(request: dict[str, Any], target: Path | None) -> None:
    """Limit the resources of this process as a whole."""
    size = request["file_megabytes"] * 1_000_000 if target else 1_000_000_000
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = [
        (resource.RLIMIT_FSIZE, size),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, int(4 * request["seconds"]) + 5),
    ]
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        used = pages * os.sysconf("SC_PAGE_SIZE")
        limits.append((resource.RLIMIT_AS, used + request["megabytes"] * 1_000_000 + _HEADROOM))
    except (OSError, ValueError):
        pass
    for kind, value in limits:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (value, value))


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
    _bind_without_files(text, tables)
    # A final semicolon, possibly followed by a comment, would break the enclosing statements.
    encoded = text.encode()
    semicolons = [
        position
        for position, _ in duckdb.tokenize(text)
        if encoded[position : position + 1] == b";"
    ]
    return encoded[: semicolons[0]].decode() if semicolons else text


def _bind_without_files(text: str, tables: set[str]) -> None:
    """Raise DuckDB's error if a statement names anything but `tables`.

    It is bound where these are all that there is, empty, and no file can be opened: so DuckDB
    itself decides on the scope of each name in WITH.
    """
    # Identifiers cannot be escaped: a statement that reads a table contains its name.
    words = text.lower() + (" predictions" if "slice" in tables else "")
    with empty_tables([name for name in TABLES if name in tables and name in words]) as bare:
        if "slice" in tables:
            bare.execute("CREATE VIEW slice AS FROM predictions")
        _bound_relation(bare, text)


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


def _sentence(error: Exception, request: dict[str, Any]) -> tuple[str, Place | None]:
    """The error in one sentence, and the place in the statement, if it has one."""
    if isinstance(error, FaultlineError):
        return str(error), getattr(error, "where", None)
    memory = isinstance(error, duckdb.OutOfMemoryException | pa.ArrowMemoryError | MemoryError)
    if memory or "failed to allocate" in str(error):
        return (
            f"The statement needs more than {request['megabytes']} MB of memory; ask for less."
        ), None
    if request["to"] and (
        "File too large" in str(error) or "could not write" in str(error).lower()
    ):
        return (
            f"The file would be larger than {request['file_megabytes']} MB; ask for fewer rows."
        ), None
    # Without the server's folders.
    message = str(error).replace(request["spill"], "…") or type(error).__name__
    names = {column for name in set(TABLES) - set(PEOPLE) for column in TABLES[name].columns}
    return sentence(message, request["sql"], sorted(names), 1)


if __name__ == "__main__":
    main()
