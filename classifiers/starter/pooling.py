"""Labelled turns of simulated assistants, learned from beside the first verdicts of a team.

Probabilities, shares and answers of yes or no travel as they are; any other value travels as its
rank among the turns of its assistant, and becomes the value that has this rank in the team's own
logs. So the pooled turns lie among the team's own, in the space of its own features, and a model
that learned from both is scored and explained like any other. Made by `benchmarks.starter`; there
is no data of anybody in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from classifiers.starter.signs import ranks
from classifiers.starter.stages import FOLDER
from data.schema.trace import FAILURE_POINTS
from features.catalogue import catalogue

FILE = "turns.npz"
# Verdicts from which on nothing is pooled, and how many own turns all pooled ones count as much as
# beside the first verdicts. Measured in `benchmarks.warm_start`.
FADED, COUNT = 500, 50.0
# Verdicts from which on a failure point is learned beside pooled turns of it.
MIN_POOLED = 3
_SAME_EVERYWHERE = {"probability", "share", "yes/no"}
# Values between 0 and 1 are kept in steps; the last number says that there is none.
_STEPS, _MISSING = 254, 255


@dataclass(frozen=True, slots=True)
class Starter:
    """m turns with the columns named `columns`: `values` between 0 and 1 or NaN, (m, columns).

    `ranked`: which columns hold ranks. `failure_point`: of each turn, (m,).
    """

    columns: tuple[str, ...]
    values: np.ndarray
    ranked: np.ndarray
    failure_point: np.ndarray


@dataclass(frozen=True, slots=True)
class Pool:
    """Turns to learn from beside a team's own, in the columns and class numbers of these.

    `x`: (m, columns). `target`: (m,). `count`: how many own turns all of them count as much as.
    """

    x: np.ndarray
    target: np.ndarray
    count: float

    def weights(self, target: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """What each pooled turn counts, (m,), beside own ones with these classes and weights.

        A class has the same share among the pooled turns as among the own ones: how often which
        stage fails does not travel.
        """
        k = int(max(target.max(), self.target.max())) + 1
        share = np.bincount(target, weight, k) / weight.sum()
        each = share / np.bincount(self.target, minlength=k).clip(1)
        weights: np.ndarray = self.count * weight.mean() * each[self.target]
        return weights


@cache
def starter() -> Starter:
    """The packaged turns."""
    with np.load(FOLDER / FILE) as file:
        steps = file["values"]
        values = np.where(steps == _MISSING, np.nan, steps / np.float32(_STEPS)).astype(np.float32)
        names = np.array(FAILURE_POINTS, object)[file["failure_point"]]
        return Starter(tuple(file["columns"].tolist()), values, file["ranked"], names)


def write(columns: tuple[str, ...], values: np.ndarray, failure_point: np.ndarray) -> None:
    """Put new turns in the package: `values` (m, columns) as of `travelling`, and failure points
    (m,). The same turns give the same bytes."""
    steps = np.where(np.isnan(values), _MISSING, np.round(np.nan_to_num(values) * _STEPS))
    np.savez_compressed(
        FOLDER / FILE,
        columns=np.array(columns, str),
        values=steps.astype(np.uint8),
        ranked=np.array([not _same_everywhere(name) for name in columns]),
        failure_point=np.array([FAILURE_POINTS.index(name) for name in failure_point], np.uint8),
    )


def travelling(table: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns of one assistant's turns (n,) as they can be compared with those of others:
    values or ranks between 0 and 1, float32. What is named after its data stays behind."""
    named = {
        name: values.astype(np.float64)
        for name, values in table.items()
        if "=" not in name and ".signal." not in name
    }
    ranked = ranks(named, np.zeros(len(next(iter(table.values()))), int))
    return {
        name: values.clip(0, 1).astype(np.float32) if _same_everywhere(name) else ranked[name]
        for name, values in named.items()
    }


def pool_of(
    table: Mapping[str, np.ndarray],
    names: tuple[str, ...],
    classes: tuple[str, ...],
    verdicts: int,
) -> Pool | None:
    """The packaged turns of `classes` in the space of a team's own; None where there is no such
    turn, no common column, or no need, as there are many verdicts.

    `table`: the team's columns, n values each; `names`: those of the feature matrix, in order.
    """
    count = COUNT * max(1 - verdicts / FADED, 0.0)
    elsewhere = starter()
    rows = np.flatnonzero(np.isin(elsewhere.failure_point.astype(str), classes))
    place = {name: i for i, name in enumerate(elsewhere.columns) if name in names}
    if not count or not len(rows) or not place:
        return None
    x = np.full((len(rows), len(names)), np.nan, np.float32)
    for column, name in enumerate(names):
        if name in place:
            values = elsewhere.values[rows, place[name]]
            x[:, column] = _placed(values, table[name]) if elsewhere.ranked[place[name]] else values
    number = {name: i for i, name in enumerate(classes)}
    return Pool(x, np.array([number[name] for name in elsewhere.failure_point[rows]]), count)


def _placed(rank: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The values that have these ranks (m,) among a team's `own` (n,); NaN where it has none."""
    known = np.sort(own[~np.isnan(own)])
    if not len(known):
        return np.full(len(rank), np.nan, np.float32)
    at = np.minimum(np.nan_to_num(rank) * len(known), len(known) - 1).astype(int)
    return np.where(np.isnan(rank), np.nan, known[at])


def _same_everywhere(name: str) -> bool:
    """Whether a value means the same in every assistant's logs."""
    return catalogue()[name].unit in _SAME_EVERYWHERE
