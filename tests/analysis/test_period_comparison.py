"""Cells that changed between two periods are reported, and chance is not."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.period_comparison import (
    SCHEMA,
    Period,
    moved,
    significance,
)
from data.errors import UsageError
from tests.rollups import START, rollup


def days(first: int, last: int) -> Period:
    return Period(START + timedelta(days=first), START + timedelta(days=last))


BEFORE, AFTER = days(0, 13), days(14, 27)


def test_the_cell_that_moved_comes_first() -> None:
    def worse(t: int, locale: str, _device: str) -> float:
        return 0.1 if t > 13 and locale == "en-GB" else 0.03

    cells = moved(rollup(28, {"asr": worse}), BEFORE, AFTER)
    assert cells.schema == SCHEMA
    rows = cells.to_pylist()
    assert {row["failure_point"] for row in rows} == {"asr"}
    cell = next(row for row in rows if row["dimension"] == "locale")
    assert cell["value"] == "en-GB"
    assert cell["low"] < 0.07 < cell["high"]
    assert cell["low"] <= cell["change"] <= cell["high"]
    assert cell["change"] == pytest.approx(cell["after"] - cell["before"])
    assert cell["extra_turns"] == pytest.approx(cell["change"] * cell["turns"])
    assert cell["significance"] == "almost certainly real"
    extra = [abs(row["extra_turns"]) for row in rows]
    assert extra == sorted(extra, reverse=True)


def test_nothing_moves_where_nothing_did() -> None:
    alarms = sum(moved(rollup(28, {}, seed=seed), BEFORE, AFTER).num_rows > 0 for seed in range(40))
    assert alarms <= 5


def test_intervals_cover_the_true_change() -> None:
    """Also where the rate varies from day to day, for all turns of a day alike."""
    covered = []
    for seed in range(60):
        day_factor = np.random.default_rng(1000 + seed).gamma(20, 1 / 20, 28)

        def rate(
            t: int, _locale: str, _device: str, day_factor: NDArray[np.float64] = day_factor
        ) -> float:
            return float(0.04 * day_factor[t] * (1.5 if t > 13 else 1))

        every = moved(rollup(28, {"er": rate}, seed=seed), BEFORE, AFTER, q=1)
        covered += [
            row["low"] <= 0.02 * 0.88 <= row["high"]
            for row in every.to_pylist()
            if row["failure_point"] == "er"
        ]
    assert 0.9 < np.mean(covered) <= 1


def test_small_cells_and_versions_of_one_period_are_left_out() -> None:
    live = {"nlu": [(0, "7.0"), (14, "7.1")]}
    every = moved(rollup(28, {}, versions=live), BEFORE, AFTER, q=1).to_pylist()
    assert "version_nlu" not in {row["dimension"] for row in every}
    assert {row["dimension"] for row in every} == {"assistant", "locale", "device_type"}


def test_no_turns() -> None:
    table = rollup(28, {})
    assert moved(table.slice(0, 0), BEFORE, AFTER).num_rows == 0
    assert moved(table, BEFORE, days(100, 110)).num_rows == 0


def test_periods_must_not_overlap() -> None:
    with pytest.raises(UsageError, match="cannot be compared"):
        moved(rollup(28, {}), BEFORE, days(13, 27))


@pytest.mark.parametrize(
    ("q", "words"),
    [(1e-9, "almost certainly real"), (0.01, "very likely real"), (0.05, "likely real"),
     (0.1, "perhaps real"), (0.9, "may be chance")],
)  # fmt: skip
def test_significance_in_words(q: float, words: str) -> None:
    assert significance(q) == words
