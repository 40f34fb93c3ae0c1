"""The sample of explained turns, and learning curves on a store."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from classifiers import registry
from classifiers.evaluation.learning_curve import learning_curve, read
from classifiers.model import Model
from classifiers.shap_archive import Explained
from classifiers.shap_sample import (
    MAX_FEATURES,
    explain,
    explain_store,
    interactions,
)
from classifiers.shap_values import Explainer
from classifiers.training_data import training_turns
from classifiers.training_set import prepare
from data.errors import ModelError
from data.store.store import Store


def test_training_keeps_explanations_that_are_not_part_of_the_id(
    six: tuple[Store, Model], tmp_path: Path
) -> None:
    store, model = six
    folder = store.models / model.id
    explained = Explained.read(folder / registry.EXPLAINED)
    assert explained
    assert explained.classes == model.classes
    assert explained.values.shape == (
        len(model.classes),
        len(explained.turn_ids),
        len(explained.kept),
    )
    assert len(explained.kept) <= MAX_FEATURES
    assert (folder / registry.EXPLAINED).stat().st_size < 8_000_000
    shutil.copytree(folder, tmp_path / model.id)
    (tmp_path / model.id / registry.EXPLAINED).unlink()
    assert registry.load(tmp_path, model.id).id == model.id


def test_explanations_are_those_of_the_booster(six: tuple[Store, Model]) -> None:
    store, model = six
    with store.snapshot() as snapshot:
        ids, x = model.matrix(snapshot.query("SELECT * FROM turns"))
    names, x = ids.to_numpy()[:120], x[:120]
    explained = explain(model, names, x)
    columns = [model.columns.index(name) for name in explained.kept]
    contributions = np.asarray(model.booster.predict(x, pred_contrib=True))
    flat = contributions.reshape(len(x), -1, len(model.columns) + 1)
    for k in range(len(model.classes)):
        assert np.allclose(explained.values[k], flat[:, k, columns], atol=5e-3)
        assert np.allclose(explained.strength[k], np.abs(flat[:, k, :-1]).mean(0), atol=1e-3)
    assert np.array_equal(explained.x, x[:, columns], equal_nan=True)


def test_a_pair_is_strong_where_two_features_only_work_together() -> None:
    import lightgbm as lgb

    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 4)).astype(np.float32)
    y = ((x[:, 1] > 0) ^ (x[:, 3] > 0)).astype(int)
    booster = lgb.train(
        {"objective": "multiclass", "num_class": 2, "verbose": -1, "seed": 0},
        lgb.Dataset(x, y),
        30,
    )
    pairs, size = interactions(Explainer(booster, ("asr.a", "asr.b", "nlu.c", "er.d")), x[:200], 1)
    assert pairs[0].tolist() == [1, 3]
    assert size[0] > 5 * size[1]


@pytest.mark.long
def test_an_older_model_is_explained_from_what_it_scored(
    six: tuple[Store, Model], tmp_path: Path
) -> None:
    from classifiers.scoring.score import score

    store, model = six
    shutil.copytree(store.path, tmp_path / "store")
    copy = Store.open(tmp_path / "store")
    path = copy.models / model.id / registry.EXPLAINED
    path.unlink()
    assert Explained.read(path) is None
    with pytest.raises(ModelError, match="scored no turn"):
        explain_store(copy, model.id, lambda *_: None)
    score(copy, model.id, workers=1)
    steps: list[tuple[int, int, str]] = []
    explained = explain_store(copy, model.id, lambda *step: steps.append(step))
    again = Explained.read(path)
    assert again
    assert again.turn_ids.tolist() == explained.turn_ids.tolist()
    assert len(set(explained.turn_ids)) == len(explained.turn_ids) > 100
    assert steps[-1][0] == steps[-1][1]
    path.write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="damaged"):
        Explained.read(path)


def test_a_learning_curve_rises_and_is_kept(six: tuple[Store, Model], tmp_path: Path) -> None:
    store, model = six
    with store.snapshot() as snapshot:
        turns = training_turns(snapshot, seed=0, unlabelled=200)
    data, encoder = prepare(turns, replace(model.settings, without=("text",)), tmp_path)
    settings = replace(model.settings, without=("text",), rounds=30)
    curve = learning_curve(data, settings, encoder, shares=((0.2, 1), (0.5, 1), (1.0, 1)), n=2)
    sizes = [point["labels"] for point in curve["points"]]
    assert sizes == sorted(sizes)
    assert curve["points"][0]["macro_f1"] < curve["points"][-1]["macro_f1"]
    assert read(tmp_path) is None
    (tmp_path / registry.LEARNING).write_text(json.dumps(curve), "utf-8")
    assert read(tmp_path) == curve
    (tmp_path / registry.LEARNING).write_text("{", "utf-8")
    with pytest.raises(ModelError, match="damaged"):
        read(tmp_path)
