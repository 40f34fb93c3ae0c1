"""A job in a process of its own.

Training takes minutes and all cores; in the dashboard's own process it would hold up every page.
"""

from __future__ import annotations

import atexit
import json
import os
import site
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from data.errors import FaultlineError
from parts.jobs.job import State
from progress import FORMAT_VARIABLE, Step

# Seconds between the request to stop and killing the process.
_GRACE_S = 20.0
_ROOT = Path(__file__).parents[2]


class ProcessJob:
    """A `parts.jobs.job.Job` that runs `python -m module arguments…`.

    The result is the JSON object that it printed.

    Parameters
    ----------
    name: what the work is called.
    module: `cli` (the commands of `faultline`), or one that ends with `progress.run_reporting`.
    polite: use one core only.
    """

    def __init__(
        self, name: str, module: str, arguments: Sequence[str], *, polite: bool = False
    ) -> None:
        self.name = name
        self._began = time.monotonic()
        self._ended: float | None = None
        self._stopped = False
        # Both streams as text, once it has ended.
        self._texts: tuple[str, str] | None = None
        # They live as long as the job.
        self._out = tempfile.TemporaryFile()  # noqa: SIM115
        self._err = tempfile.TemporaryFile()  # noqa: SIM115
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            # -P: the folder it is started in may hold a folder `data` that is not ours.
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            env={
                **os.environ,
                **_import_path(),
                FORMAT_VARIABLE: "json",
                **({"OMP_NUM_THREADS": "1"} if polite else {}),
            },
        )
        # The job ends with the server.
        atexit.register(self._process.terminate)

    @property
    def state(self) -> State:
        code = self._process.poll()
        if code is None:
            return "running"
        with self._lock:
            if self._texts is None:
                self._ended = time.monotonic()
                atexit.unregister(self._process.terminate)
                self._texts = _text(self._out), _text(self._err)
                self._out.close()
                self._err.close()
        if code == 0:
            return "done"
        return "stopped" if self._stopped else "failed"

    @property
    def progress(self) -> Step:
        steps = (Step.parse(line) for line in reversed(self._read(1).splitlines()))
        return next((step for step in steps if step), Step())

    @property
    def seconds(self) -> float:
        return (self._ended or time.monotonic()) - self._began

    @property
    def result(self) -> dict[str, Any] | None:
        """The JSON object that it printed; empty where it printed none, None unless it is done."""
        if self.state != "done":
            return None
        try:
            printed = json.loads(self._read(0))
        except ValueError:
            return {}
        return printed if isinstance(printed, dict) else {}

    @property
    def error(self) -> Exception | None:
        if self.state != "failed":
            return None
        lines = [line for line in self._read(1).splitlines() if line.strip()]
        lines = [line for line in lines if Step.parse(line) is None]
        for line in reversed(lines):
            if line.startswith("Error: "):
                return FaultlineError(line.removeprefix("Error: "))
        last = f": {lines[-1]}" if lines else ""
        code = self._process.returncode
        return FaultlineError(f"The work ended early (exit code {code}){last}; start it again.")

    def stop(self) -> None:
        if self.state == "running":
            self._stopped = True
            self._process.terminate()
            insist = threading.Timer(_GRACE_S, self._process.kill)
            insist.daemon = True
            insist.start()

    def wait(self, seconds: float) -> State:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self.state

    def _read(self, stream: int) -> str:
        with self._lock:
            return self._texts[stream] if self._texts else _text((self._out, self._err)[stream])


def _import_path() -> dict[str, str]:
    """Environment variables with which another process imports our rooms; none if installed."""
    if str(_ROOT) in (*site.getsitepackages(), site.getusersitepackages()):
        return {}
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths)}


def _text(file: Any) -> str:
    # The process writes where this file's position is, so reading must not move it.
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), size, 0).decode("utf-8", "replace")
