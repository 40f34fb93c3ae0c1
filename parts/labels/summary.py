"""How many goals there are, how many of them are reached, and where fewest are."""

from __future__ import annotations

from typing import Any

import streamlit as st

from charts.formatting import count
from data.queries.overview import grain
from parts.server.caching import cached_data
from parts.shared.headline import annotated_goals, goal_rate
from parts.shared.view import CacheKey, View
from report.goal_success import GoalSuccess, success


def summary(view: View) -> None:
    """Draw the goals of the view in numbers; a sentence where none was found."""
    found = _success(view.cache_key(), view)
    if found is None:
        st.text("No goal was found within these filters.")
        return
    with st.grid(3, min_column_width=185, gap="small"):
        st.metric("Goals", count(found.goals), help="That begin within these filters.", **_BOX)
        goal_rate(found)
        missed = (1 - found.rate.value) * found.goals
        st.metric(
            "Not reached",
            count(missed),
            help="About so many of these goals: all of them, times the share not reached.",
            **_BOX,
        )


@cached_data(max_entries=64, show_spinner=False)
def _success(key: CacheKey, _view: View) -> GoalSuccess | None:
    by = grain(*_view.bounds[:2]) if _view.bounds else "month"
    return success(_view.snapshot, _view.model, _view.chosen, None, by, annotated_goals(_view))


_BOX: dict[str, Any] = {"border": True, "height": "stretch"}
