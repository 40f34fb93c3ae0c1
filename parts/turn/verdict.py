"""What the model predicts for one turn, and why: probabilities, evidence, reasons, waterfall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from charts.formatting import percent, plain
from charts.html import piece
from charts.layout import CONFIG
from charts.palette import colour_of
from charts.prediction import (
    evidence,
    evidence_words,
    likelier,
    probabilities,
    probabilities_words,
    steps,
    waterfall,
    waterfall_words,
)
from charts.reasons import Reason, reasons, sides, value_words
from classifiers.reference_values import Rank, Reference
from data.schema.tables import EVIDENCE
from data.schema.vocabulary import EVIDENCE_NAMES, NAMES
from features import catalogue

# Reasons shown for the prediction, and against it.
_FOR, _AGAINST = 4, 3


def verdict(
    prediction: Mapping[str, Any], reference: Reference | None = None, guessed: bool = False
) -> None:
    """Six probabilities, one bar of evidence per stage, and the strongest reasons as sentences.

    With a `reference`, each reason says where its value lies among correct turns. A verdict that is
    `guessed`, of a model that nobody has checked (`parts.shared.unchecked`), begins with what is
    known best: how likely a defect is, and what speaks for it; which stage failed comes last.
    """
    if guessed:
        _defect(prediction)
        _evidence(prediction, reference)
        _probabilities(prediction, "Failure point, a guess")
    else:
        _probabilities(prediction, "Predicted failure point")
        _evidence(prediction, reference)


def _defect(prediction: Mapping[str, Any]) -> None:
    st.metric(
        "Probability of a defect",
        percent(prediction["p_defect"], 0),
        border=True,
        help="Of any failure, whichever stage is to blame.",
    )


def _probabilities(prediction: Mapping[str, Any], title: str) -> None:
    st.subheader(
        title,
        anchor=False,
        help="Where the model thinks the turn failed first, with its calibrated probabilities.",
    )
    st.plotly_chart(
        probabilities(prediction),
        config=CONFIG,
        alt=probabilities_words(prediction),
        key="probabilities",
    )
    other = likelier(prediction)
    if other:
        st.caption(other)


def _evidence(prediction: Mapping[str, Any], reference: Reference | None) -> None:
    name = NAMES[prediction["failure_point"]]
    st.subheader(
        f"Evidence for {plain(name)}",
        anchor=False,
        help="How much what each stage logged counts for this prediction or against it "
        "(SHAP values, summed by stage).",
    )
    st.plotly_chart(
        evidence(prediction), config=CONFIG, alt=evidence_words(prediction), key="evidence"
    )
    st.caption(f"A bar to the right speaks for {name}, one to the left against it.")
    supporting, opposing = sides(reasons(prediction))
    if supporting:
        st.markdown(f"**For {name}**")
        _list(supporting[:_FOR], reference)
    if opposing:
        st.markdown(f"**Against {name}**")
        _list(opposing[:_AGAINST], reference)


def why(prediction: Mapping[str, Any]) -> None:
    """The contributions in log-odds, folded away: the waterfall, and the sums of the stages."""
    name = NAMES[prediction["failure_point"]]
    values = {r["feature"]: r["value"] for r in prediction["reasons"] or []}
    features = [
        (catalogue.sentence(feature), value_words(feature, values[feature]))
        for feature, _ in steps(prediction)
        if feature is not None
    ]
    with st.expander("Feature contributions (SHAP, log-odds)", icon=":material/waterfall_chart:"):
        st.caption(
            f"From the average turn to this one, in log-odds of {name} before calibration; each +1 "
            "multiplies its odds by 2.7. The bars add up to the last one."
        )
        st.plotly_chart(
            waterfall(prediction, features),
            config=CONFIG,
            alt=waterfall_words(prediction),
            key="why",
        )
        stages = ", ".join(
            f"{EVIDENCE_NAMES[stage]} {prediction[f'evidence_{stage}'] or 0.0:+.2f}"
            for stage in EVIDENCE
        )
        st.caption(f"By stage: {stages}.")


def _list(told: Sequence[Reason], reference: Reference | None) -> None:
    for reason in told:
        among = reference.rank(reason.feature, reason.number) if reference else None
        with st.container(gap=None):
            st.markdown(
                f':color[●]{{foreground="{colour_of(reason.stage)}"}} '
                f"{plain(reason.words)}: **{plain(reason.value)}**"
            )
            if among is not None:
                _among_correct(among, reason)


def _among_correct(among: Rank, reason: Reason) -> None:
    """Where a value lies among correct turns: a strip, and the same in words."""
    low, high = among.quantiles[10], among.quantiles[90]
    if among.same < 0.5 and high > low:
        strip = piece(
            "parts/turn/prediction.html",
            "range_strip",
            value=among.value,
            low=low,
            high=high,
            first=min(among.quantiles[1], among.value),
            last=max(among.quantiles[99], among.value),
            colour=colour_of(reason.stage),
        )
        st.html(strip)
    st.caption(plain(among.words().capitalize()))
