"""What the model says about one turn, and why: probabilities, evidence, sentences, waterfall."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from charts.formatting import (
    milliseconds,
    number,
    percent,
    plain,
)
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
from classifiers.reference_values import Rank, Reference
from data.schema.vocabulary import NAMES
from features import catalogue

_SENTENCES = 5


def verdict(prediction: Mapping[str, Any], reference: Reference | None = None) -> None:
    """Six probabilities, one bar of evidence per stage, and the strongest reasons as sentences.

    With a `reference`, each reason says where its value lies among correct turns.
    """
    st.subheader("Where it failed", anchor=False)
    st.plotly_chart(
        probabilities(prediction),
        config=CONFIG,
        alt=probabilities_words(prediction),
        key="probabilities",
    )
    other = likelier(prediction)
    if other:
        st.caption(other)
    name = NAMES[prediction["failure_point"]]
    st.subheader(f"Why {plain(name)}", anchor=False)
    st.plotly_chart(
        evidence(prediction), config=CONFIG, alt=evidence_words(prediction), key="evidence"
    )
    st.caption(f"Right of the line speaks for {name}, left against it; in log-odds.")
    reasons = sorted(prediction["reasons"] or [], key=lambda r: -abs(r["contribution"]))
    for reason in reasons[:_SENTENCES]:
        among = reference.rank(reason["feature"], reason["value"]) if reference else None
        with st.container(gap=None):
            st.markdown(_reason(reason, name))
            if among is not None:
                _among_correct(among, _value(reason["feature"], reason["value"]), reason["stage"])


def why(prediction: Mapping[str, Any]) -> None:
    """The waterfall from the average turn to this one."""
    name = NAMES[prediction["failure_point"]]
    values = {r["feature"]: r["value"] for r in prediction["reasons"] or []}
    features = [
        (catalogue.sentence(feature), _value(feature, values[feature]))
        for feature, _ in steps(prediction)
        if feature is not None
    ]
    st.subheader("From the average turn to this one", anchor=False)
    st.caption(
        f"Log-odds of {name} before calibration; each +1 multiplies its odds by 2.7. "
        "The bars add up to the last one."
    )
    st.plotly_chart(
        waterfall(prediction, features), config=CONFIG, alt=waterfall_words(prediction), key="why"
    )


def _among_correct(among: Rank, value: str, stage: str) -> None:
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
            colour=colour_of(stage),
        )
        st.html(strip)
    st.caption(plain(f"{value}, {among.words()}"))


def _value(feature: str, value: float | None) -> str:
    if value is None:
        return "not logged"
    unit = catalogue.feature(feature).unit
    if unit == "yes/no":
        return "yes" if value else "no"
    if unit == "probability":
        return percent(value)
    if unit == "ms":
        return milliseconds(value)
    return number(value)


def _reason(reason: Mapping[str, Any], name: str) -> str:
    value = _value(reason["feature"], reason["value"])
    side = "for" if reason["contribution"] > 0 else "against"
    return (
        f':color[●]{{foreground="{colour_of(reason["stage"])}"}} '
        f"{plain(catalogue.sentence(reason['feature']))}: **{plain(value)}** "
        f":small[:gray[speaks {side} {name}, {reason['contribution']:+.2f}]]"
    )
