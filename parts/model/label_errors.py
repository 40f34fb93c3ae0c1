"""Where annotators and model disagree: labels that are likely wrong."""

from __future__ import annotations

import streamlit as st

from charts.formatting import count, short
from charts.palette import COLOURS
from classifiers.evaluation.label_errors import suspects
from data.queries.thresholds import heard
from data.schema.trace import FAILURE_POINTS
from data.schema.vocabulary import NAMES
from parts.model.quality import tested
from parts.shared.view import CacheKey, View

ROWS = 20


@st.cache_data(max_entries=16, show_spinner=False)
def _suspects(key: CacheKey, _view: View) -> tuple[list[int], list[int]]:
    known = tested(_view)
    rows, rather = suspects(known.truth, known.probability, FAILURE_POINTS)
    return rows.tolist(), rather.tolist()


def doubts(view: View) -> None:
    """Labels that the model doubts, the most doubtful first; choosing a row opens the turn."""
    assert view.model is not None
    known = tested(view)
    st.subheader("Labels that are likely wrong", anchor=False)
    with st.spinner("Looking for doubtful labels"):
        rows, rather = _suspects(view.cache_key(), view)
    if not rows:
        st.caption("No label within these filters is doubted.")
        return
    both = [(i, r) for i, r in zip(rows, rather, strict=True)]
    said = sorted({known.truth[i] for i in rows}, key=FAILURE_POINTS.index)
    picked = st.pills(
        "Labelled",
        said,
        format_func=lambda name: f"{NAMES[name]} {sum(known.truth[i] == name for i in rows)}",
        key="labelled-as",
    )
    if picked:
        both = [(i, r) for i, r in both if known.truth[i] == picked]
    pages = -(-len(both) // ROWS)
    slot = st.container()
    where = f"{view.snapshot.version}-{view.model}-{view.chosen.caption()}-{picked}"
    page = st.pagination(pages, key=f"doubts-page-{where}") if pages > 1 else 1
    shown = both[(page - 1) * ROWS : page * ROWS]
    texts = heard(view.snapshot, view.model, [(known.turn_ids[i], known.days[i]) for i, _ in shown])
    coloured = st.column_config.MultiselectColumn(
        options=[NAMES[name] for name in FAILURE_POINTS],
        color=[COLOURS[name] for name in FAILURE_POINTS],
        width=110,
    )
    percents = st.column_config.NumberColumn(format="%.1f %%", width=110)
    with slot:
        chosen = st.dataframe(
            {
                "Labelled": [[NAMES[known.truth[i]]] for i, _ in shown],
                "Model says": [[NAMES[FAILURE_POINTS[r]]] for _, r in shown],
                "Heard": [short(texts.get(known.turn_ids[i]), 160) or "–" for i, _ in shown],
                "Label’s probability": [100 * known.p(known.truth[i])[i] for i, _ in shown],
                "Model’s own": [100 * float(known.probability[i, r]) for i, r in shown],
                "Day": [known.days[i] for i, _ in shown],
            },
            hide_index=True,
            key=f"doubts-{where}-{page}",
            on_select="rerun",
            selection_mode="single-row",
            height="content",
            column_config={
                "Labelled": coloured,
                "Model says": coloured,
                "Heard": st.column_config.TextColumn(width=340),
                "Label’s probability": percents,
                "Model’s own": percents,
                "Day": st.column_config.DateColumn(format="D MMM YYYY", width=110),
            },
        )
    if chosen["selection"]["rows"]:
        i = shown[chosen["selection"]["rows"][0]][0]
        st.switch_page(
            "pages/turn.py",
            query_params=view.link(turn=known.turn_ids[i], day=known.days[i].isoformat()),
        )
    st.caption(
        f"{count(len(rows))} of {count(len(known))} labels are doubted by confident learning: "
        "another failure point is more probable than it usually is where it is the label. The "
        "model may be the one that errs. Tick a row to open the turn."
    )
