"""Change points: found where the rate changed, and nowhere else."""

from __future__ import annotations

import time
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from analysis.change_points import Change, changes
from analysis.segmentation import (
    Level,
    breakpoints,
    dispersion,
    gain,
    scan_p,
    single_p,
)
from tests.rollups import START, rollup

DAYS = 60


def day(number: int) -> object:
    return START + timedelta(days=number)


def only(detected: list[Change]) -> Change:
    """The single change in a list."""
    assert len(detected) == 1, detected
    return detected[0]


def test_a_steady_rate_has_no_changes() -> None:
    alarms = [len(changes(rollup(DAYS, {}, seed=seed))) for seed in range(12)]
    assert sum(alarms) <= 1, alarms


def test_a_lasting_shift_of_all_traffic_is_found_once() -> None:
    change = only(changes(rollup(DAYS, {"nlu": lambda d, _l, _d: 0.05 if d >= 30 else 0.02})))
    assert (change.failure_point, change.where, change.end) == ("nlu", (), None)
    assert abs((change.start - START).days - 30) <= 2
    assert change.before < 0.03 < 0.04 < change.after
    # 240 turns a day, 30 days, 3 points more.
    assert change.extra_turns == pytest.approx(240 * 30 * 0.03, rel=0.3)
    assert change.p_value <= change.q_value <= 0.01


def test_two_bad_days_of_one_device_are_found_there() -> None:
    def down(t: int, _locale: str, device: str) -> float:
        return 0.4 if t in (40, 41) and device == "display" else 0.02

    change = only(changes(rollup(DAYS, {"result": down})))
    assert (change.failure_point, change.where) == ("result", (("device_type", "display"),))
    assert (change.start, change.end, change.release) == (day(40), day(41), None)


@pytest.mark.parametrize("seed", range(8))
def test_a_release_is_named_and_its_repair_is_not_a_change(seed: int) -> None:
    live = {"asr": [(0, "4.1"), (20, "4.2"), (32, "4.3")], "er": [(0, "3"), (19, "4")]}

    def worse(t: int, locale: str, _device: str) -> float:
        return 0.1 if 20 <= t < 32 and locale == "en-GB" else 0.03

    change = only(changes(rollup(DAYS, {"asr": worse}, versions=live, seed=seed)))
    assert (change.failure_point, change.where) == ("asr", (("locale", "en-GB"),))
    assert (change.start, change.end, change.release) == (day(20), day(31), "4.2")


def test_two_causes_at_once_are_two_changes() -> None:
    def worse(t: int, locale: str, device: str) -> float:
        return 0.12 if t >= 30 and (locale == "en-GB" or device == "display") else 0.02

    detected = changes(rollup(DAYS, {"er": worse}, turns=60))
    assert {change.failure_point for change in detected} == {"er"}
    assert 1 <= len(detected) <= 3


def test_an_improvement_is_a_change_for_the_better() -> None:
    change = only(
        changes(
            rollup(DAYS, {"wake": lambda *_: 0.0, "er": lambda t, _l, _d: 0.01 if t > 29 else 0.06})
        )
    )
    assert change.extra_turns < -100  # fmt: skip
    assert change.after < change.before


def test_no_days_and_few_days() -> None:
    assert changes(rollup(1, {}).slice(0, 0)) == []
    assert changes(rollup(1, {})) == []
    assert changes(rollup(3, {})) == []


def test_order_of_rows_does_not_matter() -> None:
    table = rollup(DAYS, {"nlu": lambda t, _l, _d: 0.08 if t > 40 else 0.02})
    shuffled = table.take(np.random.default_rng(1).permutation(table.num_rows))
    first, second = only(changes(table)), only(changes(shuffled))
    assert (first.where, first.start, first.end) == (second.where, second.start, second.end)
    assert first.extra_turns == pytest.approx(second.extra_turns)


def test_busy_days_weigh_more() -> None:
    """A rate of 50 % on days with two turns is not a change point."""
    turns = np.full(40, 500.0)
    turns[[20, 21]] = 2
    total = turns * 0.02
    total[[20, 21]] = 1
    total += np.random.default_rng(3).normal(0, 2, 40)
    assert breakpoints(turns[None], total[None], np.zeros(1)) == [[]]


@pytest.mark.parametrize("factor", [0.5, 1.0, 4.0])
def test_dispersion_is_estimated_from_the_days(factor: float) -> None:
    rng = np.random.default_rng(5)
    turns = np.full(4000, 1000.0)
    total = rng.normal(30, np.sqrt(30 * factor), 4000)
    # A shift half way, and the mean of all days, 45, scaled to 30.
    total[2000:] += 30
    assert dispersion(turns, total / 1.5) == pytest.approx(factor / 2.25, rel=0.15)


def test_the_p_value_of_a_segment_allows_for_the_search() -> None:
    """p-values of series with one level are uniform: of 400, about 1 in 10 has p <= 0.1."""
    rng = np.random.default_rng(6)
    days = 60
    least = []
    for _ in range(400):
        counts = np.concatenate([[0], np.cumsum(rng.poisson(12, days))])
        every = Level(float(days), float(counts[-1]))
        best = 0.0
        for i in range(days - 1):
            for j in range(i + 2, min(days, i + days - 2) + 1, 1):
                # A quick bound first: the normal statistic is close to the deviance.
                inside = counts[j] - counts[i]
                mean = (j - i) * every.rate
                rough = (inside - mean) ** 2 / (mean * (1 - (j - i) / days))
                if rough > 0.8 * best:
                    part = Level(float(j - i), float(inside))
                    rest = Level(every.turns - part.turns, every.total - part.total)
                    best = max(best, gain(part, rest))
        least.append(scan_p(best, days))
    share = float((np.array(least) <= 0.1).mean())
    assert 0.06 < share < 0.15
    assert scan_p(15.0, days) > 20 * single_p(15.0)


def test_a_quarter_of_150_series_takes_less_than_a_second() -> None:
    table = rollup(90, {"er": lambda t, _l, _d: 0.06 if t > 60 else 0.02})
    rng = np.random.default_rng(8)
    for name, values in (("domain", 12), ("intent", 14)):
        column = pa.array([f"{name}{i}" for i in rng.integers(0, values, table.num_rows)])
        table = table.set_column(table.schema.get_field_index(name), name, column)
    changes(table)
    began = time.process_time()
    detected = changes(table)
    assert time.process_time() - began < 1.0
    assert detected[0].failure_point == "er"
