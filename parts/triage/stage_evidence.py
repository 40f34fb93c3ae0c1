"""Evidence from the blamed stage, inside a slice."""

from __future__ import annotations

import pyarrow as pa
import streamlit as st

from analysis.stage_evidence import Evidence
from charts.formatting import count
from charts.html import piece
from charts.layout import CONFIG
from charts.slices import (
    distribution,
    distribution_words,
    hours,
    hours_words,
)
from data.queries.slice_evidence import Inside
from data.schema.vocabulary import EVIDENCE_HEADINGS
from parts.shared.view import View

_ROWS = 8
_TEMPLATE = "parts/triage/stage_evidence.html"


def show(evidence: Evidence, inside: Inside, view: View) -> None:
    """The tables and charts of a slice's evidence."""
    point = inside.failure_point
    if point not in EVIDENCE_HEADINGS:
        return
    st.subheader(EVIDENCE_HEADINGS[point], anchor=False)
    tables = evidence.tables
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
                thresholds = [v for v in scores["threshold"].to_pylist() if v is not None]
                st.plotly_chart(
                    distribution(scores, point, "score", thresholds[0] if thresholds else None),
                    config=CONFIG,
                    alt=distribution_words(scores, "wake scores of predicted false wakes"),
                    key="wake-steps",
                )
                st.caption("Wake score of predicted false wakes, here and elsewhere.")
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
        st.caption(evidence.words().replace(",", "\u2009"))


def _list(table: pa.Table, columns: dict[str, str], nothing: str) -> None:
    rows = table.to_pylist()
    if not rows:
        st.caption(nothing)
        return
    st.html(piece(_TEMPLATE, "confusions", rows=rows[:_ROWS], columns=columns))
    if len(rows) > _ROWS:
        with st.expander(f"{len(rows) - _ROWS} more"):
            st.html(piece(_TEMPLATE, "confusions", rows=rows[_ROWS:], columns=columns))


def _rates(table: pa.Table, columns: dict[str, str]) -> None:
    rows = table.slice(0, _ROWS).to_pylist()
    st.html(piece(_TEMPLATE, "rates", rows=rows, columns=columns))


def _steps_table(table: pa.Table, what: str) -> None:
    with st.expander("As a table"):
        rows = [
            [
                f"{0.05 * row['step']:.2f} to {0.05 * (row['step'] + 1):.2f}",
                count(row["inside"]),
                count(row["rest"]),
            ]
            for row in table.to_pylist()
        ]
        heads = [what, "this slice", "all others"]
        st.html(
            piece("parts/shared/pieces.html", "plain_table", heads=heads, rows=rows, numbers=(1, 2))
        )
