"""Explore: cut the turns into slices, check their numbers, and export them."""

from __future__ import annotations

import streamlit as st

from charts.formatting import count
from data.schema.trace import FAILURES
from parts.explore import saved_views
from parts.explore.downloads import slice_buttons
from parts.explore.pivot import pivot_part
from parts.explore.sql_editor import editor
from parts.explore.turn_table import turns_part
from parts.shared.alert_button import alert_button
from parts.shared.filter_bar import chips
from parts.shared.page_frame import no_predictions
from parts.shared.view import current_view

view = current_view()
if view.model is None:
    no_predictions(view.snapshot, view.path)
    st.stop()

saved_views.restore()
total, judged = saved_views.counts(view)
turns = total.turns
with st.container(horizontal=True, vertical_alignment="top", gap="small"):
    with st.container(width="stretch"):
        chips(view.chosen, f"{count(turns)} {'turn' if turns == 1 else 'turns'}")
    saved_views.views_menu(view)
    if turns:
        slice_buttons(view, turns)
        alert_button(view, sum(total.sums[name] for name in FAILURES) / turns)
if turns:
    saved_views.numbers(view, total, judged)

part = saved_views.show_choice()
if part == "sql":
    st.subheader("Ask in SQL", anchor=False)
    editor(view)
elif not turns:
    st.subheader("Nothing here", anchor=False)
    st.text("No turn fits these filters. Take one away.")
elif part == "table":
    st.subheader("Turns", anchor=False)
    turns_part(view, turns)
else:
    st.subheader("Pivot", anchor=False)
    pivot_part(view)
