"""Pairs of turns, one that failed and a later one of its dialogue, and measures of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cpdist

from rewrites.rephrase.turns import Heard

Vectors = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of rows of `heard`, ordered by the first, then by the second.

    `columns`: their features, once they have been computed.
    """

    heard: Sequence[Heard]
    first: np.ndarray
    later: np.ndarray
    columns: Mapping[str, np.ndarray] | None = None

    def where(self, kept: np.ndarray) -> Pairs:
        """Some of the pairs; of a first turn all or none, or its pairs are compared wrongly."""
        columns = self.columns and {name: x[kept] for name, x in self.columns.items()}
        return Pairs(self.heard, self.first[kept], self.later[kept], columns)

    @property
    def starts(self) -> np.ndarray:
        """Where each first turn's pairs begin."""
        return np.flatnonzero(np.diff(self.first, prepend=-1))

    def each(self, measure: Callable[[Heard, Heard], float]) -> np.ndarray:
        return np.array([measure(self.heard[i], self.heard[j]) for i, j in self.both()], np.float64)

    def of_turn(self, measure: Callable[[Heard], float]) -> tuple[np.ndarray, np.ndarray]:
        """A measure of single turns, of the first and of the later one."""
        values = np.array([measure(turn) for turn in self.heard], np.float64)
        return values[self.first], values[self.later]

    def alike(self, read: Callable[[Heard], str], first: int = 0, later: int = 0) -> np.ndarray:
        """Letters shared by a text of the first turn and one of the later; 0 where one is empty.

        `first` and `later` move on by so many turns of the dialogue; NaN beyond its end.
        """
        texts = np.array([read(turn) for turn in self.heard], object)
        a, left = self.moved(self.first, first)
        b, right = self.moved(self.later, later)
        x, y = texts[a], texts[b]
        similarity = cpdist(x, y, scorer=Levenshtein.normalized_similarity, dtype=np.float64)
        similarity[(x == "") | (y == "")] = 0.0
        similarity[~(left & right)] = np.nan
        return np.asarray(similarity)

    def moved(self, rows: np.ndarray, by: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows `by` turns on (clipped), and whether they are of the same dialogue."""
        moved = np.clip(rows + by, 0, max(len(self.heard) - 1, 0))
        same = [
            self.heard[a].dialogue == self.heard[b].dialogue
            for a, b in zip(rows, moved, strict=True)
        ]
        return moved, np.array(same, bool) & (moved == rows + by)

    def both(self) -> list[tuple[int, int]]:
        return list(zip(self.first.tolist(), self.later.tolist(), strict=True))


def text_vectors(pairs: Pairs, vectors: Vectors) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of the first and of the later texts; each distinct text is encoded once."""
    rows = np.concatenate([pairs.first, pairs.later])
    texts = np.array([pairs.heard[i].text for i in rows], object).astype(str)
    distinct, where = np.unique(texts, return_inverse=True)
    found = vectors([str(text) for text in distinct])[where]
    return found[: len(pairs.first)], found[len(pairs.first) :]


def letters(heard: Sequence[Heard], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    texts = np.array([turn.text for turn in heard], object)
    return np.asarray(
        cpdist(texts[a], texts[b], scorer=Levenshtein.normalized_similarity, dtype=np.float64)
    )
