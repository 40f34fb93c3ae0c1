"""Drift: whether the distribution of signals, or the shares of the classes, have changed.

Each column of a table is compared with the same column of a reference period, by how large the
difference is (population stability index) and by whether it could be chance (a test, corrected
over all columns).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats

from data.schema.trace import FAILURE_POINTS

# Usual reading of the index (Siddiqi 2006, Credit Risk Scorecards): below 0.1 stable, above 0.25
# shifted.
NOTICEABLE, LARGE = 0.1, 0.25
_BINS = 10
# Categories beyond this many, the commonest first, are counted as one.
_MOST = 20
Kind = Literal["number", "text", "missing"]


@dataclass(frozen=True, slots=True)
class Drift:
    """One column compared with the reference period.

    Attributes
    ----------
    kind: ``missing`` where a column is compared by whether it is logged at all.
    psi: population stability index; missing counts as a value of its own.
    distance: Kolmogorov-Smirnov distance of numbers, total variation of categories; 0 to 1.
    p_value, q_value: of the distance; q is Benjamini–Hochberg over all columns. None where there
    is nothing to test.
    missing_before, missing_now: shares of turns without a value.
    """

    name: str
    kind: Kind
    psi: float
    distance: float
    p_value: float | None
    q_value: float | None
    missing_before: float
    missing_now: float

    @property
    def significant(self) -> bool:
        """Whether the change is unlikely to be chance and large enough to report."""
        return self.q_value is not None and self.q_value <= 0.05 and self.psi >= NOTICEABLE


def drift(before: pa.Table, now: pa.Table, names: Sequence[str]) -> list[Drift]:
    """The columns `names` of two tables compared, the largest index first.

    Numbers: two-sample Kolmogorov-Smirnov test, and chi-square for whether there is a value;
    texts: chi-square, with missing as a category. Turns count as independent, so the tests report
    too much drift where dialogues are long: read them with the index. A column without any value
    on one side is compared by whether it is missing.
    """
    columns = _with_q_values([_compare(name, before[name], now[name]) for name in names])
    return sorted(columns, key=lambda column: (-column.psi, column.name))


def _with_q_values(columns: list[Drift]) -> list[Drift]:
    """The same columns in the same order, with Benjamini–Hochberg q-values of all their tests."""
    p_values = [column.p_value for column in columns if column.p_value is not None]
    q_values = iter(stats.false_discovery_control(p_values) if p_values else ())
    return [
        column if column.p_value is None else replace(column, q_value=float(next(q_values)))
        for column in columns
    ]


def class_drift(before: dict[str, float], now: dict[str, float]) -> tuple[float, list[Drift]]:
    """Drift of the shares of the classes, from turns per class in two periods.

    Returns the index over all classes, and for each class, in pipeline order, the index of this
    class against all others with the test of its share (chi-square, two by two;
    Benjamini–Hochberg). Returns (0.0, []) if a period has no turns.
    """
    left = np.array([before.get(name, 0.0) for name in FAILURE_POINTS])
    right = np.array([now.get(name, 0.0) for name in FAILURE_POINTS])
    if not left.sum() or not right.sum():
        return 0.0, []
    classes = []
    for position, name in enumerate(FAILURE_POINTS):
        counts_before = np.array([left[position], left.sum() - left[position]])
        counts_now = np.array([right[position], right.sum() - right[position]])
        test = _categories(counts_before, counts_now)
        psi = _psi(counts_before, counts_now)
        classes.append(Drift(name, "text", psi, *test, None, 0.0, 0.0))
    return _psi(left, right), _with_q_values(classes)


def _compare(name: str, before: Any, now: Any) -> Drift:
    before, now = (_without_nan(column) for column in (before, now))
    shares = [c.null_count / len(c) if len(c) else 1.0 for c in (before, now)]
    # Turns without and with a value, on each side.
    logged = [np.array([c.null_count, len(c) - c.null_count], float) for c in (before, now)]
    if 1.0 in shares:
        tested: tuple[float, float | None] = (0.0, None)
        if len(before) and len(now):
            tested = _categories(*logged)
        psi = _psi(*logged) if len(before) and len(now) else 0.0
        return Drift(name, "missing", psi, *tested, None, *shares)
    if pa.types.is_string(before.type) or pa.types.is_dictionary(before.type):
        counts = _counts(before, now)
        with_missing = [np.r_[count, pair[0]] for count, pair in zip(counts, logged, strict=True)]
        tested = _categories(*with_missing)
        return Drift(name, "text", _psi(*with_missing), *tested, None, *shares)
    left, right = (c.drop_null().to_numpy().astype(float) for c in (before, now))
    # Bins of equal shares of the reference; equal edges are merged.
    edges = np.unique(np.quantile(left, np.linspace(0, 1, _BINS + 1)[1:-1]))
    binned = [
        np.bincount(np.searchsorted(edges, side, "right"), minlength=len(edges) + 1)
        for side in (left, right)
    ]
    with_missing = [np.r_[count, pair[0]] for count, pair in zip(binned, logged, strict=True)]
    test: Any = stats.ks_2samp(left, right, method="asymp")
    p_value, p_logged = float(test.pvalue), _categories(*logged)[1]
    if p_logged is not None:
        # Two ways to differ, the values and whether there are any: Bonferroni over both.
        p_value = min(1.0, 2 * min(p_value, p_logged))
    psi = _psi(*with_missing)
    return Drift(name, "number", psi, float(test.statistic), p_value, None, *shares)


def _without_nan(column: Any) -> Any:
    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)


def _counts(before: Any, now: Any) -> tuple[np.ndarray, np.ndarray]:
    """Turns per category on both sides, the commonest of both together first, then all others."""
    sides = []
    for column in (before, now):
        counted = column.cast(pa.string()).drop_null().value_counts().to_pylist()
        sides.append({row["values"]: row["counts"] for row in counted})
    both = {text: sides[0].get(text, 0) + sides[1].get(text, 0) for text in {*sides[0], *sides[1]}}
    named = sorted(both, key=lambda text: (-both[text], text))
    rows = [np.array([side.get(text, 0) for text in named], float) for side in sides]
    left, right = (np.r_[row[:_MOST], row[_MOST:].sum()] for row in rows)
    present = (left + right) > 0
    return left[present], right[present]


def _psi(before: np.ndarray, now: np.ndarray) -> float:
    """Sum of (b - a) ln(b / a) over shares; half a turn is added to each, as a bin may be empty."""
    present = (before + now) > 0
    a, b = before[present] + 0.5, now[present] + 0.5
    a, b = a / a.sum(), b / b.sum()
    return float(((b - a) * np.log(b / a)).sum())


def _categories(before: np.ndarray, now: np.ndarray) -> tuple[float, float | None]:
    """Total variation distance, and the p-value of the chi-square test of equal shares."""
    present = (before + now) > 0
    left, right = before[present], now[present]
    distance = float(np.abs(left / left.sum() - right / right.sum()).sum() / 2)
    if len(left) < 2:
        return distance, None
    return distance, float(stats.chi2_contingency(np.stack([left, right])).pvalue)
