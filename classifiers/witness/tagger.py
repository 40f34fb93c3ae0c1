"""Which words fill which slots, by what annotators gave: a tagger of single words.

Features of a word are itself, its neighbours, and its first and last letters; ridge regression on
the slot that it is in estimates a probability of each. The frame logged is held against that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from classifiers.witness.arrays import places, ranges
from classifiers.witness.ngrams import Words, code, codes_of, mix
from classifiers.witness.ridge import solve
from classifiers.witness.targets import frequent, occurrences
from classifiers.witness.utterances import Lists, Utterances
from features.witness import GROUPS

_RIDGE = 1.0
_TERMS = 2048
_MOST = 64
_AFFIX = 3
_EDGE = np.array([code("\x03")], np.uint64)


@dataclass(frozen=True, slots=True)
class Spans:
    """Where the values of slots stand in texts: text, first word, words, and name of the slot (its
    number among `slots`)."""

    text: np.ndarray
    first: np.ndarray
    size: np.ndarray
    slot: np.ndarray

    def take(self, rows: np.ndarray) -> Spans:
        return Spans(self.text[rows], self.first[rows], self.size[rows], self.slot[rows])


@dataclass(frozen=True, slots=True)
class Tagger:
    """Scores of `slots` that are linear in the features of a word."""

    codes: np.ndarray
    slots: tuple[str, ...]
    weights: np.ndarray
    bias: np.ndarray

    @classmethod
    def fit(cls, utterances: Utterances, rows: np.ndarray) -> Tagger | None:
        """Learned from the transcripts of some turns, and from the words heard where these have the
        slots' values too; None without frequent slots."""
        given = utterances.take(rows)
        gold = given.gold
        assert gold is not None
        turn = np.tile(np.flatnonzero(gold.known), 2)
        text = np.append(gold.transcript[gold.known], given.first[gold.known])
        turn, text = turn[text >= 0], text[text >= 0]
        spans, complete = _spans(utterances, text, gold.items.take(turn))
        # A text of which a value was not found would teach that its words are in no slot.
        spans = spans.take(np.flatnonzero(complete[spans.text]))
        names, number = np.unique(
            np.array([_slot(name) for name in utterances.names], object), return_inverse=True
        )
        slot = number[spans.slot]
        slots = frequent(slot, turn[spans.text], len(names), _MOST)
        if not len(slots):
            return None
        kept = np.flatnonzero(complete)
        words = utterances.words.take(text[kept])
        begins = words.start[places(spans.text, kept)] + spans.first
        column = np.repeat(places(slot, slots), spans.size)
        target = occurrences(ranges(begins, spans.size), column, len(words.word), len(slots))
        # A word is in a slot or not, however many values it is part of.
        target.data[:] = 1
        features = _features(words)
        learned, count = np.unique(features, return_counts=True)
        ranked = np.argsort(-count, kind="stable")[:_TERMS]
        codes = np.sort(learned[ranked[count[ranked] > 1]])
        weights, bias = solve(_matrix(features, codes), np.ones(len(words.word)), target, _RIDGE)
        return cls(codes, tuple(names[slots]), weights, bias)

    def measure(self, utterances: Utterances) -> np.ndarray:
        """Columns of `features.witness`, float32 (n, 3); NaN where no frame or no words are logged.

        weakest: of the slots filled the least probability that its words are in it, NaN where no
        value of a slot that was learned was found among the words. missed: highest probability of
        any slot for a word in none. edge: highest probability that the word beside a value belongs
        to it.
        """
        out = np.full((len(utterances), len(GROUPS["tagger"])), np.nan, np.float32)
        rows = np.flatnonzero((utterances.intent >= 0) & (utterances.first >= 0))
        if not len(rows):
            return out
        given = utterances.take(rows)
        texts, number = np.unique(given.first, return_inverse=True)
        words = utterances.words.take(texts)
        scores = np.asarray(_matrix(_features(words), self.codes) @ self.weights) + self.bias
        spans, _ = _spans(given, given.first, given.items)
        column = {slot: i for i, slot in enumerate(self.slots)}
        slot = np.array([column.get(_slot(name), -1) for name in given.names] + [-1])
        own = slot[spans.slot]
        turn, first, size = spans.text, spans.first, spans.size
        base = words.start[number]
        length = np.diff(words.start)[number]
        p = scores.clip(0, 1)
        flat = ranges(base[turn] + first, size)
        of = np.repeat(np.arange(len(turn)), size)
        mean = np.bincount(of, p[flat, own[of]], len(turn)) / np.maximum(size, 1)
        learned = own >= 0
        weakest = np.full(len(rows), np.inf)
        np.minimum.at(weakest, turn[learned], mean[learned])
        edge = np.zeros(len(rows))
        for at, ok in (
            (first - 1, first > 0),
            (first + size, first + size < length[turn]),
        ):
            some = np.flatnonzero(ok & learned)
            np.maximum.at(edge, turn[some], p[base[turn[some]] + at[some], own[some]])
        # Each turn's words, and which of them are in no slot.
        word = ranges(base, length)
        owner = np.repeat(np.arange(len(rows)), length)
        begins = np.cumsum(length) - length
        free = np.ones(len(word), bool)
        free[ranges(begins[turn] + first, size)] = False
        missed = np.zeros(len(rows))
        if p.shape[1]:
            np.maximum.at(missed, owner[free], p[word[free]].max(axis=1))
        out[rows] = np.column_stack([np.where(np.isfinite(weakest), weakest, np.nan), missed, edge])
        return out


def _slot(item: str) -> str:
    return item.split("\x1f")[1]


def _spans(utterances: Utterances, text: np.ndarray, items: Lists) -> tuple[Spans, np.ndarray]:
    """Where the values among `items` stand in each of `text`; and of which texts all were found.

    The same value in the same text is looked for once.
    """
    values = [name.split("\x1f") for name in utterances.names]
    valued = np.array([len(parts) == 3 and bool(parts[2]) for parts in values] + [False])
    mask = valued[items.flat]
    owner, item = items.owner[mask], items.flat[mask]
    width = len(values) + 1
    pairs, pair = np.unique(text[owner] * width + item, return_inverse=True)
    first, size = np.full(len(pairs), -1), np.zeros(len(pairs), np.int64)
    split: dict[int, list[str]] = {}
    spoken = utterances.words
    for i, key in enumerate(pairs):
        t, number = divmod(int(key), width)
        words = split.setdefault(t, spoken.of_text(t))
        wanted = values[number][2].split()
        for at in range(len(words) - len(wanted) + 1):
            if words[at : at + len(wanted)] == wanted:
                first[i], size[i] = at, len(wanted)
                break
    found = first[pair] >= 0
    complete = np.bincount(owner[~found], minlength=len(text)) == 0
    return Spans(owner[found], first[pair][found], size[pair][found], item[found]), complete


def _features(words: Words) -> np.ndarray:
    """Codes of the features of each word, uint64 (words, 9)."""
    own = words.codes
    text = words.text
    padded = np.concatenate([_EDGE, _EDGE, own, _EDGE, _EDGE])
    of = np.concatenate([[-1, -1], text, [-1, -1]])

    def beside(step: int) -> np.ndarray:
        at = np.arange(len(own)) + 2 + step
        return np.where(of[at] == text, padded[at], _EDGE)

    head, tail = (
        codes_of([name[cut] for name in words.names])[words.word]
        if words.names
        else np.empty(0, np.uint64)
        for cut in (slice(None, _AFFIX), slice(-_AFFIX, None))
    )
    before, after = beside(-1), beside(1)
    columns = [
        own, before, after, beside(-2), beside(2), mix(before, own), mix(own, after), head, tail
    ]  # fmt: skip
    kinds = codes_of([f"\x04{i}" for i in range(len(columns))])
    return np.column_stack(
        [mix(c, np.full(len(own), k)) for c, k in zip(columns, kinds, strict=True)]
    )


def _matrix(features: np.ndarray, codes: np.ndarray) -> csr_matrix:
    place = places(features, codes)
    known = place >= 0
    start = np.append(0, np.cumsum(known.sum(axis=1)))
    column = place[known]
    values = np.full(len(column), 1 / 3, np.float32)
    return csr_matrix((values, column, start), (len(features), len(codes)))
