"""Storage on the Data page: sizes, and compaction and vacuum in the background."""

from __future__ import annotations

import streamlit as st

from charts.formatting import count, plain
from data.errors import FaultlineError
from data.store import disk_usage
from data.store.store import Store
from parts.shared.view import (
    View,
    go_to_newest,
    reader_zone,
    snapshot_at,
)


@st.cache_resource(max_entries=16, show_spinner=False)
def _chore(path: str) -> disk_usage.Chore:
    """The upkeep of a store, the same for everyone who looks at it."""
    return disk_usage.Chore()


@st.cache_data(max_entries=8, show_spinner=False)
def _tables(path: str, version: str) -> list[disk_usage.TableSize]:
    return disk_usage.tables(snapshot_at(path, version))


def size(n: int) -> str:
    """Bytes as `44.1 MB`."""
    for unit, limit in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= limit:
            return f"{n / limit:.1f}\u2009{unit}"
    return f"{n}\u2009B"


def sizes(view: View) -> None:
    """Tables and models, and what the folder takes as a whole."""
    store = Store.open(view.path)
    found = _tables(view.path, view.snapshot.version)
    st.subheader("Storage", anchor=False)
    live, whole = sum(one.bytes for one in found), disk_usage.on_disk(store)
    st.caption(
        f"This version has {size(live)} in {count(sum(one.files for one in found))} files; the "
        f"store’s folder, with earlier versions and models, {size(whole)}."
    )
    st.dataframe(
        {
            "Table": [one.name for one in found],
            "Rows": [one.rows for one in found],
            "Files": [one.files for one in found],
            "Size": [size(one.bytes) for one in found],
            "Rows a file": [one.rows // one.files if one.files else None for one in found],
            "Version": [one.version for one in found],
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
            "Model": [one.model for one in models],
            "Size": [size(one.bytes) for one in models],
            "Made": [one.made_at.astimezone(zone) for one in models],
            "In use": ["promoted" if one.promoted else "" for one in models],
        },
        hide_index=True,
        column_config={"Made": st.column_config.DatetimeColumn(format="D MMM YYYY, HH:mm")},
    )


def upkeep(view: View) -> None:
    """Compaction and vacuum, each behind a confirmation; one at a time."""
    st.subheader("Upkeep", anchor=False)
    chore = _chore(view.path)
    with st.container(horizontal=True, gap="small"):
        with st.popover("Compact", icon=":material/compress:", disabled=chore.running):
            st.caption(
                "Merges small files, so that queries open fewer. The rows stay the same; others "
                "can read and write meanwhile. Earlier versions stay readable."
            )
            st.button("Compact now", type="primary", on_click=_compact, args=(view.path,))
        with st.popover("Vacuum", icon=":material/delete_sweep:", disabled=chore.running):
            st.caption(
                "Removes files that no kept version needs. Links to older versions can then no "
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
    if chore.running:
        _watch(chore)
    elif chore.outcome:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(plain(chore.outcome))
            if Store.open(view.path).head().version != view.snapshot.version:
                st.button("Go to the version after it", on_click=go_to_newest, type="tertiary")


def _compact(path: str) -> None:
    _begin(path, "Compaction", None)


def _vacuum(path: str, hours: float) -> None:
    _begin(path, "Vacuum", hours)


def _begin(path: str, name: str, hours: float | None) -> None:
    chore = _chore(path)
    try:
        store = Store.open(path)
    except FaultlineError as error:
        chore.outcome = str(error)
        return
    work = disk_usage.compacting(store) if hours is None else disk_usage.vacuuming(store, hours)
    chore.begin(name, work)


@st.fragment(run_every=0.5)
def _watch(chore: disk_usage.Chore) -> None:
    if not chore.running:
        st.rerun()
    share = chore.done / chore.total if chore.total else 0.0
    said = f"{chore.name}, for {chore.seconds:.0f} s"
    if chore.total > 1:
        said += f": {chore.done} of {chore.total} tables"
    st.progress(share, text=said)
    if chore.name == "Compaction":
        st.button("Stop after this table", on_click=chore.stop, icon=":material/stop:")
