"""A paged list of the turns whose verdict is a failure; choosing one opens it."""

from __future__ import annotations

import pyarrow as pa
import streamlit as st

from charts.formatting import count
from data.queries import overview
from data.queries.filters import COLUMNS
from data.queries.turn_list import CERTAIN, DEFECTS, Listing, order_of
from data.schema.trace import FAILURES
from data.schema.vocabulary import NAMES
from parts.server.caching import cached_data
from parts.shared import address
from parts.shared.turn_links import Column, openable, page_of, shares, times
from parts.shared.view import CacheKey, View, choices

ROWS = 20
_ORDERS = ("newest", CERTAIN)


def defect_list(view: View, now: overview.Totals) -> None:
    """Defect turns within the filter, newest or most certain first, twenty to a page."""
    assert view.model is not None
    st.subheader("Defect turns", anchor=False)
    given = Listing.from_query({"list": DEFECTS, **st.query_params})
    point = given.of if given and given.of in FAILURES else None
    order = given.order if given else "newest"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.session_state["list"] = point
        st.pills(
            "Failure point",
            [name for name in FAILURES if now.counts[name] or name == point],
            format_func=lambda name: f"{NAMES[name]} {count(now.counts[name])}",
            key="list",
            label_visibility="collapsed",
            on_change=_choose,
            args=("list",),
        )
        st.session_state["list-order"] = order if order in _ORDERS else None
        st.segmented_control(
            "Order",
            _ORDERS,
            format_func=lambda name: f"{name.capitalize()} first",
            key="list-order",
            label_visibility="collapsed",
            on_change=_choose,
            args=("order",),
        )
    total = now.counts[point] if point else now.defects
    if not total:
        st.caption("No turn within this filter was predicted to be a defect.")
        return
    slot = st.container()
    page = page_of(-(-total // ROWS))
    rows = _page(view.turns_key, point, order, page, view)
    with slot:
        choose(rows, view, Listing(point or DEFECTS, order), sorts=True)


def _choose(parameter: str) -> None:
    value = st.session_state["list" if parameter == "list" else "list-order"]
    address.put(parameter, value, "page")


@cached_data(max_entries=128, show_spinner=False)
def _page(key: CacheKey, point: str | None, order: str, page: int, _view: View) -> pa.Table:
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
    rows: pa.Table, view: View, listed: Listing | None = None, sorts: bool = False, **origin: str
) -> None:
    """A table of turns; a row opens the Turn page, filters and version kept.

    `listed` says which list the rows are of, so that the Turn page can lead to the ones before and
    after; with `sorts`, the heads sort that list; `origin` are more URL parameters for the page,
    which say where the reader came from.
    """
    turns = rows.to_pylist()
    columns: list[Column] = []
    if "failure_point" in rows.column_names:
        verdicts = [row["failure_point"] for row in turns]
        columns.append(Column("Failure point", verdicts, "failure", "failure_point"))
        of = listed.of if listed and listed.of in FAILURES else "defect"
        columns.append(
            shares(
                "Probability",
                [row["p"] for row in turns],
                f"p_{of}",
                "Of the predicted failure point; sorted by that of "
                + ("any defect." if of == "defect" else "this one."),
            )
        )
    columns.append(Column("Heard", [row["heard"] for row in turns], order="heard"))
    columns.append(times(turns, "started_at"))
    varied = choices(view.path, view.snapshot.version, view.model)[1] if view.model else {}
    for name, label in (("assistant", "Assistant"), ("device", "Device"), ("intent", "Intent")):
        # What is the same everywhere says nothing about a row.
        if COLUMNS[name] in rows.column_names and len(varied.get(name, ())) != 1:
            values = [row[COLUMNS[name]] for row in turns]
            columns.append(Column(label, values, order=COLUMNS[name]))
    order = order_of(listed.order, listed.of) if listed and sorts else None
    openable(view, turns, columns, order, **(listed.query() if listed else {}), **origin)
