"""Comparison of two models on the same turns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from charts import learning_curve as charts
from charts.formatting import (
    count,
    percent,
    plain,
    points,
)
from charts.layout import CONFIG
from classifiers.evaluation.comparison import (
    Comparison,
    Difference,
    compare_verdicts,
)
from data.schema.trace import FAILURE_POINTS
from data.schema.vocabulary import NAMES
from parts.model.quality import tested
from parts.server.caching import cached_data
from parts.shared.choice import one_of
from parts.shared.view import CacheKey, View, scorers


@cached_data(max_entries=16, show_spinner=False)
def _compared(key: CacheKey, other: str, _view: View) -> Comparison | None:
    a, b = tested(_view), tested(replace(_view, model=other))
    _, mine, theirs = np.intersect1d(
        np.array(a.turn_ids), np.array(b.turn_ids), assume_unique=True, return_indices=True
    )
    if not len(mine):
        return None
    columns = (a.truth[mine], a.verdict[mine], b.verdict[theirs], a.group[mine])
    defect = (a.p("defect")[mine], b.p("defect")[theirs])
    return compare_verdicts(*(column.tolist() for column in columns), defect=defect)


def versus(view: View) -> None:
    """Draw the comparison of another model with the present one, on the turns scored by both."""
    assert view.model is not None
    others = [name for name in scorers(view.path, view.snapshot.version) if name != view.model]
    st.subheader(
        "Compare models",
        anchor=False,
        help="Both models on the same labelled turns: is the difference larger than chance?",
    )
    if not others:
        st.text("Only one model has scored these turns. Train another and score with it:")
        st.code("faultline train --no-promote\nfaultline score --model MODEL", language=None)
        return
    other = one_of("Compare with", others, "other", kind="list")
    model = view.model
    comparison = _compared(view.cache_key(), other, view)
    if comparison is None:
        st.text(f"No labelled turn within these filters was scored by {other} too.")
        return
    st.markdown(_verdict(comparison, plain(model), plain(other)))
    with st.grid(4, min_column_width=185, gap="small"):
        for label, value in (
            ("Both right", comparison.both),
            (f"Only {plain(model)} right", comparison.first_only),
            (f"Only {plain(other)} right", comparison.second_only),
            ("Both wrong", comparison.neither),
        ):
            st.metric(
                label,
                f"{count(value)} :small[:gray[{percent(value / comparison.turns)}]]",
                border=True,
                height="stretch",
            )
    rows = [(name, comparison.f1[name]) for name in FAILURE_POINTS if name in comparison.f1]
    st.plotly_chart(
        charts.differences(rows),
        config=CONFIG,
        alt=charts.differences_words(rows),
        key="differences",
    )
    st.caption(
        f"F1 of {plain(other)} minus {plain(model)}, per failure point: right of the line "
        f"{plain(other)} is better. 95 % intervals from resampling dialogues, both models on the "
        "same draw."
    )
    with st.expander("As a table"):
        ranked = comparison.defect_average_precision
        _table(
            [
                ("Macro-F1", comparison.macro_f1),
                ("Accuracy", comparison.accuracy),
                *([("Average precision, any defect", ranked)] if ranked else []),
            ],
            rows,
            model,
            other,
        )


def _verdict(comparison: Comparison, first: str, second: str) -> str:
    f1 = comparison.macro_f1
    span = f"{points(f1.value)} ({points(f1.low)} to {points(f1.high)})"
    if comparison.better:
        better = second if comparison.better == "second" else first
        verdict = f"**By macro-F1 {better} is better**"
    else:
        verdict = "**By macro-F1 neither is clearly better**"
    chance = "below 0.001" if comparison.p_value < 0.001 else f"{comparison.p_value:.3f}"
    return (
        f"{verdict}: {percent(f1.first)} and {percent(f1.second)}, {span}, on "
        f"{count(comparison.turns)} labelled turns. Where only one is right, it is {first} "
        f"{count(comparison.first_only)} times and {second} {count(comparison.second_only)} times; "
        f"were they equally good, such a difference would have probability {chance} "
        ":small[:gray[(McNemar’s test, as if turns were independent)]]."
    )


def _table(
    totals: list[tuple[str, Difference]],
    rows: list[tuple[str, Difference]],
    first: str,
    second: str,
) -> None:
    every = [*totals, *((f"F1, {NAMES[name]}", d) for name, d in rows)]
    columns = {
        "Figure": [name for name, _ in every],
        first: [100 * d.first for _, d in every],
        second: [100 * d.second for _, d in every],
        "Difference": [100 * d.value for _, d in every],
        "Low": [100 * d.low for _, d in every],
        "High": [100 * d.high for _, d in every],
    }
    st.dataframe(
        columns,
        hide_index=True,
        column_config={
            name: st.column_config.NumberColumn(format="%.1f %%")
            for name in columns
            if name != "Figure"
        },
    )
