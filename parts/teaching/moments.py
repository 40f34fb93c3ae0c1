"""Teachable moments: where a user would gain from teaching the assistant something."""

from __future__ import annotations

from collections import Counter
from typing import Any

import streamlit as st

from charts.formatting import count, several
from labels.teaching.moments import EVERY_DAYS, TIMES, WITHIN_DAYS, moments
from parts.server.caching import cached_data
from parts.shared.choice import one_of
from parts.shared.turn_links import Column, openable, page_of, times
from parts.shared.view import CacheKey, View

ROWS = 20
ALL = "all"
# Reasons as the links have them -> as `labels.teaching.moments` has them, and in words.
_WHY = {
    "failing": ("keeps failing", "Keeps failing"),
    "wrong": ("said it was wrong", "Said it was wrong"),
    "asked": ("asked to learn", "Asked to teach"),
}
_HELP = (
    f"A request that failed with the same user {TIMES} times or more within {WITHIN_DAYS} days, a "
    "user who said that it was wrong, or one who wants to teach. What a user has taught since is "
    "no moment any more."
)
_DUE = (
    f"Whether the assistant may raise it: it approaches a user at most once in {EVERY_DAYS:g} days."
)


def found(view: View) -> list[dict[str, Any]]:
    """The moments within the days and assistants of the view, the newest first."""
    key = view.unfiltered.cache_key("turns", "feedback", "preferences", "misdated")
    rows = _moments(key, view)
    since, until, assistants = view.chosen.since, view.chosen.until, view.chosen.assistant
    return [
        row
        for row in rows
        if (since is None or row["day"] >= since)
        and (until is None or row["day"] <= until)
        and (not assistants or row["assistant"] in assistants)
    ]


@cached_data(max_entries=4, show_spinner="Looking for moments")
def _moments(key: CacheKey, _view: View) -> list[dict[str, Any]]:
    rows = moments(_view.snapshot).to_pylist()
    return sorted(rows, key=lambda row: (row["at"], row["turn_id"]), reverse=True)


def moment_list(view: View, rows: list[dict[str, Any]]) -> None:
    """Draw the moments, twenty to a page; a row opens its turn."""
    st.subheader("Moments", anchor=False, help=_HELP)
    if not rows:
        st.text("No request keeps failing with the same user here, and nobody asked to teach.")
        return
    numbers = Counter(row["why"] for row in rows)
    why = one_of(
        "Why",
        (ALL, *_WHY),
        "moment",
        words=lambda name: (
            f"All {count(len(rows))}"
            if name == ALL
            else f"{_WHY[name][1]} {count(numbers[_WHY[name][0]])}"
        ),
        hidden=True,
        default=ALL,
    )
    if why != ALL:
        rows = [row for row in rows if row["why"] == _WHY[why][0]]
    due = sum(row["due"] for row in rows)
    st.caption(
        f"{count(due)} of {several(len(rows), 'moment')} are due: the assistant approaches a user "
        f"at most once in {EVERY_DAYS:g} days."
    )
    if not rows:
        return
    slot = st.container()
    page = page_of(-(-len(rows) // ROWS))
    shown = [{**row, "started_at": row["at"]} for row in rows[(page - 1) * ROWS : page * ROWS]]
    words = dict(_WHY.values())
    columns = [
        Column("Heard", [row["request"] for row in shown]),
        Column("Why", [words.get(row["why"], row["why"]) for row in shown], "still"),
        Column(
            "Times",
            [count(row["times"]) if row["times"] else None for row in shown],
            "number",
            help="How often it failed with this user so far.",
        ),
        Column("User", [row["user_id"] for row in shown]),
        Column("Due", ["yes" if row["due"] else "later" for row in shown], "still", help=_DUE),
        times(shown),
    ]
    with slot:
        openable(view, shown, columns)
