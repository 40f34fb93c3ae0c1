"""Where a daily rate changes its level: segments of days, and how surprising each of them is.

A day is its turns and the sum of their probabilities. Sums of many small probabilities vary like
counts, so a segment costs its quasi-Poisson deviance (McCullagh and Nelder 1989, sections 6.2 and
9.2): busy days weigh more than quiet ones by themselves, near zero as well, and no transformation
is needed. What probabilities, dialogues and the days' own moods add to a count's
variance, or take from it, is one factor, the dispersion, which the series itself gives.
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

SHORTEST = 2
# The share of the squared day-to-day differences that `dispersion` keeps: it drops those at the
# edges of a bump and of a shift.
_KEPT = 0.95
# What is left of the mean of a chi-squared variable (1 degree) without its upper 5 per cent.
_LEFT = float(chi2.cdf(chi2.ppf(_KEPT, 1), 3) / _KEPT)


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
    """Indices of the first days of all segments but the first, none when the level never changes.

    PELT (Killick, Fearnhead, Eckley 2012), exact, on the deviance over the dispersion. A further
    segment has to gain 2 log(days): two parameters, its level and its start, as in BIC; what it
    finds is tested later, so it may find too much. Segments have at least two days. `least`: a
    dispersion known to be too small, e.g. that of independent turns, mean(p²)/mean(p).
    """
    days = len(turns)
    if days < 2 * SHORTEST or total.sum() <= 0:
        return []
    cost = _costs(turns, total) / max(dispersion(turns, total), least)
    penalty = 2 * log(days)
    if _best_gain(cost) <= penalty:
        return []
    search = ruptures.Pelt(custom_cost=_Lookup(cost), min_size=SHORTEST, jump=1)
    return [int(place) for place in search.fit(turns[:, None]).predict(penalty)[:-1]]


def dispersion(turns: Array, total: Array) -> float:
    """Variance of a day's sum over its mean, from the differences of neighbouring days.

    Neighbours share their level but at the few edges, whose differences are among the largest 5 %;
    these are left out, and the rest is scaled to what it is for normal noise.
    """
    open_ = turns > 0
    n, rate = turns[open_], total[open_] / turns[open_]
    if len(n) < 3 or total.sum() <= 0:
        return 1.0
    overall = total.sum() / turns.sum()
    squared = np.diff(rate) ** 2 / (overall * (1 / n[1:] + 1 / n[:-1]))
    kept = np.sort(squared)[: max(int(np.ceil(_KEPT * len(squared))), 1)]
    return max(float(kept.mean()) / _LEFT, 1e-3)


def left_over(turns: Array, total: Array, edges: list[int]) -> float:
    """The dispersion that is left within segments (Pearson's X² over its degrees of freedom)."""
    bounds = [0, *edges, len(turns)]
    found = 0.0
    for first, last in pairwise(bounds):
        n, s = turns[first:last], total[first:last]
        expected = n * (s.sum() / n.sum() if n.sum() > 0 else 0.0)
        some = expected > 0
        found += float(((s - expected)[some] ** 2 / expected[some]).sum())
    return found / max(int((turns > 0).sum()) - len(bounds) + 1, 1)


def gain(one: Level, other: Level) -> float:
    """Deviance that two levels instead of one save: chi-squared with 1 degree for counts."""
    both = one + other
    saved = _cost(np.array([both.turns, one.turns, other.turns]),
                  np.array([both.total, one.total, other.total]))  # fmt: skip
    return max(float(saved[0] - saved[1] - saved[2]), 0.0)


def scan_p(statistic: float, days: int) -> float:
    """How often the most surprising of all segments of a steady series is as surprising as that.

    The segment was looked for, so its own p-value would be far too small. Tail of the maximum of
    |Z| over all arcs (Siegmund 1988, Annals of Statistics 16; Venkatraman and Olshen 2007,
    Bioinformatics 23): b³ φ(b)/2 ∫ ν(b / √(m t(1 - t)))² / (t (1 - t)²) dt, t from 1/2 to
    1 - shortest/days. `statistic`: Z², chi-squared with 1 degree for a segment that was not chosen.
    """
    b = sqrt(statistic)
    if days < 2 * SHORTEST or b < 1.5:
        return 1.0
    rest, root, weight = _arcs(days)
    area = np.trapezoid(_nu(b / root) ** 2 / weight, rest)
    tail = b**3 * exp(-b * b / 2) / sqrt(2 * pi) / 2 * float(area)
    # The formula falls below a single test's where b is small.
    return min(max(tail, single_p(statistic)), 1.0)


@cache
def _arcs(days: int) -> tuple[Array, Array, Array]:
    """Lengths 1 - t of segments, and the factors of the integral over them that only they make."""
    # Spaced by its logarithm: nearly all of the integral lies at the shortest segments.
    rest = np.geomspace(SHORTEST / days, 0.5, 200)
    t = 1 - rest
    return rest, np.sqrt(days * t * rest), t * rest**2


def single_p(statistic: float) -> float:
    """p-value of a comparison whose place was not chosen: chi-squared with 1 degree."""
    return float(chdtrc(1, statistic))


def _nu(x: Array) -> Array:
    """Siegmund's overshoot correction, by the approximation of Siegmund and Yakir (2007)."""
    half = x / 2
    density = np.exp(-half * half / 2) / sqrt(2 * pi)
    return np.asarray((2 / x) * (ndtr(half) - 0.5) / (half * ndtr(half) + density))


def _cost(turns: Array, total: Array) -> Array:
    """-2 log-likelihood of Poisson counts at their own rate, up to terms that never change."""
    rate = np.where(turns > 0, total / np.where(turns > 0, turns, 1.0), 0.0)
    return np.asarray(-2 * xlogy(total, np.where(total > 0, rate, 1.0)))


def _costs(turns: Array, total: Array) -> Array:
    """Cost of the days from i up to but not j, at [i, j]."""
    n, s = (np.concatenate([[0.0], np.cumsum(x)]) for x in (turns, total))
    return _cost(np.maximum(n[None] - n[:, None], 0), np.maximum(s[None] - s[:, None], 0))


def _best_gain(cost: Array) -> float:
    """What the best one or two edges gain, per edge: a quick look that spares most series PELT."""
    days = len(cost) - 1
    whole = cost[0, days]
    middle = cost + cost[0][:, None] + cost[:, days][None]
    i, j = np.indices(middle.shape)
    allowed = (j - i >= SHORTEST) & ((i == 0) | (i >= SHORTEST))
    allowed &= (j == days) | (j <= days - SHORTEST)
    edges = (i > 0).astype(int) + (j < days)
    one = np.where(allowed & (edges == 1), whole - middle, -np.inf).max()
    two = np.where(allowed & (edges == 2), whole - middle, -np.inf).max()
    return float(max(one, two / 2))


class _Lookup(BaseCost):  # type: ignore[misc]  # ruptures is untyped
    """The costs of all segments, worked out at once, as `ruptures` asks for them."""

    model = "quasi-poisson"
    min_size = SHORTEST

    def __init__(self, cost: Array) -> None:
        self._cost = cost

    def fit(self, signal: Array) -> _Lookup:
        self.signal = signal
        return self

    def error(self, start: int, end: int) -> float:
        return float(self._cost[start, end])
