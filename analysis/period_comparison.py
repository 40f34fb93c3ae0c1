"""Which stage × dimension cells changed their failure rate most between two periods.

A cell is a failure point and a value of a dimension. The rates of both periods are mean
probabilities; their difference is tested with the variance observed between days (a ratio estimator
over clusters of one day each, as in Cochran 1977, section 6.3), which includes the correlation
within dialogues, as they lie within a day, and the variation from day to day. With few days that
variance is estimated poorly, so the dispersion of a cell is at least that of all cells of its
dimension together.
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

from analysis.arrays import codes, matrix, need, ratio, sums
from data.errors import UsageError
from data.schema.tables import DIMENSIONS
from data.schema.trace import FAILURES, schema

Array = NDArray[np.float64]

# Cells with fewer turns in either period, or fewer failed turns in both, are not compared.
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

    @property
    def days(self) -> int:
        """Number of days."""
        return (self.until - self.since).days + 1

    def rows(self, rollup: pa.Table) -> pa.Table:
        """The rows of these days."""
        day = pc.field("day")
        return rollup.filter((day >= self.since) & (day <= self.until))


def moved(rollup: pa.Table, before: Period, after: Period, q: float = 0.05) -> pa.Table:
    """The cells whose rate changed, the most additional or avoided failures first; see `SCHEMA`.

    Parameters
    ----------
    rollup
        Rows of the roll-up: day, the dimensions, turns, sum_p_<class>; one model's, any filter.
    q
        The false discovery rate to allow (Benjamini and Hochberg 1995) among all cells that are
        compared; 1 returns all of them. A dimension with a single value is left out, except
        `assistant`, which then stands for all traffic.

    Returns
    -------
    Rates and `change` are shares of turns, `low` and `high` the 95 % interval of the change, and
    `extra_turns` the failed turns of the later period beyond those at the earlier rate.

    Raises UsageError when a period ends before it starts or the two periods overlap.
    """
    backwards = before.since > before.until or after.since > after.until
    if backwards or (before.until >= after.since and after.until >= before.since):
        raise UsageError(
            f"The periods {before.since} to {before.until} and {after.since} to {after.until} "
            "cannot be compared; give two periods that share no day."
        )
    need(rollup, ["day", *DIMENSIONS])
    return differing(before.rows(rollup), after.rows(rollup), q)


def differing(old: pa.Table, new: pa.Table, q: float = 0.05, *, without: str = "") -> pa.Table:
    """`moved` between any two disjoint sets of turns, as those of two releases.

    They may share days. The dimension `without` is left out, as the one that tells them apart.
    """
    need(old, ["day", *DIMENSIONS])
    rows = pa.concat_tables([old, new])
    later = np.arange(rows.num_rows) >= old.num_rows
    names = [name for name in DIMENSIONS if name != without] if rows.num_rows else []
    cells = [_cells(rows, later, name) for name in names]
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
    """How certain a change with this q-value is, in words."""
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
    """All cells of one dimension that have enough turns in both periods."""
    value, names = codes(rows, [name])
    size = names.num_rows
    side = pa.array(later.astype(np.int64))
    by_day = rows.select(["day"]).append_column("value", pa.array(value))
    cluster, clusters = codes(by_day.append_column("side", side), ["day", "value", "side"])
    group = clusters["value"].to_numpy() + size * clusters["side"].to_numpy()
    turns = sums(matrix(rows, ["turns"]), cluster, clusters.num_rows)
    total = sums(matrix(rows, [f"sum_p_{point}" for point in FAILURES]), cluster, clusters.num_rows)
    n = sums(turns, group, 2 * size)
    rate = ratio(sums(total, group, 2 * size), n)
    days = np.bincount(group, minlength=2 * size)[:, None].astype(np.float64)
    # Squared residuals of the days, against those of Poisson counts.
    squared = sums((total - turns * rate[group]) ** 2, group, 2 * size)
    freedom = np.maximum(days[:size] + days[size:] - 2, 1)
    expected = n * rate
    spread = ratio(squared[:size] + squared[size:], expected[:size] + expected[size:])
    spread *= (freedom + 2) / freedom
    shared = ratio(squared.sum(0), expected.sum(0)) * (freedom.sum() + 2 * size) / freedom.sum()
    spread = np.maximum(spread, shared)
    pooled = ratio(expected[:size] + expected[size:], n[:size] + n[size:])
    # Under the null hypothesis both periods have the pooled rate; the interval uses their own.
    null = np.sqrt(spread * pooled * (ratio(1.0, n[:size]) + ratio(1.0, n[size:])))
    own = np.sqrt(spread * (ratio(rate[:size], n[:size]) + ratio(rate[size:], n[size:])))
    change = rate[size:] - rate[:size]
    p = 2 * stdtr(freedom, -np.abs(ratio(change, null)))
    half = stdtrit(freedom, 0.975) * own
    enough = (np.minimum(n[:size], n[size:]) >= TURNS) & (
        expected[:size] + expected[size:] >= FAILED
    )
    # A dimension with a single value repeats all traffic, which `assistant` stands for.
    if size == 1 and name != DIMENSIONS[0]:
        enough[:] = False
    cell, point = np.nonzero(enough)
    values = names[name].take(cell)

    def column(values: Array) -> Array:
        return np.broadcast_to(values, change.shape)[cell, point]

    columns: dict[str, Any] = {
        "failure_point": pa.array([FAILURES[code] for code in point], pa.string()),
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
