"""An outside judge, such as a language model, beside the model on the same turns."""

from __future__ import annotations

import math
from typing import Any

import streamlit as st

from charts.formatting import count, percent, plain, points, several
from classifiers.evaluation.comparison import Difference
from classifiers.evaluation.judges import (
    BASELINE,
    JUDGE,
    MODEL,
    Estimate,
    JudgeComparison,
    compare_judge,
    differing,
    favoured,
)
from data.queries.judges import judges
from data.schema.vocabulary import NAMES
from parts.server.access import open_store
from parts.server.caching import cached_resource
from parts.shared.choice import one_of
from parts.shared.turn_links import Column, openable, page_of
from parts.shared.view import CacheKey, View

ROWS = 10


@cached_resource(max_entries=16, show_spinner="Comparing with the judge")
def _compared(key: CacheKey, judge: str, _view: View) -> JudgeComparison:
    models = open_store(_view.path).models
    return compare_judge(_view.snapshot, models, judge, _view.model, _view.chosen)


def outside_judges(view: View) -> None:
    """Draw the comparison of the model with an outside judge; raises what `compare_judge` does."""
    st.subheader(
        "Compare with an outside judge",
        anchor=False,
        help="A language model or a vendor judges turns of known truth; its verdicts are compared "
        "with the model’s on the same turns, and are no gold.",
    )
    names = [str(name) for name in judges(view.snapshot)["annotator"].to_pylist()]
    if not names:
        st.text("No judge’s verdicts are in the store. Have some turns judged, and import them:")
        st.code(
            "faultline judge export --to turns.jsonl\nfaultline judge import VERDICTS --name NAME",
            language=None,
        )
        return
    judge = one_of("Judge", names, "judge", kind="list")
    compared = _compared(view.cache_key(), judge, view)
    st.markdown(_verdict(compared))
    _figures(compared)
    st.caption(_about(compared))
    _differing(view, compared)


def _verdict(compared: JudgeComparison) -> str:
    f1 = compared.paired.macro_f1
    better = {"first": "the model", "second": plain(compared.judge)}.get(
        compared.paired.better or "", "neither"
    )
    clearly = "is better" if compared.paired.better else "is clearly better"
    return (
        f"**By macro-F1 {better} {clearly}**: the model has {percent(f1.first)}, "
        f"{plain(compared.judge)} {percent(f1.second)}, {points(f1.value)} ({points(f1.low)} to "
        f"{points(f1.high)}), on {several(compared.turns, 'turn')} in "
        f"{several(compared.dialogues, 'dialogue')}. To call every turn correct has "
        f"{percent(compared.sides[BASELINE].macro_f1.value)}."
    )


def _figures(compared: JudgeComparison) -> None:
    paired, sides = compared.paired, compared.sides
    rows: list[tuple[str, Difference | None, Estimate | None]] = [
        ("Macro-F1", paired.macro_f1, sides[BASELINE].macro_f1),
        ("Accuracy", paired.accuracy, sides[BASELINE].accuracy),
        ("Precision, any defect", compared.precision, None),
        ("Recall, any defect", compared.recall, sides[BASELINE].recall),
        ("Average precision, any defect", paired.defect_average_precision, None),
        *(
            (f"F1, {NAMES[name]} ({count(paired.support[name])})", f1, sides[BASELINE].f1[name])
            for name, f1 in paired.f1.items()
        ),
    ]
    drawn = [(name, figure, simplest) for name, figure, simplest in rows if figure is not None]
    columns: dict[str, list[Any]] = {
        "Figure": [name for name, _, _ in drawn],
        "Model": [_hundredths(figure.first) for _, figure, _ in drawn],
        "Judge": [_hundredths(figure.second) for _, figure, _ in drawn],
        "Judge minus model": [_hundredths(figure.value) for _, figure, _ in drawn],
        "Low": [_hundredths(figure.low) for _, figure, _ in drawn],
        "High": [_hundredths(figure.high) for _, figure, _ in drawn],
    }
    simplest = ["–" if figure is None else f"{100 * figure.value:.1f} %" for _, _, figure in drawn]
    st.dataframe(
        {**columns, "Always correct": simplest},
        hide_index=True,
        height="content",
        column_config={
            **dict.fromkeys(list(columns)[1:], st.column_config.NumberColumn(format="%.1f %%")),
            "Always correct": st.column_config.TextColumn(alignment="right"),
        },
    )
    with st.expander("Both with their intervals, and agreement"):
        st.dataframe(_details(compared), hide_index=True, height="content")


def _details(compared: JudgeComparison) -> dict[str, list[str]]:
    """Every figure of both with its interval, and how far gold, model and judge agree."""
    labels = {
        "macro_f1": "Macro-F1",
        "accuracy": "Accuracy",
        "precision": "Precision, any defect",
        "recall": "Recall, any defect",
        "average_precision": "Average precision, any defect",
    }
    rows = [
        (label, *(_span(getattr(compared.sides[side], key)) for side in (MODEL, JUDGE)))
        for key, label in labels.items()
    ]
    with_gold = [compared.agreement[side, "gold"] for side in (MODEL, JUDGE)]
    rows.append(("Cohen’s kappa with gold", *(_span(a.kappa) for a in with_gold)))
    rows.append(("Krippendorff’s alpha with gold", *(_span(a.alpha) for a in with_gold)))
    both = compared.agreement[JUDGE, MODEL]
    rows.append(("Cohen’s kappa of judge and model", _span(both.kappa), _span(both.kappa)))
    return {title: [row[i] for row in rows] for i, title in enumerate(("Figure", "Model", "Judge"))}


def _span(figure: Estimate | None) -> str:
    if figure is None or math.isnan(figure.value):
        return "–"
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def _hundredths(value: float) -> float | None:
    return None if math.isnan(value) else 100 * value


def _about(compared: JudgeComparison) -> str:
    """What was compared, what was left out and why, and what the judge costs."""
    left_out = [
        f"{count(number)} {why}"
        for number, why in (
            (compared.refused, "refused by the judge"),
            (compared.unreadable, "answered unreadably"),
            (compared.changed, "changed since"),
            (compared.unscored, "not scored by the model"),
            (compared.seen, "changed since the model learned from them"),
        )
        if number
    ]
    cost = (
        "is not known"
        if compared.cost_per_1000 is None
        else f"is {compared.cost_per_1000:,.2f} {plain(compared.currency or '')}".rstrip()
    )
    return " ".join(
        [
            f"{count(compared.known)} turns of known truth were judged; left out: "
            f"{', '.join(left_out) or 'none'}.",
            *(
                [
                    "With an answer that is none counted as wrong, the judge’s accuracy is "
                    f"{percent(compared.answered.value)}."
                ]
                if compared.refused or compared.unreadable
                else []
            ),
            *([plain(warning)] if (warning := favoured(compared)) else []),
            *(["The model learned from this judge as well."] if compared.taught else []),
            f"What {count(1000)} turns cost {cost}; the model has no fee. Turns that "
            "the model learned from are judged by models that had not seen them. 95 % intervals "
            "from resampling dialogues, both on the same draw.",
        ]
    )


def _differing(view: View, compared: JudgeComparison) -> None:
    apart = differing(compared.rows)
    if not apart.num_rows:
        st.text("They agree on every turn.")
        return
    st.markdown(f"**They differ on {several(apart.num_rows, 'turn')}**, in random order:")
    slot = st.container()
    page = page_of(-(-apart.num_rows // ROWS))
    rows = apart.slice((page - 1) * ROWS, ROWS).to_pylist()
    with slot:
        openable(
            view,
            rows,
            [
                Column("Labelled", [row["truth"] for row in rows], "failure"),
                Column("Model", [row["predicted"] for row in rows], "failure"),
                Column("Judge", [row["judged"] for row in rows], "failure"),
                Column("Heard", [row["heard"] for row in rows]),
                Column("The judge’s reason", [row["reason"] for row in rows]),
            ],
        )
