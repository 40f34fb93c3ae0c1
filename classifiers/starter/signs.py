"""What the signals of a turn say of a defect, added up by the directions of the catalogue.

Every feature of the catalogue says whether a high value points to a defect. Its values are replaced
by their ranks among the turns of the same assistant, turned so that high means a defect, and added
up. A sign counts as much as it agrees with the signs of the other stages: what is correlated with
these, none of which shares its measurement errors, is what they have in common. This is the idea of
ranking classifiers by their covariance alone (Parisi et al., "Ranking and combining multiple
predictors without labeled data", PNAS 111, 2014).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from classifiers.starter.text_fit import DIRECTIONS
from features.catalogue import catalogue

# Turns of an assistant to be ranked among themselves.
_OWN_TURNS = 200
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Signs:
    """`score`: of n turns, a higher one says rather a defect; mean 0 and variance 1, or all 0 where
    there is no sign. `weights`: what each sign counts, 1 on average, by name."""

    score: np.ndarray
    weights: dict[str, float]


def direction(name: str) -> int:
    """1 if a high value of the column points to a defect, -1 if against one, else 0."""
    entry = catalogue().get(name)
    sign = entry.direction if entry else DIRECTIONS.get(name, "0")
    return {"+": 1, "-": -1, "0": 0}[sign]


def ranks(columns: Mapping[str, np.ndarray], source: np.ndarray) -> dict[str, np.ndarray]:
    """Each column as ranks between 0 and 1 within each source, float32 (n,).

    `source`: a number per turn; sources with few turns are ranked together. NaN where a value is
    missing, or all values of a source are the same.
    """
    count = np.bincount(source)
    source = np.where(count[source] >= _OWN_TURNS, source + 1, 0)
    rows = [np.flatnonzero(source == number) for number in np.unique(source)]
    ranked = {}
    for name, values in columns.items():
        out = np.full(len(values), np.nan, np.float32)
        for mine in rows:
            known = mine[~np.isnan(values[mine])]
            if len(known) > 1 and np.ptp(values[known]) > 0:
                out[known] = (rankdata(values[known]) - 0.5) / len(known)
        ranked[name] = out
    return ranked


def signs(ranked: Mapping[str, np.ndarray]) -> Signs:
    """Add up the columns of `ranks` by their directions, weighted by their agreement."""
    n = len(next(iter(ranked.values())))
    use = {name: values for name, values in ranked.items() if direction(name)}
    # A missing sign says nothing: as if it lay in the middle.
    turned = {
        name: np.nan_to_num((values.astype(np.float64) - 0.5) * direction(name))
        for name, values in use.items()
    }
    turned = {name: values for name, values in turned.items() if values.std() > 0}
    if not turned:
        return Signs(np.zeros(n), {})
    names = list(turned)
    z = np.column_stack([turned[name] for name in names])
    family = np.array([_family(name) for name in names])
    scaled = (z - z.mean(axis=0)) / z.std(axis=0)
    weights = np.ones(len(names))
    for _ in range(_ROUNDS):
        weights = _agreement(z, scaled, family, weights)
    return Signs(standard(z @ weights), dict(zip(names, weights.tolist(), strict=True)))


def standard(values: np.ndarray) -> np.ndarray:
    """With mean 0 and variance 1; 0 where all are the same."""
    spread = float(values.std())
    result: np.ndarray = (values - values.mean()) / (spread if spread > 0 else 1.0)
    return result


def _agreement(
    z: np.ndarray, scaled: np.ndarray, family: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """The correlation of each sign with the sum of those of other families, at least 0, scaled to a
    mean of 1; the weights as they are where nothing agrees."""
    total = z @ weights
    new = np.zeros(len(weights))
    for name in np.unique(family):
        mine = family == name
        rest = total - z[:, mine] @ weights[mine]
        new[mine] = weights[mine]
        if rest.std() > 0:
            new[mine] = np.maximum(scaled[:, mine].T @ standard(rest) / len(rest), 0.0)
    return new / new.mean() if new.mean() > 0 else weights


def _family(name: str) -> str:
    stage = name.partition(".")[0]
    return "text" if stage == "fit" else stage
