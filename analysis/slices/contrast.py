"""Distinguishing features of a slice: the reasons for its verdict against those on other turns.

Contributions are Shapley values (Lundberg & Lee 2017, NeurIPS) towards the verdict. Both sides are
turns with the same verdict, so the difference shows what is special about the slice, not about the
failure point.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

from data.intervals import Z95
from data.queries import slice_evidence
from data.queries.sampling import MOST_SCORED
from data.queries.slice_evidence import Inside
from data.schema.tables import EVIDENCE
from features.catalogue import sentence

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Apart:
    """The contributions of one feature, or of all features of one stage.

    Attributes
    ----------
    inside, rest: mean contribution in log-odds. low, high: 95 % interval of the difference.
    named, rest_named: share of the turns that have the feature among their strongest reasons.
    value, rest_value: mean value of the feature where it is a reason; None for a stage or where
    it is not logged.
    """

    name: str
    stage: str
    sentence: str
    inside: float
    rest: float
    low: float
    high: float
    named: float
    rest_named: float
    value: float | None = None
    rest_value: float | None = None

    @property
    def difference(self) -> float:
        return self.inside - self.rest


@dataclass(frozen=True, slots=True)
class Comparison:
    """Features and stages, the largest difference first, and the number of turns on both sides."""

    features: tuple[Apart, ...]
    stages: tuple[Apart, ...]
    turns: int
    rest: int


def apart(snapshot: Snapshot, inside: Inside, top: int = 8) -> Comparison:
    """The `top` features that clearly contribute more to the verdict inside, and all stages.

    Only turns with the verdict count; without any on one side, the comparison is empty. With much
    traffic, a sample of the days is read (`data.queries.slice_evidence.within`).
    """
    inside = slice_evidence.within(snapshot, inside, MOST_SCORED)
    turns, rest = slice_evidence.blamed(snapshot, inside)
    if not turns or not rest:
        return Comparison((), (), turns, rest)
    features = [
        _feature(row, turns, rest) for row in slice_evidence.reasons(snapshot, inside).to_pylist()
    ]
    features.sort(key=lambda feature: (-feature.difference, feature.name))
    sides = {row["inside"]: row for row in slice_evidence.stages(snapshot, inside).to_pylist()}
    stages = [_stage(name, sides[True], sides[False]) for name in EVIDENCE]
    stages.sort(key=lambda stage: -stage.difference)
    # A feature sets the slice apart if it is a reason inside, and clearly more so than elsewhere.
    distinctive = tuple(feature for feature in features if feature.inside > 0 and feature.low > 0)[
        :top
    ]
    return Comparison(distinctive, tuple(stages), turns, rest)


def _feature(row: dict[str, Any], turns: int, rest: int) -> Apart:
    inside, other = row["sum_inside"] / turns, row["sum_rest"] / rest
    variance = (row["squares_inside"] / turns - inside**2) / turns + (
        row["squares_rest"] / rest - other**2
    ) / rest
    spread = Z95 * sqrt(max(0.0, variance))
    difference = inside - other
    return Apart(
        row["feature"],
        row["stage"],
        sentence(row["feature"]),
        inside,
        other,
        difference - spread,
        difference + spread,
        row["named_inside"] / turns,
        row["named_rest"] / rest,
        row["value_inside"],
        row["value_rest"],
    )


def _stage(name: str, inside: dict[str, Any], rest: dict[str, Any]) -> Apart:
    left, right = inside[f"mean_{name}"] or 0.0, rest[f"mean_{name}"] or 0.0
    spread = Z95 * sqrt(
        inside[f"variance_{name}"] / inside["turns"] + rest[f"variance_{name}"] / rest["turns"]
    )
    return Apart(
        name, name, name, left, right, left - right - spread, left - right + spread, 1.0, 1.0
    )
