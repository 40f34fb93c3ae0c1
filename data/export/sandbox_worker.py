"""The process in which `data.export.sandbox` runs a statement: `python -m
data.export.sandbox_worker`.

It reads a request from standard input as JSON. It writes one line of JSON with the outcome to
standard output, followed by the rows as an Arrow stream.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from data.errors import FaultlineError, UsageError
from data.export.export import copy_sql
from data.export.one_select import bound_relation, only_select
from data.export.sandbox import LATE
from data.export.sql_errors import Place, sentence
from data.schema.access import PEOPLE, Access
from data.schema.layout import TABLES
from data.store.damage import may_be_damage
from data.store.snapshot import connect

_BATCH = 1024
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
        relation = bound_relation(con, sql)
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
