"""Where a daily rate changes its level: segments of days, and the p-value of each.

A day is given by its turns and the sum of their probabilities. Sums of many small probabilities
vary like counts, so the cost of a segment is its quasi-Poisson deviance (McCullagh and Nelder 1989,
sections 6.2 and 9.2): it gives busy days more weight than quiet ones, also near zero, without any
transformation. What probabilities, dialogues and day-to-day variation add to the variance of a
count, or take from it, is one factor, the dispersion, which is estimated from the series.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import exp, log, pi, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, ndtr, xlogy
from scipy.stats import chi2

Array = NDArray[np.float64]

# Days of a segment at least.
SHORTEST = 2
# Costs of segments that are held at once, 8 MB: those of 120 series of 90 days, or of 7 of a year.
_COSTS_AT_ONCE = 1_000_000
# The share of the squared day-to-day differences that `dispersion` keeps: it drops those at the
# edges of a bump and of a shift.
_KEPT = 0.95
# Mean of a chi-squared variable (1 degree of freedom) without its upper 5 per cent.
_TRIMMED_MEAN = float(chi2.cdf(chi2.ppf(_KEPT, 1), 3) / _KEPT)


@dataclass(frozen=True)
class Level:
    """Turns and the sum of their probabilities over some days."""

    turns: float
    total: float

    @property
    def rate(self) -> float:
        return self.total / self.turns if self.turns > 0 else 0.0

    def __add__(self, other: Level) -> Level:
        return Level(self.turns + other.turns, self.total + other.total)


def breakpoints(turns: Array, total: Array, least: Array) -> list[list[int]]:
    """For each series, the first days of all segments but the first: where its level changes.

    The segmentation with the least deviance over the dispersion, by dynamic programming over the
    last edge (Jackson et al. 2005, IEEE Signal Processing Letters 12), all series at once. Each
    further segment has to gain 2 log(days): two parameters, its level and its start, as in BIC.
    Segments are tested later, so finding too many does no harm. Segments have at least two days.

    Parameters
    ----------
    turns, total: shape (series, days).
    least: a lower bound of each dispersion, e.g. that of independent turns, mean(p²)/mean(p), shape
        (series,).
    """
    count, days = turns.shape
    edges: list[list[int]] = [[] for _ in range(count)]
    some = np.flatnonzero(total.sum(1) > 0)
    if days < 2 * SHORTEST or not len(some):
        return edges
    penalty = 2 * log(days)
    at_once = max(_COSTS_AT_ONCE // (days + 1) ** 2, 1)
    for part in np.split(some, range(at_once, len(some), at_once)):
        spread = [max(dispersion(turns[row], total[row]), least[row]) for row in part]
        cost = _costs(turns[part], total[part]) / np.array(spread)[:, None, None]
        changing = _best_gains(cost) > penalty
        for row, found in zip(part[changing], _cheapest(cost[changing], penalty), strict=True):
            edges[row] = found
    return edges


def dispersion(turns: Array, total: Array) -> float:
    """Variance of a day's sum over its mean, from the differences of neighbouring days.

    Neighbouring days share a level except at the few edges, whose differences are among the largest
    5 %; these are left out, and the mean of the rest is scaled to be right for normal noise.
    """
    open_ = turns > 0
    n, rate = turns[open_], total[open_] / turns[open_]
    if len(n) < 3 or total.sum() <= 0:
        return 1.0
    overall = total.sum() / turns.sum()
    squared = np.diff(rate) ** 2 / (overall * (1 / n[1:] + 1 / n[:-1]))
    smallest = np.sort(squared)[: max(int(np.ceil(_KEPT * len(squared))), 1)]
    return max(float(smallest.mean()) / _TRIMMED_MEAN, 1e-3)


def left_over(turns: Array, total: Array, edges: list[int]) -> float:
    """The dispersion within segments (Pearson's X² over its degrees of freedom)."""
    bounds = [0, *edges, len(turns)]
    squares = 0.0
    for first, last in pairwise(bounds):
        n, s = turns[first:last], total[first:last]
        expected = n * (s.sum() / n.sum() if n.sum() > 0 else 0.0)
        some = expected > 0
        squares += float(((s - expected)[some] ** 2 / expected[some]).sum())
    return squares / max(int((turns > 0).sum()) - len(bounds) + 1, 1)


def gain(left: Level, right: Level) -> float:
    """Deviance reduction of two levels over a common one; for counts, chi-squared with 1 degree."""
    both = left + right
    saved = _cost(np.array([both.turns, left.turns, right.turns]),
                  np.array([both.total, left.total, right.total]))  # fmt: skip
    return max(float(saved[0] - saved[1] - saved[2]), 0.0)


def scan_p(statistic: float, days: int) -> float:
    """p-value of the largest statistic among all segments of a series with one level.

    The segment was selected, so its own p-value would be far too small. Tail of the maximum of
    |Z| over all arcs (Siegmund 1988, Annals of Statistics 16; Venkatraman and Olshen 2007,
    Bioinformatics 23): b³ φ(b)/2 ∫ ν(b / √(m t(1 - t)))² / (t (1 - t)²) dt, t from 1/2 to
    1 - shortest/days. `statistic`: Z², chi-squared with 1 degree for a segment that was not
    selected.
    """
    b = sqrt(statistic)
    if days < 2 * SHORTEST or b < 1.5:
        return 1.0
    rest, root, weight = _arcs(days)
    area = np.trapezoid(_nu(b / root) ** 2 / weight, rest)
    tail = b**3 * exp(-b * b / 2) / sqrt(2 * pi) / 2 * float(area)
    # For small b the formula falls below the p-value of a single test.
    return min(max(tail, single_p(statistic)), 1.0)


@cache
def _arcs(days: int) -> tuple[Array, Array, Array]:
    """Values of 1 - t, and the two factors of the integrand that depend on t and `days` alone."""
    # Spaced logarithmically: nearly all of the integral lies at the shortest segments.
    rest = np.geomspace(SHORTEST / days, 0.5, 200)
    t = 1 - rest
    return rest, np.sqrt(days * t * rest), t * rest**2


def single_p(statistic: float) -> float:
    """p-value of a comparison whose segment was not selected: chi-squared with 1 degree."""
    return float(chdtrc(1, statistic))


def _nu(x: Array) -> Array:
    """Siegmund's overshoot correction, by the approximation of Siegmund and Yakir (2007)."""
    half = x / 2
    density = np.exp(-half * half / 2) / sqrt(2 * pi)
    return np.asarray((2 / x) * (ndtr(half) - 0.5) / (half * ndtr(half) + density))


def _cost(turns: Array, total: Array) -> Array:
    """-2 log-likelihood of Poisson counts at their own rate, up to constant terms."""
    rate = np.where(turns > 0, total / np.where(turns > 0, turns, 1.0), 0.0)
    return np.asarray(-2 * xlogy(total, np.where(total > 0, rate, 1.0)))


def _costs(turns: Array, total: Array) -> Array:
    """Costs of all segments, shape (series, days + 1, days + 1): at [j, i] of days i to j - 1."""
    n, s = (np.cumsum(np.pad(values, ((0, 0), (1, 0))), axis=1) for values in (turns, total))
    n, s = (np.maximum(sums[:, :, None] - sums[:, None], 0) for sums in (n, s))
    # As `_cost`, with the logarithm that NumPy computes for several numbers at once.
    failed = s > 0
    rate = np.divide(s, n, out=np.ones_like(s), where=failed & (n > 0))
    return np.asarray(-2 * s * np.log(rate, out=rate))


def _best_gains(cost: Array) -> Array:
    """Gain per edge of the best one or two edges, shape (series,): it spares most the search."""
    days = cost.shape[1] - 1
    inner = slice(SHORTEST, days - SHORTEST + 1)
    left, right = cost[:, inner, 0], cost[:, days, inner]
    one = (left + right).min(1)
    two = cost[:, inner, inner] + left[:, None] + right[:, :, None]
    # The second edge is at least two days after the first.
    two[:, ~np.tri(two.shape[1], k=-SHORTEST, dtype=bool)] = np.inf
    whole = cost[:, days, 0]
    return np.asarray(np.maximum(whole - one, (whole - two.min((1, 2))) / 2))


def _cheapest(cost: Array, penalty: float) -> list[list[int]]:
    """The edges of the segmentation with the least sum of cost + penalty, for each series."""
    count, days = len(cost), cost.shape[1] - 1
    # Of the days before each day: their least cost, and where their last segment starts.
    best = np.full((count, days + 1), np.inf)
    best[:, 0] = 0.0
    start = np.zeros((count, days + 1), np.int64)
    for day in range(SHORTEST, days + 1):
        until = best[:, : day - SHORTEST + 1] + (cost[:, day, : day - SHORTEST + 1] + penalty)
        start[:, day] = until.argmin(1)
        best[:, day] = until.min(1)
    edges = []
    for firsts in start.tolist():
        found, day = [], firsts[days]
        while day:
            found.append(day)
            day = firsts[day]
        edges.append(found[::-1])
    return edges
