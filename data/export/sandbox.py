"""One statement of a reader's own, run on a snapshot where it can do no harm.

It runs in a process of its own (`data.export.sandbox_worker`), which holds the snapshot's views and
nothing else, has bounded memory and time, and can be stopped. So neither a crash nor a bomb of a
statement reaches the dashboard that asked.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from data.errors import FaultlineError, UsageError, VersionGone
from data.queries.filters import Filter
from data.store.snapshot import Snapshot

# The process ends itself at the limit. If it hangs, it is ended so many seconds later: on a busy
# machine it may take some to start.
_GRACE = 20.0
# How it ends when the statement did not listen to the interruption.
LATE = 3
# How often a statement that waits looks whether it was stopped, in seconds.
_PATIENCE = 0.1
# So many statements at once on one server; others wait their turn, within their own time.
_TOGETHER = threading.BoundedSemaphore(4)

# A statement to start from; `slice` is what the filter lets through.
EXAMPLE = """SELECT intent, count(*) AS turns, sum(p_defect) AS failures
FROM slice
GROUP BY intent
ORDER BY failures DESC
LIMIT 20"""


@dataclass(frozen=True)
class Limits:
    """How much a statement may take.

    Attributes
    ----------
    seconds: of running; what it waited for its turn is taken from them.
    megabytes: DuckDB's memory; the process as a whole gets a fixed amount more.
    rows, result_megabytes: of the answer; what is beyond is left out, and said.
    file_megabytes: of a file to be written.
    """

    seconds: float = 10.0
    megabytes: int = 500
    rows: int = 10_000
    result_megabytes: int = 32
    file_megabytes: int = 250


LIMITS = Limits()


@dataclass(frozen=True)
class Answer:
    """What a statement gave: its rows, or how many of them lie in the file that was asked for.

    `cut` says that there are more rows than `table` holds. `columns` are names and SQL types.
    """

    table: pa.Table
    rows: int
    cut: bool
    seconds: float
    columns: tuple[tuple[str, str], ...]


class Stopped(FaultlineError):
    """The reader stopped the statement."""


class Statement:
    """A statement that is running, or has run; made by `start`."""

    def __init__(self, request: dict[str, Any], snapshot: Snapshot, limits: Limits) -> None:
        self._request, self._snapshot, self._limits = request, snapshot, limits
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._found: Answer | FaultlineError | None = None
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    @property
    def seconds(self) -> float:
        """Since it was asked."""
        return time.monotonic() - self._began

    def stop(self) -> None:
        """End it; `answer` then raises `Stopped`."""
        with self._lock:
            self._stopped = True
            if self._process:
                self._process.kill()

    def answer(self) -> Answer:
        """Wait for the end. Raises UsageError with DuckDB's reason, in one sentence."""
        self._thread.join()
        if isinstance(self._found, Answer):
            return self._found
        assert self._found is not None
        raise self._found

    def _work(self) -> None:
        spill = tempfile.mkdtemp(prefix="faultline-sql-")
        entered = False
        try:
            while not entered and self.seconds < self._limits.seconds and not self._stopped:
                entered = _TOGETHER.acquire(timeout=_PATIENCE)
            if not entered and not self._stopped:
                raise UsageError("Too many statements are running; try again in a few seconds.")
            left = max(self._limits.seconds - self.seconds, _PATIENCE)
            self._found = self._run({**self._request, "spill": spill, "seconds": left})
        except FaultlineError as error:
            self._found = error
        except Exception as error:
            self._found = UsageError(f"The statement could not be run: {error}.")
        finally:
            if entered:
                _TOGETHER.release()
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
                # Nothing of this process's surroundings, which may hold secrets.
                env={"PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)},
                cwd=request["spill"],
            )
        late = threading.Timer(self._limits.seconds + _GRACE, process.kill)
        late.start()
        try:
            found, _ = process.communicate(json.dumps(request).encode())
        finally:
            hung = late.finished.is_set()
            late.cancel()
        if self._stopped:
            raise Stopped("The statement was stopped.")
        head, _, body = found.partition(b"\n")
        if not head:
            self._must_exist()
            if hung or process.returncode == LATE:
                raise self._too_long()
            raise UsageError(
                f"The statement needed more than {self._limits.megabytes} MB of memory or brought "
                "its process down; ask for less."
            )
        said = json.loads(head)
        if said.get("late"):
            raise self._too_long()
        if "error" in said:
            self._must_exist()
            raise UsageError(said["error"])
        table = pa.ipc.open_stream(io.BytesIO(body)).read_all() if body else pa.table({})
        columns = tuple((name, kind) for name, kind in said["columns"])
        return Answer(table, said["rows"], said["cut"], said["seconds"], columns)

    def _too_long(self) -> UsageError:
        return UsageError(
            f"The statement was interrupted after {self._limits.seconds:g} seconds; make it "
            "smaller."
        )

    def _must_exist(self) -> None:
        if any(not path.exists() for paths in self._snapshot.files.values() for path in paths):
            raise VersionGone.vacuumed(self._snapshot.version)


def start(
    snapshot: Snapshot,
    sql: str,
    *,
    model: str | None = None,
    chosen: Filter | None = None,
    to: Path | None = None,
    limits: Limits = LIMITS,
) -> Statement:
    """Begin to run one SELECT statement over the tables of a snapshot.

    Beside the tables it may name `slice`, the model's predictions within the filter `chosen`. With
    `to`, all of its rows are written to this file instead (.csv, .parquet or .jsonl).
    """
    try:
        sql.encode()
    except UnicodeEncodeError:
        raise UsageError("The statement holds half a character; type it anew.") from None
    request = {
        "files": {name: [str(path) for path in paths] for name, paths in snapshot.files.items()},
        "slice": slice_sql(model, chosen or Filter()) if model else None,
        "sql": sql,
        "to": str(to) if to else None,
        "megabytes": limits.megabytes,
        "rows": limits.rows,
        "result_megabytes": limits.result_megabytes,
        "file_megabytes": limits.file_megabytes,
    }
    return Statement(request, snapshot, limits)


def run(
    snapshot: Snapshot,
    sql: str,
    *,
    model: str | None = None,
    chosen: Filter | None = None,
    to: Path | None = None,
    limits: Limits = LIMITS,
) -> Answer:
    """`start`, and wait. Raises UsageError with the reason when it cannot be run."""
    return start(snapshot, sql, model=model, chosen=chosen, to=to, limits=limits).answer()


def slice_sql(model: str, chosen: Filter) -> str:
    """What `slice` stands for, as SQL without parameters."""
    return f"FROM predictions WHERE {chosen.literal_sql(model)}"
