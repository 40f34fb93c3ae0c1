"""Measures of boundaries, and a model beside human raters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels.goals.measures import (
    Panels,
    bootstrap,
    boundary_f1,
    f1,
    human_mark,
    interval,
    pk,
    window_diff,
)

_ONE = np.zeros(8, np.int64)


def _at(*rows: int, n: int = 8) -> np.ndarray:
    found = np.zeros(n, bool)
    found[list(rows)] = True
    return found


def test_boundary_f1_counts_exact_turns_and_no_first_turns() -> None:
    assert boundary_f1(_at(0, 3, 5), _at(3, 6), _ONE) == pytest.approx(0.5)
    dialogue = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    # Turn 3 begins the second dialogue: no boundary at all is left.
    assert np.isnan(boundary_f1(_at(3), _at(0, 3), dialogue))


def test_pk_and_window_diff_by_hand() -> None:
    # Pairs two turns apart: (0,2) … (5,7). True boundary at 4, found at 5: wrong for (2,4), (4,6)…
    # (3,5) crosses both, (2,4) only the true one, (4,6) only the found one.
    assert pk(_at(5), _at(4), _ONE, k=2) == pytest.approx(2 / 6)
    # Two found for one true boundary: P_k sees a boundary in both, WindowDiff counts.
    assert pk(_at(4, 5), _at(4), _ONE, k=2) == pytest.approx(1 / 6)
    assert window_diff(_at(4, 5), _at(4), _ONE, k=2) == pytest.approx(2 / 6)


def test_pairs_do_not_cross_dialogues() -> None:
    dialogue = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    assert pk(_at(4), _at(), dialogue, k=2) == 0.0


@given(st.lists(st.booleans(), min_size=6, max_size=30))
def test_what_is_right_has_no_error(boundaries: list[bool]) -> None:
    true = np.array(boundaries)
    dialogue = np.zeros(len(true), np.int64)
    assert pk(true, true, dialogue) == window_diff(true, true, dialogue) == 0.0
    assert boundary_f1(true, true, dialogue) == 1.0 or not true[1:].any()


def test_panels_set_one_rater_against_the_majority_of_three_others() -> None:
    panels = Panels.draw([[True, False, False, False], [True] * 3], np.array([7, 8]))
    # Three raters are too few for a panel.
    assert set(panels.row) == {0}
    assert set(panels.dialogue) == {7}
    assert len(panels.row) == 4
    assert panels.one.sum() == 1
    # One of three others at most says so.
    assert not panels.others.any()


def test_a_model_says_yes_as_often_as_the_raters() -> None:
    generator = np.random.default_rng(0)
    verdicts = [list(generator.random(6) < 0.3) for _ in range(400)]
    panels = Panels.draw(verdicts, np.arange(400))
    said = panels.said_as_often(generator.random(400))
    assert said.mean() == pytest.approx(panels.one.mean(), abs=0.01)
    assert not panels.said_as_often(np.full(400, 0.1)).any()


def test_a_model_that_knows_what_raters_think_is_above_one_of_them() -> None:
    generator = np.random.default_rng(1)
    share = generator.beta(0.5, 2, 600)
    verdicts = [list(generator.random(7) < s) for s in share]
    dialogue = np.arange(600) // 6
    panels = Panels.draw(verdicts, dialogue)
    better = human_mark(panels, share)
    assert better.low > 0
    assert better.difference == pytest.approx(better.model - better.human)
    blind = human_mark(panels, generator.random(600))
    assert blind.high < 0
    assert blind.human == better.human


def test_resampling_draws_whole_dialogues() -> None:
    dialogue = np.repeat(np.arange(30), 10)
    values = np.repeat(np.random.default_rng(2).random(30), 10)
    draws = bootstrap(dialogue, lambda times: (float(np.average(values, weights=times)),))
    low, high = interval(draws[:, 0])
    # As wide as for 30 values; drawing turns would make it a third of that.
    assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(30), rel=0.2)


def test_f1_of_two_who_never_say_so_is_not_defined() -> None:
    assert np.isnan(f1(_at(), _at()))
