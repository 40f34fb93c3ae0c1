"""What a page shows: one snapshot, one model, one filter."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from datetime import UTC, date, tzinfo
from itertools import zip_longest
from typing import NamedTuple
from urllib.parse import urlencode
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from data.queries.filters import DATES, NOT, NOT_LOGGED, Filter
from data.queries.overview import (
    bounds,
    facets,
    models,
    options,
)
from data.schema.layout import parse_version, version_text
from data.schema.trace import STAGES
from data.store.snapshot import Snapshot
from parts.server.access import access, open_store
from parts.server.caching import cached_data, cached_resource
from parts.shared import address

STORE = "FAULTLINE_STORE"
_KEY = "view"

# The fewest values at which a list of them may be cut off (`data.queries.overview.facets`).
MOST_VALUES = 200

# The groups of the navigation, in its order, and their pages: script, title, icon. A group without
# pages is not shown.
GROUPS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "Watch": (("overview", "Overview", "monitoring"), ("data", "Data", "database")),
    "Diagnose": (
        ("triage", "Triage", "troubleshoot"),
        ("turn", "Turn", "forum"),
        ("explore", "Explore", "table_chart"),
    ),
    "Learn": (
        ("rewrites", "Rewrites", "published_with_changes"),
        ("labels", "Labels", "label"),
        ("teaching", "Teaching", "school"),
    ),
    "Model": (("model", "Model", "model_training"), ("annotate", "Annotate", "rate_review")),
}
PAGES = tuple(page for group in GROUPS.values() for page in group)
# What a visitor has to be allowed to open a page (`data.schema.access.ACTIONS`).
NEEDS = {
    "overview": "aggregates",
    "data": "arrivals",
    "triage": "aggregates",
    "turn": "turns",
    "explore": "sql",
    "rewrites": "turns",
    "labels": "turns",
    "teaching": "teach",
    "model": "aggregates",
    "annotate": "annotate",
}
# Figures of fewer turns are not shown to people who may see no single turn.
FEWEST = 10


def pages(icons: bool = True) -> list[StreamlitPage]:
    """The pages, for `st.navigation`; the first one is the front page."""
    return [
        st.Page(
            f"pages/{name}.py",
            title=title,
            icon=f":material/{icon}:" if icons else None,
            default=not number,
        )
        for number, (name, title, icon) in enumerate(PAGES)
    ]


class CacheKey(NamedTuple):
    """What caches are keyed by, beside the other arguments: equal keys have equal answers."""

    store: str
    version: str
    model: str | None
    query: str


@dataclass(frozen=True)
class View:
    """Handed from `app.py` to the page it runs."""

    path: str
    snapshot: Snapshot
    # Whether something was committed since this version.
    outdated: bool
    model: str | None
    # First and last scored day and the number of scored turns on them; None before scoring, and
    # where no scored turn has a possible date.
    bounds: tuple[date, date, int] | None
    chosen: Filter
    # Sentences about values of the filter that no scored turn has.
    unknown: tuple[str, ...] = ()

    @property
    def query(self) -> str:
        """The filter as text, for keys of caches and of widgets."""
        return urlencode(self.chosen.query(), doseq=True)

    @property
    def unfiltered(self) -> View:
        """The same version and model, all turns."""
        return replace(self, chosen=Filter())

    def cache_key(self, *tables: str) -> CacheKey:
        """What a cached answer about this view depends on.

        `tables` are those that the answer is read from: a commit to others, such as a note, then
        does not invalidate it. By default the whole version counts.
        """
        version = self.snapshot.version
        if tables:
            versions = parse_version(version)
            version = version_text({name: versions.get(name, 0) for name in tables})
        return CacheKey(self.path, version, self.model, self.query)

    @property
    def turns_key(self) -> CacheKey:
        """`cache_key` of what is read from turns and predictions, as searches and evidence are."""
        # Which turns are annotated is a filter as well.
        labels = ("labelled", "annotations") if self.chosen.source else ()
        return self.cache_key("turns", "predictions", "misdated", *labels)

    def link(self, **more: str) -> dict[str, list[str]]:
        """URL parameters that lead another page to the same version, model and filters."""
        parameters = {"at": [self.snapshot.version]}
        if self.model:
            parameters["model"] = [self.model]
        return {**parameters, **self.chosen.query(), **{k: [v] for k, v in more.items()}}

    def href(self, page: str, **more: str) -> str:
        """The address of a page with the same version, model and filters, from the server's root.

        It is whole: it shows the same in another tab, and to another reader.
        """
        return f"{path_of(page)}?{urlencode(self.link(**more), doseq=True)}"


def path_of(page: str) -> str:
    """The path of a page from the server's root, which another server may put under a prefix."""
    root = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"{'/' + root if root else ''}/{'' if page == PAGES[0][0] else page}"


def go_to_newest() -> None:
    """Leave the pinned version and model for the newest, and keep the filters.

    To be called in a callback or before a rerun. A page calls it after writing to the store, so
    that it shows what it wrote.
    """
    for key in address.PINS:
        st.session_state.pop(key, None)
    address.write({k: v for k, v in address.query().items() if k not in address.PINS})


def store_path() -> str:
    """The store's path: `--store DIR` after `--`, else the environment, else `store`."""
    arguments = sys.argv[1:]
    for argument, following in zip_longest(arguments, arguments[1:]):
        if argument == "--store" and following is not None:
            return following
        if argument.startswith("--store="):
            return argument.removeprefix("--store=")
    return os.environ.get(STORE, "store")


@cached_resource(max_entries=8, show_spinner=False)
def snapshot_at(path: str, version: str) -> Snapshot:
    """A snapshot, shared by all who see the same of this version."""
    return open_store(path).snapshot(at=version)


@cached_data(max_entries=32, show_spinner=False)
def choices(
    path: str, version: str, model: str
) -> tuple[tuple[date, date, int] | None, dict[str, list[str]]]:
    """Bounds of the scored days, and the values that a filter on the daily sums can take."""
    snapshot = snapshot_at(path, version)
    return bounds(snapshot, model), options(snapshot, model)


@cached_data(max_entries=32, show_spinner=False)
def facet_choices(path: str, version: str, model: str) -> dict[str, list[str]]:
    """The values that the other filters can take."""
    snapshot = snapshot_at(path, version)
    dates = list(DATES) if snapshot.counts()["misdated"] else []
    return {**facets(snapshot, model), "dates": dates}


def values_of(path: str, version: str, model: str, chosen: Filter) -> dict[str, list[str]]:
    """The values that occur, for the keys of a filter of which all values are known."""
    found = choices(path, version, model)[1]
    asked = {key.removeprefix(NOT) for key in chosen.query()}
    if asked & {"slot", "status"}:
        found = {**found, **facet_choices(path, version, model)}
    # The lists of values end somewhere: what is beyond may occur.
    whole = {key: values for key, values in found.items() if len(values) < MOST_VALUES}
    none = {"version": [f"{stage}:{NOT_LOGGED}" for stage in STAGES]}
    return {key: [*values, *none.get(key, [NOT_LOGGED])] for key, values in whole.items()}


@cached_data(max_entries=32, show_spinner=False)
def scorers(path: str, version: str) -> list[str]:
    """Models that have scored turns in this version."""
    return models(snapshot_at(path, version))


@cached_data(max_entries=64, show_spinner=False)
def _turns(key: CacheKey, _view: View) -> int:
    assert _view.model is not None
    clause, bound = _view.chosen.where()
    rows = _view.snapshot.query(
        f"SELECT count(*) AS n FROM predictions WHERE model_id = $model AND {clause}",
        {"model": _view.model, **bound},
    )
    return int(rows["n"][0].as_py())


def too_few(view: View) -> bool:
    """Whether the filters leave so few turns that their figures would be about single ones."""
    if not access().aggregates_only or view.model is None:
        return False
    return 0 < _turns(view.turns_key, view) < FEWEST


def hand_over(view: View) -> None:
    """Called by `app.py` before it runs a page."""
    st.session_state[_KEY] = view


def current_view() -> View:
    """Called by a page: what to show."""
    if _KEY not in st.session_state:
        # If a server's very first request names a page, Streamlit runs it without `app.py`, because
        # there is a folder `pages`; once `st.navigation` has been called, it runs `app.py`.
        # Without icons: the browser would fetch the page's own as a favicon from another host.
        st.navigation(pages(icons=False), position="hidden")
        st.rerun()
    view = st.session_state[_KEY]
    assert isinstance(view, View)
    return view


def reader_zone() -> tzinfo:
    """The browser's time zone; UTC where it does not say."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return UTC
