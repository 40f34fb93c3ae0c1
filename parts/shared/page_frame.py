"""The top and the foot of every page, and the pages shown instead, which say what to run."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import streamlit as st

from charts.formatting import minute, plain
from charts.html import piece, render
from charts.sentences import day_words
from data.addresses import readable
from data.queries import ingest_runs
from data.store.snapshot import Snapshot
from data.store.store import local
from parts.server.access import access, leave, may, signed_in_as
from parts.server.caching import cached_data
from parts.shared import first_steps
from parts.shared.view import (
    FEWEST,
    GROUPS,
    NEEDS,
    PAGES,
    View,
    go_to_newest,
    path_of,
    reader_zone,
    snapshot_at,
)

# Drawn here, because a named icon would be fetched from another host.
ICON = Path(__file__).with_name("icon.svg").read_text("utf-8").strip()


def top(present: str, path: str, view: View | None = None) -> None:
    """Product, store, and the pages in groups, with links to what `view` shows."""

    def href(page: str) -> str:
        return view.href(page) if view else path_of(page)

    groups = [
        (
            name,
            [
                {"href": href(page), "title": title, "present": page == present}
                for page, title, _ in group
                if may(NEEDS[page])
            ],
        )
        for name, group in GROUPS.items()
        if any(may(NEEDS[page]) for page, _, _ in group)
    ]
    where = readable(str(local(path)))
    st.html(
        piece(
            "parts/shared/frame.html",
            "top",
            home=href(PAGES[0][0]),
            store=where.rpartition("/")[2] or where,
            where=where,
            groups=groups,
        )
    )


def styles() -> None:
    """The one rule that the theme cannot express: dark text on light buttons, in the dark theme."""
    if st.context.theme.type == "dark":
        st.html(render("parts/shared/dark_buttons.html"))


def foot(view: View) -> None:
    """Data version, model and freshness; a way to the newest version where there is one."""
    st.space("small")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        parts = [f"Version {view.snapshot.version}"]
        parts.append(f"model {plain(view.model)}" if view.model else "no model yet")
        if view.bounds:
            parts.append(f"scored up to {day_words(view.bounds[1], True)}, UTC")
        arrived = _arrived(view.path, view.snapshot.version)
        if arrived:
            parts.append(f"last logs {minute(arrived, reader_zone())}")
        st.caption(" · ".join(parts))
        if view.outdated:
            newest_button("There is newer data: go to it")
        whoever()


def whoever() -> None:
    """Who is signed in, and their way out; nothing where nobody signs in."""
    if (address := signed_in_as()) is None:
        return
    present = access()
    limits = [", ".join(names) for names in (present.assistants, present.locales) if names]
    # As a text, which makes no link of an address.
    st.text("; ".join([f"{address}, {present.role}", *limits]))
    st.button("Sign out", on_click=leave, type="tertiary", icon=":material/logout:")


@cached_data(max_entries=32, show_spinner=False)
def _arrived(path: str, version: str) -> datetime | None:
    """When logs were last read in."""
    return ingest_runs.newest(snapshot_at(path, version))


def newest_button(label: str) -> None:
    """Leave the pinned version for the newest one, filters and turn kept."""
    st.button(label, on_click=go_to_newest, type="tertiary", icon=":material/update:")


def missing_store(path: str) -> None:
    """A page for a store that does not exist."""
    st.header("No store here yet", anchor=False)
    st.text(f"There is no store at {readable(str(local(path)))}.")
    first_steps.first_logs(path)


def not_allowed(message: str) -> None:
    """What a page says to somebody who may not open it."""
    st.header("This page is not yours to see", anchor=False)
    st.text(message)
    whoever()


def too_few() -> None:
    """Shown in place of the figures of so few turns that they would be about single ones."""
    st.text(f"These filters leave fewer than {FEWEST} turns, too few for a viewer. Take one away.")


def trouble(message: str) -> None:
    """A page for a store or a link that cannot be read, in one sentence."""
    st.header("This cannot be shown", anchor=False)
    st.text(message)


def no_turns(path: str) -> None:
    """A page for a store without turns."""
    first_steps.empty_store(path)


def no_predictions(snapshot: Snapshot, path: str) -> None:
    """A page for a store whose turns have not been scored, or have no possible dates."""
    first_steps.not_scored(snapshot, path)


def nothing_fits(view: View) -> None:
    """Say why a page has nothing to show within the filters."""
    st.text(
        "Turns with impossible dates belong to no period; Explore lists them."
        if view.chosen.dates
        else "No turn fits these filters. Take one away."
    )
