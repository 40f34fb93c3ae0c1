"""Whether a fix helped: the rate of a slice before a release, against its rate on that release.

The difference of the two rates is tested with the variance observed between days, as in
`analysis.period_comparison`: a ratio estimator over clusters of one day each (Cochran 1977, section
6.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from math import sqrt
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from scipy.special import stdtr, stdtrit

from analysis.arrays import matrix
from analysis.period_comparison import FAILED, TURNS

LEVEL = 0.025
Finding = Literal["unseen", "few", "fell", "stayed", "rose"]


@dataclass(frozen=True, slots=True)
class Fixed:
    """How the rate of a slice changed with a release.

    Attributes
    ----------
    finding: "unseen" where the release has no turns in the slice; "few" where there are too few
    turns to tell; "fell" or "rose" where the rate clearly did; else "stayed".
    since: the day the release appeared. turns_before, turns: before it, and on it.
    before, after: rates. low, high: 95 % interval of the change. p_value: one-sided, of a fall.
    """

    finding: Finding
    since: date | None = None
    turns_before: int = 0
    turns: int = 0
    before: float = 0.0
    after: float = 0.0
    low: float = 0.0
    high: float = 0.0
    p_value: float = 1.0


def fixed(before: pa.Table, after: pa.Table) -> Fixed:
    """Compare the days of a slice before a release appeared with those of its turns on the release.

    Parameters
    ----------
    before, after
        One row a day: day, turns, total (summed probability of the failure), squares (summed
        squares of the probabilities).

    The finding is "few" below 30 turns on either side, or where fewer than 5 failures would be
    expected on the release at the rate before it.
    """
    sides = [matrix(side, ["turns", "total", "squares"]) for side in (before, after)]
    n = np.array([side[:, 0].sum() for side in sides])
    if n[1] <= 0:
        return Fixed("unseen", turns_before=int(n[0]))
    days: list[Any] = after["day"].to_pylist()
    since: date = min(days)
    total = np.array([side[:, 1].sum() for side in sides])
    rate = total / np.maximum(n, 1)
    sizes = (since, int(n[0]), int(n[1]), float(rate[0]), float(rate[1]))
    if n.min() < TURNS or total[0] < FAILED or rate[0] * n[1] < FAILED:
        return Fixed("few", *sizes)
    freedom = max(sum(int((side[:, 0] > 0).sum()) for side in sides) - 2, 1)
    squared = sum(
        float(((side[:, 1] - side[:, 0] * mean) ** 2).sum())
        for side, mean in zip(sides, rate, strict=True)
    )
    # At least the variance of independent turns: a few days may look steady by chance.
    squares = sum(float(side[:, 2].sum()) for side in sides)
    spread = max(squared * (freedom + 2) / freedom, squares) / float(total.sum())
    pooled = float(total.sum() / n.sum())
    change = float(rate[1] - rate[0])
    # Under the null hypothesis both sides have the pooled rate; the interval uses their own rates.
    null = sqrt(spread * pooled * float((1 / n).sum()))
    half = float(stdtrit(freedom, 0.975)) * sqrt(spread * float((rate / n).sum()))
    fall = float(stdtr(freedom, change / null))
    finding: Finding = "fell" if fall <= LEVEL else "rose" if 1 - fall <= LEVEL else "stayed"
    return Fixed(finding, *sizes, change - half, change + half, fall)
