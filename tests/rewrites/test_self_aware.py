"""Rewrites in use are judged by their own outcomes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import stats

from rewrites.self_aware import Outcomes, in_use, probability_greater, restated

_REWRITES = pd.DataFrame(
    {
        "assistant": ["a", "a"],
        "request": ["tirn on", "tirn on"],
        "user_id": [None, "u"],
        "rewrite": ["turn on", "turn on the lamp"],
        "request_state": ["|none", "|none"],
    }
)


def _friction(*turns: tuple[str, str, float | None]) -> pa.Table:
    """Turns of (user, text, whether it was rewritten)."""
    return pa.table(
        {
            "turn_id": [f"t{i}" for i in range(len(turns))],
            "assistant": ["a"] * len(turns),
            "user_id": pa.array([turn[0] or None for turn in turns], pa.string()),
            "text": [turn[1] for turn in turns],
            "frame": pa.array(["home|on"] * len(turns)),
            "rewritten": pa.array([turn[2] for turn in turns], pa.float64()),
        }
    )


@pytest.mark.parametrize(("a", "b", "c", "d"), [(3, 5, 5, 3), (1, 1, 1, 1), (40, 2, 0.5, 0.5)])
def test_the_comparison_equals_a_simulation(a: float, b: float, c: float, d: float) -> None:
    draws = stats.beta(a, b).rvs(200_000, random_state=1) > stats.beta(c, d).rvs(
        200_000, random_state=2
    )
    found = probability_greater(*(np.array([x]) for x in (a, b, c, d)))
    assert found[0] == pytest.approx(draws.mean(), abs=0.005)


def test_outcomes_decide_which_rewrite_is_better() -> None:
    outcomes = Outcomes.predicted(np.array([0.1, 0.1]), np.array([0.9, 0.9]))
    assert (outcomes.better() > 0.9).all()
    rewrite, used = np.repeat([0, 1], 40), np.tile([True, True, True, False], 20)
    success = np.where(rewrite == 0, used, ~used).astype(float)
    better = outcomes.seen(rewrite, used, success).better()
    assert better[0] > 0.99
    assert better[1] < 0.01


def test_the_users_own_rewrite_goes_before_the_general_one() -> None:
    found = in_use(_friction(("v", "tirn on", 1), ("u", "tirn on", 1), ("u", "stop", 1)), _REWRITES)
    assert found.tolist() == [0, 1, -1]


def test_rewritten_turns_are_split_by_how_sure_it_is_that_the_rewrite_is_better() -> None:
    turns = _friction(*[("v", "tirn on", 1.0)] * 400, *[("v", "tirn on", None)] * 10)
    after = restated(turns, _REWRITES, np.array([0.75, 1.0]))
    texts = after["text"].to_pylist()
    assert 270 < texts.count("turn on") < 330
    # What stays as it was said counts as it was understood then, not as what was executed.
    said = [f for t, f in zip(texts, after["frame"].to_pylist(), strict=True) if t == "tirn on"]
    assert said[:-10] == ["|none"] * (len(said) - 10)
    assert said[-10:] == ["home|on"] * 10
    assert restated(turns, _REWRITES, np.array([0.75, 1.0])).equals(after)


def test_tables_without_rewritten_turns_stay_as_they_are() -> None:
    turns = _friction(("v", "tirn on", None), ("v", "tirn on", 0.0))
    assert restated(turns, _REWRITES, np.ones(2)) is turns
