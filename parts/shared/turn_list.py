"""A paged list of the turns whose verdict is a failure; choosing one opens it."""

from __future__ import annotations

from typing import Any, cast

import pyarrow as pa
import streamlit as st

from charts.formatting import short
from charts.palette import PILLS
from data.queries import overview
from data.queries.filters import COLUMNS
from data.queries.turn_list import DEFECTS, Listing
from data.schema.trace import FAILURES
from data.schema.vocabulary import NAMES
from parts.shared.turn_links import openable, times
from parts.shared.view import CacheKey, View, choices

ROWS = 20
_ORDERS = ("newest", "most certain")


def defect_list(view: View, now: overview.Totals) -> None:
    """Defect turns within the filter, newest or most certain first, twenty to a page."""
    assert view.model is not None
    st.subheader("Defect turns", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        point = st.pills(
            "Failure point",
            [name for name in FAILURES if now.counts[name]],
            format_func=lambda name: f"{NAMES[name]} {now.counts[name]:,}".replace(",", "\u2009"),
            key="point",
            label_visibility="collapsed",
        )
        order = st.segmented_control(
            "Order",
            _ORDERS,
            default="newest",
            required=True,
            format_func=lambda name: f"{name.capitalize()} first",
            key="order",
            label_visibility="collapsed",
        )
    total = now.counts[point] if point else now.defects
    if not total:
        st.caption("No turn within this filter was called a defect.")
        return
    pages = -(-total // ROWS)
    slot = st.container()
    # The key changes with the list, so that a shorter list never starts on a page it does not have.
    where = f"{view.chosen.caption()}-{view.model}-{point}-{order}"
    page = st.pagination(pages, key=f"page-{where}") if pages > 1 else 1
    rows = _page(view.turns_key, point, cast(overview.Order, order), page, view)
    listed = Listing(point or DEFECTS, "newest" if order == "newest" else "certain")
    with slot:
        choose(rows, view, f"defects-{where}-{page}", listed)


@st.cache_data(max_entries=128, show_spinner=False)
def _page(
    key: CacheKey, point: str | None, order: overview.Order, page: int, _view: View
) -> pa.Table:
    """One page of the list; `key` identifies the list."""
    assert _view.model is not None
    return overview.defects(
        _view.snapshot,
        _view.model,
        _view.chosen,
        point=point,
        order=order,
        rows=ROWS,
        skip=(page - 1) * ROWS,
    )


def choose(
    rows: pa.Table, view: View, key: str, listed: Listing | None = None, **origin: str
) -> None:
    """A table of turns; choosing a row opens the Turn page, filters and version kept.

    `listed` says which list the rows are of, so that the Turn page can lead to the ones before and
    after; `origin` are more URL parameters for it, which say where the reader came from.
    """
    turns = rows.to_pylist()
    columns: dict[str, list[Any]] = {}
    if "failure_point" in rows.column_names:
        columns["Failure point"] = [[NAMES[row["failure_point"]]] for row in turns]
        columns["Probability"] = [100 * row["p"] for row in turns]
    columns["Heard"] = [short(row["heard"], 160) or "–" for row in turns]
    columns["When"], when = times(turns)
    varied = choices(view.path, view.snapshot.version, view.model)[1] if view.model else {}
    for name, label in (("assistant", "Assistant"), ("device", "Device"), ("intent", "Intent")):
        # What is the same everywhere says nothing about a row.
        if COLUMNS[name] in rows.column_names and len(varied.get(name, ())) != 1:
            columns[label] = [row[COLUMNS[name]] for row in turns]
    config = {
        "When": when,
        "Failure point": st.column_config.MultiselectColumn(
            options=[NAMES[name] for name in FAILURES],
            color=[PILLS[name] for name in FAILURES],
            width=110,
        ),
        "Probability": st.column_config.NumberColumn(format="%.1f %%", width=90),
        "Heard": st.column_config.TextColumn(width=340),
    }
    openable(view, turns, columns, config, key, **(listed.query() if listed else {}), **origin)
    st.caption("Tick a row to open the turn.")
