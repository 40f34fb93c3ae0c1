"""Cut a slice, trust it, and take it away."""

from __future__ import annotations

import streamlit as st

from charts.words import count
from parts import explore
from parts.downloads import slice_buttons
from parts.editor import editor
from parts.filterbar import chips
from parts.frame import no_predictions
from parts.pivoting import pivot_part
from parts.scope import scope
from parts.turnlist import turns_part

view = scope()
if view.model is None or view.bounds is None:
    no_predictions(view.snapshot, view.path)
    st.stop()

explore.restore()
total, known = explore.counts(view)
turns = total.turns
with st.container(horizontal=True, vertical_alignment="top", gap="small"):
    with st.container(width="stretch"):
        chips(view.chosen, f"{count(turns)} {'turn' if turns == 1 else 'turns'}")
    explore.views_menu(view)
    if turns:
        slice_buttons(view, turns)
if turns:
    explore.numbers(view, total, known)

shown = explore.show_choice()
if shown == "sql":
    st.subheader("Ask in SQL", anchor=False)
    editor(view)
elif not turns:
    st.subheader("Nothing here", anchor=False)
    st.text("No turn fits these filters. Take one away.")
elif shown == "table":
    st.subheader("Turns", anchor=False)
    turns_part(view, turns)
else:
    st.subheader("Pivot", anchor=False)
    pivot_part(view)
