"""Packaged turns of simulated assistants, pooled with the first verdicts of a team."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from classifiers.model_card import card
from classifiers.settings import Settings
from classifiers.starter import pooling
from classifiers.starter.pooling import (
    COUNT,
    FADED,
    FILE,
    Pool,
    Starter,
    pool_of,
    starter,
    travelling,
)
from classifiers.starter.stages import FOLDER
from classifiers.train import fit, rescore
from classifiers.training_set import TrainingSet
from cli.models import settings_of
from cli.options import Context
from data.errors import NotEnoughLabels
from data.schema.trace import FAILURE_POINTS
from features.catalogue import catalogue

SETTINGS = Settings(warm_start=True, without=("text",), folds=2, rounds=20)
CONFIDENCE, WORDS = "asr.confidence", "asr.words"


def _own(n: int = 200) -> dict[str, np.ndarray]:
    """Columns of a team whose words per request are of a scale that no simulated assistant has."""
    rng = np.random.default_rng(0)
    return {WORDS: 1_000 + 50 * rng.integers(0, 40, n), CONFIDENCE: rng.random(n)}


def _team(turns: Starter, rows: np.ndarray, verdicts: int) -> TrainingSet:
    """A team whose logs are these turns, of which the first are annotated."""
    target = np.full(len(rows), None, object)
    target[:verdicts] = turns.failure_point[rows[:verdicts]]
    stretch = np.where(turns.ranked, 100.0, 1.0)
    values = turns.values[rows] * stretch
    none: Any = None
    return TrainingSet(
        ids=np.array([f"t{i:04}" for i in range(len(rows))]),
        vocabulary=none,
        logged=dict(zip(turns.columns, values.T, strict=True)),
        vectors=None,
        target=target,
        gold_intents=np.full(len(rows), None, object),
        gold_slots=pa.nulls(len(rows), pa.list_(pa.string())),
        group=np.arange(len(rows)),
    )


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """150 packaged turns of misheard words and of successes."""
    found = np.flatnonzero(np.isin(starter().failure_point, ("asr", "correct")))
    return np.random.default_rng(1).permutation(found)[:150]


@pytest.fixture(scope="module")
def team(rows: np.ndarray) -> Iterator[TrainingSet]:
    """A team with these turns, 40 of them annotated; only the other packaged turns are pooled."""
    turns = starter()
    others = np.setdiff1d(np.arange(len(turns.values)), rows)
    rest = replace(turns, values=turns.values[others], failure_point=turns.failure_point[others])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pooling, "starter", lambda: rest)
        yield _team(turns, rows, 40)


# -- the file --------------------------------------------------------------------------------------


def test_packaged_turns_are_small_and_of_all_failure_points() -> None:
    assert (FOLDER / FILE).stat().st_size < 300_000
    turns = starter()
    assert set(turns.columns) <= set(catalogue())
    assert set(turns.failure_point) == set(FAILURE_POINTS)
    assert np.nanmin(turns.values) >= 0
    assert np.nanmax(turns.values) <= 1
    assert turns.values.shape == (len(turns.failure_point), len(turns.columns))
    assert dict(zip(turns.columns, turns.ranked, strict=True))[WORDS]


def test_all_data_of_the_starter_go_into_the_wheel() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    packaged = project["tool"]["setuptools"]["package-data"]["classifiers.starter"]
    data = {path.name for path in FOLDER.iterdir() if path.suffix not in {".py", ""}}
    assert set(packaged) == data


# -- the pool --------------------------------------------------------------------------------------


def test_pooled_turns_lie_among_those_of_an_assistant_with_another_scale() -> None:
    own, turns = _own(), starter()
    pool = pool_of(own, (WORDS, CONFIDENCE), FAILURE_POINTS, 100)
    assert pool is not None
    place = [turns.columns.index(name) for name in (WORDS, CONFIDENCE)]
    there, words = turns.values[:, place[0]], pool.x[:, 0]
    known = ~np.isnan(there)
    assert set(words[known]) <= set(own[WORDS].astype(float))
    assert len(set(words[known])) > 10
    assert (np.diff(words[known][np.argsort(there[known], kind="stable")]) >= 0).all()
    assert np.isnan(words[~known]).all()
    # A probability is one everywhere.
    assert np.array_equal(pool.x[:, 1], turns.values[:, place[1]], equal_nan=True)


def test_a_team_without_a_value_has_none_pooled() -> None:
    own = {**_own(), WORDS: np.full(200, np.nan)}
    pool = pool_of(own, (WORDS, CONFIDENCE), FAILURE_POINTS, 100)
    assert pool is not None
    assert np.isnan(pool.x[:, 0]).all()


def test_the_pool_fades_as_verdicts_come_in() -> None:
    def count(verdicts: int) -> float:
        pool = pool_of(_own(), (CONFIDENCE,), FAILURE_POINTS, verdicts)
        return pool.count if pool else 0.0

    assert 0 < count(FADED - 1) < count(300) < count(50) < COUNT
    assert count(FADED) == count(10 * FADED) == 0


def test_no_common_column_or_class_is_no_pool() -> None:
    own = {"asr.signal.snr": np.arange(9.0)}
    assert pool_of(own, ("asr.signal.snr",), FAILURE_POINTS, 50) is None
    assert pool_of(_own(), (CONFIDENCE,), (), 50) is None
    pool = pool_of(_own(), (CONFIDENCE,), ("correct",), 50)
    assert pool is not None
    assert set(pool.target) == {0}
    assert len(pool.x) == (starter().failure_point == "correct").sum()


def test_classes_keep_their_shares_among_pooled_turns() -> None:
    pool = Pool(np.zeros((6, 1)), np.array([0, 0, 0, 1, 1, 2]), 12.0)
    weights = pool.weights(np.array([0, 1, 1, 1]), np.ones(4))
    assert weights.sum() == pytest.approx(12)
    assert weights.tolist() == pytest.approx([1, 1, 1, 4.5, 4.5, 0])


def test_values_travel_between_0_and_1_and_names_of_data_stay() -> None:
    columns = {WORDS: [3, 1, 9, np.nan], CONFIDENCE: [0.2, 0.9, -0.1, 1.3], "nlu.intent=x": [1]}
    found = travelling({name: np.array(v, np.float64) for name, v in columns.items()})
    assert set(found) == {WORDS, CONFIDENCE}
    assert found[CONFIDENCE].tolist() == pytest.approx([0.2, 0.9, 0, 1])
    assert found[WORDS][:3].tolist() == pytest.approx([1 / 2, 1 / 6, 5 / 6])
    assert np.isnan(found[WORDS][3])


# -- models ----------------------------------------------------------------------------------------


def test_few_verdicts_are_pooled_where_it_helps_and_the_card_says_so(
    team: TrainingSet, rows: np.ndarray
) -> None:
    warm, again = fit(team, SETTINGS, None), fit(team, SETTINGS, None)
    cold = fit(team, replace(SETTINGS, warm_start=False), None)
    assert warm.metrics["pooled"] == pytest.approx(COUNT * (1 - 40 / FADED))
    assert cold.metrics["pooled"] == 0
    assert warm.booster.model_to_string() == again.booster.model_to_string()
    assert "count as much as 46 of these |" in card(warm)
    assert "assistants | none |" in card(cold)
    assert set(warm.columns) == set(cold.columns)
    rest = np.arange(40, 150)
    truth = starter().failure_point[rows[rest]]

    def right(model: Any) -> float:
        p = rescore(model, team.take(rest))
        return float((np.array(model.classes, object)[p.argmax(axis=1)] == truth).mean())

    assert right(warm) > right(cold) + 0.05


def test_a_pool_that_misleads_is_left_out(team: TrainingSet, rows: np.ndarray) -> None:
    swapped = {"asr": "correct", "correct": "asr"}
    contrary = team.target.copy()
    contrary[:120] = [swapped[point] for point in starter().failure_point[rows[:120]]]
    assert fit(replace(team, target=contrary), SETTINGS, None).metrics["pooled"] == 0


def test_a_failure_point_needs_fewer_verdicts_where_pooled_turns_show_more(
    team: TrainingSet,
) -> None:
    target = team.target.copy()
    target[np.flatnonzero(target == "asr")[4:]] = None
    few = replace(team, target=target)
    assert set(fit(few, SETTINGS, None).classes) == {"asr", "correct"}
    with pytest.raises(NotEnoughLabels):
        fit(few, replace(SETTINGS, warm_start=False), None)


def test_beside_derived_labels_the_pool_names_stages_only(team: TrainingSet) -> None:
    gold = team.target != None  # noqa: E711  # element-wise
    derived = np.where(np.arange(len(gold)) % 3 == 0, "asr", "correct").astype(object)
    mixed = replace(
        team,
        target=np.where(gold, team.target, derived),
        sure=np.where(gold, 1.0, 0.8),
        about={"rate": 0.25},
    )
    settings = replace(SETTINGS, labels="behaviour")
    model = fit(mixed, settings, None)
    assert model.metrics["pooled"] > 0
    assert "in naming stages" in card(model)
    cold = fit(mixed, replace(settings, warm_start=False), None)
    assert cold.metrics["pooled"] == 0


def test_a_model_of_before_there_was_a_warm_start_had_none() -> None:
    content = SETTINGS.to_json()
    assert Settings.from_json(content).warm_start
    del content["warm_start"]
    assert not Settings.from_json(content).warm_start


def test_the_option_reaches_the_settings() -> None:
    for asked in (True, False):
        settings = settings_of(Context.hindsight, 0, None, None, warm_start=asked)
        assert settings.warm_start is asked
