"""The pivot of Explore: what to cut by, the heat table, and the rows behind it."""

from __future__ import annotations

from typing import Any, cast

import streamlit as st

from charts.formatting import plain
from charts.layout import CONFIG
from charts.pivot import EMPTY, cell_words, heads, heat, heat_map, label, pivot_words
from charts.sentences import scaled_words
from data.queries.pivot import (
    ANY,
    DIMENSIONS,
    Measure,
    Pivot,
    condition,
    deeper,
    long,
    narrowed,
    pivot,
)
from data.schema.vocabulary import NAMES
from parts.explore.saved_views import (
    CHOICES,
    NONE,
    choice,
    set_choice,
    set_choices,
)
from parts.server.caching import cached_data
from parts.shared import address
from parts.shared.headline import headline
from parts.shared.view import CacheKey, View

MEASURE_WORDS = {
    "rate": "Rate",
    "failures": "Failures",
    "turns": "Turns",
    "share": "Share of failures",
}


@cached_data(max_entries=64, show_spinner="Cutting")
def _pivot(
    key: CacheKey,
    down: str,
    across: str | None,
    failure: str,
    scale: tuple[tuple[str, float], ...],
    _view: View,
) -> Pivot:
    assert _view.model is not None
    return pivot(
        _view.snapshot, _view.model, _view.chosen, down, across, failure, scale=dict(scale)
    )


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
        across = select(
            "cols", "Columns", lambda n: "No columns" if n == NONE else DIMENSIONS[n].label
        )
        failure = select("of", "Failure", lambda n: "Any failure" if n == ANY else NAMES[n])
        measure = cast(Measure, select("measure", "Show", MEASURE_WORDS.__getitem__))
    if across == down:
        across = NONE
    second = None if across == NONE else across
    head = headline(view)
    estimated = "" if head is None else scaled_words(head.rates["defect"])
    # So that the total is the rate above.
    scale = () if head is None else tuple(head.scale.items())
    table = _pivot(view.cache_key(), down, second, failure, scale, view)
    dark = st.context.theme.type == "dark"
    key = f"pivot-{down}-{across}-{failure}-{measure}-{view.query}"
    if table.rows:
        st.plotly_chart(
            heat_map(table, measure, failure, dark),
            config=CONFIG,
            alt=pivot_words(table, measure, failure),
            key=f"map-{key}",
            on_select=lambda: _clicked_on_map(view, table, f"map-{key}"),
            selection_mode="points",
        )
    st.caption(f"{pivot_words(table, measure, failure)} {'' if measure == 'turns' else estimated}")
    with st.expander("As a table"):
        picked = st.dataframe(
            heat(table, measure, failure, dark),
            key=key,
            on_select="rerun",
            selection_mode="single-cell",
            height="content",
            hide_index=True,
            placeholder=EMPTY,
            column_config={
                DIMENSIONS[down].label: st.column_config.TextColumn(pinned=True, width=150)
            },
        )
        _selected(view, table, picked["selection"]["cells"])
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


def _clicked_on_map(view: View, table: Pivot, key: str) -> None:
    """Callback: narrow the filters to the cell that was clicked, if a filter expresses it."""
    points = st.session_state[key]["selection"]["points"]
    if not points:
        return
    row, column = (int(number) for number in points[0]["customdata"][:2])
    cell = (
        table.rows[row] if 0 <= row < len(table.rows) else None,
        table.columns[column] if table.across and 0 <= column < len(table.columns) else None,
    )
    _narrow_to(table, view, *cell)


def _selected(view: View, table: Pivot, cells: list[Any]) -> None:
    """Draw the cell chosen in the table in words, and a button that narrows the filters to it."""
    if not cells:
        return
    index, name = cells[0]
    if not 0 <= index <= len(table.rows):
        return
    # The last row holds the totals.
    row = table.rows[index] if index < len(table.rows) else None
    across = [c for c, head in zip(table.columns, heads(table), strict=False) if head == name]
    column = across[0] if table.across and across else None
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(plain(cell_words(table, row, column, table.total(row, column))))
        if _conditions(table, view, row, column):
            st.button(
                "Narrow the filters to this",
                icon=":material/filter_alt:",
                on_click=_narrow_to,
                args=(table, view, row, column),
                type="primary",
            )
        else:
            st.caption("No filter expresses this.")


def _conditions(
    table: Pivot, view: View, row: str | None, column: str | None
) -> list[tuple[str, str]]:
    """The filter conditions of a cell; empty if none express it, and for the total of all."""
    conditions: list[tuple[str, str]] = []
    for name, value in ((table.down, row), (table.across, column)):
        if name and value is not None:
            part = condition(name, value)
            if not part:
                return []
            conditions += part
    if view.chosen.slot and "slot" in (key for key, _ in conditions):
        # Slots are alternatives in a filter: two at once cannot be expressed.
        return []
    return conditions


def _narrow_to(table: Pivot, view: View, row: str | None, column: str | None) -> None:
    """Callback: narrow the filters to a cell, and cut by what still differs within it."""
    conditions = _conditions(table, view, row, column)
    if not conditions:
        return
    earlier = [(k, v) for k, values in view.chosen.query().items() for v in values]
    keys = {key for key, _ in conditions}
    fixed = narrowed([*(pair for pair in earlier if pair[0] not in keys), *conditions])
    down, across = table.down, table.across
    if down in fixed:
        down = deeper(down, fixed, across)
    if across in fixed:
        across = deeper(across, fixed, down)
    set_choices({"rows": down, "cols": across or NONE}, address.present().narrowed(*conditions))
