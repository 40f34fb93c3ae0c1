"""The interface of a background job, whatever runs it, and the jobs of one server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeVar

import streamlit as st

from progress import Step

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


class Jobs:
    """The jobs of one server: at most one at a time of each name; may be used from any thread."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job[Any]] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> Job[Any] | None:
        with self._lock:
            return self._jobs.get(name)

    def start(self, name: str, begin: Callable[[], Job[Any]]) -> Job[Any]:
        """The running job of this name, else the one that `begin` starts."""
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
