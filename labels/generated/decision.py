"""From scores to decisions: splits by dialogue, calibration, thresholds and figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

_EPS = 1e-6


def fold_of(dialogue: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Number of the fold, from 0 to k - 1, of each turn (n,): that of its dialogue."""
    d = int(dialogue.max(initial=-1)) + 1
    assigned = np.random.default_rng(seed).permutation(d) % k
    folds: np.ndarray = assigned[dialogue]
    return folds


def log_odds(p: np.ndarray) -> np.ndarray:
    """Of probabilities, clipped away from 0 and 1."""
    clipped = np.clip(p, _EPS, 1 - _EPS)
    value: np.ndarray = np.log(clipped / (1 - clipped))
    return value


def blend(probabilities: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> np.ndarray:
    """The weighted mean of the log-odds of several candidates, as a probability (n,)."""
    odds = sum(weights[name] * log_odds(p) for name, p in probabilities.items())
    value: np.ndarray = 1 / (1 + np.exp(-odds))
    return value


@dataclass(frozen=True, slots=True)
class Scale:
    """Platt scaling (Platt 1999, eq. 1) of the log-odds of a score."""

    slope: float = 1.0
    offset: float = 0.0

    @classmethod
    def fit(cls, p: np.ndarray, target: np.ndarray) -> Scale:
        """Fit to out-of-fold probabilities (n,) and classes 0 and 1 (n,)."""
        if not 0 < target.sum() < len(target):
            return cls()
        model = LogisticRegression(C=100.0).fit(log_odds(p)[:, None], target.astype(int))
        slope = float(model.coef_[0, 0])
        # Falling with the score is noise of a tiny class; it would reverse the order.
        return cls(slope, float(model.intercept_[0])) if slope > 0 else cls()

    def apply(self, p: np.ndarray) -> np.ndarray:
        """Calibrated probabilities (n,)."""
        value: np.ndarray = 1 / (1 + np.exp(-(self.slope * log_odds(p) + self.offset)))
        return value


def best_threshold(target: np.ndarray, p: np.ndarray) -> tuple[float, float]:
    """Threshold with the highest F1 of "p is at least that", and the F1.

    Half way between two neighbouring scores, so that rounding moves none across it; 0.5 and F1 0
    where there is no row of class 1.
    """
    if not target.sum():
        return 0.5, 0.0
    precision, recall, thresholds = precision_recall_curve(target, p)
    f1 = 2 * precision * recall / np.maximum(precision + recall, _EPS)
    best = int(f1[:-1].argmax())
    below = p[p < thresholds[best]]
    other = below.max() if len(below) else 0.0
    return float((thresholds[best] + other) / 2), float(f1[best])


def figures(target: np.ndarray, p: np.ndarray) -> dict[str, float]:
    """F1 at the best threshold, average precision, area under ROC, and calibration error."""
    threshold, f1 = best_threshold(target, p)
    both = 0 < target.sum() < len(target)
    return {
        "rows": len(target),
        "share": float(target.mean()) if len(target) else float("nan"),
        "f1": f1,
        "threshold": threshold,
        "average_precision": float(average_precision_score(target, p)) if both else float("nan"),
        "auc": float(roc_auc_score(target, p)) if both else float("nan"),
        "calibration_error": calibration_error(target, p),
    }


def calibration_error(target: np.ndarray, p: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error with bins of equal counts (Naeini et al. 2015)."""
    if not len(p):
        return float("nan")
    parts = np.array_split(np.argsort(p, kind="stable"), min(bins, len(p)))
    return float(sum(len(r) * abs(p[r].mean() - target[r].mean()) for r in parts) / len(p))
