"""How much fails, where, since when, and what to look at first."""

from __future__ import annotations

import streamlit as st

from charts.formatting import count
from charts.layout import CONFIG
from charts.rates import shares, shares_words
from charts.sentences import misdated_words, scaled_words
from data.schema.trace import FAILURES
from data.store import workspace
from parts.overview.alerts import alert_list
from parts.overview.budgets import budget_panel
from parts.overview.changes import change_list, heat_map
from parts.overview.comparison import compared_with, comparison_choice, moved_table
from parts.overview.releases import release_panel
from parts.overview.report_button import report_button
from parts.overview.tables import shares_table
from parts.overview.trend import trend_panel
from parts.server.access import may
from parts.shared import headline as top
from parts.shared.alert_button import alert_button
from parts.shared.cached_figures import cached_figure
from parts.shared.filter_bar import chips
from parts.shared.page_frame import no_predictions, nothing_fits
from parts.shared.rewrites import mended_share
from parts.shared.turn_list import defect_list
from parts.shared.unchecked import unchecked
from parts.shared.view import current_view

view = current_view()
if view.model is None or view.bounds is None:
    no_predictions(view.snapshot, view.path)
    st.stop()

against = compared_with()
head = top.headline(view, against)
turns = head.total.turns if head else 0
with st.container(horizontal=True, vertical_alignment="center"):
    with st.container():
        chips(view.chosen, f"{count(turns)} {'turn' if turns == 1 else 'turns'}")
    file = st.container(width="content", horizontal=True)
if head is None:
    nothing_fits(view)
    st.stop()

st.text(head.lead)
if misdated := view.snapshot.counts()["misdated"]:
    st.caption(f"{misdated_words(misdated)} The page Data shows them.")
top.numbers(head, top.goal_success(view, head), unchecked(view))
# Filled last, as all turns are read for it.
mended = st.container()
happened = top.events(view, against)
targets = workspace.targets(view.snapshot)
with file:
    comparison_choice(view, head.periods)
    if may("report"):
        report_button(view, head, happened, targets)
    alert_button(view, head.rates["defect"].high)

left, right = st.columns([1.9, 1], gap="medium")
with left:
    trend_panel(view, head, happened, targets)
with right:
    st.subheader(
        "Failure points", anchor=False, help="Which stage failed first, as a share of all turns."
    )
    before = {name: head.earlier(name) for name in FAILURES} if head.shifts else None
    before = None if before is None or None in before.values() else before
    st.plotly_chart(
        cached_figure(view, "shares", lambda: shares(head.rates, before), str(against)),
        config=CONFIG,
        alt=shares_words(head.rates),
        key="shares",
    )
    with st.expander("As a table"):
        st.dataframe(shares_table(head.rates, head.total), hide_index=True)
st.caption(
    f"Over time: {scaled_words(head.rates['defect'])} Days are UTC. Dotted lines are "
    "releases, numbers the change points listed below, whiskers 95 % intervals."
)

left, right = st.columns([1.3, 1], gap="medium")
with left:
    change_list(view, head, happened)
with right:
    heat_map(view, head, happened)
budget_panel(view, head, targets)
if may("alert"):
    alert_list(view)
moved_table(view, head, happened)
release_panel(view)
if may("turns"):
    defect_list(view, head.total)
    with mended:
        mended_share(view)
