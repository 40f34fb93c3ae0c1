"""How a job looks on a page: a bar with what it does, and a way to stop it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from charts.formatting import percent, plain
from data.errors import NotPermitted
from parts.jobs.job import Job, jobs
from parts.jobs.process import ProcessJob
from parts.server.access import may, require

# Seconds between two looks at a running job.
_INTERVAL_S = 0.5


def watch(
    job: Job[Any],
    *,
    cancel: str | None = "Cancel",
    on_cancel: Callable[[], None] | None = None,
    action: str = "run",
) -> None:
    """The progress of a running job and a button that stops it; the page runs again at its end.

    `cancel` is the button's label; None for work that cannot be stopped. `on_cancel` is called
    before the job is stopped. `action` is what somebody has to be allowed so that they can stop it:
    everybody who uses the server shares its jobs.
    """
    _watch(job, cancel, on_cancel, action)


@st.fragment(run_every=_INTERVAL_S)
def _watch(
    job: Job[Any], cancel: str | None, on_cancel: Callable[[], None] | None, action: str
) -> None:
    if job.state != "running":
        st.rerun()
    st.progress(job.progress.share, text=progress_words(job))
    if cancel and may(action):
        st.button(
            cancel,
            icon=":material/stop:",
            key=f"stop-{job.name}",
            on_click=_cancel,
            args=(job, on_cancel, action),
        )


def _cancel(job: Job[Any], on_cancel: Callable[[], None] | None, action: str) -> None:
    try:
        require(action, f"stop: {job.name}")
    except NotPermitted as error:
        st.toast(plain(str(error)))
        return
    if on_cancel:
        on_cancel()
    job.stop()


def progress_words(job: Job[Any]) -> str:
    """How far a job is, as Markdown: `Training, 12 s: boosting out of fold · 40.0 %`."""
    step = job.progress
    parts = [plain(step.what)] if step.what else []
    if step.total:
        parts.append(percent(step.share))
    words = f"{plain(job.name)}, {job.seconds:.0f}\u2009s"
    return f"{words}: {' · '.join(parts)}" if parts else words


def offer(path: str, name: str, label: str, about: str, module: str, *arguments: str) -> None:
    """A button that starts `python -m module arguments…`; while that runs, its progress.

    Two people who ask for the same thing share it. The page runs again when it has ended.

    Parameters
    ----------
    path: of the store. name: what the work is called. label: of the button. about: what it does.
    """
    work, key = jobs(path), " ".join((module, *arguments))
    job = work.get(key)
    if job and job.state == "running":
        watch(job)
        return
    if job:
        work.forget(key)
        if job.error:
            st.text(str(job.error))
        elif job.state == "stopped":
            st.caption("Cancelled.")
    st.caption(about)
    if not may("run"):
        return
    if st.button(label, icon=":material/play_arrow:", key=f"start-{module}"):
        # So that the dashboard stays responsive meanwhile.
        work.start(key, lambda: ProcessJob(name, module, arguments, polite=True))
        st.rerun()
