"""Whether a fix helped: reported only where the days are clear evidence."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from analysis.fix_check import fixed


def days(rate: float, count: int, turns: int = 200, seed: int = 0, start: int = 0) -> pa.Table:
    """Days whose rates vary twice as much as counts do."""
    rng = np.random.default_rng(seed)
    daily_rates = rate * np.clip(
        1 + rng.normal(0, 1 / np.sqrt(max(turns * rate, 1)), count), 0, None
    )
    total = rng.poisson(turns * daily_rates).astype(float)
    return pa.table(
        {
            "day": [date(2026, 3, 1) + timedelta(days=start + i) for i in range(count)],
            "turns": [turns] * count,
            "total": pa.array(total),
            "squares": pa.array(total * 0.8),
        }
    )


def test_a_release_without_turns_is_unseen() -> None:
    assert fixed(days(0.3, 10), days(0.3, 10).slice(0, 0)).finding == "unseen"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (days(0.3, 10), days(0.0, 1, turns=10)),
        (days(0.3, 10).slice(0, 0), days(0.1, 10)),
        # So rare that a fall could be chance.
        (days(0.001, 10, turns=1000), days(0.0, 2, turns=40)),
    ],
)
def test_too_few_turns_are_reported_as_too_few(before: pa.Table, after: pa.Table) -> None:
    assert fixed(before, after).finding == "few"


def test_a_fall_is_found_with_its_rates_and_interval() -> None:
    check = fixed(days(0.3, 14), days(0.1, 7, seed=1, start=14))
    assert check.finding == "fell"
    assert check.since == date(2026, 3, 15)
    assert check.before == pytest.approx(0.3, abs=0.05)
    assert check.after == pytest.approx(0.1, abs=0.05)
    assert check.low < check.after - check.before < check.high < 0
    assert check.p_value < 0.001


def test_a_rise_is_not_a_fall() -> None:
    check = fixed(days(0.1, 14), days(0.3, 7, seed=1, start=14))
    assert check.finding == "rose"
    assert check.p_value > 0.95


def test_without_a_change_falls_are_as_rare_as_the_level_says() -> None:
    fell = [
        fixed(days(0.1, 14, seed=2 * i), days(0.1, 7, seed=2 * i + 1, start=14)).finding == "fell"
        for i in range(400)
    ]
    # 5 % of 400 are 20; more than 34 come by chance once in a thousand times.
    assert sum(fell) <= 34
    assert sum(fell) >= 4
