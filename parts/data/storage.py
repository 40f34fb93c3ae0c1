"""Storage on the Data page: sizes, and compaction and vacuum in the background."""

from __future__ import annotations

import streamlit as st

from charts.formatting import count, plain
from data.store import disk_usage
from data.store.compaction import compact
from data.store.vacuum import vacuum
from parts.jobs.job import UPKEEP, jobs
from parts.jobs.thread import ThreadJob
from parts.jobs.widget import watch
from parts.server.access import open_store, visitor
from parts.server.caching import cached_data
from parts.shared.formatted import MINUTE
from parts.shared.view import (
    View,
    go_to_newest,
    reader_zone,
    snapshot_at,
)
from progress import Progress

# The name of these jobs, of which a store runs one at a time.
_COMPACTION, _VACUUM = "Compaction", "Vacuum"


@cached_data(max_entries=8, show_spinner=False)
def _tables(path: str, version: str) -> list[disk_usage.TableSize]:
    return disk_usage.tables(snapshot_at(path, version))


def size(n: int) -> str:
    """Bytes as `44.1 MB`."""
    for unit, limit in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= limit:
            return f"{n / limit:.1f}\u2009{unit}"
    return f"{n}\u2009B"


def sizes(view: View) -> None:
    """Sizes of the tables, of the models, and of the store's whole folder."""
    store = open_store(view.path)
    tables = _tables(view.path, view.snapshot.version)
    st.subheader(
        "Storage",
        anchor=False,
        help="What this version takes on disk, table by table.",
    )
    live, whole = sum(table.bytes for table in tables), disk_usage.on_disk(store)
    files = sum(table.files for table in tables)
    st.caption(
        f"This version has {size(live)} in {count(files)} files; the store’s folder, "
        f"with earlier versions and models, {size(whole)}."
    )
    st.dataframe(
        {
            "Table": [table.name for table in tables],
            "Rows": [table.rows for table in tables],
            "Files": [table.files for table in tables],
            "Size": [size(table.bytes) for table in tables],
            "Rows per file": [
                table.rows // table.files if table.files else None for table in tables
            ],
            "Version": [table.version for table in tables],
        },
        hide_index=True,
        placeholder="–",
    )
    st.markdown("**Models**")
    models = disk_usage.models(store)
    if not models:
        st.caption("There is no model yet.")
        return
    zone = reader_zone()
    st.dataframe(
        {
            "Model": [model.model for model in models],
            "Size": [size(model.bytes) for model in models],
            "Created": [model.made_at.astimezone(zone) for model in models],
            "In use": ["promoted" if model.promoted else "" for model in models],
        },
        hide_index=True,
        column_config={"Created": st.column_config.DatetimeColumn(format=MINUTE)},
    )


def upkeep(view: View) -> None:
    """Compaction and vacuum, each behind a confirmation; one at a time."""
    st.subheader(
        "Maintenance",
        anchor=False,
        help="Merge small files, and delete the files of old versions.",
    )
    job = jobs(view.path).get(UPKEEP)
    running = job is not None and job.state == "running"
    with st.container(horizontal=True, gap="small"):
        with st.popover("Compact", icon=":material/compress:", disabled=running):
            st.caption(
                "Merges small files, so that queries open fewer. The rows stay the same; others "
                "can read and write meanwhile. Earlier versions stay readable."
            )
            st.button("Compact now", type="primary", on_click=_compact, args=(view.path,))
        with st.popover("Vacuum", icon=":material/delete_sweep:", disabled=running):
            st.caption(
                "Deletes files that no kept version needs. Links to older versions can then no "
                "longer be opened, by anyone. This cannot be undone."
            )
            hours = st.number_input(
                "Keep versions of the last hours", 24, 876_000, 168, step=24, key="vacuum-hours"
            )
            sure = st.checkbox("Older versions may go for good", key="vacuum-sure")
            st.button(
                "Vacuum now",
                type="primary",
                disabled=not sure,
                on_click=_vacuum,
                args=(view.path, float(hours)),
            )
    if job is None:
        return
    if job.state == "running":
        watch(job, cancel="Stop after this table" if job.name == _COMPACTION else None)
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(plain(job.result or str(job.error or f"{job.name} was stopped.")))
        if open_store(view.path).head().version != view.snapshot.version:
            st.button("Go to the version after it", on_click=go_to_newest, type="tertiary")


def _compact(path: str) -> None:
    jobs(path).start(UPKEEP, lambda: compaction(path))


def _vacuum(path: str, hours: float) -> None:
    jobs(path).start(UPKEEP, lambda: removal(path, hours))


def compaction(path: str) -> ThreadJob[str]:
    """Merge the small files of a store; the result is a sentence."""
    # A thread of its own is nobody's run of a script.
    present = visitor()

    def work(progress: Progress) -> str:
        report = compact(present.store(path), progress)
        return f"Compaction left {report.after} of {report.before} files."

    return ThreadJob(_COMPACTION, work)


def removal(path: str, keep_hours: float) -> ThreadJob[str]:
    """Remove the files that no version of the last hours needs; the result is a sentence or two."""
    present = visitor()

    def work(progress: Progress) -> str:
        report = vacuum(present.store(path), keep_hours, progress=progress)
        models = f" Models removed: {', '.join(report.models)}." if report.models else ""
        return f"Vacuum removed {report.files} files, {report.bytes / 1e6:.1f} MB.{models}"

    return ThreadJob(_VACUUM, work)
