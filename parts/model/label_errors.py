"""Suspected label errors: where annotators and model disagree."""

from __future__ import annotations

import streamlit as st

from charts.formatting import count
from classifiers.evaluation.label_errors import suspects
from data.errors import UsageError
from data.queries.thresholds import heard
from data.schema.trace import FAILURE_POINTS
from data.schema.vocabulary import NAMES
from parts.model.quality import tested
from parts.server.caching import cached_data
from parts.shared import address
from parts.shared.turn_links import Column, openable, page_of, shares
from parts.shared.view import CacheKey, View

ROWS = 20


@cached_data(max_entries=16, show_spinner=False)
def _suspects(key: CacheKey, _view: View) -> tuple[list[int], list[int]]:
    sample = tested(_view)
    rows, rather = suspects(sample.truth, sample.probability, FAILURE_POINTS)
    return rows.tolist(), rather.tolist()


def suspected_labels(view: View) -> None:
    """Labels that are likely wrong, the most suspect first; a row opens its turn."""
    assert view.model is not None
    sample = tested(view)
    st.subheader(
        "Suspected label errors",
        anchor=False,
        help="Labels that are likely wrong, by confident learning: another failure point is more "
        "probable than it usually is where it is the label.",
    )
    with st.spinner("Looking for label errors"):
        rows, rather = _suspects(view.cache_key(), view)
    if not rows:
        st.caption("No label within these filters is suspected to be wrong.")
        return
    pairs = [(i, r) for i, r in zip(rows, rather, strict=True)]
    labels = sorted({sample.truth[i] for i in rows}, key=FAILURE_POINTS.index)
    picked = st.query_params.get("labelled")
    if picked and picked not in FAILURE_POINTS:
        raise UsageError(
            f"Unknown labelled={picked[:60]}; give one of {', '.join(FAILURE_POINTS)}."
        )
    st.session_state["labelled"] = picked if picked in labels else None
    st.pills(
        "Labelled",
        labels,
        format_func=lambda name: f"{NAMES[name]} {sum(sample.truth[i] == name for i in rows)}",
        key="labelled",
        on_change=_choose,
    )
    if picked:
        pairs = [(i, r) for i, r in pairs if sample.truth[i] == picked]
    pages = -(-len(pairs) // ROWS)
    slot = st.container()
    page = page_of(pages)
    listed = pairs[(page - 1) * ROWS : page * ROWS]
    texts = heard(
        view.snapshot, view.model, [(sample.turn_ids[i], sample.days[i]) for i, _ in listed]
    )
    with slot:
        openable(
            view,
            [{"turn_id": sample.turn_ids[i], "day": sample.days[i]} for i, _ in listed],
            [
                Column("Labelled", [sample.truth[i] for i, _ in listed], "failure"),
                Column("Predicted", [FAILURE_POINTS[r] for _, r in listed], "failure"),
                Column("Heard", [texts.get(sample.turn_ids[i]) for i, _ in listed]),
                shares("P (label)", [sample.p(sample.truth[i])[i] for i, _ in listed]),
                shares("P (prediction)", [float(sample.probability[i, r]) for i, r in listed]),
                Column("Day", [f"{sample.days[i]:%-d %b %Y}" for i, _ in listed], "still"),
            ],
        )
    st.caption(
        f"{count(len(rows))} of {count(len(sample))} labels are suspected by confident learning: "
        "another failure point is more probable than it usually is where it is the label. The "
        "model may be the one that errs. A row opens its turn."
    )


def _choose() -> None:
    address.put("labelled", st.session_state["labelled"], "page")
