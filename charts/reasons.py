"""Reasons of a prediction as sentences that a person understands.

A reason is a feature with its value and its contribution (a Shapley value, log-odds) to the
predicted failure point. Where the value and the direction of the contribution do not make sense
together, such as words that were usually correct counting for an error, it is a matter of how the
trees combine features: it is not told as a reason, but stays in the waterfall with all others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from charts.formatting import milliseconds, number, percent
from data.schema.trace import FAILURE_POINTS
from data.schema.vocabulary import FAILURE_NOUNS
from features import catalogue
from features.text import HEADS, LEXICAL, Head, Lexical

# Any failure, as a target of a slice.
_ANY = "defect"
_SUBJECTS = {
    "request": "Requests like this one were",
    "exchange": "Exchanges like this one were",
    "next": "Requests followed like this one were",
    "words": "Similar wording was",
    "phrase": "Similar wording, understood alike, was",
}
# Column of a text model -> what it compares, and the failure point that it scores.
_HEADS: tuple[Head | Lexical, ...] = (*HEADS, *LEXICAL)
_TEXT_SCORES = {
    head.column(point): (_SUBJECTS[head.name], point) for head in _HEADS for point in FAILURE_POINTS
}


@dataclass(frozen=True, slots=True)
class Reason:
    """A feature as a reason for (or against) a failure point.

    `words` is a sentence without its full stop, `value` the `number` as text. `supports` says
    whether it counts for the failure point; `contribution` is how much, in log-odds.
    """

    feature: str
    stage: str
    words: str
    number: float | None
    value: str
    supports: bool
    contribution: float


def reasons(prediction: Mapping[str, Any]) -> list[Reason]:
    """The reasons of a row of `predictions` that can be told, the strongest first."""
    rows = sorted(prediction["reasons"] or [], key=lambda row: -abs(row["contribution"] or 0.0))
    told = (
        reason(row["feature"], row["value"], row["contribution"], prediction["failure_point"])
        for row in rows
        if row["contribution"]
    )
    return [one for one in told if one is not None]


def reason(feature: str, value: float | None, contribution: float, target: str) -> Reason | None:
    """One reason for or against `target` (a failure point, or `defect`); None if untellable."""
    supports = contribution > 0
    score = _TEXT_SCORES.get(feature)
    if score is None:
        words, text = catalogue.sentence(feature), value_words(feature, value)
    else:
        if value is None:
            return None
        wording = _wording(*score, value, supports, target)
        if wording is None:
            return None
        words, text = wording, f"text-model score {percent(value, 0)}"
    return Reason(feature, catalogue.stage(feature), words, value, text, supports, contribution)


def sides(told: Sequence[Reason]) -> tuple[list[Reason], list[Reason]]:
    """Reasons for, and reasons against."""
    return (
        [one for one in told if one.supports],
        [one for one in told if not one.supports],
    )


def _wording(subject: str, point: str, score: float, supports: bool, target: str) -> str | None:
    """What a text model's score says, if it says the same as the direction of its contribution."""
    same = point == target or (target == _ANY and point != "correct")
    noun = FAILURE_NOUNS[point]
    if same == supports:
        how_often = "usually" if score >= 0.5 else "often" if score >= 0.2 else "sometimes"
        return f"{subject} {how_often} {noun}"
    if score >= 0.5:
        return None
    return f"{subject} {'seldom' if score < 0.2 else 'not usually'} {noun}"


def value_words(feature: str, value: float | None) -> str:
    """The value of a feature with its unit."""
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
