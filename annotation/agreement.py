"""How far annotators agree: Cohen's kappa per pair, Krippendorff's alpha overall and per class."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import krippendorff
import numpy as np
import pyarrow as pa
from sklearn.metrics import cohen_kappa_score

from data.errors import UsageError
from data.schema.trace import FAILURE_POINTS

REPEATS = 400
_COLUMNS = ("turn_id", "annotator", "failure_point")


@dataclass(frozen=True, slots=True)
class Agreed:
    """One agreement coefficient: 1 is full agreement, 0 is chance.

    Attributes
    ----------
    who: the two annotators of a kappa; empty for alpha. what: a failure point, or "" for all.
    value: None where it is undefined: fewer than two judgements, or all of the same class.
    low, high: 95 % bootstrap interval over turns; None where fewer than 20 resamples have a value.
    turns: number of turns judged by both annotators of a kappa; by at least two for alpha.
    """

    who: tuple[str, ...]
    what: str
    value: float | None
    low: float | None
    high: float | None
    turns: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """Kappa per pair, in order of their names; alpha overall, and per class in pipeline order."""

    pairs: tuple[Agreed, ...]
    overall: Agreed
    classes: tuple[Agreed, ...]


def agreement(table: pa.Table, repeats: int = REPEATS, seed: int = 0) -> Agreement:
    """Agreement of the annotations in `table`: turn_id, annotator, failure_point.

    Where an annotator judged a turn twice, the last row counts; rows without a failure point are
    ignored. Kappa: Cohen (1960), Educational and Psychological Measurement 20. Alpha: Krippendorff
    (2019), Content Analysis, ch. 12, nominal; per class it is that of one class against all others.
    Intervals: percentiles of a bootstrap of `repeats` resamples of turns. Raises UsageError where a
    column is missing or a failure point is unknown.
    """
    marks, annotators = _marks(table)
    shared = marks[:, (marks >= 0).sum(0) >= 2]
    rng = np.random.default_rng(seed)
    count = shared.shape[1]
    draws = [np.asarray(rng.integers(0, count, count)) for _ in range(repeats if count else 0)]
    pairs = tuple(
        _kappa(marks[[left, right]], (annotators[left], annotators[right]), repeats, seed)
        for left, right in combinations(range(len(annotators)), 2)
        if ((marks[left] >= 0) & (marks[right] >= 0)).any()
    )
    classes = tuple(
        _alpha(np.where(shared < 0, -1, shared == number), name, draws)
        for number, name in enumerate(FAILURE_POINTS)
    )
    return Agreement(pairs, _alpha(shared, "", draws), classes)


def _marks(table: pa.Table) -> tuple[np.ndarray, list[str]]:
    """Index of the failure point (annotators, turns), -1 where not judged; and the annotators.

    Annotators and turns are sorted by name and id.
    """
    missing = [name for name in _COLUMNS if name not in table.column_names]
    if missing:
        raise UsageError(
            f"The annotations have no column {', '.join(missing)}; they need {', '.join(_COLUMNS)}."
        )
    rows = [
        (str(row["turn_id"]), str(row["annotator"]), row["failure_point"])
        for row in table.select(_COLUMNS).to_pylist()
        if row["failure_point"] is not None and row["annotator"] is not None
    ]
    unknown = sorted({point for _, _, point in rows} - set(FAILURE_POINTS))
    if unknown:
        raise UsageError(
            f"Unknown failure point '{unknown[0]}'; use one of {', '.join(FAILURE_POINTS)}."
        )
    columns = {turn: column for column, turn in enumerate(sorted({turn for turn, _, _ in rows}))}
    annotators = sorted({annotator for _, annotator, _ in rows})
    marks = np.full((len(annotators), len(columns)), -1)
    for turn, annotator, point in rows:
        marks[annotators.index(annotator), columns[turn]] = FAILURE_POINTS.index(point)
    return marks, annotators


def _kappa(marks: np.ndarray, who: tuple[str, str], repeats: int, seed: int) -> Agreed:
    both = marks[:, (marks >= 0).all(0)]
    rng = np.random.default_rng(seed)
    count = both.shape[1]
    values = [_one_kappa(both[:, rng.integers(0, count, count)]) for _ in range(repeats)]
    return Agreed(who, "", _one_kappa(both), *_percentiles(values), count)


def _one_kappa(both: np.ndarray) -> float | None:
    # Where both use a single class, agreement by chance is 1 and kappa is 0 / 0.
    if not both.size or both.min() == both.max():
        return None
    return float(cohen_kappa_score(both[0], both[1]))


def _alpha(shared: np.ndarray, what: str, draws: list[np.ndarray]) -> Agreed:
    values = [_one_alpha(shared[:, draw]) for draw in draws] if shared.size else []
    return Agreed((), what, _one_alpha(shared), *_percentiles(values), shared.shape[1])


def _one_alpha(marks: np.ndarray) -> float | None:
    judged = marks[marks >= 0]
    if not judged.size or judged.min() == judged.max():
        return None
    counts: Any = np.stack([(marks == number).sum(0) for number in range(int(judged.max()) + 1)], 1)
    # A class that nobody used must not count as a value.
    counts = counts[:, counts.sum(0) > 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))


def _percentiles(values: list[float | None]) -> tuple[float | None, float | None]:
    defined = [value for value in values if value is not None]
    if len(defined) < 20:
        return None, None
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)
