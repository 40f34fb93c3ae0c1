"""Long work in a process of its own, with progress, that can be cancelled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field

import streamlit as st


@dataclass
class Job:
    """A process that reports as `classifiers.steps.tell` does.

    Attributes
    ----------
    done, total, words: its last report. error: why it failed, in one sentence. cancelled: whether
    somebody stopped it.
    """

    process: subprocess.Popen[str]
    done: int = 0
    total: int = 1
    words: str = "starting"
    error: str | None = None
    cancelled: bool = False
    _reader: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @classmethod
    def start(cls, module: str, *arguments: str) -> Job:
        """Run `python -m module arguments…`, politely."""
        return cls(
            subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                    # The dashboard is to stay quick meanwhile.
                    "OMP_NUM_THREADS": "1",
                },
            )
        )

    @property
    def running(self) -> bool:
        return self._reader.is_alive()

    @property
    def share(self) -> float:
        return min(self.done / max(self.total, 1), 1.0)

    def cancel(self) -> None:
        """Stop it; what it has made so far is lost."""
        self.cancelled = True
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self._reader.join(10)

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as lines:
            for line in lines:
                self._heed(line)
        code = self.process.wait()
        if code and not self.error and not self.cancelled:
            self.error = f"The work ended early (exit code {code}); start it again."

    def _heed(self, line: str) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            return
        if "error" in said:
            self.error = said["error"]
        else:
            self.done, self.total, self.words = said["done"], said["total"], said["words"]


@st.cache_resource(show_spinner=False)
def _jobs() -> dict[tuple[str, ...], Job]:
    """The jobs of this server, by what they do: two people asking for one thing share it."""
    return {}


def offer(label: str, about: str, module: str, *arguments: str) -> None:
    """A button that starts a job; its progress and a way to stop it while it runs.

    The page runs again when it has ended.
    """
    key = (module, *arguments)
    job = _jobs().get(key)
    if job and not job.running:
        del _jobs()[key]
        if job.error:
            st.text(job.error)
        elif job.cancelled:
            st.caption("Cancelled.")
    if not job or not job.running:
        st.caption(about)
        if st.button(label, icon=":material/play_arrow:", key=f"start-{module}"):
            _jobs()[key] = Job.start(module, *arguments)
            st.rerun()
        return
    _watch(key)


@st.fragment(run_every=1.0)
def _watch(key: tuple[str, ...]) -> None:
    job = _jobs().get(key)
    if job is None or not job.running:
        st.rerun()
        return
    st.progress(job.share, text=f"{job.words.capitalize()} · step {job.done} of {job.total}")
    if st.button("Cancel", icon=":material/stop:", key=f"stop-{key[0]}"):
        job.cancel()
        st.rerun()
