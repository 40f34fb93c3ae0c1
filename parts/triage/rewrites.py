"""What rewrites would mend in a slice, and which of its confusions they cover."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import streamlit as st

from analysis.stage_evidence import Evidence
from charts.formatting import count, percent, several
from data.queries.rewrites import OPEN
from data.queries.slices import Conditions
from parts.shared.rewrites import a_week, any_mined, covered, lines, mends, ranked
from parts.shared.view import View

# Rewrites that are listed, and those that confusions are looked up in.
_LISTED, _LOOKED_AT = 3, 200
_CONFUSIONS = 5
Row = Mapping[str, Any]


def would_mend(
    view: View, point: str, conditions: Conditions, days: pa.Table, evidence: Evidence
) -> None:
    """Draw how many failures of a slice rewrites would mend; nothing without rewrites.

    `days`: its sums (`data.queries.slices.daily`).
    """
    if not any_mined(view):
        return
    st.subheader(
        "Rewrites",
        anchor=False,
        help="What people say instead when a request fails. Counted are those that are proposed, "
        "approved or live, each as much as it is expected to raise the success of its turns.",
    )
    totals: list[Any] = days["total"].to_pylist()
    failed = sum(totals)
    mended = mends(covered(view, conditions), point)
    if mended < 0.005:
        st.caption("No request of this slice has a rewrite that would mend it.")
        return
    span = ((days["day"][-1].as_py() - days["day"][0].as_py()).days + 1) / 7
    share = percent(min(1.0, mended / failed)) if failed else ""
    st.markdown(
        f"They would mend **{a_week(mended, span)}** of its failures, {share} of {count(failed)}."
    )
    rows = ranked(
        view, conditions, states=OPEN, order=f"mended_{point}", rows=_LOOKED_AT, mending=True
    ).to_pylist()
    told = rows[:_LISTED]
    words = [
        f"{a_week(row['mended_' + point], span)}, {several(row['asked'], 'turn')}" for row in told
    ]
    lines(view, told, words)
    _confusions(view, point, evidence, rows)


def _confusions(view: View, point: str, evidence: Evidence, rows: Sequence[Row]) -> None:
    """The confusions of an ASR or ER slice that some of the rewrites cover."""
    pairs = _covered(point, evidence, rows)
    if not pairs:
        return
    st.caption("Confusions above that a rewrite covers:")
    lines(view, [row for _, row in pairs], [words for words, _ in pairs])


def _covered(point: str, evidence: Evidence, rows: Sequence[Row]) -> list[tuple[str, Row]]:
    """Confusions in words, each with the first of the rewrites that takes it out of a request."""
    tables = evidence.tables
    confused: list[tuple[str, str, str]] = []
    if point == "asr":
        confused = [
            (f"“{row['heard']}” for “{row['meant']}”", row["heard"], row["meant"])
            for row in tables["confused"].to_pylist()
            if row["heard"] and row["meant"]
        ]
    elif point == "er":
        confused = [
            (f"“{row['mention']}” {_KINDS.get(row['kind'], row['kind'])}", row["mention"], "")
            for row in tables["mentions"].to_pylist()
            if row["mention"]
        ]
    found = []
    for words, gone, come in confused:
        match = next((row for row in rows if _covers(row, gone, come)), None)
        if match:
            found.append((words, match))
    return found[:_CONFUSIONS]


_KINDS = {"unresolved": "not found"}


def _covers(row: Row, gone: str, come: str) -> bool:
    """Whether a rewrite replaces the words `gone`, by `come` where that is known."""
    before, after = f" {row['request']} ", f" {row['rewrite']} "
    leaves = f" {gone} " in before and f" {gone} " not in after
    return leaves and (not come or f" {come} " in after)
