"""Teaching: where users would gain from teaching the assistant, and what they taught it."""

from __future__ import annotations

import shlex

import streamlit as st

from parts.shared.choice import one_of
from parts.shared.filter_bar import chips
from parts.shared.view import current_view
from parts.teaching.moments import found, moment_list
from parts.teaching.one import one
from parts.teaching.taught import numbers, taught_list
from parts.teaching.try_out import try_out

view = current_view()
if chosen := st.query_params.get("preference"):
    one(view, chosen)
    st.stop()

taught = view.snapshot.counts()["preferences"]
if view.chosen:
    chips(view.chosen, "What was taught then, and moments to teach")
if taught:
    numbers(view)
    part = one_of(
        "Part",
        ("taught", "moments", "teach"),
        "part",
        words=str.capitalize,
        kind="segments",
        hidden=True,
        default="taught",
    )
    if part != "moments":
        (taught_list if part == "taught" else try_out)(view)
        st.stop()
else:
    st.header("Nothing taught yet", anchor=False)
    st.text(
        "Users can teach the assistant what a phrase of theirs means, and what they prefer. It is "
        "then used on their very next request. Teach something below, or on the command line:"
    )
    st.code(f"faultline teach --user USER --store {shlex.quote(view.path)}", language=None)
    try_out(view)
# Found last: for a million turns it takes seconds.
moment_list(view, found(view))
