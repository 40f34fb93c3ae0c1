"""A multinomial linear classifier over named features, fast for one sentence at a time."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@dataclass(frozen=True)
class Linear:
    """Class probabilities of a bag of features.

    Attributes
    ----------
    vocabulary: row of each known feature in `weights` (features × classes).
    temperature: divisor of the scores, so that answers with a probability of 0.8 are right in 80 %.
    """

    classes: tuple[str, ...]
    vocabulary: dict[str, int]
    weights: Floats
    bias: Floats
    temperature: float

    def scores(self, features: Iterable[str]) -> Floats:
        vocabulary = self.vocabulary
        rows = [vocabulary[f] for f in features if f in vocabulary]
        # `take` and `add.reduce` because their call costs half of the indexing and method forms.
        total: Floats = np.add.reduce(self.weights.take(rows, axis=0), axis=0)
        # Long sentences have more features; without this their answers would always seem surer.
        scaled: Floats = total / np.float32(max(len(rows), 1) ** 0.5) + self.bias
        return scaled

    def probabilities(self, features: Iterable[str]) -> Floats:
        scores = self.scores(features) / self.temperature
        shares = np.exp(scores - scores.max())
        return np.asarray(shares / shares.sum(), dtype=np.float32)


def fit_linear(
    rows: Sequence[Sequence[str]],
    labels: Sequence[str],
    rng: np.random.Generator,
    *,
    held_out: Sequence[bool],
    strength: float = 30.0,
    iterations: int = 10,
) -> Linear:
    """Train on bags of features, except those held out; the temperature is fitted on these.

    `strength` is the inverse of the penalty on the weights.
    """
    counts = Counter(feature for row in rows for feature in set(row))
    frequent = sorted(feature for feature, count in counts.items() if count > 1)
    vocabulary = {feature: i for i, feature in enumerate(frequent)}
    indices = [[vocabulary[f] for f in row if f in vocabulary] for row in rows]
    lengths = np.fromiter((len(row) for row in indices), dtype=np.int64, count=len(indices))
    columns = np.fromiter((i for row in indices for i in row), dtype=np.int64)
    data = np.repeat(1 / np.sqrt(np.maximum(lengths, 1)), lengths).astype(np.float32)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    matrix = csr_matrix((data, columns, starts), shape=(len(rows), len(vocabulary)))
    target = np.asarray(labels)

    tests = np.asarray(held_out, dtype=bool)
    # SAGA: ten times as fast here as the default solver, and more accurate when stopped early.
    model = LogisticRegression(
        C=strength,
        solver="saga",
        max_iter=iterations,
        random_state=int(rng.integers(2**31)),
    )
    with warnings.catch_warnings():
        # Stopping early is intended: it regularises, and start-up must be short.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(matrix[~tests], target[~tests])
    scores = np.asarray(model.decision_function(matrix[tests]), dtype=np.float64)
    columns_of = {name: i for i, name in enumerate(model.classes_.tolist())}
    truth = np.array([columns_of.get(label, -1) for label in target[tests].tolist()])
    return Linear(
        classes=tuple(model.classes_.tolist()),
        vocabulary=vocabulary,
        weights=np.ascontiguousarray(model.coef_.T, dtype=np.float32),
        bias=np.asarray(model.intercept_, dtype=np.float32),
        temperature=_temperature(scores[truth >= 0], truth[truth >= 0]),
    )


def _temperature(
    scores: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    truth: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
) -> float:
    """The temperature with the least log loss on held-out sentences (Guo et al. 2017, 4.2)."""
    if len(truth) == 0:
        return 1.0

    def loss(log_temperature: float) -> float:
        scaled = scores / np.exp(log_temperature)
        peak = scaled.max(axis=1, keepdims=True)
        total = np.log(np.exp(scaled - peak).sum(axis=1)) + peak[:, 0]
        return float(np.mean(total - scaled[np.arange(len(truth)), truth]))

    return float(np.exp(minimize_scalar(loss, bounds=(-2.0, 2.0), method="bounded").x))
