"""Intervals of proportions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# 95 % of a normal distribution lie within so many standard deviations.
Z95 = 1.959964


def wilson(successes: float, n: float, z: float = Z95) -> tuple[float, float]:
    """Wilson's interval of one proportion, 95 % unless `z` says otherwise; see `wilson_intervals`.

    Returns (0, 1) when there is nothing to count.
    """
    share = min(max(successes / n, 0.0), 1.0) if n > 0 else 0.0
    low, high = wilson_intervals(np.array(share), np.array(float(n)), z)
    return float(low), float(high)


def wilson_intervals(share: Array, n: Array, z: float | Array = Z95) -> tuple[Array, Array]:
    """Score intervals of proportions (Wilson 1927, JASA 22): ends, in the shape of `share`.

    The interval assumes n independent turns. Turns of one dialogue are not independent, so it is
    too narrow where dialogues are long. `share` may be a mean of probabilities: were the turns
    independent, the variance p(1 - p)/n would then be an upper bound. (0, 1) where n is 0.
    """
    safe = np.where(n > 0, n, 1.0)
    centre = (share + z * z / (2 * safe)) / (1 + z * z / safe)
    half = z * np.sqrt(share * (1 - share) / safe + z * z / (4 * safe * safe)) / (1 + z * z / safe)
    low, high = np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)
    return np.where(n > 0, low, 0.0), np.where(n > 0, high, 1.0)
