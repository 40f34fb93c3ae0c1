"""What sets a slice apart: why its turns are blamed, against why other turns are.

Contributions are Shapley values (Lundberg & Lee 2017, NeurIPS) towards the verdict. Both sides are
turns with the same verdict, so the difference says what is special about the slice, not what is
special about the failure point.
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
    """One feature, or all of one stage.

    Attributes
    ----------
    inside, rest: mean contribution in log-odds. low, high: 95 % interval of the difference.
    named: share of the turns inside that have the feature among their strongest reasons.
    value, rest_value: mean value where it is a reason; None for a stage or where not logged.
    """

    name: str
    stage: str
    sentence: str
    inside: float
    rest: float
    low: float
    high: float
    named: float
    value: float | None = None
    rest_value: float | None = None

    @property
    def difference(self) -> float:
        return self.inside - self.rest


@dataclass(frozen=True, slots=True)
class Comparison:
    """Features and stages, those that set the slice apart most first; turns on both sides."""

    features: tuple[Apart, ...]
    stages: tuple[Apart, ...]
    turns: int
    rest: int


def apart(snapshot: Snapshot, inside: Inside, top: int = 8) -> Comparison:
    """The `top` features that clearly speak more for the verdict inside, and all stages.

    Only turns with the verdict count. Without any on either side there is nothing to compare.
    Where there is much traffic, a sample of the days is read
    (`data.queries.slice_evidence.within`).
    """
    inside = slice_evidence.within(snapshot, inside, MOST_SCORED)
    turns, rest = slice_evidence.blamed(snapshot, inside)
    if not turns or not rest:
        return Comparison((), (), turns, rest)
    features = [
        _feature(row, turns, rest) for row in slice_evidence.reasons(snapshot, inside).to_pylist()
    ]
    features.sort(key=lambda one: (-one.difference, one.name))
    sides = {row["inside"]: row for row in slice_evidence.stages(snapshot, inside).to_pylist()}
    stages = [_stage(name, sides[True], sides[False]) for name in EVIDENCE]
    stages.sort(key=lambda one: -one.difference)
    # What is no reason inside, or hardly more of one than elsewhere, does not set the slice apart.
    telling = tuple(one for one in features if one.inside > 0 and one.low > 0)[:top]
    return Comparison(telling, tuple(stages), turns, rest)


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
        row["value_inside"],
        row["value_rest"],
    )


def _stage(name: str, inside: dict[str, Any], rest: dict[str, Any]) -> Apart:
    left, right = inside[f"mean_{name}"] or 0.0, rest[f"mean_{name}"] or 0.0
    spread = Z95 * sqrt(
        inside[f"variance_{name}"] / inside["turns"] + rest[f"variance_{name}"] / rest["turns"]
    )
    return Apart(name, name, name, left, right, left - right - spread, left - right + spread, 1.0)
