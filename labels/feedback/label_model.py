"""The probability of a defect from feedback alone, without any annotation.

A latent-class model: a turn was a defect or not, and what was seen of it depends on that. This is
the model of Dawid and Skene (Applied Statistics 28, 1979, eq. 2.3 to 2.5) with groups of signals in
the place of observers: what is correlated (a repeat, a correction) shares a group, and a group may
take any number of values. Three things keep it on course where signals are few and dependent:

- what signals point to is known beforehand: each group starts from, and is held near, log-odds that
  are the same for every assistant (a maximum a posteriori estimate);
- the evidence of several groups is tempered, as groups agree more than independent ones would
  (Grünwald, "Safe Bayes", 2012);
- the defect rate has a prior, too.

Where users answered "did I answer your question?" often enough, their answers calibrate the rest.
They are weighted by one over the probability with which each was asked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.optimize import minimize
from scipy.special import expit, logit

from features.arrow import pc, whole
from labels.feedback.signals import ALIKE, SIGNALS

ROUNDS = 60
# The defect rate to begin with, and how many turns it weighs, as a share of all turns.
RATE, RATE_WEIGHT = 0.2, 0.3
# How much of the evidence of a group counts.
TEMPER = 0.7
# The least number of turns of an assistant of its own, of answers to calibrate on, and of answers
# of either kind.
OWN_TURNS, ANSWERS, EITHER = 500, 150, 20
# No answer stands for more than one over this of turns.
LEAST_CHANCE = 0.01
# Bins of the similarity of the next request.
_BINS = (0.3, ALIKE, 0.7)
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Group:
    """Signals that share one observation.

    Attributes
    ----------
    prior: log-odds that each value points to a defect, before any turn is seen, float64 (values,).
    weight: what that knowledge weighs, as a share of all turns.
    """

    prior: np.ndarray
    weight: float

    def apart(self, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shares of the values among defects and among others, that the log-odds imply.

        shares: of each value among all turns.
        """
        bad = shares * np.exp(self.prior)
        bad /= max(float(bad.sum()), _TINY)
        good = np.maximum(shares - RATE * bad, 0.02 * shares)
        good /= max(float(good.sum()), _TINY)
        return bad, good


def _sums(*parts: tuple[float, ...]) -> np.ndarray:
    """Log-odds of all combinations of values, as numbered by `_combined`."""
    total = np.zeros(1)
    for part in parts:
        total = (total[:, None] + np.asarray(part)).ravel()
    return total


# What each value points to, in round numbers; flags are null, false, true.
_NEXT = (0.0, -0.3, -0.3, 0.4, 1.2, 1.6, 2.2, 1.2)
GROUPS = {
    # What is said next: not logged, nothing, other, a little alike, alike, very alike, another
    # hypothesis, the same; times neither, corrects, accepts.
    "next": Group(_sums(_NEXT, (-0.05, 1.5, -0.7)), 0.5),
    # Barge-in, termination.
    "cut": Group(_sums((0.0, -0.15, 1.4), (0.0, -0.1, 1.1)), 0.5),
    # Failed; apology, asked again, stuck.
    "assistant": Group(_sums((-0.1, -0.4, 1.2), (0.0, 0.9), (0.0, 0.9), (0.0, 0.9)), 0.5),
    # Assistants differ most in what it means that a slot gets another value.
    "restated": Group(_sums((0.0, -0.1, 0.6)), 0.05),
    "moved": Group(_sums((0.0, 0.0, 0.3)), 0.5),
    "rating": Group(_sums((0.0, 1.8, -1.8)), 0.5),
    "answer": Group(_sums((0.0, 2.2, -2.2)), 0.5),
}


@dataclass(frozen=True, slots=True)
class Ratios:
    """What was learned of one assistant: the defect rate, and per group the log-odds of values."""

    rate: float
    groups: dict[str, np.ndarray]

    def without(self, observed: dict[str, np.ndarray], left_out: str = "") -> np.ndarray:
        """Log-odds of a defect per turn, without one of the groups."""
        some = (ratio[observed[name]] for name, ratio in self.groups.items() if name != left_out)
        total: np.ndarray = logit(self.rate) + TEMPER * sum(some, np.zeros(len(observed["next"])))
        return total


@dataclass(frozen=True, slots=True)
class LabelModel:
    """A fitted label model.

    Attributes
    ----------
    shared: learned from all turns, and used for assistants with few of their own.
    own: assistant → what was learned of it.
    slope, shift: calibration of the log-odds by answers; 1 and 0 where there were too few.
    answers: on how many answers the calibration rests.
    note: in a sentence, what the probabilities rest on, or why there are none.
    """

    shared: Ratios | None
    own: dict[str, Ratios] = field(default_factory=dict)
    slope: float = 1.0
    shift: float = 0.0
    answers: int = 0
    note: str = ""

    def p_defect(self, table: pa.Table) -> np.ndarray:
        """Probability of a defect per turn of a table of signals, float64 (turns,).

        NaN where nothing could be observed, and everywhere if there was nothing to learn from.
        """
        n = table.num_rows
        if self.shared is None or not n:
            return np.full(n, np.nan)
        observed = observe(table)
        odds = self._odds(table, observed)
        odds += TEMPER * self._answer(table, observed)
        seen = np.zeros(n, bool)
        for signal in SIGNALS:
            seen |= _valid(table[signal.name])
        return np.where(seen, expit(odds), np.nan)

    def _odds(self, table: pa.Table, observed: dict[str, np.ndarray]) -> np.ndarray:
        """Calibrated log-odds, without the answers."""
        return self.slope * self._each(table, observed, "answer") + self.shift

    def _each(self, table: pa.Table, observed: dict[str, np.ndarray], left_out: str) -> np.ndarray:
        assert self.shared is not None
        odds = self.shared.without(observed, left_out)
        for assistant, ratios in self.own.items():
            mine = _is(table["assistant"], assistant)
            part = {name: values[mine] for name, values in observed.items()}
            odds[mine] = ratios.without(part, left_out)
        return odds

    def _answer(self, table: pa.Table, observed: dict[str, np.ndarray]) -> np.ndarray:
        assert self.shared is not None
        each: np.ndarray = self.shared.groups["answer"][observed["answer"]]
        for assistant, ratios in self.own.items():
            mine = _is(table["assistant"], assistant)
            each[mine] = ratios.groups["answer"][observed["answer"][mine]]
        return each


def fit(table: pa.Table) -> LabelModel:
    """Fit the label model to a table of `labels.feedback.signals.signals`. Deterministic."""
    if not table.num_rows:
        return LabelModel(None, note="The store has no turns.")
    pointing = [
        signal.name
        for signal in SIGNALS
        if signal.defect and pc.any(whole(table[signal.name])).as_py()
    ]
    if not pointing:
        return LabelModel(
            None,
            note="Nothing that users or the assistant did points to a defect, so feedback gives no "
            "probability of one.",
        )
    observed = observe(table)
    shared = _learn(observed)
    own = {}
    for row in pc.value_counts(whole(table["assistant"])).to_pylist():
        if OWN_TURNS <= row["counts"] < table.num_rows:
            mine = _is(table["assistant"], row["values"])
            own[row["values"]] = _learn({name: of[mine] for name, of in observed.items()})
    users = [name for name in pointing if name in _OF_USERS]
    rests = "what users did and said" if users else "signs that the assistant itself gave"
    model = LabelModel(shared, own, note=f"Feedback rests on {rests}: {', '.join(pointing)}.")
    return _calibrated(model, table, observed)


_OF_USERS = {signal.name for signal in SIGNALS if signal.kind != "assistant"}


def observe(table: pa.Table) -> dict[str, np.ndarray]:
    """The value of each of `GROUPS` per turn, int64 (turns,)."""
    alike = whole(table["alike"]).to_numpy(zero_copy_only=False)
    heard = ~np.isnan(alike)
    said = np.where(_true(table["followed"]), 2 + np.digitize(np.nan_to_num(alike), _BINS), 1)
    said = np.where(_true(table["misheard"]), 6, np.where(_true(table["repeat"]), 7, said))
    said = np.where(heard, said, 0)
    assent = np.where(_true(table["correction"]), 1, np.where(_true(table["accepted"]), 2, 0))
    moved = np.maximum(_flag(table["switched"]), _flag(table["silence"]))
    return {
        "next": said * 3 + assent,
        "cut": _flag(table["barge_in"]) * 3 + _flag(table["terminated"]),
        "assistant": (
            (_flag(table["failed"]) * 2 + _true(table["apology"])) * 2 + _true(table["asked_again"])
        )
        * 2
        + _true(table["stuck"]),
        "restated": _flag(table["restated"]),
        "moved": moved,
        "rating": _either(table, "rated_low", "rated_high"),
        "answer": _either(table, "answered_no", "answered_yes"),
    }


def _learn(observed: dict[str, np.ndarray]) -> Ratios:
    """Expectation–maximisation from the log-odds known beforehand."""
    n = len(observed["next"])
    shares = {
        name: np.bincount(observed[name], minlength=len(group.prior)) / n
        for name, group in GROUPS.items()
    }
    known = {name: group.apart(shares[name]) for name, group in GROUPS.items()}
    ratios = Ratios(RATE, {name: _log_ratio(*known[name]) for name in GROUPS})
    p = expit(ratios.without(observed))
    for _ in range(ROUNDS):
        learned = {}
        for name, group in GROUPS.items():
            bad, good = known[name]
            weight = group.weight * n
            bad = np.bincount(observed[name], p, len(bad)) + weight * RATE * bad
            good = np.bincount(observed[name], 1 - p, len(good)) + weight * (1 - RATE) * good
            learned[name] = _log_ratio(bad / bad.sum(), good / good.sum())
        rate = (p.sum() + RATE_WEIGHT * n * RATE) / (n + RATE_WEIGHT * n)
        ratios = Ratios(float(rate), learned)
        p = expit(ratios.without(observed))
    return ratios


def _log_ratio(bad: np.ndarray, good: np.ndarray) -> np.ndarray:
    ratio: np.ndarray = np.log((bad + _TINY) / (good + _TINY))
    return ratio


def _calibrated(model: LabelModel, table: pa.Table, observed: dict[str, np.ndarray]) -> LabelModel:
    """Platt's scaling (1999) on the answers, weighted by the inverse of their propensities."""
    answer = observed["answer"]
    mine = answer > 0
    bad = answer[mine] == 1
    n = int(mine.sum())
    if n < ANSWERS or min(int(bad.sum()), n - int(bad.sum())) < EITHER:
        return model
    odds = model._each(table, observed, "answer")[mine]
    chance = np.nan_to_num(whole(table["propensity"]).to_numpy(zero_copy_only=False)[mine])
    # An answer that no plan asked for, volunteered while its user was left alone or where nothing
    # is logged, stands for no turn but its own.
    asked = (chance > 0) & (_flag(table["asked"])[mine] != 1)
    weight = 1.0 / np.maximum(np.where(asked, chance, 1.0), LEAST_CHANCE)
    weight /= weight.mean()

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        z = np.clip(at[0] * odds + at[1], -50, 50)
        p = expit(z)
        # Held near no change, with the weight of a few answers.
        away = np.array([at[0] - 1.0, at[1]])
        value = -np.sum(weight * np.where(bad, np.log(p), np.log1p(-p))) + 2.0 * away @ away
        slope = weight * (p - bad)
        return float(value), np.array([slope @ odds, slope.sum()]) + 4.0 * away

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B")
    slope, shift = (float(value) for value in found.x)
    if slope <= 0:
        return model
    note = f"{model.note} Calibrated on {n:,} answers."
    return LabelModel(model.shared, model.own, slope, shift, n, note)


def _either(table: pa.Table, first: str, second: str) -> np.ndarray:
    return np.where(_true(table[first]), 1, np.where(_true(table[second]), 2, 0))


def _true(column: Any) -> np.ndarray:
    values: np.ndarray = pc.fill_null(whole(column), False).to_numpy(zero_copy_only=False)
    return values.astype(np.int64)


def _valid(column: Any) -> np.ndarray:
    valid: np.ndarray = pc.is_valid(whole(column)).to_numpy(zero_copy_only=False)
    return valid


def _flag(column: Any) -> np.ndarray:
    """0 null, 1 false, 2 true."""
    flag: np.ndarray = _valid(column).astype(np.int64) + _true(column)
    return flag


def _is(column: Any, value: str) -> np.ndarray:
    mask: np.ndarray = pc.equal(whole(column), value).to_numpy(zero_copy_only=False)
    return mask
