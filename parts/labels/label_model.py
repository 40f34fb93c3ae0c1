"""The figures that training left with a label model, as the page shows them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.store.model_folders import LABEL_MODELS, trained_at

# The tasks of a label model in their order, and what they are called.
TASKS: Mapping[str, str] = {
    "goal_start": "Goal segmentation",
    "goal_reached": "Goal evaluation",
    "turn_defect": "Turn defect",
    "intent": "Intent",
    "slots": "Slots and values",
}
MEANT: Mapping[str, str] = {
    "goal_start": "Whether a goal begins at a turn.",
    "goal_reached": "Whether a goal was reached in the end.",
    "turn_defect": "Whether the response to a turn was a defect.",
    "intent": "What was meant.",
    "slots": "With which values it was meant; right if all of a turn's are.",
}
# Candidates that look at nothing but the turn, or learn nothing.
_BASELINES = ("alone", "logged", "baseline", "no context", "majority")

# What the metrics call the parts of a `Human`.
_MARK = ("human", "model", "low", "high")


@dataclass(frozen=True)
class Point:
    """What a threshold is worth on annotated turns that the model was not trained on.

    Attributes
    ----------
    threshold: the least probability of a label. precision: the share of labels at least as sure
    that are right. labelled: the share of turns that get a label.
    """

    threshold: float
    precision: float
    labelled: float


@dataclass(frozen=True)
class Candidate:
    """One way to do a task, with its figures by name: `f1`, `accuracy`, `average_precision`, …"""

    name: str
    figures: Mapping[str, float]
    baseline: bool


@dataclass(frozen=True)
class Human:
    """F1 of one annotator and of the labels, against the majority of others on the same things.

    `low`, `high`: 95 % interval of the difference, labels minus annotator. `things`: how many.
    """

    human: float
    model: float
    low: float
    high: float
    things: int


@dataclass(frozen=True)
class Task:
    """One task of a label model.

    Attributes
    ----------
    measure: the figure that decides, such as "F1". used: the candidate that labels are made by.
    human: one annotator beside the labels; None where no two people judged the same. n: annotated
    turns or goals that the figures are from. stated: the precision that the threshold was chosen
    for.
    """

    name: str
    measure: str
    used: str
    candidates: tuple[Candidate, ...]
    human: Human | None
    n: int
    curve: tuple[Point, ...]
    threshold: float | None
    stated: float | None

    @property
    def key(self) -> str:
        """The name under which the figures hold the measure."""
        return self.measure.casefold().replace(" ", "_")

    @property
    def best(self) -> Candidate | None:
        """The candidate with the best figure."""
        known = [c for c in self.candidates if self.key in c.figures]
        return max(known, key=lambda c: c.figures[self.key], default=None)


def read_tasks(store: Path, model_id: str | None) -> dict[str, Task]:
    """The tasks of the label model that made a store's labels, in the order of `TASKS`.

    Empty where the model's folder is gone or its figures cannot be read.
    """
    if not model_id or Path(model_id).name != model_id:
        return {}
    try:
        stored = json.loads((store / LABEL_MODELS / model_id / "metrics.json").read_bytes())
        tasks = {name: _task(name, stored["tasks"].get(name)) for name in TASKS}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {name: task for name, task in tasks.items() if task}


def newest_model(store: Path) -> str | None:
    """The label model that was trained last; None if there is none."""
    folders = sorted(
        (trained_at(path.parent), path.parent.name)
        for path in store.glob(f"{LABEL_MODELS}/*/metrics.json")
        # What a training has begun is in a hidden folder.
        if not path.parent.name.startswith(".")
    )
    return folders[-1][1] if folders else None


def _task(name: str, stored: Mapping[str, Any] | None) -> Task | None:
    if not stored or not stored.get("candidates"):
        return None
    measure = str(stored.get("measure") or "F1")
    return Task(
        name,
        measure,
        str(stored.get("default") or ""),
        tuple(_candidate(*item) for item in stored["candidates"].items()),
        _human(stored.get("human")),
        int(stored.get("n") or 0),
        tuple(_points(stored.get("curve") or ())),
        _number(stored.get("threshold")),
        _number(stored.get("stated_precision")),
    )


def _human(stored: Mapping[str, Any] | None) -> Human | None:
    if stored is None:
        return None
    human, model, low, high = (_number(stored.get(key)) for key in _MARK)
    if human is None or model is None or low is None or high is None:
        return None
    return Human(human, model, low, high, int(stored.get("things") or 0))


def _candidate(name: str, figures: Mapping[str, Any]) -> Candidate:
    known = {
        key: number for key, value in figures.items() if (number := _number(value)) is not None
    }
    simple = any(word in name.casefold() for word in _BASELINES)
    return Candidate(name, known, bool(figures.get("baseline", simple)))


def _points(curve: Sequence[Mapping[str, Any]]) -> list[Point]:
    points = []
    for row in curve:
        ends = [_number(row.get(key)) for key in ("threshold", "precision", "labelled")]
        if None not in ends:
            points.append(Point(*(end for end in ends if end is not None)))
    return sorted(points, key=lambda point: point.threshold)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
