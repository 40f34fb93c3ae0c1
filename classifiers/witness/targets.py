"""Targets of the witness's regressions: what occurs often enough to be learned, and where."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

# Turns in which an intent, slot or value must occur to be learned.
MIN_COUNT = 4


def frequent(numbers: np.ndarray, turn: np.ndarray, size: int, most: int) -> np.ndarray:
    """Of `size` things the `most` that occur in the most turns, ascending; none below `MIN_COUNT`.

    `numbers` are things that occur, -1 for none, each in a `turn`: what is said of one turn twice
    counts once.
    """
    some = numbers >= 0
    once = np.unique(turn[some] * size + numbers[some])
    count = np.bincount(once % size if size else once, minlength=size)
    ranked = np.argsort(-count, kind="stable")[:most]
    return np.sort(ranked[count[ranked] >= MIN_COUNT])


def occurrences(row: np.ndarray, column: np.ndarray, n: int, k: int) -> csr_matrix:
    """How often each column occurs in each row, (n, k); -1 is no column.

    Sparse: a row has a handful of hundreds of columns, and there are hundreds of thousands of rows.
    """
    some = column >= 0
    # From coordinates, what is given twice is added up.
    return csr_matrix((np.ones(int(some.sum())), (row[some], column[some])), (n, k))
