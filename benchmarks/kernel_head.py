"""Class scores from known turns that are alike in several texts at once.

A linear head adds up what each text says; whether a frame fits the words heard is in neither alone.
Here a turn is compared with labelled ones: the kernel is the sum, over all subsets of the fields,
of the product of the fields' similarities (Stitson et al. 1999, ANOVA kernels), and the regression
on it is restricted to some turns, the centres (Smola & Schölkopf 2000, sparse greedy matrix
approximation: the subset of regressors).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.linalg import solve

# Chosen on one split of slurp, where 1,000 centres did as well as all turns.
_CENTRES = 1_000
_SHARPNESS = 3.0  # a text at cosine 0.5 is alike by exp(-1.5)
_RIDGE = 1.0
_JITTER = 1e-6
_BLOCK = 4_096


class Encoded(Protocol):
    """What is read of `classifiers.text_heads.Vectors`."""

    @property
    def matrix(self) -> Mapping[str, np.ndarray]: ...
    @property
    def index(self) -> Mapping[str, np.ndarray]: ...


@dataclass(frozen=True, slots=True)
class KernelHead:
    """Scores by likeness to known turns; `classes` names the outputs.

    Attributes
    ----------
    centres: per field the vectors (m, size) of the turns compared with.
    weights: (m, len(classes)). bias: (len(classes),).
    """

    fields: tuple[str, ...]
    classes: tuple[str, ...]
    centres: Mapping[str, np.ndarray]
    weights: np.ndarray
    bias: np.ndarray

    @classmethod
    def fit(
        cls,
        vectors: Encoded,
        rows: np.ndarray,
        target: np.ndarray,
        classes: tuple[str, ...],
        fields: tuple[str, ...],
    ) -> KernelHead:
        """Ridge regression of the 0/1 matrix `target`, shape (len(rows), len(classes)).

        Turns with the same texts are one row that counts as often as they occur.
        """
        distinct, inverse = _distinct(vectors, rows, fields)
        count = np.bincount(inverse).astype(np.float64)
        total = np.zeros((len(distinct), len(classes)))
        np.add.at(total, inverse, target.astype(np.float64))
        bias = total.sum(axis=0) / count.sum()
        chosen = np.sort(np.random.default_rng(0).permutation(len(distinct))[:_CENTRES])
        centres = {name: vectors.matrix[name][distinct[chosen, i]] for i, name in enumerate(fields)}
        m = len(chosen)
        gram, moment = np.zeros((m, m)), np.zeros((m, len(classes)))
        for start in range(0, len(distinct), _BLOCK):
            part = slice(start, start + _BLOCK)
            kernel = _kernel(vectors, distinct[part], fields, centres).astype(np.float64)
            gram += kernel.T @ (kernel * count[part, None])
            moment += kernel.T @ (total[part] - count[part, None] * bias)
        gram += _RIDGE * _kernel(vectors, distinct[chosen], fields, centres)
        gram[np.diag_indices(m)] += _JITTER * len(rows)
        weights = solve(gram, moment, assume_a="sym")
        return cls(fields, classes, centres, weights.astype(np.float32), bias.astype(np.float32))

    def scores(self, vectors: Encoded, rows: np.ndarray) -> np.ndarray:
        """Estimated probability of each class, not clipped; shape (len(rows), len(classes)).

        Each distinct combination of texts is compared once.
        """
        distinct, inverse = _distinct(vectors, rows, self.fields)
        parts = [np.empty((0, len(self.classes)), np.float32)]
        for start in range(0, len(distinct), _BLOCK):
            block = distinct[start : start + _BLOCK]
            parts.append(_kernel(vectors, block, self.fields, self.centres) @ self.weights)
        scores: np.ndarray = np.concatenate(parts)[inverse] + self.bias
        return scores


def _distinct(
    vectors: Encoded, rows: np.ndarray, fields: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Distinct combinations of texts, as their indices (n, fields), and that of each row."""
    together = np.column_stack([vectors.index[name][rows] for name in fields])
    distinct, inverse = np.unique(together, axis=0, return_inverse=True)
    return distinct, inverse.reshape(-1)


def _kernel(
    vectors: Encoded,
    texts: np.ndarray,
    fields: tuple[str, ...],
    centres: Mapping[str, np.ndarray],
) -> np.ndarray:
    """Likeness (n, m) of turns, given as indices of their texts (n, fields), to the centres."""
    product = np.ones((len(texts), len(centres[fields[0]])), np.float32)
    for column, name in zip(texts.T, fields, strict=True):
        index, inverse = np.unique(column, return_inverse=True)
        cosine = vectors.matrix[name][index] @ centres[name].T
        product *= (1 + np.exp(_SHARPNESS * (cosine - 1)))[inverse]
    return product - 1
