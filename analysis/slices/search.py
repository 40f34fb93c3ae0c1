"""Slice discovery: where a failure point is more frequent than in the rest of the traffic.

All combinations of up to three conditions are counted, ranked by impact (expected failures inside,
less the turns inside times the rate outside), tested, and folded where they have the same cause.
Ranking by excess and testing with a correction follow SliceFinder (Chung et al. 2020,
IEEE TKDE 32) and SliceLine (Sagadeeva & Boehm 2021, SIGMOD).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
from scipy import special, stats

from analysis.slices.cells import Cells, Count, Dimension, coded
from analysis.slices.deduplicate import FOLDING, Candidate, fold, symptoms
from data.counted import number
from data.errors import UsageError
from data.intervals import Z95
from data.queries.dimensions import (
    DIMENSIONS,
    condition_sql,
    condition_words,
)
from progress import Progress, portion, silent

# Failures that a slice needs at least; fewer are anecdotal.
LEAST_FAILURES = 5.0
# Cells that are tested and folded at most, the greatest impact first.
_MOST_CELLS = 2_000


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of the traffic that fails more often than the rest.

    Attributes
    ----------
    conditions: (dimension, value) in the order of `data.queries.dimensions.DIMENSIONS`.
    turns, failures: inside; failures are a sum of probabilities.
    rate, rest_rate: failures per turn inside and outside.
    impact, low, high: failures above those expected at the rate of the rest, with a 95 % interval
    that treats dialogues as the sampling unit.
    p_value: one-sided. q_value: corrected for all slices tested.
    folded: conditions of other slices with the same cause.
    """

    failure_point: str
    conditions: tuple[tuple[str, str], ...]
    turns: int
    failures: float
    rate: float
    rest_rate: float
    impact: float
    low: float
    high: float
    p_value: float
    q_value: float
    folded: tuple[tuple[tuple[str, str], ...], ...] = ()

    @property
    def key(self) -> str:
        """A stable name for links and keys, see `key_of`."""
        return key_of(self.failure_point, self.conditions)

    @property
    def rate_interval(self) -> tuple[float, float]:
        """The 95 % interval of `rate`: that of the impact, added to the rate outside."""
        return (
            max(0.0, self.rest_rate + self.low / self.turns),
            min(1.0, self.rest_rate + self.high / self.turns),
        )

    @property
    def symptom(self) -> bool:
        """Whether it is evidence of the stage, and so does not say where the stage fails."""
        return any(name in symptoms(self.failure_point) for name, _ in self.conditions)

    @property
    def overlapping(self) -> tuple[tuple[tuple[str, str], ...], ...]:
        """The slices of `folded` that are not merely parts of this one or of each other."""
        every = dict.fromkeys(frozenset(conditions) for conditions in self.folded)
        own = frozenset(self.conditions)
        return tuple(
            conditions
            for conditions in dict.fromkeys(self.folded)
            if not own <= frozenset(conditions)
            and not any(
                frozenset(part) in every
                for size in range(1, len(conditions))
                for part in combinations(conditions, size)
            )
        )

    def words(self) -> str:
        """The conditions in words: `en-GB · speaker · ASR 4.2`."""
        return words_of(self.conditions)

    def sql(self, prefix: str = "slice") -> tuple[str, dict[str, object]]:
        """A condition over `predictions` and its named parameters."""
        return condition_sql(self.conditions, prefix)


def key_of(failure_point: str, conditions: Iterable[tuple[str, str]]) -> str:
    """A stable name of a slice for links and keys: `asr:locale=en-GB;hour=08-12`."""
    parts = [f"{name}={quote(value, safe='')}" for name, value in conditions]
    return f"{failure_point}:{';'.join(parts)}"


def words_of(conditions: Iterable[tuple[str, str]]) -> str:
    """Conditions in words: `en-GB · speaker · ASR 4.2`."""
    return " · ".join(condition_words(*condition) for condition in conditions)


def parse(key: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The failure point and conditions of a `Slice.key`. Raises UsageError for any other text."""
    point, colon, rest = key.partition(":")
    pairs = [part.partition("=") for part in rest.split(";")]
    conditions = tuple((name, unquote(value)) for name, equals, value in pairs if equals)
    if not colon or len(conditions) != len(pairs):
        raise UsageError(
            f"'{key}' is not a slice; write FAILURE_POINT:DIMENSION=VALUE;DIMENSION=VALUE."
        )
    condition_sql(conditions)
    return point, conditions


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The result of a search.

    Attributes
    ----------
    slices: those that say where the stage fails, by impact, the greatest first; then the symptoms,
    likewise. Scaled up where a sample was read.
    turns: turns read. share: these as a share of all turns. tested: combinations tested.
    rate: failures per turn read.
    """

    slices: tuple[Slice, ...]
    turns: int
    share: float
    tested: int
    rate: float

    @property
    def causes(self) -> tuple[Slice, ...]:
        """The slices that say where the stage fails."""
        return tuple(slice_ for slice_ in self.slices if not slice_.symptom)

    @property
    def symptoms(self) -> tuple[Slice, ...]:
        """The slices that are the stage's own evidence."""
        return tuple(slice_ for slice_ in self.slices if slice_.symptom)

    def words(self) -> str:
        """What was searched, and how, in a sentence."""
        read = f"{number(self.turns)} turns"
        if self.share < 1:
            read = f"a sample of {read} (whole dialogues, {100 * self.share:.0f} % of all)"
        return (
            f"{number(self.tested)} combinations tested on {read}; false discovery rate below 5 % "
            "(Benjamini–Yekutieli). Rates of slices are model estimates."
        )


def find(
    table: pa.Table,
    failure_point: str,
    *,
    dimensions: Sequence[str] = DIMENSIONS,
    deepest: int = 3,
    most: int = 30,
    level: float = 0.05,
    share: float = 1.0,
    progress: Progress = silent,
) -> SearchResult:
    """Slices of the turns of `table` in which `failure_point` is more frequent than elsewhere.

    Parameters
    ----------
    table
        Columns as of `data.queries.dimensions.slice_columns`: dialogue, p, and the dimensions.
    dimensions, deepest
        The dimensions to search, and how many conditions a slice has at most.
    most
        Slices returned at most.
    level
        Greatest q-value of a slice.
    share
        The share of all turns that `table` contains; counts are scaled up by it.
    progress
        Its share grows from 0 to 1; an exception that it raises ends the search.

    Slices overlap, so the dependence between their tests is unknown: the false discovery rate is
    controlled by the procedure of Benjamini & Yekutieli (2001), which holds under any dependence.
    """
    length = table.num_rows
    p = table["p"].to_numpy() if length else np.zeros(0)
    clusters = np.unique(table["dialogue"].to_numpy(), return_inverse=True)[1]
    weight = _weight(np.nan_to_num(np.asarray(p, float)), clusters)
    total = float(weight.sum())
    nothing = SearchResult((), length, share, 0, total / max(1, length))
    least = max(30, length // 5_000)
    if length < 2 * least or total < LEAST_FAILURES or np.ptp(p) == 0:
        return nothing
    noise = _Noise.of(weight, clusters)
    parts = coded(table, dimensions)
    count = Count(parts, weight, least, LEAST_FAILURES, deepest)
    ranked: list[tuple[float, tuple[int, ...], tuple[int, ...], int, float]] = []
    for cells in count.walk(portion(progress, 0, 0.8)):
        impact = _impact(cells, length, total)
        above = np.flatnonzero((impact > 0) & (cells.turns <= length - least))
        ranked.extend(
            (
                float(impact[cell]),
                cells.dimensions,
                tuple(int(c) for c in cells.codes[cell]),
                int(cells.turns[cell]),
                float(cells.failures[cell]),
            )
            for cell in above
        )
        if len(ranked) > 2 * _MOST_CELLS:
            ranked = sorted(ranked, key=_by_impact)[:_MOST_CELLS]
            # A child of a cell with fewer failures cannot be among the first.
            count.floor = max(count.floor, ranked[-1][0])
    if not ranked:
        return nothing
    ranked.sort(key=_by_impact)
    turns = np.array([cell[3] for cell in ranked], float)
    failures = np.array([cell[4] for cell in ranked])
    p_values = noise.tail(turns, failures, length, total)
    q_values = _corrected(p_values, max(count.tested, len(ranked)))
    candidates = [
        Candidate(*cell[1:], cell[0], float(p), float(q))
        for cell, p, q in zip(ranked, p_values, q_values, strict=True)
        if q <= level
    ]
    groups = fold(
        candidates,
        parts,
        weight,
        noise.effect,
        most,
        portion(progress, 0.8, 1),
        symptoms(failure_point),
    )
    slices = (
        _slice(failure_point, head, others, parts, weight, clusters, share)
        for head, others in groups
    )
    # A stable sort: they stay by impact.
    slices_by_kind = tuple(sorted(slices, key=lambda slice_: slice_.symptom))
    progress(1, 1, FOLDING)
    return SearchResult(slices_by_kind, length, share, count.tested, total / length)


def _by_impact(
    cell: tuple[float, tuple[int, ...], tuple[int, ...], int, float],
) -> tuple[float, tuple[int, ...], tuple[int, ...]]:
    """Sort key: the greatest impact first, ties by dimensions and codes."""
    impact, dimensions, codes, _, _ = cell
    return -impact, dimensions, codes


def _weight(p: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Probabilities whose sums are exact, so that the order of rows does not matter.

    Multiples of 2^-18, and for each dialogue a pseudo-random multiple of 2^-32 below 2^-22: two
    sums are equal only where the sets of turns are. Two million of them fit a double's 53 bits.
    """
    # Fibonacci hashing (Knuth, TAOCP 3, 6.4).
    mixed = clusters.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(54)
    weight: np.ndarray = np.round(p * 2.0**18) * 2.0**-18 + mixed * 2.0**-32
    return weight


def _impact(cells: Cells, length: int, total: float) -> np.ndarray:
    rest = np.maximum(length - cells.turns, 1)
    impact: np.ndarray = cells.failures - cells.turns * (total - cells.failures) / rest
    return impact


def _corrected(p_values: np.ndarray, tested: int) -> np.ndarray:
    """Benjamini–Yekutieli q-values; tests that are not listed count as not significant.

    q(i) = min over j >= i of p(j) m (1 + 1/2 + ... + 1/m) / j, for p-values in ascending order.
    """
    order = np.argsort(p_values, kind="stable")
    harmonic = special.digamma(tested + 1) + np.euler_gamma
    ranked = p_values[order] * tested * harmonic / np.arange(1, len(order) + 1)
    ranked = np.minimum.accumulate(ranked[::-1])[::-1]
    q_values = np.empty(len(order))
    q_values[order] = np.minimum(ranked, 1.0)
    return q_values


@dataclass(frozen=True, slots=True)
class _Noise:
    """Variance and third central moment of failures per turn, from sums over whole dialogues.

    `effect`: the design effect, the ratio of this variance to that of independent turns.
    """

    variance: float
    skew: float
    effect: float

    @classmethod
    def of(cls, weight: np.ndarray, clusters: np.ndarray) -> _Noise:
        rest = weight - weight.mean()
        sums = np.bincount(clusters, rest)
        alone, together = float((rest**2).sum()), float((sums**2).sum())
        return cls(
            max(alone, together) / len(weight),
            max(float((sums**3).sum()), float((rest**3).sum())) / len(weight),
            max(1.0, together / alone),
        )

    def tail(
        self, turns: np.ndarray, failures: np.ndarray, length: int, total: float
    ) -> np.ndarray:
        """One-sided p-values: the probability of at least this many failures at the rest's rate.

        A Poisson distribution, scaled and shifted to the mean, variance and third moment of a sum
        of whole dialogues: failures are rare, and a normal distribution would have far too small
        tails.
        """
        rest = length - turns
        mean = turns * (total - failures) / rest
        # The rate of the rest is itself an estimate.
        variance = turns * self.variance * (1 + turns / rest)
        if self.skew <= 0:
            return np.asarray(stats.norm.sf((failures - mean) / np.sqrt(variance)))
        jump = self.skew / self.variance
        expected = variance / jump**2
        count = np.maximum((failures - mean) / jump + expected, 1e-9)
        return np.asarray(special.gammainc(count, expected))


def _slice(
    failure_point: str,
    candidate: Candidate,
    others: Sequence[Candidate],
    parts: Sequence[Dimension],
    weight: np.ndarray,
    clusters: np.ndarray,
    share: float,
) -> Slice:
    inside = candidate.mask(parts, len(weight))
    length = len(weight)
    rate = candidate.failures / candidate.turns
    rest = length - candidate.turns
    rest_rate = (float(weight.sum()) - candidate.failures) / rest
    # Linearised: the change of the impact with each turn, summed per dialogue (the sampling unit).
    ratio = candidate.turns / rest
    change = np.where(inside, weight - rate, -ratio * (weight - rest_rate))
    sums = np.bincount(clusters, change)
    spread = Z95 * float(np.sqrt((sums**2).sum()))
    return Slice(
        failure_point,
        candidate.conditions(parts),
        round(candidate.turns / share),
        candidate.failures / share,
        rate,
        rest_rate,
        candidate.impact / share,
        (candidate.impact - spread) / share,
        (candidate.impact + spread) / share,
        candidate.p_value,
        candidate.q_value,
        tuple(other.conditions(parts) for other in others),
    )
