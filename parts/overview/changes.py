"""What changed and what moved: sentences, a table and a heat map, each leading to its turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import streamlit as st

from analysis.change_points import Change
from charts.formatting import (
    count,
    percent,
    plain,
)
from charts.layout import CONFIG
from charts.palette import COLOURS, INK
from charts.sentences import cell_words, change_words, extra_words, period_words, span_words
from charts.stage_heatmap import (
    FEW,
    heat,
    heat_words,
    labels,
    rates,
)
from data.queries.filters import COLUMNS, NOT_LOGGED
from data.schema.trace import FAILURES
from data.schema.vocabulary import NAMES
from parts.shared import address
from parts.shared.cached_figures import cached_figure
from parts.shared.view import View
from report.contents import Events, Headline

# The most sentences and rows shown; the others are in the table or left to the page Triage.
CHANGES = 8
ROWS = 12
_KEYS = {column: key for key, column in COLUMNS.items()}


def look_at(
    view: View,
    where: Sequence[tuple[str, str | None]],
    since: date | None = None,
    until: date | None = None,
) -> None:
    """Callback of a click: narrow the filters to some values of columns, and to some days."""
    conditions = [_condition(column, value) for column, value in where]
    chosen = address.present().narrowed(*conditions)
    if since:
        # The period of a change is the one to look at, whatever was chosen before.
        chosen = replace(chosen, since=since, until=until)
    address.set_filter(chosen)


def change_list(view: View, happened: Events, last: date) -> None:
    """The changes in words, numbered as on the chart; each is a button that narrows to it."""
    st.subheader("What changed", anchor=False)
    if not happened.changes:
        st.caption("No failure rate changed its level in this period.")
        return
    with st.container(gap="xsmall"):
        for number, change in enumerate(happened.changes[:CHANGES], 1):
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                colour = f'foreground="{COLOURS[change.failure_point]}"'
                st.markdown(
                    f"**{number}**\u2002:color[●]{{{colour}}} {plain(change_words(change))}",
                    width="content",
                )
                st.button(
                    "Look closer",
                    key=f"change-{number}-{view.snapshot.version}-{view.chosen.caption()}",
                    type="tertiary",
                    icon=":material/filter_alt:",
                    help=f"{plain(extra_words(change.extra_turns).capitalize())}. "
                    "Narrow the filters to these turns and days.",
                    on_click=look_at,
                    args=(view, change.where, change.start, change.end or last),
                )
    if len(happened.changes) > CHANGES:
        st.caption(f"And {len(happened.changes) - CHANGES} earlier ones, in the table.")
    with st.expander("As a table"):
        _changes_table(happened.changes)


def moved_table(view: View, head: Headline, happened: Events) -> None:
    """The cells that moved most; choosing a row narrows the filters to it."""
    st.subheader("What moved", anchor=False)
    moved, previous = happened.moved, head.periods.previous
    if moved is None or previous is None:
        st.caption(
            "There is nothing to compare with: the scored days do not include an equally long "
            "period before this one. Choose a shorter one."
        )
        return
    st.caption(f"{period_words(head.periods.recent)} against {period_words(previous)}.")
    if not moved.num_rows:
        st.caption(
            f"Of {count(happened.compared)} cells of stage and dimension, none moved further than "
            "chance explains."
        )
        return
    rows = moved.slice(0, ROWS).to_pylist()
    key = f"moved-{view.snapshot.version}-{view.chosen.caption()}"
    st.dataframe(
        {
            "Where": [cell_words(row) for row in rows],
            "Before": [100 * row["before"] for row in rows],
            "After": [100 * row["after"] for row in rows],
            "Change, 95\u2009%": [span_words(row) for row in rows],
            "Turns": [round(row["extra_turns"]) for row in rows],
            "How sure": [row["significance"] for row in rows],
        },
        hide_index=True,
        key=key,
        on_select=lambda: _picked(view, key, rows),
        selection_mode="single-row",
        height="content",
        column_config={
            "Before": st.column_config.NumberColumn(format="%.1f %%", width=70),
            "After": st.column_config.NumberColumn(format="%.1f %%", width=70),
            "Turns": st.column_config.NumberColumn(
                format="%+d", width=60, help="Failed turns beyond the rate before."
            ),
        },
    )
    more = moved.num_rows - len(rows)
    st.caption(
        f"{count(happened.compared)} cells were compared; false discoveries are controlled "
        "(Benjamini–Hochberg)."
        + (f" {count(more)} smaller ones are not shown." if more else "")
        + " Tick a row to look at its turns."
    )


def heat_map(view: View, happened: Events) -> None:
    """Stage × domain; a click on a cell narrows the filters to its domain."""
    st.subheader("Where, by domain", anchor=False)
    domains = happened.domains
    key = f"heat-{view.snapshot.version}-{view.chosen.caption()}"
    dark = st.context.theme.type == "dark"
    st.plotly_chart(
        cached_figure(view, "heat", lambda: heat(domains, INK[dark]), dark),
        config=CONFIG,
        alt=heat_words(domains),
        key=key,
        on_select=lambda: _clicked(view, key, domains["domain"].to_pylist()),
        selection_mode="points",
    )
    st.caption(
        f"Model estimates, the largest domains first; a dash where there are fewer than {FEW} "
        "turns. Click a cell to look at its domain."
    )
    with st.expander("As a table"):
        columns: dict[str, list[Any]] = {
            "Domain": labels(domains),
            "Turns": domains["turns"].to_pylist(),
        }
        for index, name in enumerate(FAILURES):
            column = [row[index] for row in rates(domains)]
            columns[NAMES[name]] = [None if rate is None else 100 * rate for rate in column]
        number = st.column_config.NumberColumn(format="%.1f %%")
        st.dataframe(
            columns,
            hide_index=True,
            placeholder="–",
            column_config=dict.fromkeys((NAMES[name] for name in FAILURES), number),
        )


def _changes_table(changes: Sequence[Change]) -> None:
    st.dataframe(
        {
            "Change": [change_words(change) for change in changes],
            "Before": [percent(change.before) for change in changes],
            "After": [percent(change.after) for change in changes],
            "Turns": [round(change.extra_turns) for change in changes],
            "q": [change.q_value for change in changes],
        },
        hide_index=True,
        column_config={
            "q": st.column_config.NumberColumn(
                format="%.1e", help="Expected share of false alarms among changes this clear."
            )
        },
    )


def _picked(view: View, key: str, rows: list[dict[str, Any]]) -> None:
    chosen = st.session_state[key]["selection"]["rows"]
    if chosen:
        look_at(view, [(rows[chosen[0]]["dimension"], rows[chosen[0]]["value"])])


def _clicked(view: View, key: str, domains: list[str | None]) -> None:
    points = st.session_state[key]["selection"]["points"]
    if points:
        look_at(view, [("domain", domains[int(points[0]["customdata"][0])])])


def _condition(column: str, value: str | None) -> tuple[str, str]:
    """The filter's key and value that select a value of a column."""
    text = NOT_LOGGED if value is None else value
    if column.startswith("version_"):
        return "version", f"{column.removeprefix('version_')}:{text}"
    return _KEYS[column], text
