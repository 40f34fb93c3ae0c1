"""Precision and recall at each threshold, and calibration, of one class's probability.

Everything here is about one class against the rest, over n turns: `p` (n,) is its probability,
`hit` (n,) whether the turn is of the class, `group` (n,) the number of the turn's dialogue, as
turns of one dialogue are not independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from data.intervals import wilson

Interval = tuple[float, float]
_Z = float(norm.ppf(0.975))


@dataclass(frozen=True, slots=True)
class Curve:
    """A precision–recall curve: one point per threshold, the highest threshold first.

    Attributes
    ----------
    threshold, precision, recall: one value per point; a turn is flagged from `threshold` on.
    average: the average precision, NaN where no turn is of the class.
    """

    threshold: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    average: float


@dataclass(frozen=True, slots=True)
class Bin:
    """Turns of similar probability.

    Attributes
    ----------
    predicted: mean probability. observed: share of hits, `low` to `high` its 95 % interval.
    """

    predicted: float
    observed: float
    low: float
    high: float
    turns: int


@dataclass(frozen=True, slots=True)
class AtThreshold:
    """Flagging from one threshold on, over the turns whose truth is known.

    Attributes
    ----------
    flagged: turns with a probability at or above it. right: those of the class among them.
    of_class: turns of the class. precision, recall: with 95 % intervals; None where no turn is
        flagged, or none is of the class.
    """

    flagged: int
    right: int
    of_class: int
    precision: float | None
    precision_interval: Interval
    recall: float | None
    recall_interval: Interval


def precision_recall(hit: np.ndarray, p: np.ndarray, most: int = 400) -> Curve:
    """The curve over every distinct probability, thinned to about `most` points.

    Average precision is the sum of precision times the step in recall (not interpolated: Davis &
    Goadrich 2006 show that linear interpolation overestimates).
    """
    hit = np.asarray(hit, bool)
    if not hit.any():
        empty = np.zeros(0)
        return Curve(empty, empty, empty, float("nan"))
    order = np.argsort(-p, kind="stable")
    right, ranked = np.cumsum(hit[order]), p[order]
    # Turns of equal probability are flagged together.
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    right = right[last]
    precision, recall = right / (last + 1), right / right[-1]
    average = float((precision * np.diff(recall, prepend=0.0)).sum())
    keep = _thin(recall, most)
    return Curve(ranked[last][keep], precision[keep], recall[keep], average)


def _thin(recall: np.ndarray, most: int) -> np.ndarray:
    """Indices of about `most` points spread evenly over recall, with both ends."""
    if len(recall) <= most:
        return np.arange(len(recall))
    levels = np.linspace(recall[0], recall[-1], most - 2)
    return np.unique(np.concatenate([[0], np.searchsorted(recall, levels), [len(recall) - 1]]))


def calibration(
    hit: np.ndarray, p: np.ndarray, group: np.ndarray, bins: int = 10, least: int = 30
) -> list[Bin]:
    """Bins of ascending probability with about as many turns each, at least `least` if there are.

    Where few turns are of the class, bins of equal count would all lie near 0; so the edges also
    depend on equal shares of the summed probability, and the last bins hold fewer turns.
    """
    if not len(p):
        return []
    order = np.argsort(p, kind="stable")
    weight = np.cumsum(p[order] / max(p.sum(), 1e-12) + 1 / len(p)) / 2
    part = np.minimum((weight * bins).astype(int), bins - 1)
    starts = [int(i) for i in np.flatnonzero(np.diff(part, prepend=-1))]
    edges = [0]
    for start in starts[1:]:
        if start - edges[-1] >= least and len(p) - start >= least:
            edges.append(start)
    filled = []
    for first, last in zip(edges, [*edges[1:], len(p)], strict=True):
        rows = order[first:last]
        low, high = share_interval(hit[rows], np.ones(len(rows)), group[rows])
        filled.append(Bin(float(p[rows].mean()), float(hit[rows].mean()), low, high, last - first))
    return filled


def at_threshold(
    hit: np.ndarray, p: np.ndarray, group: np.ndarray, threshold: float
) -> AtThreshold:
    """Precision and recall of flagging every turn with a probability of at least `threshold`."""
    hit = np.asarray(hit, bool)
    flagged = p >= threshold
    right = hit & flagged
    n, of_class, n_right = int(flagged.sum()), int(hit.sum()), int(right.sum())
    return AtThreshold(
        n,
        n_right,
        of_class,
        n_right / n if n else None,
        share_interval(right, flagged, group),
        n_right / of_class if of_class else None,
        share_interval(right, hit, group),
    )


def share_interval(part: np.ndarray, whole: np.ndarray, group: np.ndarray) -> Interval:
    """95 % interval of sum(part) / sum(whole) over turns in groups, all of shape (n,).

    The variance is that of a ratio of sums over clusters (Cochran 1977, Sampling Techniques, eq.
    6.9); the interval is Wilson's for the effective sample size, the number of independent turns
    with this variance, at most the actual number. (0, 1) if sum(whole) is 0.
    """
    n = float(np.sum(whole))
    if n <= 0:
        return 0.0, 1.0
    share = float(np.sum(part)) / n
    rest = np.bincount(group, np.asarray(part, float) - share * np.asarray(whole, float))
    variance = float((rest**2).sum()) / n**2
    effective = min(n, share * (1 - share) / variance) if variance > 0 else n
    return wilson(share * effective, effective, _Z)
