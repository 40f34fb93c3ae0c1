"""Ridge regression of many targets at once, in closed form (Hoerl & Kennard 1970)."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_matrix, diags


def solve(
    x: csr_matrix, count: np.ndarray, target: csr_matrix, ridge: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (d, t) and bias (t,), float32, of the least squares with a penalty on the weights.

    Parameters
    ----------
    x: (n, d). count: rows that each row of `x` stands for (n,), at least one above 0.
    target: *sum* of the targets of these rows, (n, t).

    One factorisation of the (d, d) normal equations serves all targets; d is to be a few thousand.
    """
    total = float(count.sum())
    weighted = diags(count) @ x
    mean_x = np.asarray(weighted.sum(axis=0)).ravel() / total
    mean_y = np.asarray(target.sum(axis=0)).ravel() / total
    gram = (x.T @ weighted).toarray()
    gram -= total * np.outer(mean_x, mean_x)
    gram[np.diag_indices_from(gram)] += ridge
    right = (x.T @ target).toarray() - total * np.outer(mean_x, mean_y)
    factor = cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
    weights = cho_solve(factor, right, overwrite_b=True, check_finite=False)
    bias = mean_y - mean_x @ weights
    return weights.astype(np.float32), bias.astype(np.float32)
