"""Calibration of the booster's probabilities, and the decision rule that gives the verdict."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import brentq
from sklearn.linear_model import LogisticRegression

_EPS = 1e-6
_RESAMPLES = 15
# Logarithm of a prior's largest factor: beyond all probabilities, and exp() stays finite.
_FARTHEST = 500.0


def _logit(p: np.ndarray) -> np.ndarray:
    clipped = np.clip(p, _EPS, 1 - _EPS)
    value: np.ndarray = np.log(clipped / (1 - clipped))
    return value


@dataclass(frozen=True, slots=True)
class Calibration:
    """Platt scaling of each class against the rest, then scaled to sum to one.

    Platt 1999, "Probabilistic outputs for support vector machines", eq. 1, on the log-odds;
    one-against-rest and normalisation as in Zadrozny & Elkan 2002. Two parameters per class can be
    fitted to a few dozen turns, where isotonic regression would overfit.

    Attributes
    ----------
    slope, offset: (k,), applied to the log-odds.
    prior: (k,), or (1,) for one: factors of the scaled probabilities, see `at_level`.
    """

    slope: np.ndarray
    offset: np.ndarray
    prior: np.ndarray = field(default_factory=lambda: np.ones(1))

    @classmethod
    def fit(cls, probability: np.ndarray, target: np.ndarray) -> Calibration:
        """Fit to out-of-fold probabilities (n, k) and class numbers (n,)."""
        k = probability.shape[1]
        slope, offset = np.ones(k), np.zeros(k)
        for i in range(k):
            hit = target == i
            if 0 < hit.sum() < len(hit):
                model = LogisticRegression(C=100.0).fit(_logit(probability[:, [i]]), hit)
                # A negative slope is noise in a tiny class; it would reverse the turns' order.
                if model.coef_[0, 0] > 0:
                    slope[i], offset[i] = model.coef_[0, 0], model.intercept_[0]
        return cls(slope, offset)

    def apply(self, probability: np.ndarray) -> np.ndarray:
        """Calibrated probabilities (n, k) of raw ones (n, k); rows sum to one."""
        scaled = self.prior / (1 + np.exp(-(self.slope * _logit(probability) + self.offset)))
        value: np.ndarray = scaled / scaled.sum(axis=1, keepdims=True)
        return value

    def at_level(self, probability: np.ndarray, correct: int, level: float) -> Calibration:
        """The same with another prior, so that the mean probability of a defect is `level`.

        Prior correction (Saerens et al. 2002, "Adjusting the outputs of a classifier to new a
        priori probabilities", eq. 2.4), where calibration was fitted to turns that were chosen
        because they may fail. Decision weights divided by the new `prior` give the verdicts that
        they gave. `probability`: raw ones (n, k) of turns that represent all; `correct`: the number
        of this class; `level`: between 0 and 1.
        """

        def with_factor(log: float) -> Calibration:
            prior = np.ones(len(self.slope))
            prior[correct] = np.exp(log)
            return replace(self, prior=prior)

        def above(log: float) -> float:
            return 1 - float(with_factor(log).apply(probability)[:, correct].mean()) - level

        return with_factor(brentq(above, -_FARTHEST, _FARTHEST))


def decide(probability: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Class number per row (n,): the largest of probabilities (n, k) times weights (k,)."""
    verdict: np.ndarray = (probability * weights).argmax(axis=1)
    return verdict


def fit_weights(
    probability: np.ndarray, target: np.ndarray, group: np.ndarray, seed: int = 0
) -> np.ndarray:
    """Decision weights (k,) for the best macro-F1 of `decide` on out-of-fold probabilities.

    The plain maximum favours the majority ("correct") so much that rare stages are hardly ever
    named. For F1 averaged over classes the optimal rule is a weighted maximum of the probabilities
    (Narasimhan et al. 2015, "Consistent multiclass algorithms for complex performance measures",
    thm. 12). The best weights of a class with a few dozen turns are mostly noise, so they are
    fitted on resamples of whole groups and averaged (bagging; Breiman 1996), on the logarithmic
    scale. The largest weight is 1.

    Parameters
    ----------
    probability: (n, k). target: class numbers (n,). group: a turn's group (n,);
    turns of one group are resampled together.
    """
    _, number = np.unique(group, return_inverse=True)
    groups = int(number.max()) + 1
    generator = np.random.default_rng(seed)
    log_weights = []
    for _ in range(_RESAMPLES):
        times = np.bincount(generator.integers(0, groups, groups), minlength=groups)
        weights = _best_weights(probability, target, times[number].astype(float))
        log_weights.append(np.log(weights / weights[-1]))
    mean: np.ndarray = np.mean(log_weights, axis=0)
    value: np.ndarray = np.exp(mean - mean.max())
    return value


def _best_weights(probability: np.ndarray, target: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Weights (k,) by coordinate ascent on a logarithmic grid; turn i counts `times[i]` times."""
    sampled = times > 0
    probability, target, times = probability[sampled], target[sampled], times[sampled]
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
    """Mean absolute difference between probability and frequency, over bins of equal count.

    Naeini et al. 2015, eq. 1, with equal-mass bins (Nixon et al. 2019), which small samples can
    fill.
    """
    gaps = [
        abs(probability[part].mean() - hit[part].mean()) * len(part)
        for part in equal_bins(probability, bins)
    ]
    return float(sum(gaps) / max(len(probability), 1))


def equal_bins(probability: np.ndarray, bins: int = 15) -> list[np.ndarray]:
    """Row numbers of at most `bins` bins of ascending probability, as many turns in each."""
    order = np.argsort(probability, kind="stable")
    return [part for part in np.array_split(order, max(min(bins, len(order)), 1)) if len(part)]
