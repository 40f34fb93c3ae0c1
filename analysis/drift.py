"""Drift: whether signals, or the shares of the classes, are not what they were.

Each column of a table is compared with the same column of a reference period, by how large the
difference is (population stability index) and by whether it could be chance (a test, corrected
over all columns).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
# Categories beyond the commonest are one.
_MOST = 20
Kind = Literal["number", "text", "missing"]


@dataclass(frozen=True, slots=True)
class Drift:
    """One column, now against then.

    Attributes
    ----------
    kind: ``missing`` where a column is compared by whether it is logged at all.
    psi: population stability index, missing being a value of its own.
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
        """Whether the change is no chance, and large enough to be told."""
        return self.q_value is not None and self.q_value <= 0.05 and self.psi >= NOTICEABLE


def drift(before: pa.Table, now: pa.Table, names: Sequence[str]) -> list[Drift]:
    """The columns `names` of two tables compared, the largest index first.

    Numbers: two-sample Kolmogorov-Smirnov test, and chi-square for whether there is a value; texts:
    chi-square, missing being a category. Turns count
    as independent, so a test errs towards seeing drift where dialogues are long: read it with the
    index. A column without a value on one side is compared by whether it is missing.
    """
    found = [_compare(name, before[name], now[name]) for name in names]
    tested = [at for at, one in enumerate(found) if one.p_value is not None]
    if tested:
        q_values = stats.false_discovery_control([found[at].p_value for at in tested])
        for at, q_value in zip(tested, q_values, strict=True):
            one = found[at]
            found[at] = Drift(
                one.name,
                one.kind,
                one.psi,
                one.distance,
                one.p_value,
                float(q_value),
                one.missing_before,
                one.missing_now,
            )
    return sorted(found, key=lambda one: (-one.psi, one.name))


def class_drift(before: dict[str, float], now: dict[str, float]) -> tuple[float, list[Drift]]:
    """Drift of the classes' shares, from turns per class in two periods.

    Returns the index over all classes, and per class, in pipeline order, its own part of it with
    the test of its share (chi-square, two by two; Benjamini–Hochberg).
    """
    left = np.array([before.get(name, 0.0) for name in FAILURE_POINTS])
    right = np.array([now.get(name, 0.0) for name in FAILURE_POINTS])
    if not left.sum() or not right.sum():
        return 0.0, []
    found = []
    for place, name in enumerate(FAILURE_POINTS):
        one = np.array([left[place], left.sum() - left[place]])
        other = np.array([right[place], right.sum() - right[place]])
        found.append(
            Drift(name, "text", _psi(one, other), *_categories(one, other), None, 0.0, 0.0)
        )
    known = [one.p_value for one in found if one.p_value is not None]
    q_values = iter(stats.false_discovery_control(known) if known else ())
    classes = [
        Drift(
            one.name, one.kind, one.psi, one.distance, one.p_value,
            None if one.p_value is None else float(next(q_values)), 0.0, 0.0,
        )
        for one in found
    ]  # fmt: skip
    return _psi(left, right), classes


def _compare(name: str, before: Any, now: Any) -> Drift:
    before, now = (_without_nan(column) for column in (before, now))
    shares = [c.null_count / len(c) if len(c) else 1.0 for c in (before, now)]
    lost = [np.array([c.null_count, len(c) - c.null_count], float) for c in (before, now)]
    if 1.0 in shares:
        tested: tuple[float, float | None] = (0.0, None)
        if len(before) and len(now):
            tested = _categories(*lost)
        psi = _psi(*lost) if len(before) and len(now) else 0.0
        return Drift(name, "missing", psi, *tested, None, *shares)
    if pa.types.is_string(before.type) or pa.types.is_dictionary(before.type):
        counts = _counts(before, now)
        with_missing = [np.r_[count, one[0]] for count, one in zip(counts, lost, strict=True)]
        tested = _categories(*with_missing)
        return Drift(name, "text", _psi(*with_missing), *tested, None, *shares)
    left, right = (c.drop_null().to_numpy().astype(float) for c in (before, now))
    # Bins of equal shares of the reference; equal edges fall together.
    edges = np.unique(np.quantile(left, np.linspace(0, 1, _BINS + 1)[1:-1]))
    binned = [
        np.bincount(np.searchsorted(edges, side, "right"), minlength=len(edges) + 1)
        for side in (left, right)
    ]
    with_missing = [np.r_[count, one[0]] for count, one in zip(binned, lost, strict=True)]
    test: Any = stats.ks_2samp(left, right, method="asymp")
    p_value, logged = float(test.pvalue), _categories(*lost)[1]
    if logged is not None:
        # Two ways to differ, the values and whether there are any: Bonferroni over both.
        p_value = min(1.0, 2 * min(p_value, logged))
    psi = _psi(*with_missing)
    return Drift(name, "number", psi, float(test.statistic), p_value, None, *shares)


def _without_nan(column: Any) -> Any:
    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)


def _counts(before: Any, now: Any) -> tuple[np.ndarray, np.ndarray]:
    """Turns per category on both sides, the commonest of both together, then all others."""
    sides = []
    for column in (before, now):
        counted = column.cast(pa.string()).drop_null().value_counts().to_pylist()
        sides.append({row["values"]: row["counts"] for row in counted})
    both = {text: sides[0].get(text, 0) + sides[1].get(text, 0) for text in {*sides[0], *sides[1]}}
    named = sorted(both, key=lambda text: (-both[text], text))
    rows = [np.array([side.get(text, 0) for text in named], float) for side in sides]
    left, right = (np.r_[row[:_MOST], row[_MOST:].sum()] for row in rows)
    kept = (left + right) > 0
    return left[kept], right[kept]


def _psi(before: np.ndarray, now: np.ndarray) -> float:
    """Sum of (b - a) ln(b / a) over shares; half a turn is added to each, as a bin may be empty."""
    kept = (before + now) > 0
    one, other = before[kept] + 0.5, now[kept] + 0.5
    one, other = one / one.sum(), other / other.sum()
    return float(((other - one) * np.log(other / one)).sum())


def _categories(before: np.ndarray, now: np.ndarray) -> tuple[float, float | None]:
    """Total variation distance, and the p-value of the chi-square test of equal shares."""
    kept = (before + now) > 0
    one, other = before[kept], now[kept]
    distance = float(np.abs(one / one.sum() - other / other.sum()).sum() / 2)
    if len(one) < 2:
        return distance, None
    return distance, float(stats.chi2_contingency(np.stack([one, other])).pvalue)
