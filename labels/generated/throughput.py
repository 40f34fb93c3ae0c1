"""How precise labels are above a threshold, and how many turns then get one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# What share of labels is to be right, unless somebody asks for another.
STATED = 0.95
_POINTS = 50
# A share of fewer labels than this says nothing about further ones.
_FEWEST = 20


class Point(NamedTuple):
    """What a threshold is worth on turns whose gold is known.

    threshold: the least probability of a label. precision: the share of labels at least as sure
    that are right. labelled: the share of turns that get one.
    """

    threshold: float
    precision: float
    labelled: float


def curve(right: np.ndarray, sure: np.ndarray, points: int = _POINTS) -> list[Point]:
    """The precision/throughput curve, from the lowest threshold up to the 20 surest labels.

    Parameters
    ----------
    right: whether each label is right, bool (n,). sure: its probability (n,), out of fold.
    """
    if not len(right):
        return []
    order = np.argsort(-sure, kind="stable")
    ranked, hits = sure[order], np.cumsum(right[order])
    # A threshold takes all labels of one probability, or none.
    ends = np.flatnonzero(np.append(np.diff(ranked) != 0, True))
    ends = ends[ends >= min(_FEWEST, len(right)) - 1]
    if len(ends) > points:
        ends = ends[np.unique(np.linspace(0, len(ends) - 1, points).round().astype(int))]
    return [
        Point(float(ranked[end]), float(hits[end] / (end + 1)), float((end + 1) / len(right)))
        for end in ends[::-1]
    ]


def threshold_for(points: Sequence[Point], stated: float = STATED) -> float | None:
    """The lowest threshold from which on labels are as precise as stated; None if none are.

    Every higher threshold keeps the promise as well, so that a few lucky labels do not decide.
    """
    lowest = None
    for point in reversed(points):
        if point.precision < stated:
            break
        lowest = point.threshold
    return lowest
