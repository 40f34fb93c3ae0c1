"""Runs statements in the sandbox's own process code without starting Python for each of them.

A server that has imported `data.export.sandbox_worker` forks once per request; the fork runs the
worker's `main`. Each line of standard input is a request, each line of standard output its outcome.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data.export import sandbox_worker
from data.export.sandbox import LIMITS, Answer, Limits, read_answer, slice_sql, visible_files
from data.queries.filters import Filter
from data.queries.visibility import Reader
from data.store.snapshot import Snapshot
from tests.scored import MODEL


class Server:
    """A process that answers requests one after the other, see `data.export.sandbox.start`.

    `environment` is added to the sandbox's own environment, which is nearly empty.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.sandbox_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path), **environment},
        )

    def output(self, request: dict[str, Any], limits: Limits) -> tuple[bytes, int]:
        """What the worker writes for a request, and its exit code."""
        pipe = self._process
        assert pipe.stdin is not None
        assert pipe.stdout is not None
        bounds = {
            name: getattr(limits, name)
            for name in ("seconds", "megabytes", "rows", "result_megabytes", "file_megabytes")
        }
        pipe.stdin.write(json.dumps({**request, **bounds}).encode() + b"\n")
        pipe.stdin.flush()
        outcome = json.loads(pipe.stdout.readline())
        return base64.b64decode(outcome["output"]), outcome["code"]

    def run(self, snapshot: Snapshot, sql: str, reader: Reader, limits: Limits = LIMITS) -> Answer:
        """As `data.export.sandbox.run`."""
        with tempfile.TemporaryDirectory() as folder:
            files = visible_files(snapshot, reader, sql, Path(folder))
            definition = slice_sql(MODEL, Filter())
            request = {
                "access": asdict(snapshot.access),
                "files": files,
                "slice": definition,
                "sql": sql,
                "to": None,
                "spill": folder,
            }
            return read_answer(*self.output(request, limits), limits)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def _serve() -> None:
    for line in sys.stdin.buffer:
        (theirs, mine), (request, requested) = os.pipe(), os.pipe()
        child = os.fork()
        if not child:
            os.dup2(request, 0)
            os.dup2(mine, 1)
            # The worker closes nothing that it did not open.
            for descriptor in (theirs, mine, request, requested):
                os.close(descriptor)
            sys.stdin = os.fdopen(0, closefd=False)
            sandbox_worker.main()
            os._exit(1)
        os.close(mine)
        os.close(request)
        with os.fdopen(requested, "wb") as pipe:
            pipe.write(line)
        with os.fdopen(theirs, "rb") as pipe:
            output = pipe.read()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        encoded = base64.b64encode(output).decode()
        sys.stdout.write(json.dumps({"output": encoded, "code": code}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
