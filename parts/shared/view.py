"""What a page looks at: one snapshot, one model, one filter."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from datetime import UTC, date, tzinfo
from urllib.parse import urlencode
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from data.queries.filters import Filter
from data.queries.overview import (
    bounds,
    facets,
    models,
    options,
)
from data.schema.layout import parse_version, version_text
from data.store.snapshot import Snapshot
from data.store.store import Store

STORE = "FAULTLINE_STORE"
_KEY = "view"
# What the URL and the session pin beside the filters.
PINS = ("at", "model")


# The pages in the order of the navigation: script, title, icon.
PAGES = (
    ("overview", "Overview", "monitoring"),
    ("triage", "Triage", "troubleshoot"),
    ("turn", "Turn", "forum"),
    ("model", "Model", "model_training"),
    ("annotate", "Annotate", "rate_review"),
    ("explore", "Explore", "table_chart"),
    ("data", "Data", "database"),
)


def pages(icons: bool = True) -> list[StreamlitPage]:
    """The pages, for `st.navigation`; the first one is the front page."""
    return [
        st.Page(
            f"pages/{name}.py",
            title=title,
            icon=f":material/{icon}:" if icons else None,
            default=not place,
        )
        for place, (name, title, icon) in enumerate(PAGES)
    ]


@dataclass(frozen=True)
class View:
    """Handed from `app.py` to the page it runs."""

    path: str
    snapshot: Snapshot
    # Whether something was committed since this version.
    outdated: bool
    model: str | None
    # First and last scored day and the number of scored turns; None before scoring.
    bounds: tuple[date, date, int] | None
    chosen: Filter

    @property
    def query(self) -> str:
        """The filter as text, for keys of caches."""
        return urlencode(self.chosen.query(), doseq=True)

    @property
    def logged(self) -> str:
        """The part of the version that searches and evidence rest on: a note changes it not."""
        names = ["turns", "predictions"]
        if self.chosen.source:
            names += ["labelled", "annotations"]
        versions = parse_version(self.snapshot.version)
        return version_text({name: versions.get(name, 0) for name in names})

    def link(self, **more: str) -> dict[str, str]:
        """URL parameters that lead another page to the same view.

        The filters are not among them: their widgets keep them in the URL, and no one else may.
        """
        made = {"at": self.snapshot.version}
        if self.model:
            made["model"] = self.model
        return made | more


def go_to_newest() -> None:
    """Leave the pinned version and model for the newest, filters kept; in a callback, or before a
    rerun. To be called after a page has written to the store, so that it shows what it wrote."""
    for key in PINS:
        st.session_state.pop(key, None)
        st.query_params.pop(key, None)


def store_path() -> str:
    """The store's path: `--store DIR` after `--`, else the environment, else `store`."""
    given = sys.argv[1:]
    for place, word in enumerate(given):
        if word == "--store" and place + 1 < len(given):
            return given[place + 1]
        if word.startswith("--store="):
            return word.removeprefix("--store=")
    return os.environ.get(STORE, "store")


@st.cache_resource(max_entries=4, show_spinner=False)
def snapshot_at(path: str, version: str) -> Snapshot:
    """A snapshot, shared by every reader of this version."""
    return Store.open(path).snapshot(at=version)


@st.cache_data(max_entries=32, show_spinner=False)
def choices(
    path: str, version: str, model: str
) -> tuple[tuple[date, date, int] | None, dict[str, list[str]]]:
    """Bounds of the scored days, and the values that a filter on the daily sums can take."""
    snapshot = snapshot_at(path, version)
    return bounds(snapshot, model), options(snapshot, model)


@st.cache_data(max_entries=32, show_spinner=False)
def facet_choices(path: str, version: str, model: str) -> dict[str, list[str]]:
    """The values that the other filters can take."""
    return facets(snapshot_at(path, version), model)


@st.cache_data(max_entries=32, show_spinner=False)
def scorers(path: str, version: str) -> list[str]:
    """Models that have scored turns in this version."""
    return models(snapshot_at(path, version))


def hand_over(view: View) -> None:
    """Called by `app.py` before it runs a page."""
    st.session_state[_KEY] = view


def current_view() -> View:
    """Called by a page: what to show."""
    if _KEY not in st.session_state:
        # A server's very first request may name a page, and Streamlit then runs it without
        # `app.py`, because there is a folder `pages`; once `st.navigation` was called, with it.
        # Without icons: the browser would fetch the page's own as a favicon, from elsewhere.
        st.navigation(pages(icons=False), position="hidden")
        st.rerun()
    found = st.session_state[_KEY]
    assert isinstance(found, View)
    return found


def reader_zone() -> tzinfo:
    """The browser's time zone; UTC where it does not say."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return UTC
