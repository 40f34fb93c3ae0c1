"""Distinct texts as counts of hashed n-grams: of words (1 to 3) and of letters in a word (3, 4).

Codes are 64-bit hashes that no process, platform or other text changes. Each distinct *word* is cut
into letters once, and n-grams of words are mixed from the codes of the words, all in whole columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from scipy.sparse import csr_matrix, hstack

from classifiers.witness.arrays import places, ranges

_MIX = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)
_LETTERS = (3, 4)
# Requests are shorter; a text without end must not cost more than others.
_LONGEST = 600


def code(text: str) -> int:
    """A 64-bit hash of `text`, the same everywhere."""
    return int.from_bytes(
        blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "little"
    )


def codes_of(texts: Sequence[str]) -> np.ndarray:
    """`code` of each text, uint64 (n,)."""
    return np.array([code(text) for text in texts], np.uint64)


def mix(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """One code for each pair of codes, in this order."""
    mixed: np.ndarray = (a * _MIX) ^ (b + (a >> _SHIFT))
    spread: np.ndarray = (mixed ^ (mixed >> _SHIFT)) * _MIX
    return spread


@dataclass(frozen=True, slots=True)
class Words:
    """The words of m distinct texts, one after another.

    Attributes
    ----------
    start: the words of text i are those from `start[i]` to before `start[i + 1]`, (m + 1,).
    word: number of each of them (w,). names: the distinct words. code: their codes.
    """

    start: np.ndarray
    word: np.ndarray
    names: list[str]
    code: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[str]) -> Words:
        """The words of normalised `texts`, as separated by spaces."""
        split = [text[:_LONGEST].split() for text in texts]
        number: dict[str, int] = {}
        flat = [number.setdefault(word, len(number)) for words in split for word in words]
        start = np.cumsum([0, *map(len, split)])
        names = list(number)
        return cls(start, np.array(flat, np.int64), names, codes_of(names))

    def __len__(self) -> int:
        return len(self.start) - 1

    def of_text(self, text: int) -> list[str]:
        """The words of one text."""
        return [self.names[i] for i in self.word[self.start[text] : self.start[text + 1]]]

    def take(self, texts: np.ndarray) -> Words:
        """Some of the texts; the distinct words are shared."""
        size = np.diff(self.start)[texts]
        return Words(
            np.append(0, np.cumsum(size)),
            self.word[ranges(self.start[:-1][texts], size)],
            self.names,
            self.code,
        )

    @property
    def text(self) -> np.ndarray:
        """Number of the text that each word is in (w,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.start))

    @property
    def codes(self) -> np.ndarray:
        """Code of each word in its place (w,)."""
        placed: np.ndarray = self.code[self.word]
        return placed


@dataclass(frozen=True, slots=True)
class Bags:
    """Log-damped counts of n-grams: matrix (m texts, distinct n-grams), and their codes."""

    counts: csr_matrix
    codes: np.ndarray

    @classmethod
    def of(cls, words: Words, letters: bool = True) -> Bags:
        """The n-grams of texts; without `letters`, only those of words."""
        text, placed = words.text, words.codes
        rows, codes = [], []
        run = placed
        for n in (2, 3):
            # Of the n-1 words from each place on, and the word that follows, in the same text.
            run = mix(run[: len(placed) - n + 1], placed[n - 1 :])
            inside = text[: len(run)] == text[n - 1 :]
            rows.append(text[: len(run)][inside])
            codes.append(run[inside])
        runs, run_codes = _counts(np.concatenate(rows), np.concatenate(codes), len(words))
        # What a word consists of is counted once per distinct word, not once per place.
        own = [letter_codes(name) if letters else _NO_CODES for name in words.names]
        row = np.repeat(np.arange(len(own)), [len(parts) for parts in own])
        parts, part_codes = _counts(
            np.append(np.arange(len(own)), row), np.concatenate([words.code, *own]), len(own)
        )
        placed_in = csr_matrix(
            (np.ones(len(text), np.float32), words.word, words.start), (len(words), len(own))
        )
        counts = hstack([placed_in @ parts, runs], format="csr", dtype=np.float32)
        np.log1p(counts.data, out=counts.data)
        return cls(counts, np.append(part_codes, run_codes))


_NO_CODES = np.empty(0, np.uint64)


def _counts(row: np.ndarray, codes: np.ndarray, n: int) -> tuple[csr_matrix, np.ndarray]:
    """How often each code occurs in each of n rows, and the distinct codes."""
    distinct, column = np.unique(codes, return_inverse=True)
    counts = csr_matrix((np.ones(len(row), np.float32), (row, column)), (n, len(distinct)))
    counts.sum_duplicates()
    return counts, distinct


def letter_codes(word: str) -> np.ndarray:
    """Codes of the runs of 3 and 4 letters of a word with its edges; another space of codes than
    that of whole words."""
    edged = f"\x01{word}\x02"
    return codes_of([edged[i : i + n] for n in _LETTERS for i in range(len(edged) - n + 1)])


@dataclass(frozen=True, slots=True)
class Terms:
    """The n-grams that a part has learned: their codes, ascending, and how rare they are."""

    codes: np.ndarray
    rarity: np.ndarray

    @classmethod
    def learn(cls, bags: Bags, texts: np.ndarray, most: int) -> Terms:
        """The commonest `most` n-grams that at least two of the distinct `texts` (numbers) have."""
        occurs = np.bincount(bags.counts[texts].indices, minlength=len(bags.codes))
        # Ties by code: the order of the columns is that of whatever other texts there are.
        ranked = np.lexsort((bags.codes, -occurs))[:most]
        kept = ranked[occurs[ranked] > 1]
        kept = kept[np.argsort(bags.codes[kept])]
        rarity = np.log((1 + len(texts)) / (1 + occurs[kept])) + 1
        return cls(bags.codes[kept], rarity.astype(np.float32))

    def weigh(self, bags: Bags, texts: np.ndarray) -> csr_matrix:
        """TF-IDF of the distinct `texts` (numbers), rows of length 1; (len(texts), terms)."""
        counts = bags.counts[texts]
        place = places(bags.codes, self.codes)[counts.indices]
        kept = place >= 0
        column = place[kept]
        start = np.append(0, np.cumsum(kept))[counts.indptr]
        values = counts.data[kept] * self.rarity[column]
        matrix = csr_matrix((values, column, start), (len(texts), len(self.codes)))
        length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
        matrix.data /= np.repeat(np.maximum(length, 1e-9), np.diff(start)).astype(np.float32)
        return matrix
