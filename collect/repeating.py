"""A command that a collector starts again and again beside itself, such as that of alerts."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import structlog

_ROOT = Path(__file__).parents[1]
_LOG = structlog.get_logger()
# One that takes longer hangs.
_LONGEST_S = 3_600.0
_ENDS_S = 10.0


class Repeating:
    """Starts `command` every `every_s` seconds, in a process of its own, until `stop`.

    One runs at a time: the seconds count from the end of the one before. It has low priority, so
    that what is received does not wait for it, and whatever it fails at is logged, no more. What it
    prints is not: a log of the collector holds nothing that comes from a store.
    """

    def __init__(self, command: Sequence[str], every_s: float, longest_s: float = _LONGEST_S):
        nice = shutil.which("nice")
        self._command = [*([nice, "-n", "10"] if nice else []), *command]
        self._shown = shlex.join(command)
        self._every_s = every_s
        self._longest_s = longest_s
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="repeating", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Start no more; one that runs is told to end, and has some seconds to do so."""
        with self._lock:
            self._stopping.set()
            if self._process is not None:
                with suppress(OSError):
                    self._process.terminate()
        self._thread.join(_ENDS_S)
        if self._thread.is_alive() and self._process is not None:
            self._process.kill()

    def _run(self) -> None:
        problem = ""
        while not self._stopping.wait(self._every_s):
            before, problem = problem, self._once()
            if problem and problem != before and not self._stopping.is_set():
                _LOG.warning("beside_failed", message=problem)

    def _once(self) -> str:
        """Run the command to its end; what was wrong, empty if nothing was."""
        null = subprocess.DEVNULL
        try:
            with self._lock:
                if self._stopping.is_set():
                    return ""
                self._process = subprocess.Popen(
                    self._command,
                    cwd=_ROOT,
                    stdin=null,
                    stdout=null,
                    stderr=null,
                    env={**os.environ, "PYTHONPATH": str(_ROOT)},
                )
            with self._process as process:
                try:
                    code = process.wait(self._longest_s)
                except subprocess.TimeoutExpired:
                    process.kill()
                    return f"'{self._shown}' did not end in {self._longest_s:g} s and was ended."
        except OSError as error:
            # Out of memory, of processes or of open files, which may pass.
            why = (error.strerror or type(error).__name__).lower()
            return f"'{self._shown}' cannot be started: {why}; it is tried again."
        return f"'{self._shown}' ended with code {code}; run it to see why." if code else ""
