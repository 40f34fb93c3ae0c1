"""Suspected label errors: where annotators and model disagree."""

from __future__ import annotations

import streamlit as st

from charts.formatting import count, short
from charts.palette import PILLS
from classifiers.evaluation.label_errors import suspects
from data.queries.thresholds import heard
from data.schema.trace import FAILURE_POINTS
from data.schema.vocabulary import NAMES
from parts.model.quality import tested
from parts.shared.view import CacheKey, View

ROWS = 20


@st.cache_data(max_entries=16, show_spinner=False)
def _suspects(key: CacheKey, _view: View) -> tuple[list[int], list[int]]:
    sample = tested(_view)
    rows, rather = suspects(sample.truth, sample.probability, FAILURE_POINTS)
    return rows.tolist(), rather.tolist()


def suspected_labels(view: View) -> None:
    """Labels that are likely wrong, the most suspect first; choosing a row opens the turn."""
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
    picked = st.pills(
        "Labelled",
        labels,
        format_func=lambda name: f"{NAMES[name]} {sum(sample.truth[i] == name for i in rows)}",
        key="labelled-as",
    )
    if picked:
        pairs = [(i, r) for i, r in pairs if sample.truth[i] == picked]
    pages = -(-len(pairs) // ROWS)
    slot = st.container()
    where = f"{view.snapshot.version}-{view.model}-{view.chosen.caption()}-{picked}"
    page = st.pagination(pages, key=f"doubts-page-{where}") if pages > 1 else 1
    listed = pairs[(page - 1) * ROWS : page * ROWS]
    texts = heard(
        view.snapshot, view.model, [(sample.turn_ids[i], sample.days[i]) for i, _ in listed]
    )
    coloured = st.column_config.MultiselectColumn(
        options=[NAMES[name] for name in FAILURE_POINTS],
        color=[PILLS[name] for name in FAILURE_POINTS],
        width=110,
    )
    percents = st.column_config.NumberColumn(format="%.1f %%", width=110)
    with slot:
        table = st.dataframe(
            {
                "Labelled": [[NAMES[sample.truth[i]]] for i, _ in listed],
                "Predicted": [[NAMES[FAILURE_POINTS[r]]] for _, r in listed],
                "Heard": [short(texts.get(sample.turn_ids[i]), 160) or "–" for i, _ in listed],
                "P (label)": [100 * sample.p(sample.truth[i])[i] for i, _ in listed],
                "P (prediction)": [100 * float(sample.probability[i, r]) for i, r in listed],
                "Day": [sample.days[i] for i, _ in listed],
            },
            hide_index=True,
            key=f"doubts-{where}-{page}",
            on_select="rerun",
            selection_mode="single-row",
            height="content",
            column_config={
                "Labelled": coloured,
                "Predicted": coloured,
                "Heard": st.column_config.TextColumn(width=340),
                "P (label)": percents,
                "P (prediction)": percents,
                "Day": st.column_config.DateColumn(format="D MMM YYYY", width=110),
            },
        )
    if table["selection"]["rows"]:
        i = listed[table["selection"]["rows"][0]][0]
        st.switch_page(
            "pages/turn.py",
            query_params=view.link(turn=sample.turn_ids[i], day=sample.days[i].isoformat()),
        )
    st.caption(
        f"{count(len(rows))} of {count(len(sample))} labels are doubted by confident learning: "
        "another failure point is more probable than it usually is where it is the label. The "
        "model may be the one that errs. Tick a row to open the turn."
    )
