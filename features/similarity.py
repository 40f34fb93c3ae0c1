"""Similarity of two texts, in letters and in words, for whole columns at once.

Letters: 1 − Levenshtein distance / longer length. Words: Jaccard index of the two sets of words.
Only the first `LONGEST` letters of a text are compared: requests are shorter, and the cost grows
with the square of the length of a runaway transcript.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cpdist

from features.arrow import Column, pc

LONGEST = 200


@dataclass(frozen=True, slots=True)
class WordSets:
    """The distinct words of n texts: those of text i are `words[start[i]:start[i + 1]]`, ascending.

    `repeats` is how often each of them occurs in its text.
    """

    start: np.ndarray
    words: np.ndarray
    repeats: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        return np.diff(self.start)

    def spread(self, texts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The words of the texts with the numbers `texts`: position in `texts`, word, repeats."""
        sizes = self.sizes[texts]
        ends = np.cumsum(sizes)
        total = int(ends[-1]) if len(ends) else 0
        steps = np.arange(total) - np.repeat(ends - sizes, sizes)
        positions = np.repeat(self.start[texts], sizes) + steps
        owner = np.repeat(np.arange(len(texts)), sizes)
        return owner, self.words[positions], self.repeats[positions]


def compared(texts: Column) -> Column:
    """The part of each text that is compared."""
    return pc.utf8_slice_codeunits(texts, 0, LONGEST)


def split(texts: Column) -> tuple[np.ndarray, np.ndarray]:
    """The words of normalised texts, in order: (row, word) per word; words are numbers from 0."""
    lists = pc.split_pattern(texts, " ")
    words = lists.flatten().dictionary_encode()
    rows = pc.list_parent_indices(lists).to_numpy()
    codes = words.indices.to_numpy()
    spoken = pc.not_equal(words.dictionary, "").to_numpy(zero_copy_only=False)[codes]
    return rows[spoken], codes[spoken].astype(np.int64)


def word_sets(texts: Column) -> WordSets:
    """The distinct words of normalised texts; a null text has none."""
    rows, codes = split(texts)
    width = int(codes.max(initial=0)) + 1
    keys, repeats = np.unique(rows * width + codes, return_counts=True)
    start = np.searchsorted(keys, np.arange(len(texts) + 1, dtype=np.int64) * width)
    return WordSets(start, keys % width, repeats)


def letters_alike(a: Column, b: Column) -> np.ndarray:
    """Share of letters that `a[i]` and `b[i]` share, float64 (n,); NaN where one is null."""
    rows, left, right = _pairs(a, b)
    similarity = np.full(len(a), np.nan)
    similarity[rows] = pair_letters(left, right)
    return similarity


def words_alike(a: Column, b: Column) -> np.ndarray:
    """Share of words that `a[i]` and `b[i]` share, float64 (n,); NaN where one is null."""
    rows, left, right = _pairs(compared(a), compared(b))
    n = len(rows)
    sets = word_sets(pa.concat_arrays([left, right]))
    owner, words, _ = sets.spread(np.arange(2 * n))
    width = int(words.max(initial=0)) + 1
    keys = (owner % max(n, 1)) * width + words
    both = np.intersect1d(keys[owner < n], keys[owner >= n], assume_unique=True)
    shared = np.bincount(both // width, minlength=n)
    sizes = sets.sizes
    share = shared / np.maximum(sizes[:n] + sizes[n:] - shared, 1)
    share[pc.equal(left, right).to_numpy(zero_copy_only=False)] = 1.0
    similarity = np.full(len(a), np.nan)
    similarity[rows] = share
    return similarity


def pair_letters(a: Column, b: Column) -> np.ndarray:
    """`letters_alike` of texts none of which is null; object arrays are compared at full length."""
    if isinstance(a, pa.Array):
        a = compared(a).to_numpy(zero_copy_only=False)
    if isinstance(b, pa.Array):
        b = compared(b).to_numpy(zero_copy_only=False)
    if not len(a):
        return np.zeros(0)
    similarity: np.ndarray = cpdist(
        a, b, scorer=Levenshtein.normalized_similarity, dtype=np.float64
    )
    return similarity


def _pairs(a: Column, b: Column) -> tuple[np.ndarray, Column, Column]:
    """The rows where neither is null, and both columns at these rows."""
    valid = pc.and_(pc.is_valid(a), pc.is_valid(b))
    rows = np.flatnonzero(valid.to_numpy(zero_copy_only=False))
    return rows, a.filter(valid), b.filter(valid)
