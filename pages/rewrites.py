"""Rewrites: what people say instead when a request fails, and what that would mend."""

from __future__ import annotations

import streamlit as st

from charts.formatting import several
from data.queries import rewrites
from parts.rewrites.detail import detail
from parts.rewrites.evidence import evidence
from parts.rewrites.export import export_menu
from parts.rewrites.mining import mine_button, nothing_mined
from parts.rewrites.ranked_list import rewrite_list
from parts.server.access import may
from parts.shared.choice import one_of
from parts.shared.filter_bar import chips
from parts.shared.rewrites import any_mined
from parts.shared.view import current_view

view = current_view()
chosen = st.query_params.get("rewrite")
if not any_mined(view) and not chosen:
    nothing_mined(view)
    st.stop()
if chosen:
    detail(view, chosen)
    st.stop()

states = rewrites.by_state(view.snapshot)
total = sum(states.values())
with st.container(horizontal=True, vertical_alignment="top", gap="small"):
    with st.container(width="stretch"):
        chips(view.chosen, several(total, "rewrite"))
    if may("run"):
        mine_button(view)
    if may("export"):
        export_menu(view, states)

part = one_of(
    "Part",
    ("list", "evidence"),
    "part",
    words=str.capitalize,
    kind="segments",
    hidden=True,
    default="list",
)
if part == "evidence":
    st.subheader("Evidence", anchor=False)
    evidence(view)
else:
    st.subheader(
        "Rewrites",
        anchor=False,
        help="What is heard, and what should be done instead: those first that would mend most of "
        "the turns within these filters.",
    )
    rewrite_list(view, states, rewrites.methods(view.snapshot))
