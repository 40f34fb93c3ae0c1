"""Change points and the map of domains, each leading to its turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import streamlit as st

from analysis.change_points import Change
from charts.formatting import plain
from charts.layout import CONFIG
from charts.palette import COLOURS
from charts.sentences import change_words, extra_count, extra_words, scaled_words
from charts.stage_heatmap import (
    FEW,
    heat,
    heat_words,
    labels,
    rates,
)
from data.queries.filters import COLUMNS, NOT_LOGGED
from parts.overview.tables import (
    ADJUSTED,
    ADJUSTED_HELP,
    adjusted,
    domains_table,
)
from parts.shared import address
from parts.shared.cached_figures import cached_figure
from parts.shared.formatted import formatted, long_day
from parts.shared.view import View
from report.contents import Events, Headline

# The most sentences shown; the others are in the table.
CHANGES = 8
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


def change_list(view: View, head: Headline, happened: Events) -> None:
    """The change points in words, numbered as on the chart; each is a button that narrows to it."""
    st.subheader(
        "Change points",
        anchor=False,
        help="Days from which a failure rate is at another level than before.",
    )
    if not happened.changes:
        st.caption("No failure rate changed its level in this period.")
        return
    changes = [head.scaled_change(change) for change in happened.changes]
    last = head.periods.shown.until
    with st.container(gap="xsmall"):
        for number, change in enumerate(changes[:CHANGES], 1):
            # A long sentence wraps, and the button stays beside it.
            sentence, closer = st.columns([5, 1.4], vertical_alignment="center", gap="small")
            with sentence:
                colour = f'foreground="{COLOURS[change.failure_point]}"'
                st.markdown(
                    f"**{number}**\u2002:color[●]{{{colour}}} {plain(change_words(change))}"
                )
            with closer:
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
    if len(changes) > CHANGES:
        st.caption(f"And {len(changes) - CHANGES} earlier ones, in the table.")
    with st.expander("As a table"):
        _changes_table(changes)


def heat_map(view: View, head: Headline, happened: Events) -> None:
    """Stage × domain; a click on a cell narrows the filters to its domain."""
    st.subheader(
        "Failure rate by domain",
        anchor=False,
        help="Where in the traffic each stage fails: its rate in each domain.",
    )
    domains = head.scaled(happened.domains)
    key = f"heat-{view.snapshot.version}-{view.chosen.caption()}"
    dark = st.context.theme.type == "dark"
    st.plotly_chart(
        cached_figure(view, "heat", lambda: heat(domains, dark), dark),
        config=CONFIG,
        alt=heat_words(domains),
        key=key,
        on_select=lambda: _clicked(view, key, domains["domain"].to_pylist()),
        selection_mode="points",
    )
    st.caption(
        f"{scaled_words(head.rates['defect'])} The largest domains first; a dash where there are "
        f"fewer than {FEW} turns. Click a cell to look at its domain."
    )
    turns: list[Any] = domains["turns"].to_pylist()
    with st.expander("As a table"):
        st.dataframe(
            domains_table(labels(domains), turns, rates(domains)),
            hide_index=True,
            placeholder="–",
        )


def _changes_table(changes: Sequence[Change]) -> None:
    columns: dict[str, list[Any]] = {
        "From": [change.start for change in changes],
        "Change": [change_words(change) for change in changes],
        "Excess failures": [change.extra_turns for change in changes],
        ADJUSTED: [change.q_value for change in changes],
    }
    st.dataframe(
        formatted(
            columns,
            {
                "From": long_day,
                "Excess failures": extra_count,
                ADJUSTED: adjusted,
            },
        ),
        hide_index=True,
        column_config={
            "Excess failures": st.column_config.Column(help="Failed turns beyond the rate before."),
            ADJUSTED: st.column_config.Column(help=ADJUSTED_HELP),
        },
    )


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
