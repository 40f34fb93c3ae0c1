"""Budgets add up, and the day on which they are used up is that day."""

from __future__ import annotations

from datetime import date, timedelta
from math import inf

import pyarrow as pa
import pytest

from analysis.error_budget import Budget, budgets
from data.errors import UsageError
from data.schema.trace import FAILURES

START = date(2026, 3, 2)
MONTH = START + timedelta(days=29)


def days(*failed: float, turns: int = 100) -> pa.Table:
    """One row a day from `START`, with the given numbers of failed turns at ASR."""
    columns = {f"sum_p_{name}": [0.0] * len(failed) for name in FAILURES}
    columns["sum_p_asr"] = list(failed)
    dates = [START + timedelta(days=n) for n in range(len(failed))]
    return pa.table(
        {"day": pa.array(dates, pa.date32()), "turns": [turns] * len(failed), **columns}
    )


def asr_budget(table: pa.Table, target: float = 0.02, until: date = MONTH) -> Budget:
    return budgets(table, {"asr": target}, START, until)[0]


def test_spent_evenly_it_lasts_the_period() -> None:
    budget = asr_budget(days(*[2.0] * 10))
    assert (budget.turns, budget.spent) == (1000, 20)
    assert budget.allowed == pytest.approx(60)
    assert budget.left == pytest.approx(40)
    assert budget.burn_rate == pytest.approx(1)
    assert budget.used_up is None


def test_at_twice_the_pace() -> None:
    budget = asr_budget(days(*[4.0] * 10))
    assert budget.burn_rate == pytest.approx(2)
    assert budget.used_up is None


def test_the_pace_is_that_of_the_last_seven_days() -> None:
    budget = asr_budget(days(*[1.0] * 13, *[8.0] * 7))
    assert budget.burn_rate == pytest.approx(4)
    assert budget.spent == pytest.approx(69)


def test_overdrawn_says_since_when() -> None:
    budget = asr_budget(days(*[1.0] * 5, 90.0, 0.0))
    assert budget.left < 0
    assert budget.used_up == START + timedelta(days=5)


def test_a_closed_period_within_its_budget() -> None:
    budget = asr_budget(days(*[1.0] * 30))
    assert budget.used_up is None
    assert budget.left == pytest.approx(30)


def test_no_turns() -> None:
    budget = asr_budget(days())
    assert (budget.turns, budget.allowed, budget.spent, budget.left) == (0, 0, 0, 0)
    assert (budget.burn_rate, budget.used_up) == (None, None)


def test_target_of_nothing() -> None:
    assert asr_budget(days(0.0, 1.0), target=0.0).burn_rate == inf
    assert asr_budget(days(0.0, 1.0), target=0.0).used_up == START + timedelta(days=1)
    assert asr_budget(days(0.0, 0.0), target=0.0).burn_rate == 0
    assert asr_budget(days(0.0, 0.0), target=0.0).used_up is None


def test_other_days_do_not_count() -> None:
    table = days(*[5.0] * 20)
    budget = budgets(table, {"asr": 0.1}, START + timedelta(days=3), START + timedelta(days=5))[0]
    assert (budget.turns, budget.spent) == (300, 15)


def test_in_pipeline_order() -> None:
    spending = budgets(days(1.0), {"result": 0.1, "false_wake": 0.1, "asr": 0.1}, START, MONTH)
    assert [budget.failure_point for budget in spending] == ["false_wake", "asr", "result"]


@pytest.mark.parametrize(
    ("targets", "until", "words"),
    [({"asr": 2.0}, MONTH, "not a share"), ({"correct": 0.1}, MONTH, "Unknown failure point"),
     ({"asr": 0.1}, START - timedelta(days=1), "ends before")],
)  # fmt: skip
def test_invalid_budgets_are_refused(targets: dict[str, float], until: date, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        budgets(days(1.0), targets, START, until)
