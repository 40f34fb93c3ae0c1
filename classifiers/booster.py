"""Gradient-boosted trees over the feature matrix (LightGBM; Ke et al. 2017)."""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import numpy as np

from classifiers.settings import Settings
from classifiers.splits import Fold
from classifiers.starter.pooling import Pool

_PATIENCE = 30


def _parameters(settings: Settings, classes: int) -> dict[str, Any]:
    return {
        "objective": "multiclass",
        "num_class": classes,
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.min_leaf,
        "feature_fraction": settings.columns,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": settings.ridge,
        "extra_trees": settings.extra_trees,
        "max_bin": 63,
        "seed": settings.seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }


def _weights(target: np.ndarray, classes: int) -> np.ndarray:
    """Weight per turn (n,), mean 1: the fourth root of the inverse frequency of its class.

    Rare stages count for more, without outweighing the others.
    """
    share = np.bincount(target, minlength=classes) / len(target)
    weight: np.ndarray = np.maximum(share, 1e-9) ** -0.25
    per_turn: np.ndarray = weight[target]
    return per_turn / float(per_turn.mean())


def _dataset(
    x: np.ndarray, target: np.ndarray, classes: int, sure: np.ndarray, pool: Pool | None = None
) -> lgb.Dataset:
    weight = _weights(target, classes) * sure
    if pool is not None:
        weight = np.concatenate([weight, pool.weights(target, weight)])
        x, target = np.vstack([x, pool.x]), np.concatenate([target, pool.target])
    # LightGBM rejects characters that names of features contain: columns go by position.
    return lgb.Dataset(x, target, weight=weight)


def cross_fit(
    x: np.ndarray,
    target: np.ndarray,
    folds: list[Fold],
    settings: Settings,
    sure: np.ndarray | None = None,
    within: list[np.ndarray] | None = None,
    pool: Pool | None = None,
) -> tuple[np.ndarray, int]:
    """Out-of-fold class probabilities (n, k), and the rounds to fit the final booster with.

    `sure`: probability that each target is right (n,); by default 1. `within`: per fold the
    target (n,) to learn from there, -1 where there is none; by default the same. `pool`: turns of
    elsewhere to learn from in every fold. The rounds are 1.1 times the mean number at which early
    stopping ended, and at least 10.
    """
    k = int(target.max()) + 1
    sure = np.ones(len(target)) if sure is None else sure
    probability = np.zeros((len(target), k))
    rounds = []
    for (train, held_out), known in zip(folds, within or [target] * len(folds), strict=True):
        fitted, judged = train[known[train] >= 0], held_out[known[held_out] >= 0]
        data = _dataset(x[fitted], known[fitted], k, sure[fitted], pool)
        booster = lgb.train(
            _parameters(settings, k),
            data,
            settings.rounds,
            valid_sets=[data.create_valid(x[judged], known[judged], sure[judged])],
            callbacks=[lgb.early_stopping(_PATIENCE, verbose=False)],
        )
        rounds.append(booster.best_iteration or settings.rounds)
        probability[held_out] = booster.predict(x[held_out], num_iteration=booster.best_iteration)
    return probability, max(round(float(np.mean(rounds)) * 1.1), 10)


def fit(
    x: np.ndarray,
    target: np.ndarray,
    rounds: int,
    settings: Settings,
    sure: np.ndarray | None = None,
    pool: Pool | None = None,
) -> lgb.Booster:
    """The final booster, trained on all labelled turns, and those of `pool`, for at most `rounds`
    rounds."""
    k = int(target.max()) + 1
    sure = np.ones(len(target)) if sure is None else sure
    booster: lgb.Booster = lgb.train(
        _parameters(settings, k), _dataset(x, target, k, sure, pool), min(rounds, settings.rounds)
    )
    return booster
