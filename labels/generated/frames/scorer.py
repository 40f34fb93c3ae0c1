"""Which candidates were meant: boosted trees, and how sure one can be of a whole set of slots."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
from sklearn.linear_model import LogisticRegression

from labels.generated.frames.candidates import CATEGORICAL, FEATURES, Candidate
from labels.generated.frames.settings import Settings

_TINY = 1e-4


def fit(x: np.ndarray, y: np.ndarray, settings: Settings) -> lgb.Booster:
    """Trees that say whether a candidate (row of `x`, columns `FEATURES`) was meant (`y`)."""
    parameters = {
        "objective": "binary",
        "learning_rate": settings.boosting_rate,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": min(settings.min_leaf, max(1, len(y) // 20)),
        "feature_fraction": 0.6,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 5.0,
        "cat_smooth": 20.0,
        "max_cat_threshold": 16,
        "seed": settings.seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    data = lgb.Dataset(x, y, feature_name=list(FEATURES), categorical_feature=list(CATEGORICAL))
    return lgb.train(parameters, data, settings.rounds)


def predict(booster: lgb.Booster | None, x: np.ndarray) -> np.ndarray:
    """Probability that each candidate was meant; shape (len(x),)."""
    if booster is None or not len(x):
        return np.zeros(len(x))
    return np.asarray(booster.predict(x, num_threads=1))


def choose(
    found: list[Candidate], p: np.ndarray, threshold: float, single: frozenset[str]
) -> list[int]:
    """The candidates at or above `threshold`, the likeliest first per slot; a slot in `single` has
    one value."""
    chosen: list[int] = []
    names: set[str] = set()
    for i in np.argsort(-p, kind="stable").tolist():
        if p[i] < threshold:
            break
        c = found[i]
        if c.pair[0] in names and c.pair[0] in single:
            continue
        names.add(c.pair[0])
        chosen.append(i)
    return chosen


def best_threshold(p: np.ndarray, y: np.ndarray, missed: int) -> float:
    """The threshold with the highest F1, where `missed` slots are no candidate at all."""
    if not len(p) or not y.any():
        return 0.5
    order = np.argsort(-p, kind="stable")
    right = np.cumsum(y[order])
    f1 = 2 * right / (np.arange(1, len(p) + 1) + y.sum() + missed)
    best = int(f1.argmax())
    return float(np.clip(p[order[best]], 0.05, 0.95))


@dataclass(frozen=True, slots=True)
class Sureness:
    """A logistic regression: probability that what was chosen is right as a whole."""

    weights: tuple[float, ...]
    bias: float

    @classmethod
    def fit(cls, x: np.ndarray, right: np.ndarray) -> Sureness:
        """On rows of `evidence`, or any few numbers, of turns that were not trained on."""
        if not len(right) or right.all() or not right.any():
            share = float(np.clip(right.mean(), 0.01, 0.99)) if len(right) else 0.5
            return cls((0.0,) * x.shape[1], float(np.log(share / (1 - share))))
        model = LogisticRegression(C=1.0, max_iter=200).fit(x, right)
        return cls(tuple(model.coef_[0].tolist()), float(model.intercept_[0]))

    def probability(self, x: np.ndarray) -> np.ndarray:
        """Shape (len(x),)."""
        p: np.ndarray = 1 / (1 + np.exp(-(x @ np.array(self.weights) + self.bias)))
        return p

    def to_json(self) -> dict[str, Any]:
        return {"weights": list(self.weights), "bias": self.bias}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Sureness:
        return cls(tuple(content["weights"]), content["bias"])


def evidence(p: np.ndarray, chosen: list[int], words: int) -> list[float]:
    """How sure a turn's choice looks: from `p` of its candidates and the request's length."""
    taken = np.zeros(len(p), bool)
    taken[chosen] = True
    sure = np.where(taken, p, 1 - p).clip(_TINY, 1)
    logs = np.log(sure)
    return [
        float(logs.sum()),
        float(logs.min()) if len(p) else 0.0,
        float(len(chosen)),
        float(np.log1p(words)),
    ]


def logit(p: np.ndarray) -> np.ndarray:
    clipped = p.clip(_TINY, 1 - _TINY)
    logits: np.ndarray = np.log(clipped / (1 - clipped))
    return logits


def save(booster: lgb.Booster | None, path: Path) -> None:
    if booster is not None:
        booster.save_model(str(path))


def load(path: Path) -> lgb.Booster | None:
    return lgb.Booster(model_file=str(path)) if path.exists() else None
