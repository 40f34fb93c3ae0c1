"""The table of turns of Explore: columns and order to choose, a page at a time."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import streamlit as st

from charts.formatting import count
from data.queries.turn_list import NAMED, SORTABLE, Listing, order_of
from data.queries.turn_table import (
    COLUMNS,
    ORDERS,
    REACH,
    SHOWN,
    listing,
)
from data.schema.vocabulary import NAMES
from parts.explore.saved_views import (
    COLS,
    choice,
    set_choice,
    shown_columns,
)
from parts.server.caching import cached_data
from parts.shared.turn_links import Column, openable, page_of, shares, times
from parts.shared.view import CacheKey, View

ROWS = 50
_LABELS = {
    "started_at": "When",
    "heard": "Heard",
    "failure_point": "Failure point",
    "p_defect": "P(defect)",
    "device_type": "Device",
    "asr_confidence": "ASR confidence",
    **{f"p_{name}": f"P({words})" for name, words in NAMES.items()},
}


def column_label(name: str) -> str:
    """The title of a column."""
    return _LABELS.get(name) or name.replace("_", " ").capitalize().replace("asr", "ASR")


@cached_data(max_entries=64, show_spinner="Reading the turns")
def _listing(
    key: CacheKey, columns: tuple[str, ...], order: str, page: int, _view: View
) -> pa.Table:
    assert _view.model is not None
    skip = (page - 1) * ROWS
    return listing(_view.snapshot, _view.model, _view.chosen, columns, order, ROWS, skip)


def turns_part(view: View, turns: int) -> None:
    """The turns of the filter; a row opens its turn, whose page leads back here."""
    assert view.model is not None
    left, right = st.columns([1, 2.2], vertical_alignment="bottom")
    with left:
        order = _order()
    with right, st.popover("Columns", icon=":material/view_column:"):
        st.session_state["explore-w-columns"] = list(shown_columns())
        st.pills(
            "Columns",
            COLUMNS,
            selection_mode="multi",
            format_func=column_label,
            key="explore-w-columns",
            on_change=_columns,
        )
    reached = min(turns, REACH)
    pages = max(1, -(-reached // ROWS))
    slot = st.container()
    page = page_of(pages)
    rows = _listing(view.cache_key(), shown_columns(), order, page, view)
    with slot:
        _draw(view, rows, order)
    first = (page - 1) * ROWS + 1
    beyond = (
        f" The first {count(REACH)} can be paged through; narrow the filters or export for the "
        "rest."
        if turns > REACH
        else ""
    )
    st.caption(
        f"Turns {count(first)} to {count(first + rows.num_rows - 1)} of {count(turns)}. "
        f"A row opens its turn; the heads sort all of them.{beyond}"
    )


def _columns() -> None:
    chosen = [name for name in COLUMNS if name in st.session_state["explore-w-columns"]]
    set_choice(COLS, None if set(chosen) == set(SHOWN) else ",".join(chosen))


def _order() -> str:
    """Draw the choice of the order, and return it; a click on a head may have set another one."""
    order = choice("order")
    named = order in NAMED
    st.session_state["explore-w-order"] = order
    st.selectbox(
        "Order",
        ORDERS if named else (*ORDERS, order),
        key="explore-w-order",
        format_func=_order_words,
        on_change=lambda: set_choice("order", st.session_state["explore-w-order"]),
    )
    return order


def _order_words(order: str) -> str:
    if order in NAMED:
        return order.capitalize()
    column, falls = order_of(order)
    return f"{column_label(column)}, {'falling' if falls else 'rising'}"


def _draw(view: View, rows: pa.Table, order: str) -> None:
    turns = rows.to_pylist()
    columns: list[Column] = []
    for name in rows.column_names:
        if name not in shown_columns():
            continue
        title, sorts = column_label(name), name if name in SORTABLE else None
        values: list[Any] = rows[name].to_pylist()
        kind = rows.schema.field(name).type
        if name == "started_at":
            columns.append(times(turns, name))
        elif name == "failure_point":
            columns.append(Column(title, values, "failure", name))
        elif name.startswith("p_"):
            columns.append(shares(title, values, name))
        elif pa.types.is_string(kind):
            columns.append(Column(title, values, order=sorts))
        elif pa.types.is_nested(kind):
            columns.append(Column(title, [", ".join(map(str, v or ())) for v in values]))
        elif pa.types.is_floating(kind):
            texts = [None if v is None else f"{v:.3g}" for v in values]
            columns.append(Column(title, texts, "number", sorts, falls=True))
        else:
            texts = [None if v is None else str(v) for v in values]
            columns.append(Column(title, texts, "number", sorts, falls=True))
    listed = Listing("all", order)
    openable(view, turns, columns, order_of(order), back="explore", **listed.query())
