"""The pivot of Explore: what to cut by, the heat table, and the rows behind it."""

from __future__ import annotations

from typing import Any, cast

import streamlit as st

from charts.formatting import plain
from charts.pivot import cell_words, heads, heat, label, pivot_words
from data.queries.pivot import (
    ANY,
    DIMENSIONS,
    Measure,
    Pivot,
    condition,
    long,
    pivot,
)
from data.schema.vocabulary import NAMES
from parts.explore.saved_views import (
    CHOICES,
    NONE,
    choice,
    set_choice,
)
from parts.shared.filter_bar import narrow
from parts.shared.view import CacheKey, View

MEASURE_WORDS = {
    "rate": "Rate",
    "failures": "Failures",
    "turns": "Turns",
    "share": "Share of failures",
}


@st.cache_data(max_entries=64, show_spinner="Cutting")
def _pivot(key: CacheKey, down: str, across: str | None, failure: str, _view: View) -> Pivot:
    assert _view.model is not None
    return pivot(_view.snapshot, _view.model, _view.chosen, down, across, failure)


def _choose(key: str) -> None:
    set_choice(key, st.session_state[f"explore-w-{key}"])


def select(key: str, title: str, words: Any) -> str:
    """Draw a choice that is kept in the link, and return it; `words` formats an option."""
    st.session_state[f"explore-w-{key}"] = choice(key)
    st.selectbox(
        title,
        CHOICES[key],
        key=f"explore-w-{key}",
        format_func=words,
        on_change=_choose,
        args=(key,),
    )
    return choice(key)


def pivot_part(view: View) -> None:
    """Controls, heat table, and the same as rows."""
    assert view.model is not None
    with st.grid(4, min_column_width=140, gap="small"):
        down = select("rows", "Rows", lambda name: DIMENSIONS[name].label)
        across = select("cols", "Columns", lambda n: "None" if n == NONE else DIMENSIONS[n].label)
        failure = select("of", "Failure", lambda n: "Any failure" if n == ANY else NAMES[n])
        measure = cast(Measure, select("measure", "Show", MEASURE_WORDS.__getitem__))
    if across == down:
        across = NONE
    second = None if across == NONE else across
    table = _pivot(view.cache_key(), down, second, failure, view)
    styled = heat(table, measure, failure)
    table_key = f"pivot-{down}-{across}-{failure}-{measure}-{view.query}"
    picked = st.dataframe(
        styled,
        key=table_key,
        on_select="rerun",
        selection_mode="single-cell",
        height="content",
        hide_index=True,
        column_config={DIMENSIONS[down].label: st.column_config.TextColumn(pinned=True, width=150)},
    )
    st.caption(pivot_words(table, measure, failure))
    _clicked(view, table, picked["selection"]["cells"])
    with st.expander("As a table"):
        _rows(table)


def _rows(table: Pivot) -> None:
    """The pivot as rows, with the interval of each rate."""
    rows: list[dict[str, Any]] = long(table).to_pylist()
    columns: dict[str, list[Any]] = {
        DIMENSIONS[table.down].label: [label(table.down, row["row"]) for row in rows]
    }
    if table.across:
        named = [label(table.across, row["column"]) for row in rows]
        columns[DIMENSIONS[table.across].label] = named
    columns["Turns"] = [row["turns"] for row in rows]
    columns["Failures"] = [round(row["failures"], 1) for row in rows]
    for name in ("rate", "low", "high"):
        columns[name.capitalize()] = [100 * row[name] for row in rows]
    st.dataframe(
        columns,
        hide_index=True,
        column_config={
            name: st.column_config.NumberColumn(format="%.1f %%")
            for name in ("Rate", "Low", "High")
        },
    )


def _clicked(view: View, table: Pivot, cells: list[Any]) -> None:
    """Draw the chosen cell in words, and a button that narrows the filters to it."""
    if not cells:
        return
    index, name = cells[0]
    if not 0 <= index < len(table.rows):
        return
    row = table.rows[index]
    across = [c for c, head in zip(table.columns, heads(table), strict=False) if head == name]
    conditions = condition(table.down, row)
    if table.across and across:
        conditions += condition(table.across, across[0])
    if view.chosen.slot and "slot" in (key for key, _ in conditions):
        # Slots are alternatives in a filter: two at once cannot be expressed.
        conditions = []
    cell = table.total(row, across[0] if across else None)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(plain(cell_words(table, row, across[0] if across else None, cell)))
        if conditions:
            st.button(
                "Narrow the filters to this",
                icon=":material/filter_alt:",
                on_click=narrow,
                args=conditions,
                type="primary",
            )
        else:
            st.caption("No filter expresses this.")
