"""A trigram language model as an automaton: interpolated Kneser–Ney (Chen and Goodman 1999, §4).

Every context in the training text is a state. A word that followed the context has a probability in
that state; any other word costs the state's back-off weight and is looked up in the next shorter
context.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

START, END = 0, 1
MARKS = ("<s>", "</s>")


@dataclass(frozen=True, slots=True, eq=False)
class LanguageModel:
    """Arrays of the automaton; state 0 is the empty context.

    Attributes
    ----------
    words: the vocabulary; a word's number is its index. 0 and 1 are the sentence's start and end.
    unigram, unigram_next: log probability of each word in state 0, and the state it leads to.
    first, count: per state, where its words begin in `word`, `logp`, `following`, sorted by word.
    backoff, shorter: per state, log weight and number of the next shorter context.
    contexts: per state, the words of the context (one or two; -1 where there is none).
    """

    words: tuple[str, ...]
    numbers: dict[str, int]
    unigram: Floats
    unigram_next: Ints
    first: Ints
    count: Ints
    word: Ints
    logp: Floats
    following: Ints
    backoff: Floats
    shorter: Ints
    contexts: Ints
    start: int

    def step(self, state: int, word: int) -> tuple[float, int]:
        """Log probability of word number `word` after `state`, and the state that it leads to."""
        cost = 0.0
        while state:
            low = self.first[state]
            at = low + int(np.searchsorted(self.word[low : low + self.count[state]], word))
            if at < low + self.count[state] and self.word[at] == word:
                return cost + float(self.logp[at]), int(self.following[at])
            cost += float(self.backoff[state])
            state = int(self.shorter[state])
        return cost + float(self.unigram[word]), int(self.unigram_next[word])

    def score(self, words: Iterable[str]) -> float:
        """Natural log probability of a sentence, its end included. Unknown words are left out."""
        total, state = 0.0, self.start
        for word in words:
            if word in self.numbers:
                cost, state = self.step(state, self.numbers[word])
                total += cost
        return total + self.step(state, END)[0]


def train(
    sentences: Iterable[Sequence[str]], vocabulary: Iterable[str] = (), discount: float = 0.7
) -> LanguageModel:
    """Estimate a model from `sentences`.

    Parameters
    ----------
    vocabulary: further words that may occur although no sentence has them.
    discount: subtracted from every count, in every order.

    Raises
    ------
    ValueError: there is no sentence with a word.
    """
    texts = [tuple(sentence) for sentence in sentences if sentence]
    if not texts:
        raise ValueError("A language model needs at least one sentence; there was none.")
    known = {word for text in texts for word in text} | set(vocabulary)
    words = (*MARKS, *sorted(known - set(MARKS)))
    numbers = {word: i for i, word in enumerate(words)}
    size = len(words)

    flat = np.array([n for text in texts for n in (*(numbers[w] for w in text), END)], np.int64)
    lengths = np.array([len(text) + 1 for text in texts])
    begins = np.zeros(len(flat), bool)
    begins[np.cumsum(lengths) - lengths] = True
    previous = np.where(begins, START, np.roll(flat, 1))
    second = begins | np.roll(begins, 1)
    before_that = np.where(second, -1, np.roll(flat, 2))
    before_that[np.roll(begins, 1) & ~begins] = START

    pairs, _ = np.unique(previous * size + flat, return_counts=True)
    full = before_that >= 0
    triples, triple_count = np.unique(
        (before_that[full] * size + previous[full]) * size + flat[full], return_counts=True
    )
    # Lower orders count the contexts of a word, not its occurrences. Nothing comes before <s>, so
    # for a pair that starts with it, occurrences count.
    pair_of_triple = triples % (size * size)
    pair_count = np.zeros(len(pairs))
    np.add.at(pair_count, np.searchsorted(pairs, pair_of_triple), 1.0)
    after_start = pairs // size == START
    raw_pairs, raw = np.unique((previous * size + flat)[previous == START], return_counts=True)
    pair_count[after_start] = raw[np.searchsorted(raw_pairs, pairs[after_start])]
    word_count = np.bincount(pairs % size, minlength=size).astype(float)

    total = word_count.sum()
    spread = discount * np.count_nonzero(word_count) / total
    candidates = size - 1
    unigram = (np.maximum(word_count - discount, 0.0) / total) + spread / candidates
    unigram[START] = 0.0

    one_contexts, pair_first, pair_sizes = np.unique(
        pairs // size, return_index=True, return_counts=True
    )
    two_contexts, triple_first, triple_sizes = np.unique(
        triples // size, return_index=True, return_counts=True
    )
    ones, twos = len(one_contexts), len(two_contexts)

    def discounted(counts: Floats, firsts: Ints, sizes: Ints) -> tuple[Floats, Floats]:
        totals = np.repeat(np.add.reduceat(counts, firsts), sizes)
        share = np.maximum(counts - discount, 0.0) / totals
        left = 1.0 - np.add.reduceat(share, firsts)
        return share, np.maximum(left, 1e-9)

    share, pair_left = discounted(pair_count, pair_first, pair_sizes)
    pair_p = share + np.repeat(pair_left, pair_sizes) * unigram[pairs % size]
    share, triple_left = discounted(triple_count.astype(float), triple_first, triple_sizes)
    lower = pair_p[np.searchsorted(pairs, pair_of_triple)]
    triple_p = share + np.repeat(triple_left, triple_sizes) * lower

    def state_of_one(word: Ints) -> Ints:
        at = np.minimum(np.searchsorted(one_contexts, word), ones - 1)
        return np.where(one_contexts[at] == word, at + 1, 0)

    def state_of_two(pair: Ints) -> Ints:
        at = np.minimum(np.searchsorted(two_contexts, pair), twos - 1)
        longest = two_contexts[at] == pair
        return np.where(longest, at + 1 + ones, state_of_one(pair % size))

    contexts = np.full((1 + ones + twos, 2), -1, np.int64)
    contexts[1 : 1 + ones, 1] = one_contexts
    contexts[1 + ones :, 0] = two_contexts // size
    contexts[1 + ones :, 1] = two_contexts % size
    with np.errstate(divide="ignore"):
        log_unigram = np.maximum(np.log(unigram), -99.0)
    return LanguageModel(
        words=words,
        numbers=numbers,
        unigram=log_unigram,
        unigram_next=state_of_one(np.arange(size)),
        first=np.concatenate(([0], pair_first, triple_first + len(pairs))).astype(np.int64),
        count=np.concatenate(([0], pair_sizes, triple_sizes)).astype(np.int64),
        word=np.concatenate((pairs % size, triples % size)),
        logp=np.log(np.concatenate((pair_p, triple_p))),
        following=np.concatenate((state_of_two(pairs), state_of_two(pair_of_triple))),
        backoff=np.log(np.concatenate(([1.0], pair_left, triple_left))),
        shorter=np.concatenate((np.zeros(1 + ones, np.int64), state_of_one(two_contexts % size))),
        contexts=contexts,
        start=int(state_of_one(np.array([START]))[0]),
    )
