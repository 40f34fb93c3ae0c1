"""The interface of a background job, whatever runs it, and the jobs of one server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

import streamlit as st

from charts.formatting import plain
from data.errors import NotPermitted
from parts.server.access import require
from progress import Step

# Jobs that change or remove logs, by name.
INGEST, UPKEEP = "ingest", "upkeep"
OF_ADMINS = (INGEST, UPKEEP)
State = Literal["running", "done", "failed", "stopped"]
T_co = TypeVar("T_co", covariant=True)


class Job(Protocol[T_co]):
    """Work that runs beside the pages from its creation on; may be used from any thread."""

    @property
    def name(self) -> str:
        """What the work is called, such as `Training`."""

    @property
    def state(self) -> State:
        """`stopped` if somebody ended it before it had a result."""

    @property
    def progress(self) -> Step:
        """The last step that it reported."""

    @property
    def seconds(self) -> float:
        """How long it has been running, or ran."""

    @property
    def result(self) -> T_co | None:
        """What it returned; None unless it is done."""

    @property
    def error(self) -> Exception | None:
        """Why it failed, one sentence as text; None unless it failed."""

    def stop(self) -> None:
        """Ask it to end; it leaves nothing half-written."""

    def wait(self, seconds: float) -> State:
        """Wait for its end, at most `seconds`; return the state then."""


@dataclass(frozen=True)
class RefusedJob:
    """A job that was not started, as whoever asked for it may not."""

    name: str
    error: NotPermitted
    state: State = "failed"
    progress: Step = field(default_factory=Step)
    seconds: float = 0.0
    result: None = None

    def stop(self) -> None:
        return

    def wait(self, seconds: float) -> State:
        return self.state


class Jobs:
    """The jobs of one server: at most one at a time of each name; may be used from any thread."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job[Any]] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> Job[Any] | None:
        with self._lock:
            return self._jobs.get(name)

    def start(self, name: str, begin: Callable[[], Job[Any]]) -> Job[Any]:
        """The running job of this name, else the one that `begin` starts.

        For a visitor who may not start it, one that has failed, which nobody else sees.
        """
        try:
            require("maintain" if name in OF_ADMINS else "run", name)
        except NotPermitted as error:
            st.toast(plain(str(error)))
            return RefusedJob(name, error)
        with self._lock:
            job = self._jobs.get(name)
            if job is None or job.state != "running":
                job = self._jobs[name] = begin()
            return job

    def forget(self, name: str) -> None:
        """Remove a job that has ended."""
        with self._lock:
            job = self._jobs.get(name)
            if job is not None and job.state != "running":
                del self._jobs[name]


@st.cache_resource(show_spinner=False)
def jobs(path: str) -> Jobs:
    """The jobs of a store, for everybody who uses this server."""
    return Jobs()
