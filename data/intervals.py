"""Intervals of proportions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# 95 % of a normal distribution lies within this many standard deviations of its mean.
Z95 = 1.959964


def wilson(successes: float, n: float, z: float = Z95) -> tuple[float, float]:
    """Wilson's interval of one proportion, 95 % by default; see `wilson_intervals`.

    Returns its lower and upper end; (0, 1) when `n` is 0.
    """
    share = min(max(successes / n, 0.0), 1.0) if n > 0 else 0.0
    low, high = wilson_intervals(np.array(share), np.array(float(n)), z)
    return float(low), float(high)


def wilson_intervals(share: Array, n: Array, z: float | Array = Z95) -> tuple[Array, Array]:
    """Score intervals of proportions (Wilson 1927, JASA 22): lower and upper ends.

    Both have the shape of `share`; they are (0, 1) where n is 0. The interval assumes n independent
    turns. Turns of one dialogue are not independent, so it is too narrow where dialogues are long.
    `share` may be a mean of probabilities: for independent turns, the variance p(1 - p)/n is then
    an upper bound.
    """
    safe = np.where(n > 0, n, 1.0)
    centre = (share + z * z / (2 * safe)) / (1 + z * z / safe)
    half = z * np.sqrt(share * (1 - share) / safe + z * z / (4 * safe * safe)) / (1 + z * z / safe)
    low, high = np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)
    return np.where(n > 0, low, 0.0), np.where(n > 0, high, 1.0)
