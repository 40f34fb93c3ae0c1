"""Rewrites in use are judged by their own outcomes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rewrites.self_aware import Outcomes, probability_greater, split, states


@pytest.mark.parametrize(("a", "b", "c", "d"), [(3, 5, 5, 3), (1, 1, 1, 1), (40, 2, 0.5, 0.5)])
def test_the_comparison_equals_a_simulation(a: float, b: float, c: float, d: float) -> None:
    draws = stats.beta(a, b).rvs(200_000, random_state=1) > stats.beta(c, d).rvs(
        200_000, random_state=2
    )
    found = probability_greater(*(np.array([x]) for x in (a, b, c, d)))
    assert found[0] == pytest.approx(draws.mean(), abs=0.005)


def test_a_rewrite_that_turns_bad_is_retired_and_one_that_works_stays() -> None:
    outcomes = Outcomes.predicted(np.array([0.1, 0.1]), np.array([0.9, 0.9]))
    live = states(np.zeros(2, bool), outcomes)
    assert live.tolist() == [True, True]
    rewrite, used = np.repeat([0, 1], 40), np.tile([True, True, True, False], 20)
    success = np.where(rewrite == 0, used, ~used).astype(float)
    outcomes = outcomes.seen(rewrite, used, success)
    assert states(live, outcomes).tolist() == [True, False]


def test_a_rewritten_turn_is_split_and_no_weight_is_lost() -> None:
    turns = pd.DataFrame(
        {
            "said": [0, 0],
            "executed": [1, 0],
            "next": [2, -1],
            "rewrite": [0, -1],
            "failed": [1.0, 0.0],
            "weight": [1.0, 3.0],
        }
    )
    parts = split(turns, np.array([0.75]))
    assert parts.groupby("request")["weight"].sum().to_dict() == {0: 3.25, 1: 0.75}
