"""Intervals of many shares at once, from their variances; `data.intervals` has Wilson's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.arrays import ratio
from data.intervals import wilson_intervals

Array = NDArray[np.float64]


def freedom_of(squares: Array, fourths: Array, clusters: Array) -> Array:
    """Degrees of freedom of a sum of squared errors, 2 V^2 / var(V) (Satterthwaite 1946).

    var(V) is the variance of the sum over independent clusters, from the fourth powers. With m rare
    errors of one size among many clusters the result is about 2m: what counts is how many dialogues
    have errors, not how many there are. At least 1; large where all errors are alike.
    """
    spread = np.maximum(fourths - ratio(squares**2, clusters), 2e-9 * squares**2)
    return np.maximum(ratio(2 * squares**2, spread), 1.0)


def score_intervals(value: Array, variance: Array, z: Array) -> tuple[Array, Array]:
    """Wilson's interval for the number of independent turns that would have this variance.

    Returns the lower and upper bounds, in the shape of `value`.
    """
    # Within a standard error of 0 or 1, p(1 - p) reflects chance more than the rate.
    sd = np.minimum(np.sqrt(variance), 0.5)
    inside = np.clip(value, sd, 1 - sd)
    return wilson_intervals(value, ratio(inside * (1 - inside), variance), z)
