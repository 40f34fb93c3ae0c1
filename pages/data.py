"""What arrived, what is missing, what drifted, and what it takes on disk."""

from __future__ import annotations

from datetime import date
from typing import Any

import streamlit as st

from data import arrivals as arrived
from parts import arrivals
from parts.scope import scope
from parts.signals import drifting, signals
from parts.storage import sizes, upkeep

PARTS = {
    "arrivals": "Arrivals",
    "signals": "Signals",
    "drift": "Drift",
    "storage": "Storage",
}
view = scope()
asked = st.query_params.get("part", st.session_state.get("data-held", ""))
part = asked if asked in PARTS else "arrivals"


def choose() -> None:
    """Keep the chosen part in the link."""
    st.query_params["part"] = st.session_state["data-part"]


arrivals.numbers(view)
st.session_state["data-part"] = st.session_state["data-held"] = part
st.segmented_control(
    "Show",
    tuple(PARTS),
    key="data-part",
    format_func=PARTS.__getitem__,
    required=True,
    label_visibility="collapsed",
    on_change=choose,
)
if part == "arrivals":
    arrivals.freshness(view)
    arrivals.run_list(view)
    arrivals.quarantine(view)
elif part == "signals":
    signals(view)
elif part == "drift":
    rows: list[dict[str, Any]] = arrived.freshness(view.snapshot).to_pylist()
    days: list[date] = [row[name] for row in rows for name in ("first_day", "last_day")]
    drifting(view, min(days), max(days))
else:
    sizes(view)
    upkeep(view)
