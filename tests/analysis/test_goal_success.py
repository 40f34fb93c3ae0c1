"""Goal success is estimated as failure rates are: corrected once enough goals are annotated."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from analysis.goal_success import goal_success
from analysis.rates import ANNOTATED, MODEL


def daily(p: np.ndarray) -> pa.Table:
    """Sums of probabilities over two days."""
    halves = np.array_split(p, 2)
    return pa.table(
        {
            "judged": [len(half) for half in halves],
            "total": [half.sum() for half in halves],
            "squares": [(half**2).sum() for half in halves],
        }
    )


def annotated(y: np.ndarray, p: list[float | None]) -> pa.Table:
    """Two goals a dialogue."""
    return pa.table(
        {
            "dialogue_id": [f"d{i // 2}" for i in range(len(y))],
            "reached": pa.array(y.astype(bool)),
            "p_reached": pa.array(p, pa.float64()),
        }
    )


def world(goals: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Goals reached 70 % of the time, with probabilities of a model that thinks it is 90 %."""
    rng = np.random.default_rng(seed)
    y = rng.random(goals) < 0.7
    p = np.clip(0.9 + 0.08 * (y - 0.7) + rng.normal(0, 0.02, goals), 0, 1)
    return y, p


def test_without_annotations_it_is_the_models_mean() -> None:
    _, p = world(1_000, 1)
    found = goal_success(daily(p))
    assert found is not None
    assert found.value == pytest.approx(p.mean())
    assert found.low < found.value < found.high
    assert (found.turns, found.labelled, found.method) == (1_000, 0, MODEL)


def test_annotated_goals_correct_a_model_that_is_wrong() -> None:
    _, p = world(20_000, 2)
    y, q = world(400, 3)
    found = goal_success(daily(p), annotated(y, list(q)))
    assert found is not None
    assert found.method == ANNOTATED
    assert found.low < 0.7 < found.high
    assert found.high < 0.8
    assert (found.turns, found.labelled) == (20_400, 400)


def test_few_annotated_dialogues_do_not() -> None:
    _, p = world(2_000, 4)
    y, q = world(100, 5)
    found = goal_success(daily(p), annotated(y, list(q)))
    assert found is not None
    assert found.method == MODEL
    assert found.value > 0.85


def test_goals_without_a_probability_are_left_out() -> None:
    y, q = world(400, 6)
    some: list[float | None] = [None if i % 2 else float(v) for i, v in enumerate(q)]
    found = goal_success(daily(q), annotated(y, some))
    assert found is not None
    assert found.labelled == 200
    assert goal_success(daily(np.zeros(0)), annotated(y, [None] * 400)) is None
    assert goal_success(daily(np.zeros(0))) is None
