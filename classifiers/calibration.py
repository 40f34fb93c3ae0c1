"""From the booster's scores to probabilities that mean what they say, and to a verdict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

_EPS = 1e-6
_RESAMPLES = 15


def _logit(p: np.ndarray) -> np.ndarray:
    clipped = np.clip(p, _EPS, 1 - _EPS)
    value: np.ndarray = np.log(clipped / (1 - clipped))
    return value


@dataclass(frozen=True, slots=True)
class Calibration:
    """Platt scaling of each class against the rest, then scaled to sum to one.

    Platt 1999, "Probabilistic outputs for support vector machines", eq. 1, on the log-odds;
    one-against-rest and normalisation as in Zadrozny & Elkan 2002. Two numbers a class also fit
    classes of a few dozen turns, where isotonic regression would memorise.
    """

    slope: np.ndarray
    offset: np.ndarray

    @classmethod
    def fit(cls, probability: np.ndarray, target: np.ndarray) -> Calibration:
        """From out-of-fold probabilities (n, k) and class numbers (n,)."""
        k = probability.shape[1]
        slope, offset = np.ones(k), np.zeros(k)
        for i in range(k):
            hit = target == i
            if 0 < hit.sum() < len(hit):
                model = LogisticRegression(C=100.0).fit(_logit(probability[:, [i]]), hit)
                # A negative slope would turn the class's order upside down: noise of a tiny class.
                if model.coef_[0, 0] > 0:
                    slope[i], offset[i] = model.coef_[0, 0], model.intercept_[0]
        return cls(slope, offset)

    def apply(self, probability: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, rows summing to one."""
        scaled = 1 / (1 + np.exp(-(self.slope * _logit(probability) + self.offset)))
        value: np.ndarray = scaled / scaled.sum(axis=1, keepdims=True)
        return value


def decide(probability: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Class number per row: the largest weighted probability."""
    verdict: np.ndarray = (probability * weights).argmax(axis=1)
    return verdict


def fit_weights(
    probability: np.ndarray, target: np.ndarray, group: np.ndarray, seed: int = 0
) -> np.ndarray:
    """Weights per class that make `decide` reach the best macro-F1 on out-of-fold probabilities.

    The plain maximum favours the majority ("correct") so much that rare stages are hardly ever
    named. For F1 averaged over classes the optimal rule is a weighted maximum of the probabilities
    (Narasimhan et al. 2015, "Consistent multiclass algorithms for complex performance measures",
    thm. 12). The best weights of a class with a few dozen turns are mostly luck, so they are found
    on resamples of whole groups and averaged (bagging; Breiman 1996), on the logarithmic scale.

    Parameters
    ----------
    probability: (n, k). target: class numbers (n,). group: what must be drawn together (n,).
    """
    _, number = np.unique(group, return_inverse=True)
    groups = int(number.max()) + 1
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(_RESAMPLES):
        drawn = np.bincount(generator.integers(0, groups, groups), minlength=groups)
        weights = _best_weights(probability, target, drawn[number].astype(float))
        found.append(np.log(weights / weights[-1]))
    logs: np.ndarray = np.mean(found, axis=0)
    value: np.ndarray = np.exp(logs - logs.max())
    return value


def _best_weights(probability: np.ndarray, target: np.ndarray, times: np.ndarray) -> np.ndarray:
    """By coordinate ascent on a logarithmic grid; turn i counts `times[i]` times."""
    drawn = times > 0
    probability, target, times = probability[drawn], target[drawn], times[drawn]
    weights = np.ones(probability.shape[1])
    best = _macro_f1(probability, target, times, weights)
    for steps in (np.linspace(-1.6, 1.6, 17), np.linspace(-0.3, 0.3, 7)):
        for _ in range(3):
            before = best
            for i in range(len(weights)):
                for factor in np.exp(steps):
                    trial = weights.copy()
                    trial[i] *= factor
                    score = _macro_f1(probability, target, times, trial)
                    if score > best + 1e-6:
                        best, weights = score, trial
            if best - before < 1e-4:
                break
    return weights


def _macro_f1(
    probability: np.ndarray, target: np.ndarray, times: np.ndarray, weights: np.ndarray
) -> float:
    verdict = decide(probability, weights)
    k = probability.shape[1]
    table = np.bincount(target * k + verdict, times, minlength=k * k).reshape(k, k)
    f1 = 2 * np.diag(table) / np.maximum(table.sum(0) + table.sum(1), 1)
    return float(f1.mean())


def expected_calibration_error(probability: np.ndarray, hit: np.ndarray, bins: int = 15) -> float:
    """Mean distance between what is said and what happens, over bins of equal count.

    Naeini et al. 2015, eq. 1, with equal-mass bins (Nixon et al. 2019), which small samples can
    fill.
    """
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, min(bins, len(order))) if len(part)]
    gaps = [abs(probability[part].mean() - hit[part].mean()) * len(part) for part in parts]
    return float(sum(gaps) / max(len(order), 1))
