"""Intervals of proportions."""

from __future__ import annotations

from math import sqrt


def wilson(successes: float, n: float, z: float = 1.959964) -> tuple[float, float]:
    """Score interval of a proportion (Wilson 1927, JASA 22), 95 % unless `z` says otherwise.

    The interval assumes n independent turns. Turns of one dialogue are not independent, so it is
    too narrow where dialogues are long. `successes` may be a sum of probabilities: were the turns
    independent, the variance p(1 - p)/n would then be an upper bound. Returns (0, 1) when there is
    nothing to count.
    """
    if n <= 0:
        return 0.0, 1.0
    p = min(max(successes / n, 0.0), 1.0)
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)
