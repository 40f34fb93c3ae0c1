"""Failure points of turns that nobody annotated, from signs, feedback and the packaged model.

The three are log-odds of a defect on one scale, added up. Their weights, the level and the slope
are fixed: without a label nothing in a store says how many turns are defects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

from classifiers.starter.signs import ranks, signs, standard
from classifiers.starter.stages import stages
from data.errors import NotEnoughLabels
from data.schema.trace import FAILURE_POINTS

# Turns below which ranks say nothing.
LEAST_TURNS = 50
# Of feedback and of the packaged model, where the signs count 1.
_FEEDBACK, _STAGES = 0.25, 0.25
# Share of defects that is assumed, and the log-odds of one standard deviation.
RATE, _SLOPE = 0.25, 2.0
_SMALL = 1e-3


@dataclass(frozen=True, slots=True)
class Derived:
    """Of n turns: failure point, and the probability that its side (defect or not) is right.

    `p_defect`: of a defect. `about`: what the labels rest on, for people and pages: ``feedback``
    (share of the turns about which users' behaviour says anything), ``signs`` (the strongest, by
    name, with their weights), ``rate`` (the share of defects that was assumed).
    """

    failure_point: np.ndarray
    sure: np.ndarray
    p_defect: np.ndarray
    about: dict[str, Any]


def derive(
    columns: Mapping[str, np.ndarray],
    source: np.ndarray,
    p_feedback: np.ndarray,
    least: int,
) -> Derived:
    """Labels of n turns.

    Parameters
    ----------
    columns: of `Evidence.columns`. source: a number per turn of the assistant that logged it.
    p_feedback: probability of a defect by `labels.feedback`, NaN where it says nothing.
    least: failure points with fewer turns are replaced by others.

    Raises `NotEnoughLabels` where the turns differ in nothing.
    """
    n = len(source)
    ranked = ranks(columns, source)
    added = signs(ranked)
    guess = stages().probability(ranked)
    odds = added.score + _STAGES * standard(
        logit(1 - guess[:, FAILURE_POINTS.index("correct")].clip(_SMALL, 1 - _SMALL))
    )
    told = np.isfinite(p_feedback)
    if told.any():
        feedback = np.zeros(n)
        feedback[told] = standard(logit(p_feedback[told].clip(_SMALL, 1 - _SMALL)))
        odds += _FEEDBACK * feedback
    if not added.weights and not told.any():
        raise NotEnoughLabels(
            "The turns differ in no signal that tells a defect from a success, so a model needs "
            "annotations: annotate turns, or ingest traces with more fields."
        )
    p = _probability(standard(odds))
    defect = p >= 0.5
    points = _named(defect, stages().among_defects(guess), least)
    strongest = sorted(added.weights.items(), key=lambda item: (-item[1], item[0]))
    about = {
        "feedback": float(told.mean()),
        "rate": RATE,
        "signs": {name: round(weight, 3) for name, weight in strongest[:12]},
    }
    return Derived(points, np.where(defect, p, 1 - p), p, about)


def _probability(score: np.ndarray) -> np.ndarray:
    """Probabilities with the mean `RATE`, of scores with mean 0 and variance 1."""
    shift = brentq(lambda at: float(expit(_SLOPE * (score - at)).mean()) - RATE, -50.0, 50.0)
    value: np.ndarray = expit(_SLOPE * (score - shift))
    return value


def _named(defect: np.ndarray, among: np.ndarray, least: int) -> np.ndarray:
    """A failure point per turn: the likeliest of those that at least `least` turns have."""
    names = np.array(FAILURE_POINTS, object)
    kept = among.sum(axis=0) > 0
    while True:
        best = np.where(kept, among, -1.0).argmax(axis=1)
        count = np.bincount(best[defect], minlength=len(names))
        rare = kept & (count < least)
        if not rare.any() or kept.sum() == 1:
            break
        # One at a time: its turns may raise others above the limit.
        kept[np.where(rare, count, count.max() + 1).argmin()] = False
    return np.where(defect, names[best], "correct")
