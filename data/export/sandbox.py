"""Runs a user's own SQL statement on a snapshot, in a sandbox.

It runs in a separate process (`data.export.sandbox_worker`), which can read only the snapshot's
views, has bounded memory and time, and can be stopped. So neither a crash nor an excessive
statement affects the dashboard that started it.

Annotations that the reader may not see (`data.queries.visibility`) are out of the process's reach:
it gets a copy of the rows that they may see, and no file that holds others. A condition over a view
would not do: DuckDB may evaluate a statement's own conditions first, and quote hidden values in an
error. Where somebody sees only some assistants or locales, copies would take too long; the views
have a wall instead (`data.store.limits`), and a statement can name nothing but views.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from data.errors import FaultlineError, UsageError
from data.queries.filters import Filter
from data.queries.visibility import RULES, Reader
from data.store.snapshot import Snapshot

# The process ends itself at the time limit. If it hangs, it is killed this many seconds later: on a
# busy machine it may take some to start.
_GRACE_S = 20.0
# Exit code of the process when the statement could not be interrupted.
LATE = 3
# How often a waiting statement checks whether it was stopped, in seconds.
_POLL_S = 0.1
# Statements that run at the same time on one server; others wait, within their own time limit.
_RUNNING = threading.BoundedSemaphore(4)


@dataclass(frozen=True)
class Limits:
    """Resource limits of a statement.

    Attributes
    ----------
    seconds: of waiting and running together.
    megabytes: of DuckDB's memory; the process as a whole gets a fixed amount more.
    rows, result_megabytes: of the answer; rows beyond them are left out (`Answer.cut`).
    file_megabytes: of a file that is written.
    """

    seconds: float = 10.0
    megabytes: int = 500
    rows: int = 10_000
    result_megabytes: int = 32
    file_megabytes: int = 250


LIMITS = Limits()


@dataclass(frozen=True)
class Answer:
    """The result of a statement: its rows, or their number if they were written to a file.

    `cut`: there are more rows than `table` contains. `columns` are names and SQL types.
    """

    table: pa.Table
    rows: int
    cut: bool
    seconds: float
    columns: tuple[tuple[str, str], ...]


class StatementError(UsageError):
    """A statement that cannot run; `place` is the line and column of the reason, if it has one."""

    def __init__(self, reason: str, place: tuple[int, int] | None = None) -> None:
        super().__init__(reason)
        self.place = place


class Stopped(FaultlineError):
    """The user stopped the statement."""


class Statement:
    """A statement that is running or has finished; made by `start`."""

    def __init__(
        self, request: dict[str, Any], snapshot: Snapshot, reader: Reader | None, limits: Limits
    ) -> None:
        self._request, self._snapshot, self._limits = request, snapshot, limits
        self._reader = reader
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._outcome: Answer | FaultlineError | None = None
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    @property
    def seconds(self) -> float:
        """Seconds since it was submitted."""
        return time.monotonic() - self._began

    def stop(self) -> None:
        """End it; `answer` then raises `Stopped`."""
        with self._lock:
            self._stopped = True
            if self._process:
                self._process.kill()

    def answer(self) -> Answer:
        """Wait for the end and return the result.

        Raises StatementError with DuckDB's reason in one sentence, `Stopped` after `stop`,
        VersionGone if the snapshot has been vacuumed, and StoreDamaged if one of its files is
        damaged.
        """
        self._thread.join()
        if isinstance(self._outcome, Answer):
            return self._outcome
        assert self._outcome is not None
        raise self._outcome

    def _work(self) -> None:
        spill = tempfile.mkdtemp(prefix="faultline-sql-")
        entered = False
        try:
            while not entered and self.seconds < self._limits.seconds and not self._stopped:
                entered = _RUNNING.acquire(timeout=_POLL_S)
            if not entered and not self._stopped:
                raise UsageError("Too many statements are running; try again in a few seconds.")
            remaining = max(self._limits.seconds - self.seconds, _POLL_S)
            files = visible_files(self._snapshot, self._reader, self._request["sql"], Path(spill))
            request = {"files": files, "spill": spill, "seconds": remaining}
            self._outcome = self._run({**self._request, **request})
        except FaultlineError as error:
            self._outcome = error
        except Exception as error:
            self._outcome = UsageError(f"The statement could not be run: {str(error).rstrip('.')}.")
        finally:
            if entered:
                _RUNNING.release()
            shutil.rmtree(spill, ignore_errors=True)

    def _run(self, request: dict[str, Any]) -> Answer:
        with self._lock:
            if self._stopped:
                raise Stopped("The statement was stopped.")
            process = self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "data.export.sandbox_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # Not this process's environment, which may contain secrets.
                env={"PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)},
                cwd=request["spill"],
            )
        killer = threading.Timer(self._limits.seconds + _GRACE_S, process.kill)
        killer.start()
        try:
            output, _ = process.communicate(json.dumps(request).encode())
        finally:
            hung = killer.finished.is_set()
            killer.cancel()
        if self._stopped:
            raise Stopped("The statement was stopped.")
        try:
            return read_answer(output, LATE if hung else process.returncode, self._limits)
        except UsageError as error:
            if _may_be_damage(output):
                # Without an answer it was killed, most likely for its memory.
                kind = OSError if output else duckdb.OutOfMemoryException
                failure = kind("The statement failed.")
                if (explained := self._snapshot.explained(failure)) is not failure:
                    raise explained from error
            raise


def read_answer(output: bytes, code: int, limits: Limits) -> Answer:
    """The answer that the process wrote before it exited with `code`; raises UsageError if none."""
    line, _, body = output.partition(b"\n")
    header = json.loads(line) if line else {}
    if header.get("late") or (not header and code == LATE):
        raise UsageError(
            f"The statement was interrupted after {limits.seconds:g} seconds; ask for less."
        )
    if not header:
        raise UsageError(
            f"The statement needed more than {limits.megabytes} MB of memory or crashed its "
            "process; ask for less."
        )
    if "error" in header:
        place = header.get("place")
        raise StatementError(header["error"], (place[0], place[1]) if place else None)
    table = pa.ipc.open_stream(io.BytesIO(body)).read_all() if body else pa.table({})
    columns = tuple((name, kind) for name, kind in header["columns"])
    return Answer(table, header["rows"], header["cut"], header["seconds"], columns)


def _may_be_damage(output: bytes) -> bool:
    """Whether a statement that failed may have done so on a damaged or vacuumed file."""
    line = output.partition(b"\n")[0]
    return not line or bool(json.loads(line).get("damage"))


def start(
    snapshot: Snapshot,
    sql: str,
    *,
    model: str | None = None,
    chosen: Filter | None = None,
    reader: Reader | None = None,
    to: Path | None = None,
    limits: Limits = LIMITS,
) -> Statement:
    """Start one SELECT statement over the tables of a snapshot.

    Besides the tables it may use `slice`, the model's predictions for the filter `chosen`. It sees
    what `reader` may see, by default what everybody may, within the access of the snapshot; raises
    `NotPermitted` for one that may not run statements. With `to`, all of its rows are written to
    this file instead (.csv, .parquet or .jsonl).
    """
    snapshot.access.require("sql")
    try:
        sql.encode()
    except UnicodeEncodeError:
        raise UsageError(
            "The statement contains an invalid character (half of a surrogate pair); type it again."
        ) from None
    request = {
        "slice": slice_sql(model, chosen or Filter()) if model else None,
        "sql": sql,
        "to": str(to) if to else None,
        "megabytes": limits.megabytes,
        "rows": limits.rows,
        "result_megabytes": limits.result_megabytes,
        "file_megabytes": limits.file_megabytes,
        "access": asdict(snapshot.access),
    }
    return Statement(request, snapshot, reader, limits)


def run(
    snapshot: Snapshot,
    sql: str,
    *,
    model: str | None = None,
    chosen: Filter | None = None,
    reader: Reader | None = None,
    to: Path | None = None,
    limits: Limits = LIMITS,
) -> Answer:
    """`start` a statement and wait for its answer; see `Statement.answer` for the errors."""
    return start(
        snapshot, sql, model=model, chosen=chosen, reader=reader, to=to, limits=limits
    ).answer()


def visible_files(
    snapshot: Snapshot, reader: Reader | None, sql: str, folder: Path
) -> dict[str, list[str]]:
    """The files that a statement may read, by table.

    Of a table with hidden rows, the visible ones are written to a file in `folder`, if the
    statement names it. A table without a rule has no files, so it is empty.
    """
    files: dict[str, list[str]] = {}
    for name, rule in RULES.items():
        paths = snapshot.files[name]
        if rule.blind and paths:
            paths = ()
            # Identifiers cannot be escaped: a statement that reads a table contains its name.
            if name in sql.lower():
                copy = folder / f"{name}.parquet"
                pq.write_table((reader or Reader.of(snapshot)).read(snapshot, name), copy)
                paths = (copy,)
        files[name] = [str(path) for path in paths]
    return files


def slice_sql(model: str, chosen: Filter) -> str:
    """The definition of `slice`, as SQL without parameters."""
    return f"FROM predictions WHERE {chosen.literal_sql(model)}"
