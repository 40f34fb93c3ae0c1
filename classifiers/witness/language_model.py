"""How usual the words heard are, by a language model of what annotators transcribed.

Bigrams of words, and 4-grams of letters for words never seen. Probabilities are interpolated with
shorter histories as far as the longer one is new (Witten & Bell 1991, method C).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from classifiers.witness.arrays import places, ranges
from classifiers.witness.ngrams import Words, code, mix
from classifiers.witness.utterances import Utterances
from features.witness import GROUPS

_LETTERS = 4
_EDGE = np.array([code("\x03")], np.uint64)
# Distinct transcripts below which there is nothing to learn.
_LEAST = 30
# Letters that a language may use, for one that was never seen.
_ALPHABET = 64


@dataclass(frozen=True, slots=True)
class Counts:
    """N-grams and their counts: codes of histories with what follows, ascending; per history how
    often it occurs and with how many different followers."""

    grams: np.ndarray
    count: np.ndarray
    histories: np.ndarray
    total: np.ndarray
    followers: np.ndarray

    @classmethod
    def of(cls, history: np.ndarray, symbol: np.ndarray, weight: np.ndarray) -> Counts:
        grams, first, place = np.unique(
            mix(history, symbol), return_index=True, return_inverse=True
        )
        count = np.bincount(place, weight, len(grams))
        histories, of = np.unique(history[first], return_inverse=True)
        return cls(
            grams,
            count.astype(np.float32),
            histories,
            np.bincount(of, count, len(histories)).astype(np.float32),
            np.bincount(of, minlength=len(histories)).astype(np.float32),
        )

    def interpolate(
        self, history: np.ndarray, symbol: np.ndarray, shorter: np.ndarray
    ) -> np.ndarray:
        """Probability of each symbol after its history, given that by a shorter history."""
        count = _looked_up(self.grams, self.count, mix(history, symbol))
        total = _looked_up(self.histories, self.total, history)
        followers = _looked_up(self.histories, self.followers, history)
        mixed = (count + followers * shorter) / np.maximum(total + followers, 1)
        probability: np.ndarray = np.where(total > 0, mixed, shorter)
        return probability


def _looked_up(codes: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The value of each code, 0 where it is not among `codes`."""
    place = places(wanted, codes)
    found: np.ndarray = np.append(values, values.dtype.type(0))[place]
    return found


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """Counts by length of history: of words 0 and 1, of letters 0 to 3."""

    words: tuple[Counts, ...]
    letters: tuple[Counts, ...]

    @classmethod
    def fit(cls, utterances: Utterances, rows: np.ndarray) -> LanguageModel | None:
        """Learned from the transcripts of some turns; None if there are too few."""
        assert utterances.gold is not None
        said = utterances.gold.transcript[rows]
        texts, count = np.unique(said[said >= 0], return_counts=True)
        if len(texts) < _LEAST:
            return None
        words = utterances.words.take(texts)
        weight = count.astype(float)
        symbols, text, histories = _sequences(words.start, words.codes, 1)
        learned = tuple(Counts.of(h, symbols, weight[text]) for h in histories)
        letter_start, letters = _letters(words)
        symbols, text, histories = _sequences(letter_start, letters, _LETTERS - 1)
        return cls(learned, tuple(Counts.of(h, symbols, weight[text]) for h in histories))

    def measure(self, utterances: Utterances) -> np.ndarray:
        """Columns of `features.witness`, float32 (n, 6).

        Log-probability per word (letter) of the first hypothesis, that of its least likely one, and
        how much higher that of the best other hypothesis is.
        """
        out = np.full((len(utterances), len(GROUPS["language"])), np.nan, np.float32)
        usable = np.flatnonzero(utterances.first >= 0)
        if not len(usable):
            return out
        heard = utterances.heard.take(usable)
        texts, number = np.unique(heard.flat, return_inverse=True)
        words = utterances.words.take(texts)
        first = heard.start[:-1]
        owner = heard.owner
        later = np.ones(len(owner), bool)
        later[first] = False
        for i, (counts, (start, codes)) in enumerate(
            ((self.words, (words.start, words.codes)), (self.letters, _letters(words)))
        ):
            mean, least = _likelihood(counts, start, codes)
            others = np.full(len(usable), -np.inf)
            np.maximum.at(others, owner[later], mean[number[later]])
            better = others - mean[number[first]]
            out[usable, 3 * i] = mean[number[first]]
            out[usable, 3 * i + 1] = least[number[first]]
            out[usable, 3 * i + 2] = np.where(np.isfinite(better), better, np.nan)
        return out


def _likelihood(
    counts: tuple[Counts, ...], start: np.ndarray, codes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Per sequence the mean and the least log-probability of its symbols and its end."""
    symbols, owner, histories = _sequences(start, codes, len(counts) - 1)
    kinds = len(counts[0].grams) + _ALPHABET
    p = np.full(len(symbols), 1 / kinds)
    for level, history in zip(counts, histories, strict=True):
        p = level.interpolate(history, symbols, p)
    log = np.log(p)
    n = len(start) - 1
    least = np.zeros(n)
    np.minimum.at(least, owner, log)
    return np.bincount(owner, log, n) / np.bincount(owner, minlength=n), least


def _sequences(
    start: np.ndarray, codes: np.ndarray, longest: int
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """All symbols of sequences with an end each, the sequence they are in, and the codes of their
    histories of 0 to `longest` symbols; in front of a sequence are edges."""
    n = len(start) - 1
    size = np.diff(start)
    # Each sequence with `longest` edges in front and one at its end.
    begins = start[:-1] + np.arange(n) * (longest + 1)
    padded = np.repeat(_EDGE, len(codes) + n * (longest + 1))
    owner = np.repeat(np.arange(n), size)
    place = np.arange(len(codes)) + (owner + 1) * longest + owner
    padded[place] = codes
    every = np.sort(np.append(place, begins + longest + size))
    of = np.repeat(np.arange(n), size + 1)
    history = np.zeros(len(every), np.uint64)
    histories = [history]
    for back in range(1, longest + 1):
        history = mix(padded[every - back], history)
        histories.append(history)
    return padded[every], of, histories


def _letters(words: Words) -> tuple[np.ndarray, np.ndarray]:
    """Start and codes of the letters of texts, words with a space between."""
    points = [
        np.frombuffer(f"{name} ".encode("utf-32-le", "replace"), np.uint32) for name in words.names
    ]
    size = np.array([len(own) for own in points], np.int64)
    flat = np.concatenate([*points, np.empty(0, np.uint32)])
    first = np.cumsum(np.append(0, size))[:-1]
    own = size[words.word]
    letters = flat[ranges(first[words.word], own)].astype(np.uint64)
    start = np.append(0, np.cumsum(own))[words.start]
    return start, mix(letters, letters)
