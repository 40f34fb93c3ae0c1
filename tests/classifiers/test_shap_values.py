"""Explanations: all ways to compute them agree, they add up, and stages sum their features."""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
import shap

from classifiers.model import Model
from classifiers.shap_values import (
    REASONS,
    Explainer,
    evidence,
    reasons,
)
from data.schema.tables import EVIDENCE
from data.store.store import Store
from features.catalogue import stage


@pytest.fixture(scope="module")
def explained(six: tuple[Store, Model]) -> tuple[Explainer, np.ndarray]:
    store, model = six
    with store.snapshot() as snapshot:
        _, x = model.matrix(snapshot.query("SELECT * FROM turns"))
    assert np.isnan(x).any()  # Missing signals take their own path through the trees.
    return Explainer(model.booster, model.columns), x


@pytest.mark.parametrize("k", range(6))
def test_batch_single_and_shap_agree(explained: tuple[Explainer, np.ndarray], k: int) -> None:
    explainer, x = explained
    x = x[:300]
    # What shap itself returns: (n, d, classes), or one array per class.
    tree = shap.TreeExplainer(explainer.booster)
    theirs = np.asarray(tree.shap_values(x))
    theirs = theirs[:, :, k] if theirs.shape[0] == len(x) else theirs[k]
    assert np.allclose(explainer.by_woodelf(x, k), theirs, atol=1e-4)
    assert np.allclose(explainer.by_lightgbm(x, k), theirs, atol=1e-4)
    assert np.abs(theirs).max() > 0.05


def test_contributions_add_up_to_the_score(explained: tuple[Explainer, np.ndarray]) -> None:
    explainer, x = explained
    raw = np.asarray(explainer.booster.predict(x, raw_score=True))
    verdict = raw.argmax(1)
    contributions = explainer.contributions(x, verdict)
    total = explainer.base[verdict] + contributions.sum(1)
    assert np.allclose(total, raw[np.arange(len(x)), verdict], atol=1e-3)
    stages = evidence(contributions, explainer.columns)
    assert set(stages) == set(EVIDENCE)
    assert np.allclose(sum(stages.values()), contributions.sum(1), atol=1e-3)


def test_reasons_are_the_strongest_features_in_order(
    explained: tuple[Explainer, np.ndarray],
) -> None:
    explainer, x = explained
    x = x[:50]
    contributions = explainer.contributions(x, np.zeros(len(x), int))
    rows: list[Any] = reasons(x, contributions, explainer.columns).to_pylist()
    for row, values, strongest in zip(x, contributions, rows, strict=True):
        assert len(strongest) == REASONS
        sizes = [abs(r["contribution"]) for r in strongest]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[0] == pytest.approx(np.abs(values).max())
        for reason in strongest:
            i = explainer.columns.index(reason["feature"])
            assert reason["stage"] == stage(reason["feature"])
            assert reason["contribution"] == pytest.approx(values[i])
            if np.isnan(row[i]):
                assert reason["value"] is None
            else:
                assert reason["value"] == pytest.approx(row[i])


def test_a_class_that_does_not_exist_is_not_explained_as_another() -> None:
    x = np.random.default_rng(0).normal(size=(200, 3))
    y = (x[:, 0] > 0).astype(int)
    booster = lgb.train(
        {"objective": "multiclass", "num_class": 2, "verbose": -1}, lgb.Dataset(x, y), 5
    )
    with pytest.raises(ValueError, match="class 2"):
        Explainer(booster, ("wake.a", "asr.b", "nlu.c")).by_woodelf(x, 2)


def test_values_next_to_a_threshold_fall_on_the_side_where_they_are_scored() -> None:
    """Thresholds are float64 between neighbouring float32 values: rounding would move values."""
    rng = np.random.default_rng(5)
    low = rng.random(200).astype(np.float32)
    x = np.repeat(np.concatenate([low, np.nextafter(low, np.float32(2))]), 10)[:, None]
    y = np.tile(np.arange(3).repeat(10), len(x) // 30 + 1)[: len(x)]
    settings = {"objective": "multiclass", "num_class": 3, "verbosity": -1, "num_threads": 1}
    settings |= {"min_data_in_leaf": 5, "min_data_in_bin": 1, "max_bin": 1000}
    explainer = Explainer(lgb.train(settings, lgb.Dataset(x, y), 20), ("a",))
    for k in range(3):
        assert explainer.by_woodelf(x, k) == pytest.approx(explainer.by_lightgbm(x, k), abs=1e-4)
