"""The segmentation of many series at once is the cheapest of each, as one by one."""

from __future__ import annotations

from itertools import combinations, pairwise
from math import log

import numpy as np
import pytest
import ruptures
from numpy.typing import NDArray
from ruptures.base import BaseCost
from scipy.special import xlogy

from analysis.segmentation import SHORTEST, breakpoints, dispersion

Array = NDArray[np.float64]


class Costs(BaseCost):  # type: ignore[misc]  # ruptures is untyped
    """Quasi-Poisson deviance over the dispersion, segment by segment."""

    model = "quasi-poisson"
    min_size = SHORTEST

    def __init__(self, turns: Array, total: Array) -> None:
        self.turns, self.total = turns, total
        self.spread = dispersion(turns, total)
        self.penalty = 2 * log(len(turns))

    def fit(self, signal: Array) -> Costs:
        self.signal = signal
        return self

    def error(self, start: int, end: int) -> float:
        n, s = self.turns[start:end].sum(), self.total[start:end].sum()
        return float(-2 * xlogy(s, s / n if n > 0 and s > 0 else 1.0)) / self.spread

    def of(self, edges: list[int]) -> float:
        bounds = [0, *edges, len(self.turns)]
        return sum(self.error(*segment) + self.penalty for segment in pairwise(bounds))

    def pelt(self) -> list[int]:
        """The edges that PELT finds, which prunes starts that segments of two days may need."""
        search = ruptures.Pelt(custom_cost=self, min_size=SHORTEST, jump=1)
        return [int(e) for e in search.fit(self.turns[:, None]).predict(self.penalty)[:-1]]


def series(seed: int, days: int, levels: int = 4, turns: float = 60) -> tuple[Array, Array]:
    """Turns and failures of days, some without turns, with a few levels."""
    rng = np.random.default_rng(seed)
    n = rng.poisson(turns, days) * (rng.random(days) > 0.1)
    rate = np.full(days, rng.uniform(0.02, 0.2))
    for _ in range(levels):
        first = rng.integers(0, days)
        rate[first : first + rng.integers(1, days)] *= rng.uniform(0.2, 4)
    return n.astype(float), rng.binomial(n, np.minimum(rate, 0.9)).astype(float)


def both(many: list[tuple[Array, Array]]) -> list[list[int]]:
    turns, total = (np.array(part) for part in zip(*many, strict=True))
    return breakpoints(turns, total, np.zeros(len(turns)))


def test_it_costs_no_more_than_pelt_and_is_the_same_where_that_is_exact() -> None:
    many = [series(seed, 91) for seed in range(40)]
    same = 0
    for (turns, total), edges in zip(many, both(many), strict=True):
        costs = Costs(turns, total)
        expected = costs.pelt()
        if not edges:
            # Edges that gain too little one by one are not searched for.
            assert len(expected) != 1
            continue
        assert costs.of(edges) <= costs.of(expected) + 1e-9
        same += edges == expected
    assert same >= 36


def test_there_is_no_cheaper_segmentation() -> None:
    many = [series(seed, 11, turns=400) for seed in range(60)]
    changing = 0
    for (turns, total), edges in zip(many, both(many), strict=True):
        costs = Costs(turns, total)
        possible = (
            list(chosen)
            for count in range(5)
            for chosen in combinations(range(SHORTEST, 11 - SHORTEST + 1), count)
            if all(b - a >= SHORTEST for a, b in pairwise((0, *chosen, 11)))
        )
        if edges:
            changing += 1
            assert costs.of(edges) == pytest.approx(min(costs.of(other) for other in possible))
    assert changing >= 20


def test_a_series_does_not_depend_on_its_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [series(seed, 40) for seed in range(9)]
    together = both(many)
    assert together == [both([one])[0] for one in many]
    # In parts that fit into memory, too.
    monkeypatch.setattr("analysis.segmentation._COSTS_AT_ONCE", 2 * 41**2)
    assert together == both(many)


@pytest.mark.parametrize(
    ("turns", "total"),
    [
        ([], []),
        ([5.0], [1.0]),
        ([5.0] * 3, [1.0, 0, 5]),
        ([0.0] * 30, [0.0] * 30),
        ([9.0] * 30, [0.0] * 30),
        ([0.0] * 29 + [9.0], [0.0] * 29 + [9.0]),
        ([1e9] * 30, [1e8] * 30),
        ([1e-9] * 30, [1e-12] * 30),
    ],
)
def test_series_without_a_change(turns: list[float], total: list[float]) -> None:
    one = np.array([turns]), np.array([total]), np.zeros(1)
    assert breakpoints(*one) == [[]]
    none = np.zeros((0, len(turns)))
    assert breakpoints(none, none, np.zeros(0)) == []
