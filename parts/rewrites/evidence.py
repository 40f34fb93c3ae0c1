"""The tab Evidence: what rewrites were worth when later sessions were replayed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from charts.formatting import count, percent
from charts.html import piece
from charts.layout import CONFIG
from charts.rewrites import net_mended, net_words, outcome_words, outcomes
from charts.sentences import day_words
from data.queries.filters import day_of
from data.store import workspace
from parts.shared.view import View

EVALUATION = "rewrites_evaluation"
_NUMBERS = ("triggers", "wins", "losses", "no_help")
_HEADS = ["", "rewritten", "wins", "losses", "no help", "precision", "net mended", "95\u2009%",
          "false triggers"]  # fmt: skip


def evidence(view: View) -> None:
    """Draw the last evaluation, or say which command makes one."""
    stored = workspace.setting(view.snapshot, EVALUATION, None)
    if not isinstance(stored, Mapping) or not stored.get("rows"):
        st.subheader("Not evaluated yet", anchor=False)
        st.text(
            "Mining also replays later sessions: the first days are mined, the others show what "
            "the rewrites would have done. That needs turns of at least two days."
        )
        st.code(f"faultline rewrites mine --store {shlex.quote(view.path)}", language=None)
        return
    st.text(_about(stored))
    _panel("Methods", "by-method", [row for row in stored["rows"] if row["name"] != "none"])
    _panel(
        "Head and tail, seen and unseen",
        "by-part",
        list(stored.get("parts") or ()),
        "Head: requests that were heard often in the sessions mined. Unseen: texts that were never "
        "heard in them.",
    )


def _about(stored: Mapping[str, Any]) -> str:
    days = " to ".join(day_words(day_of(end, str(stored[end])), True) for end in ("since", "until"))
    judged = stored.get("judged")
    share = stored["wrong"] / stored["turns"] if stored["turns"] else 0.0
    return (
        f"The first {percent(stored['share'], 0)} of the days were mined, and "
        f"{count(stored['turns'])} later turns replayed, of {days}: {percent(share)} of them were "
        "wrong"
        + (f", {count(judged)} by annotation." if judged else ", as far as their sessions tell.")
    )


def _panel(title: str, key: str, rows: Sequence[Mapping[str, Any]], help: str = "") -> None:
    if not rows:
        return
    st.subheader(title, anchor=False, help=help or None)
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown(
            "**Net mended**",
            help="Wrong turns that were mended, less right ones that were broken, as a share of "
            "the wrong turns; whiskers are 95 % intervals over users.",
        )
        st.plotly_chart(net_mended(rows), config=CONFIG, alt=net_words(rows), key=f"net-{key}")
    with right:
        st.markdown(
            "**Wins and losses**",
            help="Win: a wrong turn whose rewrite leads to what was wanted. Loss: a right turn "
            "whose rewrite does not. No help: a wrong turn that stays wrong.",
        )
        st.plotly_chart(outcomes(rows), config=CONFIG, alt=outcome_words(rows), key=f"wins-{key}")
    with st.expander("As a table"):
        cells = [_cells(row) for row in rows]
        numbers = tuple(range(1, len(_HEADS)))
        st.html(
            piece(
                "parts/shared/pieces.html", "plain_table", heads=_HEADS, rows=cells, numbers=numbers
            )
        )


def _cells(row: Mapping[str, Any]) -> list[str]:
    precision = row.get("precision")
    return [
        str(row["name"]),
        *(count(row[name]) for name in _NUMBERS),
        "–" if precision is None else f"{precision:.3f}",
        percent(row["net"]),
        f"{100 * row['low']:.1f} to {percent(row['high'])}",
        percent(row["false_triggers"]),
    ]
