"""What arrived, what is missing, what drifted, and what it takes on disk."""

from __future__ import annotations

from datetime import date
from typing import Any

import streamlit as st

from data.queries import ingest_runs as arrived
from parts.data import ingest_runs
from parts.data.people import audit, roles
from parts.data.privacy import privacy
from parts.data.signals import drifting, signals
from parts.data.sources import sources
from parts.data.storage import sizes, upkeep
from parts.server.access import may, signed_in_as
from parts.shared.choice import one_of
from parts.shared.first_steps import next_step
from parts.shared.log_upload import upload
from parts.shared.view import current_view

PARTS = {
    "arrivals": "Arrivals",
    "signals": "Signals",
    "drift": "Drift",
    "storage": "Storage",
    "upload": "Add logs",
    "people": "People",
}
view = current_view()
if not may("maintain"):
    del PARTS["storage"], PARTS["upload"]
if not may("people") or signed_in_as() is None:
    del PARTS["people"]
ingest_runs.numbers(view)
if view.model is None and not view.snapshot.counts()["predictions"]:
    with st.container(border=True):
        next_step(view.snapshot, view.path)
part = one_of("Show", tuple(PARTS), "part", PARTS.__getitem__, "segments", hidden=True)
if part == "arrivals":
    ingest_runs.freshness(view)
    sources(view)
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
    privacy(view)
elif part == "people":
    roles(view.path)
    audit(view.path)
else:
    st.subheader("Add logs", anchor=False)
    upload(view.path)
