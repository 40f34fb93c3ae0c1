"""Which frame goes with which words: an intent classifier and slot detectors in one regression.

TF-IDF of the words heard and of the prompt, ridge regression of all targets at once: intents, names
of slots, and slots with values that are frequent. Least squares estimates the probability of each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, hstack

from classifiers.witness.arrays import places
from classifiers.witness.ngrams import Terms
from classifiers.witness.ridge import solve
from classifiers.witness.targets import frequent, occurrences
from classifiers.witness.utterances import Lists, Utterances
from features.witness import GROUPS

_RIDGE = 1.0
# n-grams learned, of the words heard and of prompts: the cost of the fit grows with the cube.
_TERMS = 2048
_PROMPT_TERMS = 256
_PROMPT_WEIGHT = 0.5
# Intents, and slots and values, that are learned at most.
_MOST = 256
# Probabilities of least squares are not exact: none is nearer to 0 or 1.
_FLOOR = 0.005
# Rows of dense scores held at a time.
_BLOCK = 8192


@dataclass(frozen=True, slots=True)
class Examples:
    """r pairs of words and frame: numbers of turn, text, prompt, intent (-1: unknown) and items."""

    turn: np.ndarray
    text: np.ndarray
    prompt: np.ndarray
    intent: np.ndarray
    known: np.ndarray
    items: Lists


def imitated(utterances: Utterances, rows: np.ndarray) -> Examples:
    """Words heard → frame logged."""
    given = utterances.take(rows)
    turn, known = np.arange(len(rows)), given.intent >= 0
    return _usable(Examples(turn, given.first, given.prompt, given.intent, known, given.items))


def meant(utterances: Utterances, rows: np.ndarray) -> Examples:
    """Words said → frame that annotators gave, and words heard → the same."""
    given = utterances.take(rows)
    gold = given.gold
    assert gold is not None
    twice = np.tile(np.arange(len(rows)), 2)
    text = np.append(gold.transcript, given.first)
    doubled = gold.take(twice)
    return _usable(
        Examples(twice, text, given.prompt[twice], doubled.intent, doubled.known, doubled.items)
    )


def _usable(examples: Examples) -> Examples:
    some = (examples.known | (examples.intent >= 0)) & (examples.text >= 0)
    rows = np.flatnonzero(some)
    return Examples(
        examples.turn[rows],
        examples.text[rows],
        examples.prompt[rows],
        examples.intent[rows],
        examples.known[rows],
        examples.items.take(rows),
    )


@dataclass(frozen=True, slots=True)
class Frames:
    """Scores of `intents` and `items`, in this order, that are linear in n-grams."""

    terms: Terms
    prompts: Terms
    intents: tuple[str, ...]
    items: tuple[str, ...]
    weights: np.ndarray
    bias: np.ndarray

    @classmethod
    def fit(cls, utterances: Utterances, examples: Examples) -> Frames | None:
        """None where there is neither a choice of intents nor a frequent slot to learn."""
        known = np.flatnonzero(examples.known)
        intents = frequent(examples.intent, examples.turn, len(utterances.intents), _MOST)
        listed = examples.items.take(known)
        turn = examples.turn[known][listed.owner]
        items = frequent(listed.flat, turn, len(utterances.names), _MOST)
        if len(intents) < 2 and not len(items):
            return None
        if len(intents) < 2:
            intents = intents[:0]
        terms = Terms.learn(utterances.bags, np.unique(examples.text), _TERMS)
        prompts = Terms.learn(utterances.prompts, np.unique(examples.prompt), _PROMPT_TERMS)
        width = len(utterances.prompts.counts.indptr)
        pairs, pair = np.unique(examples.text * width + examples.prompt, return_inverse=True)
        x = _inputs(utterances, terms, prompts, pairs // width, pairs % width)
        blocks = [
            (
                examples.intent >= 0,
                occurrences(pair, places(examples.intent, intents), len(pairs), len(intents)),
            ),
            (examples.known, _item_sums(examples, pair, items, len(pairs))),
        ]
        counts = [np.bincount(pair, mask, len(pairs)) for mask, _ in blocks]
        if np.array_equal(counts[0], counts[1]) or not len(intents) or not len(items):
            # One factorisation serves both.
            used = counts[0] if len(intents) else counts[1]
            weights, bias = solve(x, used, hstack([y for _, y in blocks], format="csr"), _RIDGE)
        else:
            solved = [
                solve(x, count, y, _RIDGE) for count, (_, y) in zip(counts, blocks, strict=True)
            ]
            weights = np.hstack([w for w, _ in solved])
            bias = np.hstack([b for _, b in solved])
        return cls(
            terms,
            prompts,
            tuple(utterances.intents[i] for i in intents),
            tuple(utterances.names[i] for i in items),
            # Half the size on disk; probabilities of least squares are not that exact.
            weights.astype(np.float16),
            bias,
        )

    def measure(self, utterances: Utterances) -> np.ndarray:
        """Columns of `features.witness`, float32 (n, 9); NaN where no frame or no words are logged.

        frame: log-probability of the frame logged, by the first hypothesis. gap: that of the
        likeliest frame less it. nbest, nbest_gap: means of both over the hypotheses by confidence;
        NaN of a single one, as differs and keeps are.
        least: probability of the least likely thing logged. missing: of the likeliest slot or value
        that is not. unknown: things logged that were never learned. differs: share of confidence of
        hypotheses with another likeliest frame than the first. keeps: of those whose likeliest
        frame has all that is logged and known.
        """
        out = np.full((len(utterances), len(GROUPS["imitated"])), np.nan, np.float32)
        usable = np.flatnonzero((utterances.intent >= 0) & (utterances.first >= 0))
        for at in range(0, len(usable), _BLOCK):
            rows = usable[at : at + _BLOCK]
            out[rows] = self._measure(utterances.take(rows))
        return out

    def _measure(self, given: Utterances) -> np.ndarray:
        n, heard = len(given), given.heard
        turn = heard.owner
        width = len(given.prompts.counts.indptr)
        pairs, pair = np.unique(heard.flat * width + given.prompt[turn], return_inverse=True)
        x = _inputs(given, self.terms, self.prompts, pairs // width, pairs % width)
        scores = np.asarray(x @ self.weights.astype(np.float32)) + self.bias
        k = len(self.intents)
        p = scores[:, k:].clip(_FLOOR, 1 - _FLOOR)
        yes, no = np.log(p), np.log1p(-p)
        absent = no.sum(axis=1)
        likely = p > 0.5
        best = np.where(likely, yes, no).sum(axis=1)
        # A number for each likeliest frame: sums of random numbers, one per item.
        random = np.random.default_rng(0)
        mark = likely @ random.random(p.shape[1])
        choice = np.full(len(pairs), -1)
        if k:
            chance = scores[:, :k].clip(_FLOOR, 1)
            chance /= chance.sum(axis=1, keepdims=True)
            choice = chance.argmax(axis=1)
            best = best + np.log(chance.max(axis=1))
            mark = mark + random.random(k)[choice]
        # What is logged, by the numbers of this model; -1 where it was never learned.
        intent = _renumbered(given.intents, self.intents)[given.intent]
        item = _renumbered(given.names, self.items)[given.items.flat]
        owner = given.items.owner
        known = item >= 0
        unknown = np.bincount(owner[~known], minlength=n) + ((intent < 0) if k else 0)
        listed = Lists(np.append(0, np.cumsum(np.bincount(owner[known], minlength=n))), item[known])
        # Of each hypothesis, each thing logged of its turn.
        each = listed.take(turn)
        by = each.owner
        at = pair[by], each.flat
        logged = absent[pair] + np.bincount(by, (yes - no)[at], len(turn))
        least = np.full(len(turn), np.inf)
        np.minimum.at(least, by, p[at])
        if k:
            own = intent[turn]
            its = np.where(own >= 0, chance[pair, own], _FLOOR)
            logged = logged + np.log(its)
            least = np.minimum(least, its)
        kept = np.bincount(by, ~likely[at], len(turn)) == 0
        kept &= (choice[pair] == intent[turn]) | (intent[turn] < 0)
        first = heard.start[:-1]
        missing = np.zeros(n)
        if p.shape[1]:
            top = p[pair[first]]
            top[listed.owner, listed.flat] = 0
            missing = top.max(axis=1)
        gap = best[pair] - logged
        differs = mark[pair] != mark[pair[first]][turn]
        # Of a single hypothesis, all of this has been said.
        several = np.where(heard.size > 1, 1.0, np.nan)
        return np.column_stack(
            [
                logged[first],
                gap[first],
                np.bincount(turn, given.share * logged, n) * several,
                np.bincount(turn, given.share * gap, n) * several,
                np.where(np.isfinite(least[first]), least[first], np.nan),
                missing,
                unknown,
                np.bincount(turn, given.share * differs, n) * several,
                np.bincount(turn, given.share * kept, n) * several,
            ]
        )


def _inputs(
    utterances: Utterances, terms: Terms, prompts: Terms, text: np.ndarray, prompt: np.ndarray
) -> csr_matrix:
    """Rows of n-grams of each pair of text and prompt."""
    texts, at = np.unique(text, return_inverse=True)
    asked, of = np.unique(prompt, return_inverse=True)
    return hstack(
        [
            terms.weigh(utterances.bags, texts)[at],
            (prompts.weigh(utterances.prompts, asked) * _PROMPT_WEIGHT)[of],
        ],
        format="csr",
    )


def _item_sums(examples: Examples, pair: np.ndarray, items: np.ndarray, n: int) -> csr_matrix:
    owner = examples.items.owner
    column = places(examples.items.flat, items)
    column[~examples.known[owner]] = -1
    return occurrences(pair[owner], column, n, len(items))


def _renumbered(names: list[str], learned: tuple[str, ...]) -> np.ndarray:
    """Of each of `names` its place among those learned, -1 where it is not; one more, for none."""
    number = {name: i for i, name in enumerate(learned)}
    return np.array([*(number.get(name, -1) for name in names), -1])
