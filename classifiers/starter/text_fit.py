"""How well the words heard fit the other requests of a store: columns without any label.

Misheard requests are rare: their words, and the order of these, occur less often than those of
other requests, and requests that sound like them were understood as something else. All counts
leave the turn itself out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from rapidfuzz.distance import Levenshtein
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer

from classifiers.splits import parts
from classifiers.text_heads import Vectors, usual_columns

# What each column points to, as in `features.feature.Feature`.
DIRECTIONS: dict[str, Literal["+", "-"]] = {
    "fit.surprise": "+",
    "fit.surprise_max": "+",
    "fit.word_frequency": "-",
    "fit.word_frequency_min": "-",
    "fit.text_frequency": "-",
    "fit.similar": "-",
    "fit.similar_commoner": "+",
    "fit.similar_frequency": "-",
    "fit.intent_share": "-",
    "fit.intent_gap": "+",
    "fit.similar_meaning": "-",
}
# Texts that each text is compared with: the most frequent ones. More of them only cost time.
_MOST_REFERENCES = 6_000
# Neighbours in letters, and in meaning.
_LETTERS, _MEANING = 15, 20
# From here on a neighbour is taken for the same request in other words.
_ALIKE = 0.6
_SHARPNESS = 8.0
# Discount of absolute discounting (Ney, Essen and Kneser 1994), for counts as small as these.
_DISCOUNT = 0.75
_BLOCK = 1_000
# Scripts without spaces between words are split into characters.
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")


def text_fit(
    texts: Sequence[str | None], vectors: Vectors | None, seed: int = 0
) -> dict[str, np.ndarray]:
    """Columns of `DIRECTIONS` and of `text_heads.usual_columns`, float64 (n,).

    Parameters
    ----------
    texts: normalised words heard, n of them. vectors: the encoded texts of the same turns, or None;
        then columns of meaning are left out.

    NaN where nothing was heard.
    """
    said = np.array([text or "" for text in texts], object)
    distinct, number, count = np.unique(said.astype(str), return_inverse=True, return_counts=True)
    columns = {
        name: values[number]
        for name, values in {
            **_surprise(distinct, count),
            **_similar(distinct, count),
        }.items()
    }
    if vectors is not None:
        columns |= _meaning(vectors, number, count)
        # Equal texts share a part, so that none is judged by a copy of itself.
        columns |= usual_columns(vectors, parts(number, 5, seed))
    silent = said == ""
    for values in columns.values():
        values[silent] = np.nan
    return columns


def _surprise(distinct: np.ndarray, count: np.ndarray) -> dict[str, np.ndarray]:
    """Of a bigram model of all texts, without one copy of the text itself; shape (texts,).

    Kneser and Ney's estimate (1995): what an unseen pair costs depends on how many words its second
    word follows. Mean and maximum of the negative log probability, nats per word; mean and minimum
    of the logarithm of how often a word occurs elsewhere.
    """
    split = [_TOKEN.findall(text) for text in distinct]
    word_count: Counter[str] = Counter()
    pair_count: Counter[tuple[str, str]] = Counter()
    for words, times in zip(split, count, strict=True):
        padded = ["", *words, ""]
        for word in padded:
            word_count[word] += int(times)
        for pair in pairwise(padded):
            pair_count[pair] += int(times)
    followers = Counter(first for first, _ in pair_count)
    preceded = Counter(second for _, second in pair_count)
    whole = len(pair_count) + 0.5 * len(word_count)
    out = np.full((len(split), 4), np.nan)
    for i, words in enumerate(split):
        if not words:
            continue
        padded = ["", *words, ""]
        own_pairs, own_words = Counter(pairwise(padded)), Counter(padded)
        costs = []
        for pair in pairwise(padded):
            first, second = pair
            pairs = pair_count[pair] - own_pairs[pair]
            firsts = word_count[first] - own_words[first]
            shorter = (preceded[second] - (pairs == 0) + 0.5) / whole
            if firsts > 0:
                left = min(_DISCOUNT * followers[first] / firsts, 1.0)
                p = max(pairs - _DISCOUNT, 0.0) / firsts + left * shorter
            else:
                p = shorter
            costs.append(-np.log(max(p, 1e-8)))
        elsewhere = [np.log1p(word_count[word] - own_words[word]) for word in words]
        out[i] = np.mean(costs), np.max(costs), np.mean(elsewhere), np.min(elsewhere)
    names = (
        "fit.surprise",
        "fit.surprise_max",
        "fit.word_frequency",
        "fit.word_frequency_min",
    )
    return dict(zip(names, out.T, strict=True))


def _similar(distinct: np.ndarray, count: np.ndarray) -> dict[str, np.ndarray]:
    """Of the texts nearest in letters; shape (texts,).

    The logarithm of how often the text itself occurs, the mean similarity of its neighbours, by how
    much the most frequent one that is alike outnumbers it, and how often neighbours occur, weighted
    by similarity.
    """
    common = np.log(count)
    out = np.zeros((len(distinct), 3))
    try:
        x: csr_matrix = TfidfVectorizer(
            analyzer="char_wb", ngram_range=(2, 3), sublinear_tf=True, dtype=np.float32
        ).fit_transform(distinct)
    except ValueError:
        # No text has two characters.
        x = csr_matrix((len(distinct), 1), dtype=np.float32)
    reference = _references(count)
    columns = x[reference].T.tocsc()
    for begin in range(0, len(distinct), _BLOCK):
        rows = np.arange(begin, min(begin + _BLOCK, len(distinct)))
        nearest, _ = _nearest((x[rows] @ columns).toarray(), rows, reference, _LETTERS)
        for row, near in zip(rows, nearest, strict=True):
            if not len(near):
                continue
            alike = np.array(
                [Levenshtein.normalized_similarity(distinct[row], distinct[j]) for j in near]
            )
            commonest = count[near[alike >= _ALIKE]].max(initial=0)
            out[row] = (
                alike.mean(),
                np.log1p(commonest) - common[row],
                float((count[near] * alike**4).sum()),
            )
    names = ("fit.similar", "fit.similar_commoner", "fit.similar_frequency")
    return {"fit.text_frequency": common, **dict(zip(names, out.T, strict=True))}


def _meaning(vectors: Vectors, number: np.ndarray, count: np.ndarray) -> dict[str, np.ndarray]:
    """Of the texts nearest in meaning, per turn (n,): the share that was understood as the same
    intent, how much larger that of another intent is, and their mean similarity."""
    first = np.unique(number, return_index=True)[1]
    encoded = vectors.rows("heard", first)
    intents, code = np.unique(vectors.intents.astype(str), return_inverse=True)
    table = np.zeros((len(first), len(intents)), np.float32)
    np.add.at(table, (number, code), 1)
    table /= table.sum(axis=1, keepdims=True)
    reference = _references(count)
    share = np.zeros_like(table)
    similar = np.zeros(len(first))
    for begin in range(0, len(first), _BLOCK):
        rows = np.arange(begin, min(begin + _BLOCK, len(first)))
        cosine = encoded[rows] @ encoded[reference].T
        nearest, closeness = _nearest(cosine, rows, reference, _MEANING)
        if not nearest.shape[1]:
            continue
        similar[rows] = closeness.mean(axis=1)
        weight = np.exp(_SHARPNESS * (closeness - closeness.max(axis=1, keepdims=True)))
        weight /= weight.sum(axis=1, keepdims=True)
        for row, near, times in zip(rows, nearest, weight, strict=True):
            share[row] = times @ table[near]
    own = share[number, code]
    return {
        "fit.intent_share": own.astype(np.float64),
        "fit.intent_gap": (share.max(axis=1)[number] - own).astype(np.float64),
        "fit.similar_meaning": similar[number],
    }


def _references(count: np.ndarray) -> np.ndarray:
    """The most frequent texts, by number, ascending."""
    return np.sort(np.argsort(-count, kind="stable")[:_MOST_REFERENCES])


def _nearest(
    similarity: np.ndarray, rows: np.ndarray, reference: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and similarity of the `k` texts of `reference` nearest to each of `rows`, which is
    not its own neighbour; shape (rows, at most k)."""
    place = np.searchsorted(reference, rows).clip(max=len(reference) - 1)
    own = reference[place] == rows
    similarity[np.flatnonzero(own), place[own]] = -np.inf
    k = min(k, len(reference) - 1)
    if k < 1:
        return np.empty((len(rows), 0), np.int64), np.empty((len(rows), 0))
    top = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
    return reference[top], np.take_along_axis(similarity, top, axis=1)
