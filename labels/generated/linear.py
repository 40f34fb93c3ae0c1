"""Logistic regression on sparse columns, of a probability rather than a class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, vstack
from sklearn.linear_model import LogisticRegression

_C = 1.0


@dataclass(frozen=True, slots=True)
class Linear:
    """A weight per column and a bias, on the log-odds."""

    weight: np.ndarray
    bias: float

    @classmethod
    def fit(cls, x: csr_matrix, target: np.ndarray, weight: np.ndarray | None = None) -> Linear:
        """Fit to targets from 0 to 1 (n,), such as the share of raters that said so.

        A row with a target of 0.3 counts as 0.3 of a row of class 1 and 0.7 of one of class 0.
        """
        weights = np.ones(len(target)) if weight is None else weight
        rows, times, classes = [], [], []
        for label, share in ((1, target), (0, 1 - target)):
            some = np.flatnonzero(share > 0)
            rows.append(some)
            times.append((share * weights)[some])
            classes.append(np.full(len(some), label))
        if not len(rows[0]) or not len(rows[1]):
            odds = 1e-3 if not len(rows[0]) else 1 - 1e-3
            return cls(np.zeros(x.shape[1], np.float32), float(np.log(odds / (1 - odds))))
        both = vstack([x[r] for r in rows]).tocsr()
        # Of hashed columns most are empty, and the solver goes through all.
        used = np.unique(both.indices)
        model = LogisticRegression(C=_C, solver="liblinear", random_state=0).fit(
            both[:, used], np.concatenate(classes), np.concatenate(times)
        )
        coefficients = np.zeros(x.shape[1], np.float32)
        coefficients[used] = model.coef_[0]
        return cls(coefficients, float(model.intercept_[0]))

    def predict(self, x: csr_matrix) -> np.ndarray:
        """Probabilities (n,) of rows."""
        value: np.ndarray = 1 / (1 + np.exp(-(x @ self.weight + self.bias)))
        return value
