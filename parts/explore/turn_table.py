"""The table of turns of Explore: columns and order to choose, a page at a time."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import streamlit as st

from charts.formatting import count, short
from charts.palette import PILLS
from data.queries.turn_table import (
    COLUMNS,
    REACH,
    SHOWN,
    listing,
)
from data.schema.vocabulary import NAMES
from parts.explore.pivot import select
from parts.explore.saved_views import (
    COLS,
    set_choice,
    shown_columns,
)
from parts.shared.turn_links import openable, times
from parts.shared.view import CacheKey, View

ROWS = 50
_LABELS = {
    "started_at": "When",
    "heard": "Heard",
    "failure_point": "Called",
    "p_defect": "P(defect)",
    "device_type": "Device",
    "asr_confidence": "ASR confidence",
    **{f"p_{name}": f"P({words})" for name, words in NAMES.items()},
}


def column_label(name: str) -> str:
    """The title of a column."""
    return _LABELS.get(name) or name.replace("_", " ").capitalize().replace("asr", "ASR")


@st.cache_data(max_entries=64, show_spinner="Reading the turns")
def _listing(
    key: CacheKey, columns: tuple[str, ...], order: str, page: int, _view: View
) -> pa.Table:
    assert _view.model is not None
    skip = (page - 1) * ROWS
    return listing(_view.snapshot, _view.model, _view.chosen, columns, order, ROWS, skip)


def turns_part(view: View, turns: int) -> None:
    """The turns of the filter; ticking one opens it, and its page leads back here."""
    assert view.model is not None
    left, right = st.columns([1, 2.2], vertical_alignment="bottom")
    with left:
        order = select("order", "Order", str.capitalize)
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
    where = f"{order}-{view.query}"
    slot = st.container()
    page = st.pagination(pages, key=f"explore-page-{where}") if pages > 1 else 1
    rows = _listing(view.cache_key(), shown_columns(), order, page, view)
    with slot:
        _draw(view, rows, f"explore-turns-{where}-{page}-{','.join(shown_columns())}")
    first = (page - 1) * ROWS + 1
    beyond = (
        f" The first {count(REACH)} can be paged through; narrow the filters or export for the "
        "rest."
        if turns > REACH
        else ""
    )
    st.caption(
        f"Turns {count(first)} to {count(first + rows.num_rows - 1)} of {count(turns)}. "
        f"Tick a row to open the turn.{beyond}"
    )


def _columns() -> None:
    chosen = [name for name in COLUMNS if name in st.session_state["explore-w-columns"]]
    set_choice(COLS, None if set(chosen) == set(SHOWN) else ",".join(chosen))


def _draw(view: View, rows: pa.Table, key: str) -> None:
    turns = rows.to_pylist()
    columns: dict[str, list[Any]] = {}
    config: dict[str, Any] = {}
    for name in rows.column_names:
        if name not in shown_columns():
            continue
        title = column_label(name)
        values: list[Any] = rows[name].to_pylist()
        if name == "started_at":
            columns[title], config[title] = times(turns)
        elif name == "failure_point":
            columns[title] = [[NAMES[value]] for value in values]
            config[title] = st.column_config.MultiselectColumn(
                options=list(NAMES.values()), color=[PILLS[n] for n in NAMES], width=105
            )
        elif name.startswith("p_"):
            columns[title] = [100 * value for value in values]
            config[title] = st.column_config.NumberColumn(format="%.1f %%", width=90)
        elif pa.types.is_string(rows.schema.field(name).type):
            columns[title] = [short(value, 160) if value else None for value in values]
            if name == "heard":
                config[title] = st.column_config.TextColumn(width=320)
        else:
            columns[title] = values
    openable(view, turns, columns, config, key, back="explore")
