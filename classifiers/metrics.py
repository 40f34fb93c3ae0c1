"""Metrics of verdicts and probabilities: F1, accuracy, calibration errors, their intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

from classifiers.calibration import decide, expected_calibration_error

Interval = tuple[float, float]


def _table(target: np.ndarray, verdict: np.ndarray, k: int) -> np.ndarray:
    table: np.ndarray = np.bincount(target * k + verdict, minlength=k * k).reshape(k, k)
    return table


def _rates(table: np.ndarray) -> dict[str, np.ndarray]:
    hit, predicted, actual = np.diag(table), table.sum(0), table.sum(1)
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
        content["defect_average_precision"] = (
            float(average_precision_score(hit, defect)) if hit.any() else None
        )
        content["defect_calibration_error"] = expected_calibration_error(defect, hit)
    return content


def bootstrap(
    target: np.ndarray,
    verdict: np.ndarray,
    group: np.ndarray,
    classes: tuple[str, ...],
    *,
    seed: int,
    draws: int = 500,
) -> dict[str, Any]:
    """95 % percentile intervals of macro-F1, accuracy and per-class rates, resampling whole groups.

    Turns of one dialogue are not independent, so dialogues are resampled, not turns (cluster
    bootstrap, Field & Welsh 2007). `group` is the group of each turn (n,).
    """
    k = len(classes)
    _, number = np.unique(group, return_inverse=True)
    n = int(number.max()) + 1
    tables = np.zeros((n, k * k))
    np.add.at(tables, (number, target * k + verdict), 1)
    generator = np.random.default_rng(seed)
    samples: dict[str, list[Any]] = {"macro_f1": [], "accuracy": []}
    per_class: dict[str, list[np.ndarray]] = {"precision": [], "recall": [], "f1": []}
    for _ in range(draws):
        counts = np.bincount(generator.integers(0, n, n), minlength=n)
        table = (counts @ tables).reshape(k, k)
        rates = _rates(table)
        present = table.sum(1) > 0
        samples["macro_f1"].append(rates["f1"][present].mean())
        samples["accuracy"].append(np.diag(table).sum() / table.sum())
        for key, values in rates.items():
            per_class[key].append(values)

    def interval(values: Any) -> Interval:
        low, high = np.percentile(values, [2.5, 97.5])
        return float(low), float(high)

    return {
        **{key: interval(values) for key, values in samples.items()},
        "classes": {
            name: {key: interval([v[i] for v in values]) for key, values in per_class.items()}
            for i, name in enumerate(classes)
        },
    }
