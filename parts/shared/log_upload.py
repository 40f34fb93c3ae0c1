"""Upload of a log file in the browser: through `faultline ingest`, in a process of its own."""

from __future__ import annotations

import re
import tempfile
import threading
from pathlib import Path
from typing import Any, Literal

import streamlit as st

from charts.formatting import count, plain, several, short
from parts.jobs.job import INGEST, Job, Jobs, jobs
from parts.jobs.process import ProcessJob
from parts.jobs.widget import watch
from parts.shared.view import go_to_newest

# As `server.maxUploadSize` in .streamlit/config.toml, which the server enforces.
LARGEST_MB = 100
SUFFIXES = ("jsonl", "ndjson", "json", "gz", "zst", "parquet", "log", "txt", "pb")
OnConflict = Literal["keep", "replace", "refuse"]
_CONFLICTS: dict[OnConflict, str] = {
    "keep": "Keep the stored turn",
    "replace": "Replace it",
    "refuse": "Store nothing",
}
_REFUSED = "log-refused"
# Reasons for quarantine that are shown.
_REASONS = 3
# Control characters, which no argument of a process can hold, or which hide what a name is.
_INVISIBLE = re.compile(r"[\x00-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Ingestion(ProcessJob):
    """`faultline ingest` of an uploaded file, which lies in a private folder until it has ended."""

    def __init__(self, path: str, file: str, content: bytes, on_conflict: OnConflict) -> None:
        self.file = shown_name(file)
        self._folder = tempfile.TemporaryDirectory(prefix="faultline-")
        # Its own name decides nothing but the format.
        upload = Path(self._folder.name) / f"upload{_format_of(self.file)}"
        upload.write_bytes(content)
        super().__init__(
            "Ingestion",
            "cli",
            [
                INGEST,
                str(upload),
                f"--name={self.file}",
                f"--on-conflict={on_conflict}",
                "--allow-quarantined",
                "--json",
                "--store",
                path,
            ],
        )
        # Whether or not anybody still looks at the page.
        threading.Thread(target=self._clean_up, daemon=True).start()

    def _clean_up(self) -> None:
        self._process.wait()
        self._folder.cleanup()


def _format_of(name: str) -> str:
    """The endings of a name that say its format, such as `.jsonl.gz`."""
    return "".join(
        suffix for suffix in Path(name.casefold()).suffixes[-2:] if suffix[1:] in SUFFIXES
    )


def shown_name(name: str) -> str:
    """The name of an uploaded file as reports and quarantine show it, without folders."""
    base = _INVISIBLE.sub("", name.replace("\\", "/").rsplit("/", 1)[-1]).strip()
    return f"upload: {base[-150:] or 'log.jsonl'}"


def upload(path: str) -> None:
    """Draw the choice of a file, its ingestion, and what came of it."""
    work = jobs(path)
    job = work.get(INGEST)
    if job is not None and job.state == "running":
        st.text("The file is being read.")
        watch(job, cancel="Stop", action="maintain")
        return
    file = st.file_uploader(
        f"A log file, up to {LARGEST_MB} MB: traces (JSONL, Parquet) or another "
        "system's log, also .gz or .zst",
        SUFFIXES,
        max_upload_size=LARGEST_MB,
        key=f"log-{st.session_state.get('logs-uploaded', 0)}",
    )
    if file is not None:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            on_conflict = st.selectbox(
                "If an id belongs to another turn",
                _CONFLICTS,
                format_func=_CONFLICTS.__getitem__,
                key="log-on-conflict",
                width=260,
                help="A record with the id of a stored turn but another dialogue or time. Kept out "
                "records go to quarantine; an unchanged turn is never stored twice.",
            )
            st.button(
                "Ingest",
                type="primary",
                icon=":material/upload_file:",
                on_click=_start,
                args=(path, work, file.name, file.getvalue(), on_conflict),
            )
    if refusal := st.session_state.pop(_REFUSED, None):
        st.error(refusal, icon=":material/error:")
    if job is not None:
        _result(work, job)


def _start(path: str, work: Jobs, name: str, content: bytes, on_conflict: OnConflict) -> None:
    if len(content) > LARGEST_MB << 20:
        # The server refuses it before; this is for one that was started with another limit.
        st.session_state[_REFUSED] = (
            f"The file has {len(content) / 1e6:.0f}\u2009MB, more than the {LARGEST_MB} that can "
            "be uploaded; read it with: faultline ingest"
        )
        return
    work.start(INGEST, lambda: Ingestion(path, name, content, on_conflict))
    # A new uploader, so that the same file is not offered again.
    st.session_state["logs-uploaded"] = st.session_state.get("logs-uploaded", 0) + 1


def _result(work: Jobs, job: Job[dict[str, Any]]) -> None:
    """What an ingestion did, or why it did nothing."""
    if job.state != "done":
        st.error(
            plain(str(job.error or "It was stopped; nothing was stored.")),
            icon=":material/error:",
        )
        st.button("Close", on_click=work.forget, args=(INGEST,))
        return
    files = (job.result or {}).get("files") or [{}]
    st.markdown(report_words(files[0]))
    reasons = files[0].get("reasons") or []
    if reasons:
        st.dataframe(
            {
                "Lines": [each["lines"] for each in reasons[:_REASONS]],
                "Field": [short(each["field"], 80) or "the line" for each in reasons[:_REASONS]],
                "Reason": [short(each["reason"], 160) for each in reasons[:_REASONS]],
            },
            hide_index=True,
            height="content",
            column_config={"Reason": st.column_config.TextColumn(width="large")},
        )
        left = len(reasons) - _REASONS
        more = f"{several(left, 'more reason')}; all" if left > 0 else "All"
        st.caption(f"{more} quarantined lines are under Arrivals on the page Data.")
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Show the new data",
            type="primary",
            icon=":material/update:",
            on_click=_show,
            args=(work,),
        )
        st.button("Close", on_click=work.forget, args=(INGEST,))


def _show(work: Jobs) -> None:
    work.forget(INGEST)
    go_to_newest()


def report_words(file: dict[str, Any]) -> str:
    """What became of a file, a `FileReport` as JSON, in one sentence of Markdown."""
    parts = [several(int(file.get("turns", 0)), "turn")]
    for key, words in (
        ("replaced", "replaced"),
        ("unchanged", "already there"),
        ("interim", "interim, not stored"),
        ("misdated", "with impossible dates"),
        ("conflicts", "with the id of another turn"),
        ("quarantined", "quarantined"),
    ):
        if file.get(key):
            parts.append(f"{count(int(file[key]))} {words}")
    return f"**{plain(short(str(file.get('file', '')), 160))}**: {', '.join(parts)}."
