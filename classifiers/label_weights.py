"""What labels that nobody checked count beside gold, and which of the two decides what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from classifiers.settings import Settings
from classifiers.training_set import TrainingSet
from data.schema.vocabulary import FIRST_ANNOTATIONS
from data.store.model_folders import GOLD, LEVEL_ASSUMED, LEVEL_KNOWN

# Turns that derived labels count together at least: with less, trees hardly split.
_LEAST_COUNT = 25
# What generated labels may count, as a share of how sure they are.
_COUNTS = (0.0, 0.2, 1.0)


def weightings(data: TrainingSet, settings: Settings) -> list[tuple[TrainingSet, float]]:
    """`data` with labels that nobody checked made to count for more or less beside gold, and for
    how much, as a share of how sure they are; of several, the best is to be found by fitting."""
    return [_balanced(data)] if settings.labels == "behaviour" else _counting(data)


def _balanced(data: TrainingSet) -> tuple[TrainingSet, float]:
    """`data` with derived labels that together count as much as gold, if there is any gold, and as
    much as `_LEAST_COUNT` turns. Measured in `benchmarks.cold_start`."""
    assert data.sure is not None
    gold = data.gold
    if not gold.any():
        return data, 1.0
    count = min(1.0, max(gold.sum(), _LEAST_COUNT) / max((data.labelled & ~gold).sum(), 1))
    return replace(data, sure=np.where(gold, 1.0, data.sure * count)), float(count)


def _counting(data: TrainingSet) -> list[tuple[TrainingSet, float]]:
    """`data` with generated labels that count for nothing, a little, as much as they are sure."""
    if data.sure is None:
        return [(data, 0.0)]
    gold = data.gold
    if not FIRST_ANNOTATIONS <= gold.sum() < data.labelled.sum():
        return [(data, 1.0)]
    alone = data.target.copy()
    alone[~gold] = None
    return [(replace(data, target=alone, sure=None), 0.0)] + [
        (replace(data, sure=np.where(gold, 1.0, data.sure * share)), share) for share in _COUNTS[1:]
    ]


def trusted(data: TrainingSet) -> np.ndarray:
    """Which turns (n,) calibration and decisions are fitted to: those with gold, where there are
    enough, else all that are labelled."""
    gold = data.gold
    return gold if gold.sum() >= FIRST_ANNOTATIONS else data.labelled


def level(data: TrainingSet, classes: tuple[str, ...]) -> tuple[np.ndarray, float | None]:
    """Which labelled turns (n,) represent all, and the share of defects that they shall have; None
    to leave it as calibration finds it.

    Verdicts that the queue chose must not decide how many turns fail: it is the share in the logs'
    own gold where there is enough, else what was assumed when labels were derived.
    """
    if data.sure is None:
        return data.labelled, None
    gold = data.gold
    chosen = gold & data.chosen if data.chosen is not None else np.zeros(len(gold), bool)
    drawn = gold & ~chosen
    if drawn.sum() >= FIRST_ANNOTATIONS:
        share = float((data.target[drawn] != "correct").mean())
        return drawn, share if chosen.any() and 0 < share < 1 and "correct" in classes else None
    assumed = data.about["rate"] if data.about and chosen.any() and "correct" in classes else None
    return data.labelled, assumed


def sources(
    data: TrainingSet, settings: Settings, trusted: np.ndarray, represent: np.ndarray
) -> dict[str, Any]:
    """Whose labels a model learned from, for its figures.

    ``against``: what these are judged by, gold or, where there is too little of it, other labels;
    ``level``: whether people's verdicts say how many turns fail, or this is an assumption;
    ``gold``: labels of people among those learned from.

    `trusted`: which turns (n,) decisions are fitted to. `represent`: which represent all.
    """
    gold = data.gold
    return {
        "against": GOLD if gold[trusted].all() else _unchecked(settings),
        "level": LEVEL_KNOWN if gold[represent].all() else LEVEL_ASSUMED,
        "gold": int(gold.sum()),
    }


def _unchecked(settings: Settings) -> str:
    if settings.judge:
        return "judge"
    return "behaviour" if settings.labels == "behaviour" else "generated"
