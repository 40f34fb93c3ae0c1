"""How much fails, where, since when, and what to look at first."""

from __future__ import annotations

import streamlit as st

from charts.formatting import count, plain
from charts.layout import CONFIG
from charts.rates import shares, shares_words, trend, trend_words
from charts.sentences import misdated_words, releases_words
from data.schema.trace import FAILURES
from parts.overview.budgets import budget_panel
from parts.overview.changes import (
    CHANGES,
    change_list,
    heat_map,
    moved_table,
)
from parts.overview.report_button import report_button
from parts.overview.tables import shares_table, trend_table
from parts.shared import headline as top
from parts.shared.cached_figures import cached_figure
from parts.shared.filter_bar import chips
from parts.shared.page_frame import no_predictions, nothing_fits
from parts.shared.turn_list import defect_list
from parts.shared.view import current_view

view = current_view()
if view.model is None or view.bounds is None:
    no_predictions(view.snapshot, view.path)
    st.stop()

head = top.headline(view)
turns = head.total.turns if head else 0
with st.container(horizontal=True, vertical_alignment="center"):
    with st.container():
        chips(view.chosen, f"{count(turns)} {'turn' if turns == 1 else 'turns'}")
    file = st.container(width="content")
if head is None:
    nothing_fits(view)
    st.stop()

top.numbers(head)
if misdated := view.snapshot.counts()["misdated"]:
    st.caption(f"{misdated_words(misdated)} The page Data shows them.")
happened = top.events(view)
with file:
    report_button(view, head, happened)

left, right = st.columns([1.9, 1], gap="medium")
with left:
    steps = top.steps(head)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Share of turns that failed", anchor=False)
        by = head.by
        if len(steps) > 1:
            by = st.segmented_control(
                "Steps",
                steps,
                default=head.by,
                required=True,
                format_func=lambda step: f"per {step}",
                label_visibility="collapsed",
                key=f"steps-{head.by}",
            )
    table = head.trend if by == head.by else top.trend(view, by)
    marked = happened.changes[:CHANGES]
    st.plotly_chart(
        cached_figure(view, "trend", lambda: trend(table, by, happened.releases, marked), by),
        config=CONFIG,
        alt=trend_words(table, by, happened.releases, marked),
        key="trend",
    )
    with st.expander("As a table"):
        trend_table(table, by)
        if happened.releases:
            st.caption(plain(releases_words(happened.releases)))
with right:
    st.subheader("Where they failed", anchor=False)
    before = {name: head.earlier(name) for name in FAILURES} if head.shifts else None
    before = None if before is None or None in before.values() else before
    st.plotly_chart(
        cached_figure(view, "shares", lambda: shares(head.rates, before)),
        config=CONFIG,
        alt=shares_words(head.rates),
        key="shares",
    )
    with st.expander("As a table"):
        shares_table(head.rates, head.total)
st.caption(
    "Bars over time are model estimates; days are UTC. Dotted lines are releases, numbers the "
    "changes listed below, whiskers 95 % intervals."
)

change_list(view, happened, head.periods.shown.until)
left, right = st.columns([1.5, 1], gap="medium")
with left:
    moved_table(view, head, happened)
    budget_panel(view, head)
with right:
    heat_map(view, happened)
defect_list(view, head.total)
