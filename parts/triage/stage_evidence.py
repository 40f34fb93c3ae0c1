"""Evidence of the blamed stage's own kind, inside a slice."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import streamlit as st

from analysis.stage_evidence import Evidence
from charts.formatting import count, percent
from charts.layout import CONFIG
from charts.slices import (
    distribution,
    distribution_words,
    hours,
    hours_words,
)
from data.queries.slice_evidence import Inside
from data.schema.vocabulary import EVIDENCE_HEADINGS
from parts.shared.html import (
    muted,
    table,
    text,
)
from parts.shared.view import View

_ROWS = 8
_SOURCES = {
    "gold": "a person wrote it down",
    "rephrase": "the user said it again",
    "n-best": "another hypothesis",
    "next turn": "what came next",
}


def show(found: Evidence, inside: Inside, view: View) -> None:
    """The tables and charts of a slice's evidence."""
    point = inside.failure_point
    if point not in EVIDENCE_HEADINGS:
        return
    st.subheader(EVIDENCE_HEADINGS[point], anchor=False)
    tables = found.tables
    match point:
        case "asr":
            _list(
                tables["confused"],
                {"heard": "heard", "meant": "meant", "source": "known from"},
                "No word is known to have been confused.",
            )
            steps = tables["confidence"]
            if steps.num_rows:
                st.plotly_chart(
                    distribution(steps, point, "confidence"),
                    config=CONFIG,
                    alt=distribution_words(steps, "ASR confidence"),
                    key="confidence-steps",
                )
                st.caption("ASR confidence of all turns of this slice, and of all others.")
                _steps_table(steps, "ASR confidence")
            _rates(tables["places"], {"device_type": "device", "locale": "locale"})
        case "nlu":
            _list(
                tables["intents"],
                {"understood": "understood", "meant": "meant", "source": "known from"},
                "No intent is known to have been confused.",
            )
        case "er":
            _list(
                tables["mentions"],
                {"mention": "mention", "slot": "as", "kind": "", "first": "between"},
                "Every mention was found, and clearly.",
            )
        case "false_wake":
            scores = tables["scores"]
            if scores.num_rows:
                given = [v for v in scores["threshold"].to_pylist() if v is not None]
                st.plotly_chart(
                    distribution(scores, point, "score", given[0] if given else None),
                    config=CONFIG,
                    alt=distribution_words(scores, "wake scores of turns called false wakes"),
                    key="wake-steps",
                )
                st.caption("Wake score of turns called false wakes, here and elsewhere.")
                _steps_table(scores, "Wake score")
            st.plotly_chart(
                hours(tables["hours"], point),
                config=CONFIG,
                alt=hours_words(tables["hours"]),
                key="wake-hours",
            )
            st.caption("False wakes by hour of the day, UTC.")
            _rates(tables["devices"], {"device_type": "device"})
        case "result":
            _rates(tables["outcomes"], {"action": "action", "status": "status"})
    if point in ("asr", "nlu", "er"):
        st.caption(found.words().replace(",", "\u2009"))


def _list(rows: pa.Table, columns: dict[str, str], nothing: str) -> None:
    found = rows.to_pylist()
    if not found:
        st.caption(nothing)
        return

    def made(part: list[dict[str, Any]]) -> str:
        body = [[*(_cell(row, name) for name in columns), count(row["turns"])] for row in part]
        return table([*columns.values(), "turns"], body, (len(columns),))

    st.html(made(found[:_ROWS]))
    if len(found) > _ROWS:
        with st.expander(f"{len(found) - _ROWS} more"):
            st.html(made(found[_ROWS:]))


def _cell(row: dict[str, Any], name: str) -> str:
    value = row[name]
    if name == "source":
        return muted(_SOURCES.get(value, value))
    if name == "first":
        return f"{text(value, 60)} and {text(row['second'], 60)}" if value else ""
    if name == "kind":
        return "not found" if value == "unresolved" else "ambiguous"
    if name in ("heard", "meant", "mention"):
        return f"<b>{text(value, 80)}</b>" if value else muted("nothing")
    return text(value, 80) if value else muted("none")


def _rates(rows: pa.Table, columns: dict[str, str]) -> None:
    found = rows.to_pylist()
    body = [
        [
            *(text(row[name], 60) if row[name] else muted("not logged") for name in columns),
            count(row["turns"]),
            count(row["failures"]),
            percent(row["failures"] / row["turns"]),
        ]
        for row in found[:_ROWS]
    ]
    first = len(columns)
    heads = [*columns.values(), "turns", "failed, est.", "rate"]
    st.html(table(heads, body, (first, first + 1, first + 2)))


def _steps_table(rows: pa.Table, what: str) -> None:
    with st.expander("As a table"):
        found = rows.to_pylist()
        body = [
            [
                f"{0.05 * row['step']:.2f} to {0.05 * (row['step'] + 1):.2f}",
                count(row["inside"]),
                count(row["rest"]),
            ]
            for row in found
        ]
        st.html(table([what, "this slice", "all others"], body, (1, 2)))
