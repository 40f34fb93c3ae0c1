"""Rewrites of texts never heard before, from what became of similar ones; most are left alone.

The requests nearest by character n-grams vote for what was wanted: each for its own interpretation
as far as it works, and for those where its failures end. Whether the winner is trusted is decided
by a logistic regression on how near and how unanimous they are and whether the slot values are in
the text. It is fitted on the mined requests themselves, each asked as if it were new (no request
with its text votes), against what the chain says of it: no label is used.

Time and memory grow with the requests and with the texts asked, not with their product: a text is
searched by its rarest n-grams, and votes are counted where the neighbours have any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from rapidfuzz import fuzz
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from rewrites.interpretations import heard, intent, slot_values
from rewrites.markov import matrix
from rewrites.mining import REWRITES, Mined

# Requests that vote, and the power of similarity with which they do.
NEAREST = 12
SHARPNESS = 3
# Least probability of being right at which a rewrite is given.
TRUST = 0.6
# Mined requests that the regression is fitted on: at most, and at least.
MOST_FITTED = 2_000
LEAST_FITTED = 50
# How often a request counts at most: requests heard often are no surer examples of similarity.
_MOST_TIMES = 3
# Entries of the n-grams' lists of requests that one text is compared with, the shortest lists
# first: about 8,000 requests are compared in full, and of more those that share a rare n-gram.
_MOST_ENTRIES = 100_000
# Requests that such a search keeps, of which the nearest are found by all n-grams.
_SHORTLIST = 100
# Texts that are searched at once.
_BLOCK = 32
# How much of a request has to want an outcome for it to back that.
_BACKS = 0.3


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The mined requests of one assistant, to be asked about new texts.

    Attributes
    ----------
    mined: where they are from. members: their numbers. vectors: their n-grams, CSR, unit rows;
    listed: the same as CSR (n-grams, members). rows: of each text, where it is in `members`.
    wanted: what each of them wants, CSR (members, interpretations), rows sum to one at most.
    trust: the regression; None where there are too few requests to fit it.
    """

    mined: Mined
    assistant: str
    members: np.ndarray
    texts: tuple[str, ...]
    rows: Mapping[str, Sequence[int]]
    vectoriser: TfidfVectorizer
    vectors: Any
    listed: Any
    wanted: Any
    works: np.ndarray
    trust: Pipeline | None

    @classmethod
    def of(cls, mined: Mined, assistant: str = "") -> Self | None:
        """The neighbours of one assistant; None if it has no request with words."""
        chain = mined.chain
        names = np.array(chain.requests["assistant"].to_pylist(), object)
        all_texts = chain.requests["text"].to_pylist()
        members = np.array(
            [i for i in np.flatnonzero(names == assistant) if all_texts[i]], np.int64
        )
        if not len(members):
            return None
        texts = tuple(all_texts[i] for i in members)
        rows: dict[str, list[int]] = {}
        for row, text in enumerate(texts):
            rows.setdefault(text, []).append(row)
        vectoriser = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
        vectors = sp.csr_array(vectoriser.fit_transform(texts))
        listed = sp.csr_array(vectors.T)
        works = np.zeros(len(chain.interpretations))
        np.maximum.at(works, chain.outcome, 1 - chain.failure)
        wanted = _wanted(mined, members)
        untrained = cls(
            *(mined, assistant, members, texts, rows, vectoriser, vectors, listed, wanted, works),
            trust=None,
        )
        return replace(untrained, trust=untrained._fit())

    def rewrites(
        self,
        texts: Sequence[str],
        interpretations: Sequence[str | None],
        trust: float = TRUST,
    ) -> pa.Table:
        """Rewrites of texts that were never heard, with what NLU made of them; none for most.

        Returns rows of `REWRITES` with the method "neighbour", ordered by request. `p_after` is the
        probability that the text fails and the rewrite is what was wanted.
        """
        asked = sorted(
            {
                (text, state)
                for text, state in zip(map(heard, texts), interpretations, strict=True)
                if text and text not in self.rows
            },
            key=lambda pair: (pair[0], pair[1] or ""),
        )
        if self.trust is None or not asked:
            return REWRITES.empty_table()
        said, states = [text for text, _ in asked], [state for _, state in asked]
        outcome, features = self._features(said, states)
        p = self.trust.predict_proba(features)[:, 1]
        spoken = self.mined.spoken[outcome]
        rows = [
            {
                "request": said[i],
                "rewrite": self.mined.chain.requests["text"][int(spoken[i])].as_py(),
                "user_id": None,
                "assistant": self.assistant,
                "method": "neighbour",
                "request_state": states[i],
                "rewrite_state": self.mined.chain.interpretations[outcome[i]],
                "users": 0,
                "sessions": 0,
                "p_before": 1 - float(p[i]),
                "p_after": float(p[i]),
                "score": float(p[i]),
            }
            for i in np.flatnonzero((p > trust) & (spoken >= 0) & (outcome >= 0))
        ]
        return pa.Table.from_pylist(rows, REWRITES)

    def _fit(self) -> Pipeline | None:
        chain, mended = self.mined.chain, self.mined.mended
        n = len(self.members)
        places = np.linspace(0, n - 1, min(n, MOST_FITTED)).astype(np.int64)
        requests = self.members[places]
        states = [chain.interpretations[chain.outcome[i]] for i in requests]
        outcome, features = self._features([self.texts[i] for i in places], states)
        failure = chain.failure[requests]
        rows = sp.csr_array(mended)[requests]
        ends = np.maximum(np.asarray(rows.sum(axis=1)).ravel(), 0.5)
        won = failure * _at(rows, outcome) / ends
        times = chain.successes[requests] + chain.retries[requests]
        weight = np.minimum(np.maximum(times, 1), _MOST_TIMES) * np.abs(failure - 0.5) * 2
        if len(places) < LEAST_FITTED or (weight * won).sum() < 1:
            return None
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        model.fit(
            np.concatenate([features, features]),
            np.repeat([1, 0], len(places)),
            logisticregression__sample_weight=np.concatenate([weight * won, weight * (1 - won)])
            + 1e-9,
        )
        return model

    def _features(
        self, texts: Sequence[str], states: Sequence[str | None]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The outcome voted for (n,), -1 for none, and the features of the vote (n, 13).

        Requests with the very text that is asked don't vote.
        """
        names = {name: i for i, name in self._interpretations()}
        outcomes = np.full(len(texts), -1)
        features = np.zeros((len(texts), 13))
        for j, (near, similarity) in enumerate(self._nearest(texts)):
            state = states[j] or ""
            outcomes[j], features[j] = self._vote(
                texts[j], state, names.get(state, -1), near, similarity
            )
        return outcomes, features

    def _nearest(self, texts: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Of each text: up to `NEAREST` other members, the nearest first, and their cosines."""
        asked = sp.csr_array(self.vectoriser.transform(texts))
        sought = self._rarest(asked)
        for start in range(0, len(texts), _BLOCK):
            found = sp.csr_array(sought[start : start + _BLOCK] @ self.listed)
            lists = []
            for j in range(found.shape[0]):
                span = slice(found.indptr[j], found.indptr[j + 1])
                members, shared = found.indices[span], found.data[span]
                if same := self.rows.get(texts[start + j]):
                    other = ~np.isin(members, same)
                    members, shared = members[other], shared[other]
                lists.append(members[_highest(shared, members, _SHORTLIST)])
            places = np.repeat(np.arange(len(lists)), [len(members) for members in lists])
            pairs = asked[start + places] * self.vectors[np.concatenate(lists)]
            cosines = np.split(np.asarray(pairs.sum(axis=1)), np.cumsum([*map(len, lists)])[:-1])
            for members, cosine in zip(lists, cosines, strict=True):
                nearest = _highest(cosine, members, NEAREST)
                yield members[nearest], cosine[nearest]

    def _rarest(self, asked: Any) -> Any:
        """Vectors of texts without their commonest n-grams, as far as there are too many entries.

        Each text keeps its rarest n-gram, and more while their lists add up to `_MOST_ENTRIES`.
        """
        entries = np.diff(self.listed.indptr)[asked.indices].astype(np.int64)
        row = np.repeat(np.arange(asked.shape[0]), np.diff(asked.indptr))
        order = np.lexsort((entries, row))
        before = np.cumsum(entries[order]) - entries[order]
        # Rows are in their places in this order, so each begins where it did.
        within = before - before[asked.indptr[row]] if len(before) else before
        keep = (within == 0) | (within + entries[order] <= _MOST_ENTRIES)
        chosen = order[keep]
        return matrix(asked.data[chosen], row[chosen], asked.indices[chosen], asked.shape)

    def _interpretations(self) -> list[tuple[int, str]]:
        chain = self.mined.chain
        return [
            (i, name)
            for i, (name, assistant) in enumerate(
                zip(chain.interpretations, chain.assistants, strict=True)
            )
            if assistant == self.assistant
        ]

    def _vote(
        self, text: str, state: str, own: int, near: np.ndarray, similarity: np.ndarray
    ) -> tuple[int, list[float]]:
        if not len(near):
            return -1, [0.0] * 13
        rows = self.wanted[near]
        # The outcomes that any of them wants, in order, and where each entry is among them.
        outcomes, place = np.unique(rows.indices, return_inverse=True)
        voter = np.repeat(np.arange(len(near)), np.diff(rows.indptr))
        weight = similarity**SHARPNESS
        votes = np.bincount(place, weight[voter] * rows.data) / max(weight.sum(), 1e-9)
        own_votes = float(votes[outcomes == own].sum())
        votes[outcomes == own] = -1.0
        order = np.argsort(-np.round(votes, 9), kind="stable")
        best = order[0]
        if votes[best] <= 0:
            return -1, [0.0] * 13
        winner = int(outcomes[best])
        lead = votes[best] - (max(votes[order[1]], 0.0) if len(order) > 1 else 0.0)
        backing = similarity[voter[(place == best) & (rows.data > _BACKS)]].max(initial=0.0)
        name, spoken = self.mined.chain.interpretations[winner], self.mined.spoken[winner]
        rewrite = self.mined.chain.requests["text"][int(spoken)].as_py() if spoken >= 0 else ""
        letters = fuzz.ratio(text, rewrite) / 100
        fits = held(text, name)
        return winner, [
            float(votes[best]),
            float(lead),
            own_votes,
            float(own >= 0),
            float(self.works[own]) if own >= 0 else 0.0,
            float(similarity[0]),
            float(backing),
            letters,
            fits,
            held(text, state),
            float(intent(state) == intent(name)),
            float(votes[best] * backing),
            letters * fits,
        ]


def _wanted(mined: Mined, members: np.ndarray) -> Any:
    """What the requests want: their own interpretation as far as it works, else where they end."""
    chain = mined.chain
    failure = chain.failure[members]
    ends = sp.csr_array(mined.mended)[members]
    scale = failure / np.maximum(np.asarray(ends.sum(axis=1)).ravel(), 0.5)
    own = sp.csr_array(
        sp.coo_array(
            (1 - failure, (np.arange(len(members)), chain.outcome[members])), shape=ends.shape
        )
    )
    return sp.csr_array(own + sp.diags_array(scale) @ ends)


def _highest(values: np.ndarray, numbers: np.ndarray, most: int) -> np.ndarray:
    """Where the highest values are, in order; of equals, those with the lowest numbers first."""
    # Rounded, as the last bits depend on the order of sums.
    values = np.round(values, 9)
    places = np.arange(len(values))
    if len(values) > most:
        places = np.flatnonzero(values >= np.partition(values, -most)[-most])
    highest: np.ndarray = places[np.lexsort((numbers[places], -values[places]))[:most]]
    return highest


def _at(rows: Any, columns: np.ndarray) -> np.ndarray:
    """The value of each row of a CSR matrix at its column; 0 at -1."""
    some = np.flatnonzero(columns >= 0)
    chosen = matrix(np.ones(len(some)), some, columns[some], rows.shape)
    return np.asarray((rows * chosen).sum(axis=1)).ravel()


def held(text: str, interpretation: str) -> float:
    """How well the slot values of an interpretation are found in a text; 0.5 without any."""
    values = slot_values(interpretation)
    if not values:
        return 0.5
    return sum(fuzz.partial_ratio(value.lower(), text) for value in values) / len(values) / 100
