"""What teaching changed, over users with turns before and since."""

from __future__ import annotations

import pyarrow as pa
import pytest

from analysis.taught_effect import LEAST_USERS, effect


def changed(rows: list[tuple[str, int, float, int, float]]) -> pa.Table:
    names = ("user_id", "before_turns", "before_failing", "after_turns", "after_failing")
    return pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


def test_rates_are_of_those_with_turns_on_both_sides() -> None:
    found = effect(changed([("a", 10, 5.0, 20, 2.0), ("a", 0, 0.0, 5, 5.0), ("b", 9, 9.0, 0, 0.0)]))
    assert found is not None
    assert (found.before, found.after) == (0.5, 0.1)
    assert found.change == pytest.approx(-0.4)
    assert (found.turns, found.users) == ((10, 20), 1)
    assert found.low is None
    assert effect(changed([("a", 0, 0.0, 5, 1.0)])) is None


def test_the_interval_is_over_users() -> None:
    alike = [(f"u{i}", 10, 5.0, 10, 2.0) for i in range(LEAST_USERS)]
    same = effect(changed(alike))
    assert same is not None
    assert same.low == pytest.approx(-0.3)
    assert same.high == pytest.approx(-0.3)
    # One user with many turns does not make the interval any surer than one user can.
    loud = effect(changed([*alike, ("loud", 1_000, 100.0, 1_000, 900.0)]))
    assert loud is not None
    assert loud.low is not None
    assert loud.high is not None
    assert loud.low == pytest.approx(-0.3)
    assert loud.high > 0.7
    again = effect(changed([*alike, ("loud", 1_000, 100.0, 1_000, 900.0)]))
    assert again == loud
