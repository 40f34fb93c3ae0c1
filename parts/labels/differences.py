"""Turns whose generated label differs from what people said, to be settled one by one."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import streamlit as st

from charts.formatting import count, percent
from data.queries import generated_labels
from parts.server.caching import cached_data
from parts.shared.choice import one_of
from parts.shared.turn_links import Column, openable, page_of, shares, times
from parts.shared.view import CacheKey, View

ROWS = 20
_NAMES = {
    "failure_point": "Failure point",
    "turn_defect": "Turn defect",
    "intent": "Intent",
    "goal_reached": "Goal reached",
}


def difference_panel(view: View) -> None:
    """Draw how far labels and people agree, and the turns on which they do not."""
    st.subheader(
        "Disagreements",
        anchor=False,
        help="Annotated turns, in the logs or here, whose generated label says something else; the "
        "surest labels first. Either may be wrong. Open one and give a verdict to settle it: it "
        "counts before the annotation of the logs.",
    )
    agreed = {row["kind"]: row for row in _agreement(_key(view), view)}
    kinds = [kind for kind in generated_labels.KINDS if agreed[kind]["turns"]]
    if not kinds:
        st.text("No labelled turn within these filters was annotated, so nothing can differ.")
        return
    kind = one_of(
        "Label",
        tuple(kinds),
        "differ",
        words=lambda name: f"{_NAMES[name]} {count(agreed[name]['turns'] - agreed[name]['same'])}",
        hidden=True,
        default=kinds[0],
    )
    row = agreed[kind]
    noun = "goals" if kind == "goal_reached" else "turns"
    st.caption(
        f"They agree on {percent(row['same'] / row['turns'])} of {count(row['turns'])} annotated "
        f"{noun}. Verdicts that wait for a second opinion are not among them."
    )
    total = row["turns"] - row["same"]
    if not total:
        st.text("Nothing to settle.")
        return
    slot = st.container()
    page = page_of(-(-total // ROWS))
    turns = _differences(_key(view), kind, page, view).to_pylist()
    labelled: Any = "failure" if kind == "failure_point" else "still"
    columns = [
        Column("Heard", [turn["heard"] for turn in turns]),
        Column("Generated", [turn["label"] for turn in turns], labelled),
        shares("Probability", [turn["p"] for turn in turns]),
        Column("People said", [turn["told"] for turn in turns], labelled),
        Column("Where", [_WHERE[turn["source"]] for turn in turns], "still"),
        times(turns),
    ]
    with slot:
        openable(view, turns, columns)


_WHERE = {"logs": "in the logs", "dashboard": "here"}


def _key(view: View) -> CacheKey:
    tables = ("generated_labels", "predictions", "misdated", "labelled", "annotations", "settings")
    return view.cache_key("turns", *tables)


@cached_data(max_entries=64, show_spinner="Comparing labels with annotations")
def _agreement(key: CacheKey, _view: View) -> list[dict[str, Any]]:
    return generated_labels.agreement(_view.snapshot, _view.model, _view.chosen)


@cached_data(max_entries=128, show_spinner=False)
def _differences(key: CacheKey, kind: str, page: int, _view: View) -> pa.Table:
    return generated_labels.differences(
        _view.snapshot, _view.model, _view.chosen, kind, ROWS, (page - 1) * ROWS
    )
