"""Long work in a process of its own: watched, and stopped on request.

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

import streamlit as st

from charts.formatting import percent

State = Literal["running", "done", "failed", "stopped"]
# From the request to stop until it is insisted on, in seconds.
_GRACE_S = 20.0


class Job:
    """One run of `python -m module arguments…`, from the moment it is made.

    The module is `cli` (the commands of `faultline`), or one that reports its steps as
    `classifiers.steps.tell` does. Of the cores it takes one where `polite`.

    Attributes
    ----------
    arguments: of the module. began: when, as of `time.time`.
    """

    def __init__(self, module: str, arguments: Sequence[str], *, polite: bool = False) -> None:
        self.arguments = tuple(arguments)
        self.began = time.time()
        self._ended: float | None = None
        self._stopped = False
        # Output and progress, when it has ended.
        self._said: list[str] | None = None
        # They live as long as the job.
        self._out = tempfile.TemporaryFile()  # noqa: SIM115
        self._err = tempfile.TemporaryFile()  # noqa: SIM115
        self._lock = threading.Lock()
        here = str(Path(__file__).parents[2])
        paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *self.arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(paths),
                **({"OMP_NUM_THREADS": "1"} if polite else {}),
            },
        )
        # The server's end is the job's end.
        atexit.register(self._end)

    @property
    def state(self) -> State:
        code = self._process.poll()
        if code is None:
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

    def step(self) -> tuple[float, str]:
        """How far it has come, from 0 to 1, and what it does now, by its last report."""
        try:
            said = json.loads(self._read(0).splitlines()[-1])
            return min(said["done"] / max(said["total"], 1), 1.0), str(said["words"])
        except (IndexError, ValueError, TypeError, KeyError):
            return 0.0, "starting"

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
        if told:
            return told[-1]
        last = f": {said[-1]}" if said else ""
        return f"The work ended early (exit code {self._process.returncode}){last}; start it again."

    def stop(self) -> None:
        """Ask it to end; it leaves nothing half made."""
        if self.state == "running":
            self._stopped = True
            self._process.terminate()
            insist = threading.Timer(_GRACE_S, self._process.kill)
            insist.daemon = True
            insist.start()

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

    def start(
        self, name: str, module: str, arguments: Sequence[str], *, polite: bool = False
    ) -> Job:
        """Start a job, or give the one of this name that is running."""
        with self._lock:
            held = self._jobs.get(name)
            if held is None or held.state != "running":
                held = self._jobs[name] = Job(module, arguments, polite=polite)
            return held

    def forget(self, name: str) -> None:
        """Let go of a job that has ended."""
        with self._lock:
            held = self._jobs.get(name)
            if held is not None and held.state != "running":
                del self._jobs[name]


@st.cache_resource(show_spinner=False)
def jobs(path: str) -> Jobs:
    """The jobs of a store, for everybody who uses this server."""
    return Jobs()


def offer(path: str, label: str, about: str, module: str, *arguments: str) -> None:
    """A button that starts a job; its progress and a way to stop it while it runs.

    Two people who ask for one thing share it. The page runs again when it has ended.
    """
    work, name = jobs(path), " ".join((module, *arguments))
    job = work.get(name)
    if job and job.state == "running":
        _watch(job, module)
        return
    if job:
        work.forget(name)
        if job.state == "failed":
            st.text(job.trouble())
        elif job.state == "stopped":
            st.caption("Cancelled.")
    st.caption(about)
    if st.button(label, icon=":material/play_arrow:", key=f"start-{module}"):
        # The dashboard is to stay quick meanwhile.
        work.start(name, module, arguments, polite=True)
        st.rerun()


@st.fragment(run_every=1.0)
def _watch(job: Job, module: str) -> None:
    if job.state != "running":
        st.rerun()
        return
    share, words = job.step()
    st.progress(share, text=f"{words.capitalize()} · {percent(share)}")
    st.button("Cancel", icon=":material/stop:", key=f"stop-{module}", on_click=job.stop)
