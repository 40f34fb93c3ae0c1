"""Ways to score how likely a later turn rephrases a failed one; `METHODS` names them.

A score is comparable among all pairs, and higher is better. Each way learns from judged pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, Self

import lightgbm as lgb
import numpy as np

from rewrites.rephrase.encoders import Kind, Loader, Marks, Network, Tokens
from rewrites.rephrase.features import features
from rewrites.rephrase.in_common import nearest_hypotheses
from rewrites.rephrase.pairs import Pairs, Vectors, text_vectors
from rewrites.rephrase.vocabulary import Words

# Boosters whose log-odds are averaged: each sees other samples of pairs and columns.
BOOSTERS = 2
ROUNDS = 300
# Weights of a minute of pause that the edit distance is tried with.
_PAUSES = (0.0, 0.05, 0.1, 0.2, 0.4)
# Pairs of texts that are no rephrase, per one that is, when an encoder is tuned.
_NEGATIVES = 3
# Beginnings of the names of features that read a signal, for ablations.
SIGNALS = {
    "gap": ("context.gap",),
    "friction": (
        *("context.sorry", "context.refuses", "context.no_", "context.status", "context.barge_in"),
        *("context.reply_sorry", "context.reply_refuses", "after.no_", "after.reply_sorry"),
        *("after.reply_refuses", "after.terminated"),
    ),
}
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Means:
    """What a method may use beside the pairs, and how.

    `whole`: see `pairs.features`. `vectors`: texts → unit vectors. `load`: a fresh encoder.
    `groups`: of pair features. `without`: signals whose pair features are left out (`SIGNALS`).
    """

    whole: bool = True
    vectors: Vectors | None = None
    load: Loader | None = None
    seed: int = 0
    groups: tuple[str, ...] = ("words", "context", "after")
    without: tuple[str, ...] = ()
    marks: Marks = field(default_factory=Marks)


class Method(Protocol):
    """Learns from pairs which of them are right (bool (pairs,)), then scores pairs.

    `tuned`: whether learning takes minutes.
    """

    tuned: ClassVar[bool] = False
    means: Means

    def __init__(self, means: Means) -> None: ...

    def prepared(self, pairs: Pairs) -> Pairs:
        """The pairs with what learning on parts of them would compute again and again."""
        return pairs

    def fit(self, pairs: Pairs, right: np.ndarray) -> Self: ...

    def scores(self, pairs: Pairs) -> np.ndarray: ...


@dataclass
class NextTurn(Method):
    """The next turn, always."""

    means: Means

    def fit(self, pairs: Pairs, right: np.ndarray) -> Self:
        return self

    def scores(self, pairs: Pairs) -> np.ndarray:
        scores: np.ndarray = (pairs.later - pairs.first == 1).astype(float)
        return scores


@dataclass
class EditDistance(Method):
    """Letters in common, less so much per minute of pause."""

    means: Means
    pause: float = 0.1

    def fit(self, pairs: Pairs, right: np.ndarray) -> Self:
        def quality(pause: float) -> float:
            scores = type(self)(self.means, pause).scores(pairs)
            return best_threshold(pairs, scores, right)[1]

        self.pause = max(_PAUSES, key=quality)
        return self

    def scores(self, pairs: Pairs) -> np.ndarray:
        at = np.array([turn.at for turn in pairs.heard])
        minutes = (at[pairs.later] - at[pairs.first]) / 60
        scores = self._alike(pairs) - self.pause * np.clip(minutes, 0, 5)
        known: np.ndarray = np.nan_to_num(scores)
        return known

    def _alike(self, pairs: Pairs) -> np.ndarray:
        return pairs.alike(lambda t: t.text)


@dataclass
class Hypotheses(EditDistance):
    """The same over all hypotheses: of both turns, the two that are most alike."""

    def _alike(self, pairs: Pairs) -> np.ndarray:
        return nearest_hypotheses(pairs)


@dataclass
class Cosine(Method):
    """Cosine of sentence embeddings."""

    means: Means

    def fit(self, pairs: Pairs, right: np.ndarray) -> Self:
        return self

    def scores(self, pairs: Pairs) -> np.ndarray:
        if self.means.vectors is None:
            raise ValueError("the cosine needs sentence vectors: pass vectors=")
        first, later = text_vectors(pairs, self.means.vectors)
        cosine: np.ndarray = np.einsum("ij,ij->i", first, later)
        return cosine.astype(np.float64)


@dataclass
class PairFeatures(Method):
    """Gradient-boosted trees on pair features (LightGBM; Ke et al. 2017).

    The score is p / (1 + Σ odds) over the window, so that turns of a window share one probability.
    """

    means: Means
    words: Words | None = None
    names: tuple[str, ...] = ()
    boosters: list[lgb.Booster] = field(default_factory=list)

    def prepared(self, pairs: Pairs) -> Pairs:
        self.words = Words.of(pairs.heard)
        return Pairs(pairs.heard, pairs.first, pairs.later, self._columns(pairs))

    def fit(self, pairs: Pairs, right: np.ndarray) -> Self:
        self.words = Words.of(pairs.heard)
        columns = self._columns(pairs)
        self.names = tuple(columns)
        data = np.column_stack(list(columns.values()))
        self.boosters = [
            lgb.train(
                _parameters(self.means.seed + i),
                lgb.Dataset(data, right.astype(float), params={"max_bin": 127, "verbose": -1}),
                ROUNDS,
            )
            for i in range(BOOSTERS)
        ]
        return self

    def scores(self, pairs: Pairs) -> np.ndarray:
        if not len(pairs.first):
            return np.zeros(0)
        columns = self._columns(pairs)
        data = np.column_stack([columns[name] for name in self.names])
        raw = np.mean([b.predict(data, raw_score=True) for b in self.boosters], axis=0)
        return shared(pairs, np.exp(np.clip(raw, -30, 30)))

    def _columns(self, pairs: Pairs) -> Mapping[str, np.ndarray]:
        if pairs.columns is not None:
            return pairs.columns
        assert self.words is not None
        columns = features(pairs, self.words, whole=self.means.whole, vectors=self.means.vectors)
        left_out = tuple(name for signal in self.means.without for name in SIGNALS[signal])
        return {
            name: values
            for name, values in columns.items()
            if name.split(".")[0] in self.means.groups and not name.startswith(left_out)
        }


def _parameters(seed: int) -> dict[str, Any]:
    return {
        "objective": "binary",
        "learning_rate": 0.03,
        "num_leaves": 12,
        "min_data_in_leaf": 15,
        "feature_fraction": 0.3,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 5.0,
        "max_bin": 127,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        # More threads lose more by waiting than they win: there are a few thousand pairs.
        "num_threads": 1,
        "verbose": -1,
    }


@dataclass
class Encoded(Method):
    """An encoder fine-tuned on pairs of texts, or on whole windows."""

    means: Means
    network: Network | None = None
    kind: Kind = "contextual"
    tuned: ClassVar[bool] = True

    def fit(self, pairs: Pairs, right: np.ndarray) -> Self:
        self.network = self._network()
        tokens, rows = self._tokens(pairs)
        answers = np.array([_only(right[r]) for r in rows], np.int64)
        kept = self._kept(answers)
        tokens = [tokens[i] for i in kept]
        self.network.fit(tokens, self.network.lower(tokens), answers[kept])
        return self

    def scores(self, pairs: Pairs) -> np.ndarray:
        assert self.network is not None
        scores = np.zeros(len(pairs.first))
        tokens, rows = self._tokens(pairs)
        found = self.network.scores(tokens, self.network.lower(tokens))
        for row, values in zip(rows, found, strict=True):
            scores[row] = values
        return scores

    def _network(self) -> Network:
        if self.means.load is None:
            raise ValueError("the encoder must be given: pass load=")
        return Network(self.means.load, self.kind, self.means.seed)

    def _kept(self, answers: np.ndarray) -> np.ndarray:
        return np.arange(len(answers))

    def _tokens(self, pairs: Pairs) -> tuple[list[Tokens], list[np.ndarray]]:
        assert self.network is not None
        heard, starts = pairs.heard, pairs.starts
        rows = [
            np.arange(a, b) for a, b in zip(starts, [*starts[1:], len(pairs.first)], strict=True)
        ]
        marks = self.means.marks
        # The reply to the last turn lies outside the pair.
        marks = replace(marks, replies=marks.replies and self.means.whole)
        tokens = [
            self.network.reader.contextual(
                heard[pairs.first[r[0]]], [heard[j] for j in pairs.later[r]], marks
            )
            for r in rows
        ]
        return tokens, rows


@dataclass
class Pairwise(Encoded):
    """The cross-encoder: a pair of requests per sequence, no context."""

    kind: Kind = "pairwise"

    def _kept(self, answers: np.ndarray) -> np.ndarray:
        """All rephrases and a sample of the others, which would only take time."""
        positive, negative = np.flatnonzero(answers >= 0), np.flatnonzero(answers < 0)
        most = min(len(negative), max(_NEGATIVES * len(positive), 1))
        rng = np.random.default_rng(self.means.seed)
        return np.sort(np.concatenate([positive, rng.choice(negative, most, replace=False)]))

    def _tokens(self, pairs: Pairs) -> tuple[list[Tokens], list[np.ndarray]]:
        assert self.network is not None
        read = self.network.reader.pairwise
        both = zip(pairs.first, pairs.later, strict=True)
        tokens = [read(pairs.heard[i], pairs.heard[j]) for i, j in both]
        return tokens, list(np.arange(len(tokens))[:, None])


METHODS: dict[str, type[Method]] = {
    "next turn": NextTurn,
    "edit distance": EditDistance,
    "hypotheses": Hypotheses,
    "cosine": Cosine,
    "pairwise encoder": Pairwise,
    "contextual encoder": Encoded,
    "pair features": PairFeatures,
}


def _only(right: np.ndarray) -> int:
    """The place of the one pair that is right; −1 where none is."""
    return int(right.argmax()) if right.any() else -1


def shared(pairs: Pairs, odds: np.ndarray) -> np.ndarray:
    """Odds against none → probabilities that share one with none in each window."""
    total = np.bincount(pairs.first, odds, minlength=len(pairs.heard) or 1)
    probability: np.ndarray = odds / (1 + total[pairs.first])
    return probability


def choice(pairs: Pairs, scores: np.ndarray) -> np.ndarray:
    """The pair with the highest score of each window, the earlier one of equals."""
    order = np.lexsort((pairs.later, -scores, pairs.first))
    chosen: np.ndarray = order[np.flatnonzero(np.diff(pairs.first[order], prepend=-1))]
    return chosen


def best_threshold(pairs: Pairs, scores: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """The score above which links have the highest F1, and that F1.

    The threshold lies between two scores, so that it does not rest on one pair.
    """
    chosen = choice(pairs, scores)
    chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
    if not len(chosen) or not right.any():
        return np.inf, 0.0
    value, hits = scores[chosen], np.cumsum(right[chosen])
    f1 = 2 * hits / (np.arange(1, len(chosen) + 1) + right.sum())
    # Equal scores fall on one side.
    f1 = np.where(np.append(value[:-1] > value[1:] + _TINY, True), f1, -1.0)
    best = int(f1.argmax())
    below = value[best + 1] if best + 1 < len(value) else value[best] - 1.0
    return float((value[best] + below) / 2), float(f1[best])
