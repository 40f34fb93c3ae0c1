"""What arrived, what is missing, what drifted, and what it takes on disk."""

from __future__ import annotations

from datetime import date
from typing import Any

import streamlit as st

from data.errors import UsageError
from data.queries import ingest_runs as arrived
from parts.data import ingest_runs
from parts.data.signals import drifting, signals
from parts.data.storage import sizes, upkeep
from parts.shared import address
from parts.shared.first_steps import next_step
from parts.shared.log_upload import upload
from parts.shared.view import current_view

PARTS = {
    "arrivals": "Arrivals",
    "signals": "Signals",
    "drift": "Drift",
    "storage": "Storage",
    "upload": "Add logs",
}
view = current_view()
requested = st.query_params.get("part", st.session_state.get("data-last-part", ""))
if requested and requested not in PARTS:
    raise UsageError(f"Unknown part={requested[:60]}; give one of {', '.join(PARTS)}.")
part = requested or "arrivals"


def choose() -> None:
    """Keep the chosen part in the link."""
    address.put("part", st.session_state["data-part"])


ingest_runs.numbers(view)
if requested != part:
    address.put("part", part)
if view.model is None and not view.snapshot.counts()["predictions"]:
    with st.container(border=True):
        next_step(view.snapshot, view.path)
st.session_state["data-part"] = st.session_state["data-last-part"] = part
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
    ingest_runs.freshness(view)
    ingest_runs.misdated(view)
    ingest_runs.run_list(view)
    ingest_runs.left_out(view)
    ingest_runs.quarantine(view)
elif part == "signals":
    signals(view)
elif part == "drift":
    rows: list[dict[str, Any]] = arrived.freshness(view.snapshot).to_pylist()
    days: list[date] = [row[name] for row in rows for name in ("first_day", "last_day")]
    if days:
        drifting(view, min(days), max(days))
    else:
        st.caption("No turn has a possible date.")
elif part == "storage":
    sizes(view)
    upkeep(view)
else:
    st.subheader("Add logs", anchor=False)
    upload(view.path)
