"""Metrics of verdicts and probabilities: F1, accuracy, calibration errors, their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from classifiers.calibration import decide, equal_bins, expected_calibration_error

Interval = tuple[float, float]
# Resamples worked out together: more would only take memory.
_AT_ONCE = 50
_RATES = ("precision", "recall", "f1")


def _table(target: np.ndarray, verdict: np.ndarray, k: int) -> np.ndarray:
    table: np.ndarray = np.bincount(target * k + verdict, minlength=k * k).reshape(k, k)
    return table


def _rates(table: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall and F1 (…, k) of confusion tables (…, k, k) of truth and verdict."""
    hit = np.diagonal(table, axis1=-2, axis2=-1)
    predicted, actual = table.sum(-2), table.sum(-1)
    return {
        "precision": hit / np.maximum(predicted, 1),
        "recall": hit / np.maximum(actual, 1),
        "f1": 2 * hit / np.maximum(predicted + actual, 1),
    }


def macro_f1(table: np.ndarray) -> float:
    """F1 averaged over the classes that occur as truth in a confusion table (truth, verdict)."""
    present = table.sum(1) > 0
    return float(_rates(table)["f1"][present].mean()) if present.any() else 0.0


def summary(
    probability: np.ndarray,
    target: np.ndarray,
    weights: np.ndarray | None,
    classes: tuple[str, ...],
    verdict: np.ndarray | None = None,
) -> dict[str, Any]:
    """Macro-F1, accuracy, per-class rates, average precision of "defect" and calibration errors.

    Parameters
    ----------
    probability: calibrated, (n, k). target: class numbers (n,). classes: k names.
    weights: decision weights (k,), or None where `verdict` (class numbers) is passed instead.

    Returns
    -------
    ``turns``, ``macro_f1``, ``accuracy``, ``classes`` (per class ``precision``, ``recall``, ``f1``,
    ``support``, ``calibration_error``), ``confusion`` (truth, verdict); and if `classes` has
    "correct", ``defect_average_precision`` (None without defects), ``defect_calibration_error``.
    """
    k = len(classes)
    if verdict is None:
        verdict = decide(probability, np.ones(k) if weights is None else weights)
    table = _table(target, verdict, k)
    rates = _rates(table)
    present = table.sum(1) > 0
    content: dict[str, Any] = {
        "turns": len(target),
        "macro_f1": float(rates["f1"][present].mean()),
        "accuracy": float((target == verdict).mean()),
        "classes": {
            name: {
                **{key: float(values[i]) for key, values in rates.items()},
                "support": int(table[i].sum()),
                "calibration_error": expected_calibration_error(probability[:, i], target == i),
            }
            for i, name in enumerate(classes)
        },
        "confusion": table.tolist(),
    }
    if "correct" in classes:
        defect = 1 - probability[:, classes.index("correct")]
        hit = target != classes.index("correct")
        once = np.ones((1, len(hit)))
        content["defect_average_precision"] = (
            float(average_precisions(hit, defect, once)[0]) if hit.any() else None
        )
        content["defect_calibration_error"] = expected_calibration_error(defect, hit)
    return content


def resamples(groups: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """How often each group occurs in each bootstrap resample: (draws, groups) in parts of rows.

    Turns of one dialogue are not independent, so dialogues are resampled, not turns (cluster
    bootstrap: Field & Welsh 2007).
    """
    generator = np.random.default_rng(seed)
    for first in range(0, draws, _AT_ONCE):
        yield np.stack(
            [
                np.bincount(generator.integers(0, groups, groups), minlength=groups)
                for _ in range(min(_AT_ONCE, draws - first))
            ]
        )


def average_precisions(hit: np.ndarray, score: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Average precision (draws,) of n turns, turn i counting `times[draw, i]` times in each draw.

    The sum of precision times the step in recall over the distinct values of `score`, as in
    `sklearn.metrics.average_precision_score`; NaN in a draw without a hit. `hit`: whether a turn is
    of the class (n,). `score`: (n,). `times`: (draws, n).
    """
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    # Turns of equal score are flagged together.
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    counted = times[:, order].astype(np.float64)
    flagged = np.cumsum(counted, axis=1)[:, last]
    right = np.cumsum(counted * hit[order], axis=1)[:, last]
    precision = right / np.maximum(flagged, 1)
    total = right[:, -1]
    summed: np.ndarray = (precision * np.diff(right, axis=1, prepend=0.0)).sum(axis=1)
    return np.where(total > 0, summed / np.maximum(total, 1), np.nan)


def average_precision_interval(
    hit: np.ndarray, score: np.ndarray, group: np.ndarray, *, seed: int = 0, draws: int = 500
) -> Interval:
    """95 % interval of the average precision of n turns, resampling whole groups (n,)."""
    _, number = np.unique(group, return_inverse=True)
    parts = resamples(int(number.max()) + 1, draws, seed)
    return percentiles(
        np.concatenate([average_precisions(hit, score, times[:, number]) for times in parts])
    )


def percentiles(values: np.ndarray) -> Interval:
    """95 % percentile interval of resampled values; a resample without a value (NaN) is left out.

    (NaN, NaN) where no resample has one.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)


def bootstrap(
    target: np.ndarray,
    verdict: np.ndarray,
    group: np.ndarray,
    classes: tuple[str, ...],
    *,
    seed: int,
    draws: int = 500,
    probability: np.ndarray | None = None,
) -> dict[str, Any]:
    """95 % percentile intervals of the figures of `summary`, resampling whole groups.

    Parameters
    ----------
    target, verdict: class numbers (n,). group: the group (dialogue) of each turn (n,).
    probability: calibrated, (n, k); without it, average precision and calibration errors, which
        follow from probabilities, have no interval.

    Returns
    -------
    Pairs under the keys of `summary`: ``macro_f1``, ``accuracy``, ``classes`` (per class
    ``precision``, ``recall``, ``f1``, ``calibration_error``), ``defect_average_precision``,
    ``defect_calibration_error``. A class that a resample lacks is not part of its macro-F1.
    """
    k = len(classes)
    _, number = np.unique(group, return_inverse=True)
    n = int(number.max()) + 1
    tables = np.zeros((n, k * k))
    np.add.at(tables, (number, target * k + verdict), 1)
    defect = None
    errors: list[_CalibrationErrors] = []
    if probability is not None:
        errors = [_CalibrationErrors.of(probability[:, i], target == i, number) for i in range(k)]
        if "correct" in classes:
            correct = classes.index("correct")
            defect = (target != correct, 1 - probability[:, correct])
            errors.append(_CalibrationErrors.of(defect[1], defect[0], number))
    parts: list[dict[str, np.ndarray]] = []
    for times in resamples(n, draws, seed):
        table = (times @ tables).reshape(-1, k, k)
        rates = _rates(table)
        present = table.sum(2) > 0
        part = {
            "macro_f1": (rates["f1"] * present).sum(1) / present.sum(1),
            "accuracy": np.trace(table, axis1=1, axis2=2) / table.sum((1, 2)),
            **rates,
        }
        if errors:
            part["errors"] = np.stack([error.resampled(times) for error in errors], axis=1)
        if defect is not None:
            part["average_precision"] = average_precisions(*defect, times[:, number])
        parts.append(part)
    drawn = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    content: dict[str, Any] = {
        "macro_f1": percentiles(drawn["macro_f1"]),
        "accuracy": percentiles(drawn["accuracy"]),
        "classes": {
            name: {key: percentiles(drawn[key][:, i]) for key in _RATES}
            for i, name in enumerate(classes)
        },
    }
    for i, name in enumerate(classes if errors else ()):
        content["classes"][name]["calibration_error"] = errors[i].interval(drawn["errors"][:, i])
    if defect is not None:
        content["defect_average_precision"] = percentiles(drawn["average_precision"])
        content["defect_calibration_error"] = errors[k].interval(drawn["errors"][:, k])
    return content


@dataclass(frozen=True, slots=True)
class _CalibrationErrors:
    """`expected_calibration_error` of one class, and that of resamples, in the bins of all turns.

    Attributes
    ----------
    gaps, turns: per group and bin (groups, bins), the sum of probability minus hit, and the turns.
    value: of all turns.
    """

    gaps: np.ndarray
    turns: np.ndarray
    value: float

    @classmethod
    def of(cls, p: np.ndarray, hit: np.ndarray, group: np.ndarray) -> _CalibrationErrors:
        parts = equal_bins(p)
        shape = (int(group.max()) + 1, len(parts))
        gaps, turns = np.zeros(shape), np.zeros(shape)
        for i, rows in enumerate(parts):
            gaps[:, i] = np.bincount(group[rows], p[rows] - hit[rows], shape[0])
            turns[:, i] = np.bincount(group[rows], minlength=shape[0])
        return cls(gaps, turns, expected_calibration_error(p, hit))

    def resampled(self, times: np.ndarray) -> np.ndarray:
        gaps: np.ndarray = np.abs(times @ self.gaps).sum(1) / (times @ self.turns).sum(1)
        return gaps

    def interval(self, values: np.ndarray) -> Interval:
        """Percentiles moved so that their middle is the figure itself.

        Resampling adds noise to every bin, and a mean of absolute gaps takes noise for
        miscalibration: without this, the interval of a well calibrated model would lie above it.
        """
        low, high = percentiles(values)
        middle = float(np.median(values))
        return max(self.value + low - middle, 0.0), self.value + high - middle


def headline(folds: Mapping[str, Any], forward: Mapping[str, Any]) -> dict[str, Any]:
    """The figure to expect on later logs: the lower macro-F1 of two splits.

    `folds`, `forward`: figures with ``intervals``, of random folds and of later dialogues; those of
    the latter are absent where there is no such split. Returns ``split`` ("folds" or "forward"),
    ``macro_f1`` and ``interval``.
    """
    later = "macro_f1" in forward and forward["macro_f1"] < folds["macro_f1"]
    figures = forward if later else folds
    return {
        "split": "forward" if later else "folds",
        "macro_f1": figures["macro_f1"],
        "interval": figures["intervals"]["macro_f1"],
    }
