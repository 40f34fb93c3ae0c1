"""The rewrite that would have helped a turn, and whether its user got there later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from charts.formatting import plain, short
from charts.html import piece
from data.queries import rewrites
from parts.server.caching import cached_data
from parts.shared.rewrites import (
    TEMPLATE,
    any_mined,
    lines,
    outcome_words,
    success_words,
    support_words,
)
from parts.shared.view import CacheKey, View

Row = Mapping[str, Any]


@cached_data(max_entries=256, show_spinner=False)
def _rewrite(key: CacheKey, turn_id: str, _row: Row, _view: View) -> dict[str, Any] | None:
    return rewrites.for_turn(_view.snapshot, _row)


def rewrite_of(view: View, row: Row, prediction: Row | None) -> None:
    """Draw the rewrite of a turn (a row of `turns`); nothing if it has none."""
    if not any_mined(view):
        return
    key = view.unfiltered.cache_key("turns", "rewrites", "rewrite_outcomes")
    found = _rewrite(key, row["turn_id"], row, view)
    if found is None:
        return
    st.subheader(
        "Rewrite",
        anchor=False,
        help="What people say instead when this request fails, and what it then gets.",
    )
    facts = [f"success {success_words(found)}", support_words(found), outcome_words(found)]
    lines(view, [found], [" · ".join(filter(None, [*facts, found["state"]]))])
    _later(view, found["later"])
    if prediction and prediction["failure_point"] == "correct":
        st.caption("The model calls this turn correct, so here it would not have been needed.")


def _later(view: View, later: Row | None) -> None:
    """Whether the user got there in the same session, and by which turn."""
    if later is None:
        st.caption("The user did not get there in this session.")
        return
    how = "by just these words" if later["said"] else "by other words"
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.markdown(
            f"The user got there {later['after_s']:.0f}\u2009s later, {how}: "
            f"“{plain(short(later['heard'], 90))}”",
            width="content",
        )
        there = view.href("turn", turn=later["turn_id"], day=later["day"].isoformat())
        st.html(piece(TEMPLATE, "way", words="That turn", href=there), width="content")
