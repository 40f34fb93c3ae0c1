"""Class scores from the words themselves, whose differences an encoder smooths over.

"polish" and "swedish" mean much the same to an encoder, but an NLU may know only one of them. Runs
of words are hashed into columns (Weinberger et al. 2009, feature hashing), weighted by how rare
they are, and regressed on the class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, diags
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import Ridge
from sklearn.preprocessing import normalize

_BITS = 15
_RIDGE = 1.0


def hashed(texts: list[str], longest: int) -> csr_matrix:
    """Log-damped counts of runs of one to `longest` words; shape (len(texts), 2**15)."""
    vectorizer = HashingVectorizer(
        n_features=2**_BITS,
        ngram_range=(1, longest),
        token_pattern=r"\S+",
        alternate_sign=False,
        norm=None,
    )
    counts = vectorizer.transform(texts)
    np.log1p(counts.data, out=counts.data)
    return counts


@dataclass(frozen=True, slots=True)
class LexicalHead:
    """Scores that are linear in hashed words; `rarity` is the weight of each column."""

    classes: tuple[str, ...]
    rarity: np.ndarray  # (2**15,)
    weights: np.ndarray  # (2**15, len(classes))
    bias: np.ndarray

    @classmethod
    def fit(cls, counts: csr_matrix, target: np.ndarray, classes: tuple[str, ...]) -> LexicalHead:
        """Ridge regression of the 0/1 matrix `target` on the rows of `counts`.

        A column that occurs only once says nothing about other turns and is left out.
        """
        occurs = np.bincount(counts.indices, minlength=counts.shape[1])
        rarity = np.where(occurs > 1, np.log((1 + counts.shape[0]) / (1 + occurs)) + 1, 0.0)
        x = normalize(counts @ diags(rarity))
        model = Ridge(alpha=_RIDGE, solver="sparse_cg", tol=1e-3).fit(x, target.astype(np.float64))
        return cls(
            classes,
            rarity.astype(np.float32),
            np.atleast_2d(model.coef_).T.astype(np.float32),
            np.atleast_1d(model.intercept_).astype(np.float32),
        )

    def scores(self, counts: csr_matrix) -> np.ndarray:
        """Estimated probability of each class, not clipped; shape (rows, len(classes))."""
        x = normalize(counts @ diags(self.rarity.astype(np.float64)))
        scores: np.ndarray = np.asarray(x @ self.weights) + self.bias
        return scores
