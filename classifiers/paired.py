"""Two models on the same turns: which is right more often, and could that be chance?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from statsmodels.stats.contingency_tables import mcnemar

Interval = tuple[float, float]
_DRAWS = 1_000
# Fewer turns on which only one is right: the exact test instead of its approximation.
_FEW = 1_000


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of the first model, of the second, and second minus first with a 95 % interval."""

    first: float
    second: float
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Paired:
    """What `paired` found.

    Attributes
    ----------
    turns: how many. both, first_only, second_only, neither: turns on which they are right.
    p_value: McNemar's, of the two being right equally often.
    macro_f1, accuracy: over the classes that occur. f1: per class that occurs.
    """

    turns: int
    both: int
    first_only: int
    second_only: int
    neither: int
    p_value: float
    macro_f1: Difference
    accuracy: Difference
    f1: dict[str, Difference]


def paired(
    truth: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    group: np.ndarray,
    classes: tuple[str, ...],
    *,
    seed: int = 0,
    draws: int = _DRAWS,
) -> Paired:
    """Compare the verdicts `first` and `second` (names of classes) with the truth, turn by turn.

    McNemar's test (1947) looks only at the turns on which one is right and the other is not, and
    takes them for independent. The intervals of the differences resample whole groups (cluster
    bootstrap; Field & Welsh 2007), both models on the same draw.
    """
    present = tuple(name for name in classes if (truth == name).any())
    number = {name: i for i, name in enumerate(classes)}
    t, a, b = (np.array([number[v] for v in names], int) for names in (truth, first, second))
    right_a, right_b = a == t, b == t
    table = np.array(
        [
            [(right_a & right_b).sum(), (right_a & ~right_b).sum()],
            [(~right_a & right_b).sum(), (~right_a & ~right_b).sum()],
        ]
    )
    differ = int(table[0, 1] + table[1, 0])
    p_value = float(mcnemar(table, exact=differ < _FEW).pvalue) if differ else 1.0
    k = len(classes)
    _, g = np.unique(group, return_inverse=True)
    groups = int(g.max(initial=-1)) + 1
    tables = np.zeros((2, groups, k * k))
    for i, said in enumerate((a, b)):
        np.add.at(tables[i], (g, t * k + said), 1)
    here = [number[name] for name in present]
    figures = np.stack([_figures(tables[i].sum(0)[None], k, here) for i in (0, 1)])[:, 0]
    generator = np.random.default_rng(seed)
    times = np.stack(
        [np.bincount(generator.integers(0, groups, groups), minlength=groups) for _ in range(draws)]
    )
    drawn = _figures(times @ tables[1], k, here) - _figures(times @ tables[0], k, here)
    # A draw may leave a class out.
    low, high = np.nanpercentile(drawn, [2.5, 97.5], axis=0)
    made = [
        Difference(
            float(figures[0, j]),
            float(figures[1, j]),
            float(figures[1, j] - figures[0, j]),
            float(low[j]),
            float(high[j]),
        )
        for j in range(figures.shape[1])
    ]
    return Paired(
        len(t),
        int(table[0, 0]),
        int(table[0, 1]),
        int(table[1, 0]),
        int(table[1, 1]),
        p_value,
        made[0],
        made[1],
        dict(zip(present, made[2:], strict=True)),
    )


def _figures(tables: np.ndarray, k: int, present: list[int]) -> np.ndarray:
    """Macro-F1, accuracy and F1 of the classes present, per table: (n, 2 + len(present))."""
    square = tables.reshape(-1, k, k)
    hit = np.diagonal(square, axis1=1, axis2=2)
    said, true = square.sum(1), square.sum(2)
    f1 = 2 * hit / np.maximum(said + true, 1)
    f1 = np.where(true > 0, f1, np.nan)[:, present]
    accuracy = hit.sum(1) / np.maximum(square.sum((1, 2)), 1)
    return np.column_stack([np.nanmean(f1, axis=1), accuracy, f1])
