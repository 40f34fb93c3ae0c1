"""How far the hypotheses of an n-best list agree, for all turns at once.

Lists of ten alternatives are the bulk of a trace, and most of them repeat the same words: each
distinct text is normalised and split once, and the lists are compared by the numbers (codes) of
texts and words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.arrow import Column, pc
from features.similarity import (
    WordSets,
    compared,
    pair_letters,
    word_sets,
)


@dataclass(frozen=True, slots=True)
class NBest:
    """The n-best lists of n turns, m hypotheses in all.

    Attributes
    ----------
    start: the hypotheses of turn i are those from `start[i]` to before `start[i + 1]`.
    turn: turn of each hypothesis (m,).
    text: number of its normalised text, -1 where there is none (m,).
    confidence: NaN where there is none (m,).
    texts: the distinct normalised texts, by number.
    words, length: the distinct words of each of them, and how many words it has, repeats included.
    """

    start: np.ndarray
    turn: np.ndarray
    text: np.ndarray
    confidence: np.ndarray
    texts: Column
    words: WordSets
    length: np.ndarray

    @classmethod
    def read(cls, hypotheses: Column, normalise: Callable[[Column], Column]) -> NBest:
        """From a column of lists of `{text, confidence}`; `normalise` is called on distinct texts.

        It returns the normalised texts in the same order.
        """
        flat = hypotheses.flatten()
        turn = pc.list_parent_indices(hypotheses).to_numpy()
        logged = pc.struct_field(flat, "text").dictionary_encode()
        normal = normalise(logged.dictionary).dictionary_encode()
        # Two logged texts may be equal when normalised; the last number stands for "no text".
        number = np.append(normal.indices.to_numpy(), -1)
        text = number[pc.fill_null(logged.indices, -1).to_numpy()]
        return cls(
            np.searchsorted(turn, np.arange(len(hypotheses) + 1)),
            turn,
            text,
            pc.struct_field(flat, "confidence").to_numpy(zero_copy_only=False),
            normal.dictionary,
            word_sets(compared(normal.dictionary)),
            _word_count(normal.dictionary),
        )

    def lists(self) -> Column:
        """The normalised texts of each turn, as a column of lists."""
        numbers = pa.array(self.text, mask=self.text < 0)
        return pa.ListArray.from_arrays(pa.array(self.start, pa.int32()), self.texts.take(numbers))

    def confidences(self) -> Column:
        """The confidences of each turn, as a column of lists."""
        return pa.ListArray.from_arrays(
            pa.array(self.start, pa.int32()), pa.array(self.confidence, from_pandas=True)
        )

    def first(self) -> np.ndarray:
        """Number of the text of the first hypothesis (n,); -1 where there is none."""
        some = np.diff(self.start) > 0
        first = np.full(len(some), -1)
        first[some] = self.text[self.start[:-1][some]]
        return first

    def measures(self) -> dict[str, np.ndarray]:
        """Columns for the frame, float64 (n,), NaN where there is nothing to measure.

        entropy: of the confidences, in nats.
        disagreement: mean share of words in which the other hypotheses differ from the first.
        disagreement_max: largest share of letters in which one of them differs.
        support, support_min: share of the n-best confidence on hypotheses that contain a word of
        the first one: mean over its words, and minimum.
        variants: distinct texts. length_spread: words of the longest less those of the shortest.
        text_mass: share of confidence on hypotheses with exactly the text of the first.
        """
        n = len(self.start) - 1
        first = self.first()[self.turn]
        has_text = self.text >= 0
        paired = has_text & (first >= 0)
        several = np.diff(self.start) > 1
        shared, support = self._word_overlap(first, paired)

        sizes = np.append(self.words.sizes, 0)
        union = np.maximum(sizes[first] + sizes[self.text] - shared, 1)
        words_apart = np.where(first == self.text, 0.0, 1 - shared / union)
        other = paired & (np.arange(len(self.turn)) > self.start[self.turn])
        length = np.append(self.length, 0)[self.text].astype(float)
        longest, shortest = self._most(length, has_text), self._most(-length, has_text)
        width = max(len(self.texts), 1)
        distinct = _distinct(self.turn[has_text] * width + self.text[has_text])
        variants = np.bincount(distinct // width, minlength=n).astype(float)
        weight = np.nan_to_num(self.confidence)
        mass = self._sum(weight)
        same = paired & (first == self.text) & ~np.isnan(self.confidence)
        share = weight / np.where(mass > 0, mass, 1)[self.turn]
        # Over the confidences that are logged; 0 where all of them are 0.
        entropy = -self._sum(share * np.log(np.where(share > 0, share, 1)))
        own = _where(self._sum(same) > 0, self._sum(np.where(same, weight, 0)))
        letters_apart = self._letters_apart(first, other)
        return {
            "entropy": _where(self._sum(~np.isnan(self.confidence)) > 0, entropy),
            "disagreement": _where(several, self._mean(words_apart, other)),
            "disagreement_max": _where(several, self._most(letters_apart, other)),
            "support": support[0],
            "support_min": support[1],
            "variants": variants,
            "length_spread": _where(several, longest + shortest),
            "text_mass": _where(mass > 0, own / np.where(mass > 0, mass, 1)),
        }

    def similarity_to(self, text: np.ndarray) -> np.ndarray:
        """Similarity in letters of text `text[i]` to the most similar hypothesis of turn i (n,).

        The first hypothesis is left out; NaN where there is no other, or `text[i]` is -1.
        """
        reference = text[self.turn]
        other = (np.arange(len(self.turn)) > self.start[self.turn]) & (self.text >= 0)
        other &= reference >= 0
        return self._most(1 - self._letters_apart(reference, other), other)

    def _letters_apart(self, reference: np.ndarray, hypotheses: np.ndarray) -> np.ndarray:
        """Share of letters in which hypotheses differ from reference texts (m,).

        `reference`: number of a text per hypothesis. `hypotheses`: mask of those to compare; 0 for
        the others.
        """
        differences = np.zeros(len(self.turn))
        pairs, back = np.unique(
            reference[hypotheses].astype(np.int64) * max(len(self.texts), 1)
            + self.text[hypotheses],
            return_inverse=True,
        )
        letters = compared(self.texts).to_numpy(zero_copy_only=False)
        a, b = np.divmod(pairs, max(len(self.texts), 1))
        differences[hypotheses] = (1 - pair_letters(letters[a], letters[b]))[back]
        return differences

    def _word_overlap(
        self, first: np.ndarray, paired: np.ndarray
    ) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Words that each hypothesis shares with the first (m,); mean and least support (n,)."""
        n, width = len(self.start) - 1, int(self.words.words.max(initial=0)) + 1
        first_text = self.first()
        with_text = np.flatnonzero(first_text >= 0)
        row, word, repeats = self.words.spread(first_text[with_text])
        first_words = with_text[row] * width + word  # ascending
        compared_hypotheses = np.flatnonzero(paired)
        row, word, _ = self.words.spread(self.text[compared_hypotheses])
        hypothesis = compared_hypotheses[row]
        keys = self.turn[hypothesis] * width + word
        index = np.minimum(np.searchsorted(first_words, keys), max(len(first_words) - 1, 0))
        is_shared = first_words[index] == keys if len(first_words) else np.zeros(len(keys), bool)
        shared = np.bincount(hypothesis[is_shared], minlength=len(self.turn))

        # Undefined where a confidence is missing, all are 0, or there is a single hypothesis.
        mass = self._sum(self.confidence)
        has_mass = (np.diff(self.start) > 1) & (mass > 0)
        weight = np.nan_to_num(self.confidence)[hypothesis[is_shared]]
        word_mass = np.bincount(index[is_shared], weight, len(first_words))
        turn = first_words // width
        share = word_mass / np.where(has_mass, mass, 1)[turn]
        count = np.bincount(turn, repeats, n)
        mean = np.bincount(turn, share * repeats, n) / np.maximum(count, 1)
        least = np.full(n, np.inf)
        np.minimum.at(least, turn, share)
        defined = has_mass & (count > 0)
        return shared, (_where(defined, mean), _where(defined, least))

    def _sum(self, values: np.ndarray) -> np.ndarray:
        return np.bincount(self.turn, values, len(self.start) - 1)

    def _mean(self, values: np.ndarray, hypotheses: np.ndarray) -> np.ndarray:
        n = len(self.start) - 1
        count = np.bincount(self.turn[hypotheses], minlength=n)
        total = np.bincount(self.turn[hypotheses], values[hypotheses], n)
        return _where(count > 0, total / np.maximum(count, 1))

    def _most(self, values: np.ndarray, hypotheses: np.ndarray) -> np.ndarray:
        largest = np.full(len(self.start) - 1, -np.inf)
        np.maximum.at(largest, self.turn[hypotheses], values[hypotheses])
        return np.where(np.isinf(largest), np.nan, largest)


def _word_count(texts: Column) -> np.ndarray:
    """Number of words of normalised texts, which have single spaces between words only."""
    words = pc.add(pc.count_substring(texts, " "), pc.not_equal(texts, "").cast(pa.int32()))
    return np.asarray(words)


def _distinct(keys: np.ndarray) -> np.ndarray:
    """`np.unique` by sorting, which on these keys is several times faster than its hash table."""
    keys = np.sort(keys)
    return keys[np.append(True, keys[1:] != keys[:-1])] if len(keys) else keys


def _where(condition: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.where(condition, values, np.nan)
