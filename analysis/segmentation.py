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
import ruptures
from numpy.typing import NDArray
from ruptures.base import BaseCost
from scipy.special import chdtrc, ndtr, xlogy
from scipy.stats import chi2

Array = NDArray[np.float64]

# Days of a segment at least.
SHORTEST = 2
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


def breakpoints(turns: Array, total: Array, least: float = 0.0) -> list[int]:
    """Indices of the first day of each segment but the first; empty when the level never changes.

    PELT (Killick, Fearnhead, Eckley 2012), exact, on the deviance over the dispersion. Each further
    segment has to gain 2 log(days): two parameters, its level and its start, as in BIC. Segments
    are tested later, so finding too many does no harm. Segments have at least two days. `least`: a
    lower bound of the dispersion, e.g. that of independent turns, mean(p²)/mean(p).
    """
    days = len(turns)
    if days < 2 * SHORTEST or total.sum() <= 0:
        return []
    cost = _costs(turns, total) / max(dispersion(turns, total), least)
    penalty = 2 * log(days)
    if _best_gain(cost) <= penalty:
        return []
    search = ruptures.Pelt(custom_cost=_Lookup(cost), min_size=SHORTEST, jump=1)
    return [int(edge) for edge in search.fit(turns[:, None]).predict(penalty)[:-1]]


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
    """Costs of all segments, shape (days + 1, days + 1): at [i, j] that of days i to j - 1."""
    n, s = (np.concatenate([[0.0], np.cumsum(x)]) for x in (turns, total))
    return _cost(np.maximum(n[None] - n[:, None], 0), np.maximum(s[None] - s[:, None], 0))


def _best_gain(cost: Array) -> float:
    """Gain per edge of the best one or two edges: a quick check that spares most series PELT."""
    days = len(cost) - 1
    whole = cost[0, days]
    middle = cost + cost[0][:, None] + cost[:, days][None]
    i, j = np.indices(middle.shape)
    allowed = (j - i >= SHORTEST) & ((i == 0) | (i >= SHORTEST))
    allowed &= (j == days) | (j <= days - SHORTEST)
    edges = (i > 0).astype(int) + (j < days)
    one_edge = np.where(allowed & (edges == 1), whole - middle, -np.inf).max()
    two_edges = np.where(allowed & (edges == 2), whole - middle, -np.inf).max()
    return float(max(one_edge, two_edges / 2))


class _Lookup(BaseCost):  # type: ignore[misc]  # ruptures is untyped
    """The precomputed costs of all segments behind the interface of `ruptures`."""

    model = "quasi-poisson"
    min_size = SHORTEST

    def __init__(self, cost: Array) -> None:
        self._cost = cost

    def fit(self, signal: Array) -> _Lookup:
        self.signal = signal
        return self

    def error(self, start: int, end: int) -> float:
        return float(self._cost[start, end])
