"""Drift of signals and classes, and which signals are logged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from charts.signals import missing_shares
from data.queries.filters import Filter
from data.queries.signal_coverage import days, logged
from data.queries.signals import signal_values
from data.store.store import Store
from features.drift import LARGE, class_drift, drift


def period(seed: int, shift: float = 0.0, missing: float = 0.0, rows: int = 2_000) -> pa.Table:
    rng = np.random.default_rng(seed)
    lost = rng.random(rows) < missing
    columns: dict[str, Any] = {
        "steady": rng.normal(size=rows),
        "moved": rng.normal(shift, 1, rows),
        "lost": pa.array(rng.random(rows), mask=lost),
        "text": rng.choice(["a", "b", "ü"], rows),
        "never": pa.nulls(rows, pa.float64()),
    }
    return pa.table(columns)


NAMES = ("steady", "moved", "lost", "text", "never")


def test_columns_that_moved_are_significant_and_others_are_not() -> None:
    by_name = {column.name: column for column in drift(period(0), period(1, 1.0, 0.3), NAMES)}
    assert by_name["moved"].significant
    assert by_name["moved"].psi > LARGE
    assert by_name["lost"].significant
    assert by_name["lost"].missing_now == pytest.approx(0.3, abs=0.04)
    assert not any(by_name[name].significant for name in ("steady", "text", "never"))
    assert by_name["never"].p_value is None
    assert drift(period(0), period(1, 1.0, 0.3), NAMES)[0].name in ("moved", "lost")


def test_without_drift_hardly_anything_is_significant() -> None:
    runs = [drift(period(2 * seed), period(2 * seed + 1), NAMES) for seed in range(40)]
    assert (
        sum(
            any(column.q_value is not None and column.q_value <= 0.05 for column in run)
            for run in runs
        )
        <= 6
    )
    assert not any(column.significant for run in runs for column in run)


def test_a_signal_that_stops_is_compared_by_being_missing() -> None:
    before = period(0)
    now = period(1).set_column(0, "steady", pa.nulls(2_000, pa.float64()))
    first = drift(before, now, NAMES)[0]
    assert (first.name, first.kind, first.missing_now) == ("steady", "missing", 1.0)
    assert first.significant


def test_an_empty_period_is_not_an_error() -> None:
    empty = period(0).slice(0, 0)
    assert {column.p_value for column in drift(empty, period(1), NAMES)} == {None}


def test_nan_is_missing() -> None:
    before = pa.table({"x": [1.0, 2.0, 3.0, 4.0]})
    (column,) = drift(before, pa.table({"x": [1.0, float("nan")]}), ["x"])
    assert column.missing_now == 0.5


def test_shares_of_classes() -> None:
    before = {"correct": 900.0, "asr": 50.0, "nlu": 50.0}
    index, classes = class_drift(before, {"correct": 800.0, "asr": 150.0, "nlu": 50.0})
    by_name = {column.name: column for column in classes}
    assert index > 0.05
    assert by_name["asr"].q_value is not None
    assert by_name["asr"].q_value < 1e-6
    assert by_name["nlu"].distance == 0.0
    assert by_name["er"].p_value is None
    assert class_drift(before, before)[0] == pytest.approx(0.0)
    assert class_drift({}, before) == (0.0, [])


def test_signals_logged_per_assistant(scored_store: Store) -> None:
    with scored_store.snapshot() as snapshot:
        every = days(snapshot, Filter())
        table = logged(snapshot, Filter(), every)
        turns = snapshot.counts()["turns"]
        some = logged(snapshot, Filter(assistant=("car",)), every).to_pylist()
        values = signal_values(snapshot, Filter(), most=20)
    missing = missing_shares(table)
    assert missing["car", "asr.confidence"] == missing["car", "asr.signal.snr"] == 0.0
    assert 0 < missing["car", "nlu.confidence"] < 1
    total = sum(row["turns"] for row in table.to_pylist() if row["signal"] == "asr.confidence")
    assert total == turns
    assert {row["assistant"] for row in some} == {"car"}
    assert values.num_rows == 20
    assert values["asr.confidence"].null_count == 0
