"""A command of Faultline in a process of its own: watched, and stopped on request.

Training takes minutes and all cores; in the dashboard's own process it would hold up every page.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

State = Literal["running", "done", "failed", "stopped"]
# From the request to stop until it is insisted on, in seconds.
_GRACE_S = 20.0


class Job:
    """One run of `faultline ARGUMENTS`, from the moment it is made.

    Attributes
    ----------
    arguments: of the command. began: when, as of `time.time`.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments = tuple(arguments)
        self.began = time.time()
        self._ended: float | None = None
        self._stopped: float | None = None
        # Output and progress, when it has ended.
        self._said: list[str] | None = None
        # They live as long as the job.
        self._out = tempfile.TemporaryFile()  # noqa: SIM115
        self._err = tempfile.TemporaryFile()  # noqa: SIM115
        self._lock = threading.Lock()
        here = str(Path(__file__).parents[1])
        paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cli", *self.arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        # The server's end is the job's end.
        atexit.register(self._end)

    @property
    def state(self) -> State:
        code = self._process.poll()
        if code is None:
            if self._stopped and time.time() > self._stopped + _GRACE_S:
                self._process.kill()
            return "running"
        with self._lock:
            if self._ended is None:
                self._ended = time.time()
                atexit.unregister(self._end)
                self._said = [self._text(file) for file in (self._out, self._err)]
                self._out.close()
                self._err.close()
        if code == 0:
            return "done"
        return "stopped" if self._stopped else "failed"

    @property
    def seconds(self) -> float:
        """How long it has been running, or ran."""
        return (self._ended or time.time()) - self.began

    def lines(self) -> list[str]:
        """What it has said of its progress so far."""
        return self._read(1).splitlines()

    def result(self) -> dict[str, Any]:
        """The JSON that it printed; empty while it runs, or where it printed none."""
        if self.state != "done":
            return {}
        try:
            found = json.loads(self._read(0))
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def trouble(self) -> str:
        """Why it failed, in one sentence."""
        said = [line for line in self.lines() if line.strip()]
        told = [line.removeprefix("Error: ") for line in said if line.startswith("Error: ")]
        return told[-1] if told else (said[-1] if said else "The command ended without a word.")

    def stop(self) -> None:
        """Ask it to end; it leaves nothing half made."""
        if self.state == "running":
            self._stopped = self._stopped or time.time()
            self._process.terminate()

    def wait(self, seconds: float) -> State:
        """Wait for its end, at most so long."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self.state

    def _end(self) -> None:
        self._process.terminate()

    def _read(self, which: int) -> str:
        with self._lock:
            return self._said[which] if self._said else self._text((self._out, self._err)[which])

    @staticmethod
    def _text(file: Any) -> str:
        # The process writes where this file's position is, so reading must not move it.
        size = os.fstat(file.fileno()).st_size
        return os.pread(file.fileno(), size, 0).decode("utf-8", "replace")


class Jobs:
    """The jobs of one server: of each name at most one at a time, for any threads."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> Job | None:
        with self._lock:
            return self._jobs.get(name)

    def start(self, name: str, arguments: Sequence[str]) -> Job:
        """Start a job, or give the one of this name that is running."""
        with self._lock:
            held = self._jobs.get(name)
            if held is None or held.state != "running":
                held = self._jobs[name] = Job(arguments)
            return held

    def forget(self, name: str) -> None:
        """Let go of a job that has ended."""
        with self._lock:
            held = self._jobs.get(name)
            if held is not None and held.state != "running":
                del self._jobs[name]
