"""Goals as ids, boundaries and spans say the same."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from labels.goals.spans import Span, numbers_of, spans_of, starts_of


def test_a_goal_begins_where_the_id_changes_and_never_beside_a_turn_without_one() -> None:
    dialogue = np.array([0, 0, 0, 0, 0, 1, 1])
    start, number = starts_of(["a", "a", "b", None, "b", "x", "a"], dialogue)
    np.testing.assert_array_equal(start, [np.nan, 0, 1, np.nan, np.nan, np.nan, 1])
    assert number.tolist() == [0, 0, 1, -1, 1, 0, 1]


def test_the_first_turn_of_a_dialogue_begins_a_goal_in_any_case() -> None:
    begun = np.array([False, False, True, False, True])
    assert numbers_of(begun, np.array([0, 0, 0, 1, 1])).tolist() == [0, 0, 1, 0, 1]


def test_turns_without_a_goal_are_in_no_span() -> None:
    spans = spans_of(np.array([0, 0, -1, 1, 0]), np.array([0, 0, 0, 0, 1]))
    assert spans == [Span(0, 2), Span(3, 4), Span(4, 5)]


def test_no_turns_have_no_goals() -> None:
    nothing = np.zeros(0, np.int64)
    assert spans_of(nothing, nothing) == []
    assert numbers_of(nothing.astype(bool), nothing).tolist() == []


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=6), min_size=1, max_size=6))
def test_boundaries_survive_being_made_goals_and_spans(dialogues: list[list[bool]]) -> None:
    dialogue = np.repeat(np.arange(len(dialogues)), [len(d) for d in dialogues])
    begun = np.array([b for d in dialogues for b in d])
    number = numbers_of(begun, dialogue)
    start, again = starts_of([f"g{n}" for n in number], dialogue)
    known = np.isfinite(start)
    assert (start[known] == begun[known]).all()
    assert (again == number).all()
    covered = [row for span in spans_of(number, dialogue) for row in range(*span)]
    assert covered == list(range(len(number)))
