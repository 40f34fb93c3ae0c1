"""Slice discovery: where a failure point has more turns than the rest of traffic would give.

All combinations of up to three conditions are counted, ranked by impact (expected failures inside,
less the turns inside times the rate outside), tested, and folded where they tell the same story.
The idea of ranking by excess and testing with correction follows SliceFinder (Chung et al. 2020,
IEEE TKDE 32) and SliceLine (Sagadeeva & Boehm 2021, SIGMOD).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
from scipy import special, stats

from analysis.slices.cells import (
    Cells,
    Count,
    Dimension,
    Progress,
    coded,
)
from analysis.slices.deduplicate import Candidate, fold
from data.errors import UsageError
from data.intervals import Z95
from data.queries.dimensions import (
    DIMENSIONS,
    condition_sql,
    condition_words,
)

# Failures that a slice needs at least; fewer are an anecdote.
LEAST_FAILURES = 5.0
_KEPT = 2_000


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of the traffic that fails more often than the rest.

    Attributes
    ----------
    conditions: (dimension, value) in the order of `data.queries.dimensions.DIMENSIONS`.
    turns, failures: inside; failures are a sum of probabilities.
    rate, rest_rate: failures per turn inside and outside.
    impact, low, high: failures above what the rest's rate would give, with its 95 % interval,
    dialogues counting as one draw. p_value: one-sided. q_value: corrected for everything tested.
    folded: conditions of other slices that tell the same story.
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
        """A name that stays the same, for links and as a key: `asr:locale=en-GB;hour=08-12`."""
        parts = [f"{name}={quote(value, safe='')}" for name, value in self.conditions]
        return f"{self.failure_point}:{';'.join(parts)}"

    def words(self) -> str:
        """The conditions in words: `en-GB · speaker · ASR 4.2`."""
        return " · ".join(condition_words(*condition) for condition in self.conditions)

    def sql(self, prefix: str = "slice") -> tuple[str, dict[str, object]]:
        """A condition over `predictions` and its named parameters."""
        return condition_sql(self.conditions, prefix)


def parse(key: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Failure point and conditions that `Slice.key` names; raises UsageError for another text."""
    point, colon, rest = key.partition(":")
    pairs = [part.partition("=") for part in rest.split(";")]
    conditions = tuple((name, unquote(value)) for name, equals, value in pairs if equals)
    if not colon or len(conditions) != len(pairs):
        raise UsageError(
            f"'{key}' names no slice; write FAILURE_POINT:DIMENSION=VALUE;DIMENSION=VALUE."
        )
    condition_sql(conditions)
    return point, conditions


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found.

    Attributes
    ----------
    slices: by impact, the greatest first; scaled up where a sample was read.
    turns: turns read. share: of all turns. tested: slices tested. rate: of all turns read.
    """

    slices: tuple[Slice, ...]
    turns: int
    share: float
    tested: int
    rate: float

    def words(self) -> str:
        """How the search was made, in a sentence."""
        read = f"{self.turns:,} turns".replace(",", "\u202f")
        if self.share < 1:
            read = f"a sample of {read} (whole dialogues, {100 * self.share:.0f} % of all)"
        tested = f"{self.tested:,}".replace(",", "\u202f")
        return (
            f"{tested} combinations tested on {read}; false discoveries held below 5 % "
            "(Benjamini–Yekutieli)."
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
    progress: Progress | None = None,
) -> Found:
    """Slices of the turns of `table` in which `failure_point` is commoner than elsewhere.

    Parameters
    ----------
    table
        Columns as of `data.queries.dimensions.slice_columns`: dialogue, p, and the dimensions.
    most
        Slices returned at most. level: greatest q-value of a slice.
    share
        Of all turns, the share that `table` holds; counts are scaled up by it.
    progress
        Called with the share of work done, 0 to 1; what it raises ends the search.

    Slices overlap, so their tests depend on each other in no known way (values of one dimension
    take turns from each other): the false discovery rate is held by Benjamini & Yekutieli (2001),
    which is right under any dependence.
    """
    length = table.num_rows
    p = table["p"].to_numpy() if length else np.zeros(0)
    clusters = np.unique(table["dialogue"].to_numpy(), return_inverse=True)[1]
    weight = _weight(np.nan_to_num(np.asarray(p, float)), clusters)
    total = float(weight.sum())
    nothing = Found((), length, share, 0, total / max(1, length))
    least = max(30, length // 5_000)
    if length < 2 * least or total < LEAST_FAILURES or np.ptp(p) == 0:
        return nothing
    noise = _Noise.of(weight, clusters)
    parts = coded(table, dimensions)
    count = Count(parts, weight, least, LEAST_FAILURES, deepest)
    kept: list[tuple[float, tuple[int, ...], tuple[int, ...], int, float]] = []
    for cells in count.walk(lambda done: progress(0.8 * done) if progress else None):
        impact = _impact(cells, length, total)
        above = np.flatnonzero((impact > 0) & (cells.turns <= length - least))
        kept.extend(
            (
                float(impact[at]),
                cells.dimensions,
                tuple(int(c) for c in cells.codes[at]),
                int(cells.turns[at]),
                float(cells.failures[at]),
            )
            for at in above
        )
        if len(kept) > 2 * _KEPT:
            kept = sorted(kept, key=lambda one: (-one[0], one[1], one[2]))[:_KEPT]
            # No child of a cell with fewer failures can be among the kept.
            count.floor = max(count.floor, kept[-1][0])
    if not kept:
        return nothing
    kept.sort(key=lambda one: (-one[0], one[1], one[2]))
    turns = np.array([one[3] for one in kept], float)
    failures = np.array([one[4] for one in kept])
    p_values = noise.tail(turns, failures, length, total)
    q_values = _corrected(p_values, max(count.tested, len(kept)))
    candidates = [
        Candidate(places, codes, size, sum_, impact, float(p_values[at]), float(q_values[at]))
        for at, (impact, places, codes, size, sum_) in enumerate(kept)
        if q_values[at] <= level
    ]
    groups = fold(
        candidates,
        parts,
        weight,
        noise.effect,
        most,
        lambda done: progress(0.8 + 0.2 * done) if progress else None,
    )
    found = tuple(
        _slice(failure_point, chosen, others, parts, weight, clusters, share)
        for chosen, others in groups
    )
    if progress:
        progress(1.0)
    return Found(found, length, share, count.tested, total / length)


def _weight(p: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Probabilities whose sums are exact, so that the order of rows does not matter.

    Multiples of 2^-18, and for each dialogue a pseudo-random multiple of 2^-32 below 2^-22: two
    sums are equal only where the sets of turns are. Two million of them fit a double's 53 bits.
    """
    # Fibonacci hashing (Knuth, TAOCP 3, 6.4).
    mixed = clusters.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(54)
    found: np.ndarray = np.round(p * 2.0**18) * 2.0**-18 + mixed * 2.0**-32
    return found


def _impact(cells: Cells, length: int, total: float) -> np.ndarray:
    rest = np.maximum(length - cells.turns, 1)
    found: np.ndarray = cells.failures - cells.turns * (total - cells.failures) / rest
    return found


def _corrected(p_values: np.ndarray, tested: int) -> np.ndarray:
    """Benjamini–Yekutieli q-values; the tests that are not listed count as if they found nothing.

    q(i) = min over j >= i of p(j) m (1 + 1/2 + ... + 1/m) / j, for p-values in ascending order.
    """
    order = np.argsort(p_values, kind="stable")
    harmonic = special.digamma(tested + 1) + np.euler_gamma
    ranked = p_values[order] * tested * harmonic / np.arange(1, len(order) + 1)
    ranked = np.minimum.accumulate(ranked[::-1])[::-1]
    found = np.empty(len(order))
    found[order] = np.minimum(ranked, 1.0)
    return found


@dataclass(frozen=True, slots=True)
class _Noise:
    """How failures scatter: variance and third moment per turn, summed over whole dialogues."""

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
        """Chance of so many failures or more where nothing is special about the slice.

        A Poisson law, scaled and shifted to the mean, variance and third moment of a sum of whole
        dialogues: failures are rare, and a normal law would promise far too small tails.
        """
        rest = length - turns
        mean = turns * (total - failures) / rest
        # The rest's rate is itself an estimate.
        variance = turns * self.variance * (1 + turns / rest)
        if self.skew <= 0:
            return np.asarray(stats.norm.sf((failures - mean) / np.sqrt(variance)))
        jump = self.skew / self.variance
        expected = variance / jump**2
        at = np.maximum((failures - mean) / jump + expected, 1e-9)
        return np.asarray(special.gammainc(at, expected))


def _slice(
    failure_point: str,
    chosen: Candidate,
    others: Sequence[Candidate],
    parts: Sequence[Dimension],
    weight: np.ndarray,
    clusters: np.ndarray,
    share: float,
) -> Slice:
    inside = chosen.mask(parts, len(weight))
    length = len(weight)
    rate = chosen.failures / chosen.turns
    rest = length - chosen.turns
    rest_rate = (float(weight.sum()) - chosen.failures) / rest
    # Linearised: the impact changes by so much with each turn; dialogues are drawn, not turns.
    ratio = chosen.turns / rest
    change = np.where(inside, weight - rate, -ratio * (weight - rest_rate))
    sums = np.bincount(clusters, change)
    spread = Z95 * float(np.sqrt((sums**2).sum()))
    return Slice(
        failure_point,
        chosen.conditions(parts),
        round(chosen.turns / share),
        chosen.failures / share,
        rate,
        rest_rate,
        chosen.impact / share,
        (chosen.impact - spread) / share,
        (chosen.impact + spread) / share,
        chosen.p_value,
        chosen.q_value,
        tuple(other.conditions(parts) for other in others),
    )
