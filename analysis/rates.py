"""Failure rates: what share of turns fails, corrected by annotations where there are any.

The probabilities of a model are biased in ways that are unknown until turns are annotated.
Prediction-powered inference (Angelopoulos, Bates, Fannjiang, Jordan, Zrnic 2023, Science 382) takes
the mean prediction over many turns and corrects it by the mean error on the annotated ones, with an
interval that is valid however bad the predictions are. Its power-tuned form, PPI++ (Angelopoulos,
Duchi, Zrnic 2023, arXiv:2311.01453), weights the predictions by how informative they are.

The rate is that of the traffic from which the turns are a sample, not of these turns alone:
intervals of two periods can then be compared. The annotated dialogues have to be a random sample of
the dialogues they represent; turns that were annotated because the model was unsure are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, t

from analysis.arrays import (
    codes,
    matrix,
    ratio,
    sums,
)
from analysis.intervals import freedom_of, score_intervals
from data.intervals import wilson_intervals
from data.schema.trace import FAILURES

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

RATES = (*FAILURES, "defect")
ANNOTATED = "annotated and predicted"
MODEL = "model estimate"
# Fewer annotated dialogues are not enough: a class of two per cent then occurs some four times
# (docs/evaluation.md reports the coverage measured at several numbers).
MINIMUM = 100
# Pseudo-count for turns that a sample does not contain: half an observation, as in Jeffreys' prior
# for a proportion (Jeffreys 1946).
UNSEEN = 0.5


@dataclass(frozen=True)
class Estimate:
    """A share of turns with its 95 % interval.

    Attributes
    ----------
    value, low, high: shares between 0 and 1. turns: number of turns, annotated ones included.
    labelled: how many of these are annotated. method: `ANNOTATED` or `MODEL`.
    """

    value: float
    low: float
    high: float
    turns: int
    labelled: int
    method: str


@dataclass(frozen=True)
class Moments:
    """What a roll-up holds of groups of turns: their number, sums of p and of p squared.

    Attributes
    ----------
    turns: shape (groups,). total, squares: shape (groups, rates).
    """

    turns: Array
    total: Array
    squares: Array

    def mean(self) -> Array:
        """Mean p, shape (groups, rates); 0 where there are no turns."""
        return ratio(self.total, self.turns[:, None])

    def variance(self, ddof: int = 0) -> Array:
        """Variance of p between the turns of a group, shape (groups, rates)."""
        spread = self.squares - self.total * self.mean()
        return np.maximum(ratio(spread, self.turns[:, None] - ddof), 0.0)

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.turns + other.turns, self.total + other.total, self.squares + other.squares
        )

    def less(self, other: Moments) -> Moments:
        """The moments of the remaining turns, where `other` is a subset of these."""
        turns = np.maximum(self.turns - other.turns, 0.0)
        any_left = turns[:, None] > 0
        # Sums of 32-bit numbers in another order differ in their last digits.
        return Moments(
            turns,
            np.where(any_left, np.maximum(self.total - other.total, 0.0), 0.0),
            np.where(any_left, np.maximum(self.squares - other.squares, 0.0), 0.0),
        )


@dataclass(frozen=True)
class Labelled:
    """Annotated turns, one row each.

    Attributes
    ----------
    y: 1 where the turn has that failure, else 0, shape (rows, rates).
    p: the model's probabilities of the same, shape (rows, rates).
    group: code of the group of each row. dialogue: codes of dialogues, or None to treat all rows
    as independent.
    """

    y: Array
    p: Array
    group: Codes
    dialogue: Codes | None = None

    def moments(self, groups: int) -> Moments:
        """The moments of the predictions, per group."""
        turns = np.bincount(self.group, minlength=groups).astype(np.float64)
        return Moments(turns, sums(self.p, self.group, groups), sums(self.p**2, self.group, groups))


@dataclass(frozen=True)
class Estimates:
    """Shares of many groups at once; arrays have the shape (groups, rates) or (groups,).

    Attributes
    ----------
    powered: whether annotations were used. weight: the weight of the predictions (lambda).
    """

    value: Array
    low: Array
    high: Array
    turns: Array
    labelled: Array
    powered: NDArray[np.bool_]
    weight: Array


def powered(
    unlabelled: Moments,
    labelled: Labelled,
    *,
    weight: float | None = None,
    total: bool = False,
    minimum: int = MINIMUM,
    level: float = 0.95,
) -> Estimates:
    """Prediction-powered means; model estimates for groups with too few annotations.

    With weight w, the estimate is mean(y - w p) over annotated turns + w mean(p) over the others
    (PPI++, section 2; w = 1 is PPI). Its variance is the sum of those of the two means. `weight`
    None takes the w in [0, 1] with the least variance (PPI++, equation 12):
    cov(y, p) / ((1 + n/N) var(p)).

    Where dialogues are given, variances and the covariance are those of sums over dialogues (Liang
    and Zeger 1986), with the factor G/(G - 1) for G dialogues. The dialogues of unlabelled turns
    are not known, so their variance is multiplied by the design effect of p among the annotated
    turns of all groups together. The published interval is symmetric, and too narrow for rare
    classes: where a sample lacks the rare turn about which the model is confidently wrong, the
    estimate is too low and its interval too narrow. So half such a turn is added to the variance
    (`UNSEEN`), and the interval is Wilson's for as many independent turns as have this variance,
    with a quantile of Student's t in place of the normal one, since a variance that comes from a
    few dialogues is itself uncertain (`freedom_of`). These corrections vanish as n grows;
    `benchmarks.rates` measures their effect. Without dialogues the interval is the published one.

    With `total` the last rate is the sum of the others, as any failure is of the five. Each is
    estimated with its own w, so the others, with their intervals, are then multiplied by the one
    factor that makes them add up to it: the total is known best (raking to a known total, Deming
    and Stephan 1940).

    Groups with fewer than `minimum` annotated dialogues get the estimate of `model_only`.
    """
    groups, rates = unlabelled.total.shape
    rows = labelled.moments(groups)
    n, big_n = rows.turns[:, None], unlabelled.turns[:, None]
    everything = unlabelled + rows
    design = design_effect(labelled)
    clusters = _clusters(labelled)
    independent = labelled.dialogue is None
    dialogues = np.bincount(clusters.group, minlength=groups).astype(np.float64)[:, None]
    small = np.ones_like(dialogues) if independent else ratio(dialogues, dialogues - 1)

    mean_y = ratio(sums(labelled.y, labelled.group, groups), n)
    mean_p = rows.mean()
    y = clusters.sums(labelled.y - mean_y[labelled.group])
    p = clusters.sums(labelled.p - mean_p[labelled.group])
    if weight is None:
        shared = small * ratio(sums(y * p, clusters.group, groups), n**2)
        spread = design * everything.variance(ddof=1) * (ratio(1.0, n) + ratio(1.0, big_n))
        w = np.clip(ratio(shared, spread), 0.0, 1.0)
    else:
        w = np.full((groups, rates), weight)
    w = np.where(big_n > 0, w, 0.0)

    value = mean_y + w * (unlabelled.mean() - mean_p)
    errors = (y - w[clusters.group] * p) ** 2
    squares = sums(errors, clusters.group, groups)
    variance = small * ratio(squares, n**2) + w**2 * design * ratio(unlabelled.variance(), big_n)
    quantile = (1 + level) / 2
    value = np.clip(value, 0.0, 1.0)
    if independent:
        half = float(norm.ppf(quantile)) * np.sqrt(variance)
        low, high = np.clip(value - half, 0.0, 1.0), np.clip(value + half, 0.0, 1.0)
    else:
        fourths = sums(errors**2, clusters.group, groups)
        freedom = freedom_of(squares + UNSEEN, fourths + UNSEEN, dialogues + UNSEEN)
        z = t.ppf(quantile, freedom)
        low, high = score_intervals(value, variance + ratio(UNSEEN, n**2), z)
        # Next to 0 or 1 rounding can leave the value itself outside.
        low, high = np.minimum(low, value), np.maximum(high, value)
    if total:
        parts = value[:, :-1].sum(1)
        factor = np.where(parts > 0, ratio(value[:, -1], parts), 1.0)[:, None]
        for shares in (value, low, high):
            shares[:, :-1] = np.clip(factor * shares[:, :-1], 0.0, 1.0)
    model = model_only(everything, design=design, level=level)
    enough = dialogues[:, 0] >= max(minimum, 2)
    use = enough[:, None]
    return Estimates(
        np.where(use, value, model.value),
        np.where(use, low, model.low),
        np.where(use, high, model.high),
        everything.turns,
        rows.turns,
        enough,
        np.where(use, w, 1.0),
    )


def model_only(turns: Moments, *, design: ArrayLike = 1.0, level: float = 0.95) -> Estimates:
    """Mean calibrated probabilities, with an interval that assumes they are right.

    Were the probabilities right, two sources of variance would remain: which turns occurred,
    var(p)/N, and the outcome of each, mean(p (1 - p))/N. For independent turns they add up to
    p(1 - p)/N of the mean (law of total variance). `design` multiplies the first, because turns of
    one dialogue are correlated. The interval is Wilson's for as many independent turns as have this
    variance. It does not include errors of the probabilities.
    """
    n = turns.turns[:, None]
    mean = np.clip(turns.mean(), 0.0, 1.0)
    open_ = np.maximum(mean - ratio(turns.squares, n), 0.0)
    variance = ratio(np.asarray(design) * turns.variance() + open_, n)
    effective = np.where(variance > 0, ratio(mean * (1 - mean), variance), n)
    low, high = wilson_intervals(mean, effective, float(norm.ppf((1 + level) / 2)))
    groups = len(turns.turns)
    return Estimates(
        mean, low, high, turns.turns, np.zeros(groups), np.zeros(groups, bool), np.ones_like(mean)
    )


def design_effect(labelled: Labelled) -> Array:
    """Ratio of the variance of the mean of p to that of independent turns, shape (rates,).

    Kish's design effect from the annotated turns of all groups, at least 1 (Kish 1965, Survey
    Sampling, section 5.4).
    """
    rates = labelled.p.shape[1]
    if labelled.dialogue is None or not len(labelled.group):
        return np.ones(rates)
    groups = int(labelled.group.max()) + 1
    mean = labelled.moments(groups).mean()
    centred = labelled.p - mean[labelled.group]
    clustered = (_clusters(labelled).sums(centred) ** 2).sum(0)
    return np.maximum(ratio(clustered, (centred**2).sum(0)), 1.0)


def estimate(
    rollup: pa.Table, labelled: pa.Table | None = None, **options: Any
) -> dict[str, Estimate]:
    """Rates of the five failures and `defect` over all rows of a roll-up, by name.

    See `by_group` for the tables and the options.
    """
    table = by_group(rollup, labelled, (), **options)
    row = table.to_pylist()[0]
    return {
        name: Estimate(
            row[f"value_{name}"], row[f"low_{name}"], row[f"high_{name}"],
            row["turns"], row["labelled"], row["method"],
        )
        for name in RATES
    }  # fmt: skip


def by_group(
    rollup: pa.Table,
    labelled: pa.Table | None,
    by: Sequence[str],
    *,
    minimum: int = MINIMUM,
    level: float = 0.95,
) -> pa.Table:
    """Failure rates of every group of turns.

    Parameters
    ----------
    rollup
        Rows of the roll-up (or sums of them): the columns `by`, `turns`, and `sum_p_<rate>` and
        `sum_pp_<rate>` of the failures, `sum_p_correct` and `sum_pp_defect`.
    labelled
        Annotated turns among these, from a random sample of their dialogues: the columns `by`,
        `dialogue_id`, `truth`, `p_<class>`; None where there are none.
    by
        Columns that define a group, e.g. `("day",)`; empty for one group of all rows.

    Returns
    -------
    One row per group of the roll-up, in the order of `by`: its values, `turns`, `labelled`,
    `method`, and `value_`, `low_`, `high_` of each rate. Without rows and without `by`, one row
    with 0 turns and the intervals from 0 to 1.

    Raises UsageError when the roll-up lacks a column.
    """
    keys = rollup.select(list(by))
    if labelled is not None and by:
        keys = pa.concat_tables([keys, labelled.select(list(by)).cast(keys.schema)])
    group, names = codes(keys, by)
    if not by:
        # A table without columns has no number of rows.
        group = np.zeros(rollup.num_rows + (0 if labelled is None else labelled.num_rows), np.int64)
    groups = max(names.num_rows, 0 if by else 1)
    every = _rollup_moments(rollup, group[: rollup.num_rows], groups)
    rows = _labelled_rows(labelled, group[rollup.num_rows :])
    unlabelled = every.less(rows.moments(groups))
    estimates = powered(unlabelled, rows, total=True, minimum=minimum, level=level)
    columns: dict[str, Any] = {name: names[name] for name in by}
    columns["turns"] = pa.array(estimates.turns.astype(np.int64))
    columns["labelled"] = pa.array(estimates.labelled.astype(np.int64))
    columns["method"] = pa.array(np.where(estimates.powered, ANNOTATED, MODEL))
    for rate, name in enumerate(RATES):
        for part in ("value", "low", "high"):
            columns[f"{part}_{name}"] = pa.array(getattr(estimates, part)[:, rate])
    table = pa.table(columns)
    # A group that occurs in the annotations only has not been scored by this model.
    table = table.filter(pc.field("turns") > 0) if by else table
    return table.sort_by([(name, "ascending") for name in by]) if by else table


def _rollup_moments(rollup: pa.Table, group: Codes, groups: int) -> Moments:
    turns = matrix(rollup, ["turns"])
    total = matrix(rollup, [f"sum_p_{name}" for name in FAILURES])
    total = np.column_stack([total, total.sum(1)])
    squares = matrix(rollup, [f"sum_pp_{name}" for name in RATES])
    return Moments(
        sums(turns, group, groups)[:, 0], sums(total, group, groups), sums(squares, group, groups)
    )


def _labelled_rows(labelled: pa.Table | None, group: Codes) -> Labelled:
    if labelled is None:
        empty = np.zeros((0, len(RATES)))
        return Labelled(empty, empty, group, np.zeros(0, np.int64))
    truth = np.asarray(labelled["truth"].to_numpy())
    y = np.column_stack([truth == name for name in FAILURES])
    p = matrix(labelled, [f"p_{name}" for name in FAILURES])
    dialogue, _ = codes(labelled, ["dialogue_id"])
    return Labelled(
        np.column_stack([y, y.any(1)]).astype(np.float64),
        np.column_stack([p, p.sum(1)]),
        group,
        dialogue,
    )


@dataclass(frozen=True)
class _Clusters:
    """Dialogues within groups: the group of each cluster, and the cluster of each row."""

    group: Codes
    row: Codes

    def sums(self, values: Array) -> Array:
        """Sums of values (rows, rates) per cluster, shape (clusters, rates)."""
        return sums(values, self.row, len(self.group))


def _clusters(labelled: Labelled) -> _Clusters:
    if labelled.dialogue is None:
        return _Clusters(labelled.group, np.arange(len(labelled.group)))
    width = int(labelled.dialogue.max(initial=0)) + 1
    pairs, row = np.unique(labelled.group * width + labelled.dialogue, return_inverse=True)
    return _Clusters(pairs // width, row)
