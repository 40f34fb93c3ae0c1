"""What moved: the stage × dimension cells whose failure rate changed most between two periods.

A cell is a failure point and a value of a dimension. Both periods' rates are mean probabilities;
their difference is tested with the variance that the days themselves show (a ratio estimator over
clusters of one day each, as in Cochran 1977, section 6.3): dialogues, which lie within a day, and
days of different moods are then in it, whatever they are. With few days that variance is known
badly, so no cell's dispersion is taken to be below that of its dimension's cells together.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit
from scipy.stats import false_discovery_control

from analysis.arrays import (
    codes,
    matrix,
    need,
    ratio,
    sums,
)
from data.errors import UsageError
from data.schema.tables import DIMENSIONS
from data.schema.trace import FAILURES, schema

Array = NDArray[np.float64]

# Fewer turns in either period, or fewer failed turns in both, are not compared.
TURNS = 30
FAILED = 5.0

SCHEMA = schema(
    [
        ("failure_point", pa.string()),
        ("dimension", pa.string()),
        ("value", pa.string()),
        ("turns_before", pa.int64()),
        ("turns", pa.int64()),
        ("before", pa.float64()),
        ("after", pa.float64()),
        ("change", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("extra_turns", pa.float64()),
        ("p_value", pa.float64()),
        ("q_value", pa.float64()),
        ("significance", pa.string()),
    ]
)


@dataclass(frozen=True)
class Period:
    """Days from `since` to `until`, both included."""

    since: date
    until: date

    def rows(self, rollup: pa.Table) -> pa.Table:
        """The rows of these days."""
        day = pc.field("day")
        return rollup.filter((day >= self.since) & (day <= self.until))


def moved(rollup: pa.Table, before: Period, after: Period, q: float = 0.05) -> pa.Table:
    """The cells of which the rate changed, the most turns first; see `SCHEMA`.

    Parameters
    ----------
    rollup
        Rows of the roll-up: day, the dimensions, turns, sum_p_<class>; one model's, any filter.
    q
        The share of false discoveries to allow (Benjamini and Hochberg 1995) among all cells that
        are compared; 1 for all of these. A dimension of one value says nothing, but `assistant`,
        which then stands for all traffic.

    Returns
    -------
    Rates and `change` are shares of turns, `low` and `high` the 95 % interval of the change, and
    `extra_turns` the failed turns of the later period beyond the earlier rate.
    Raises UsageError when a period ends before it starts or the two have days in common.
    """
    if before.since > before.until or after.since > after.until or before.until >= after.since:
        raise UsageError(
            f"The periods {before.since} to {before.until} and {after.since} to {after.until} "
            "cannot be compared: give two periods of which the first ends before the second starts."
        )
    need(rollup, ["day", *DIMENSIONS])
    old, new = before.rows(rollup), after.rows(rollup)
    rows = pa.concat_tables([old, new])
    later = np.arange(rows.num_rows) >= old.num_rows
    cells = [_cells(rows, later, name) for name in DIMENSIONS] if rows.num_rows else []
    table = pa.concat_tables([SCHEMA.empty_table(), *cells])
    if not table.num_rows:
        return table
    adjusted = false_discovery_control(table["p_value"].to_numpy())
    words = pa.array([significance(float(value)) for value in adjusted])
    for name, column in (("q_value", pa.array(adjusted)), ("significance", words)):
        table = table.set_column(SCHEMA.get_field_index(name), name, column)
    table = table.filter(pc.field("q_value") <= q)
    largest = np.argsort(-np.abs(table["extra_turns"].to_numpy()), kind="stable")
    return table.take(largest)


def significance(q: float) -> str:
    """How sure one can be of a change, in words."""
    if q <= 0.001:
        return "almost certainly real"
    if q <= 0.01:
        return "very likely real"
    if q <= 0.05:
        return "likely real"
    if q <= 0.2:
        return "perhaps real"
    return "may be chance"


def _cells(rows: pa.Table, later: NDArray[np.bool_], name: str) -> pa.Table:
    """All cells of one dimension that have turns enough in both periods."""
    value, names = codes(rows, [name])
    size = names.num_rows
    cluster, at = codes(rows.select(["day"]).append_column("value", pa.array(value)),
                        ["day", "value"])  # fmt: skip
    group = at["value"].to_numpy() + size * _later(at, rows, later)
    turns = sums(matrix(rows, ["turns"]), cluster, at.num_rows)
    total = sums(matrix(rows, [f"sum_p_{point}" for point in FAILURES]), cluster, at.num_rows)
    n = sums(turns, group, 2 * size)
    rate = ratio(sums(total, group, 2 * size), n)
    days = np.bincount(group, minlength=2 * size)[:, None].astype(np.float64)
    # Squared residuals of the days, against what Poisson counts would have.
    squared = sums((total - turns * rate[group]) ** 2, group, 2 * size)
    freedom = np.maximum(days[:size] + days[size:] - 2, 1)
    expected = n * rate
    spread = ratio(squared[:size] + squared[size:], expected[:size] + expected[size:])
    spread *= (freedom + 2) / freedom
    shared = ratio(squared.sum(0), expected.sum(0)) * (freedom.sum() + 2 * size) / freedom.sum()
    spread = np.maximum(spread, shared)
    pooled = ratio(expected[:size] + expected[size:], n[:size] + n[size:])
    # Under no change both periods have the pooled rate; the interval takes each one's own.
    null = np.sqrt(spread * pooled * (ratio(1.0, n[:size]) + ratio(1.0, n[size:])))
    own = np.sqrt(spread * (ratio(rate[:size], n[:size]) + ratio(rate[size:], n[size:])))
    change = rate[size:] - rate[:size]
    p = 2 * stdtr(freedom, -np.abs(ratio(change, null)))
    half = stdtrit(freedom, 0.975) * own
    enough = (np.minimum(n[:size], n[size:]) >= TURNS) & (
        expected[:size] + expected[size:] >= FAILED
    )
    # A dimension of one value only repeats all traffic; the assistant speaks for it.
    if size == 1 and name != DIMENSIONS[0]:
        enough[:] = False
    cell, point = np.nonzero(enough)
    values = names[name].take(cell)

    def column(found: Array) -> Array:
        return np.broadcast_to(found, change.shape)[cell, point]

    columns: dict[str, Any] = {
        "failure_point": pa.array([FAILURES[place] for place in point], pa.string()),
        "dimension": pa.array([name] * len(values), pa.string()),
        "value": values,
        "turns_before": pa.array(column(n[:size]).astype(np.int64)),
        "turns": pa.array(column(n[size:]).astype(np.int64)),
        "before": pa.array(column(rate[:size])),
        "after": pa.array(column(rate[size:])),
        "change": pa.array(column(change)),
        "low": pa.array(column(change - half)),
        "high": pa.array(column(change + half)),
        "extra_turns": pa.array(column(change * n[size:])),
        "p_value": pa.array(column(p)),
        "q_value": pa.array(column(p)),
        "significance": pa.array([""] * len(values), pa.string()),
    }
    return pa.table(columns, SCHEMA)


def _later(at: pa.Table, rows: pa.Table, later: NDArray[np.bool_]) -> NDArray[np.int64]:
    """1 for the clusters of the later period."""
    first = rows.filter(pa.array(later))["day"]
    if not len(first):
        return np.zeros(at.num_rows, np.int64)
    return np.asarray(pc.greater_equal(at["day"], pc.min(first)).to_numpy()).astype(np.int64)
