"""Labels beside one human pass: which marks count, and against whom."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from labels.generated import dialogues as reading
from labels.generated.raters import human_marks
from tests.labels.generated.talks import replaced, table

_MANY = 200


def _rated(of: str, marks: list[list[int]]) -> pa.Table:
    """A dialogue of one turn for each thing rated."""
    turns = table({f"d{i:03}": [("x", "y")] for i in range(len(marks))})
    gold: list[dict[str, Any]] = [
        {"ratings": [{"annotator": f"r{n}", "of": of, "value": m} for n, m in enumerate(given)]}
        for given in marks
    ]
    return replaced(turns, "gold", gold)


@pytest.mark.parametrize(
    ("task", "of", "yes", "no"),
    [
        ("turn_defect", "response", 1, 5),
        ("goal_reached", "goal", 1, 3),
        ("goal_start", "boundary", 1, 0),
    ],
)
def test_labels_that_know_the_panel_are_above_one_of_it(
    task: str, of: str, yes: int, no: int
) -> None:
    generator = np.random.default_rng(0)
    share = generator.beta(0.4, 1.5, _MANY)
    said = [generator.random(7) < s for s in share]
    turns = _rated(of, [[yes if v else no for v in given] for given in said])
    # A goal that raters call missed is one that the label says was hardly reached.
    p = 1 - share if task == "goal_reached" else share
    rows = reading.read(turns)
    found = human_marks(turns, rows, {task: p})[task]
    assert found.things == _MANY
    assert found.low > 0
    assert human_marks(turns, rows, {task: 1 - p})[task].high < 0
    # What has no label is in no panel.
    half = np.where(np.arange(_MANY) % 2, p, np.nan)
    assert human_marks(turns, rows, {task: half})[task].things == _MANY / 2


def test_two_raters_are_one_against_the_other() -> None:
    turns = _rated("boundary", [[1, 1], [0, 0], [1, 0]] * 30)
    p = np.tile([0.9, 0.1, 0.5], 30)
    found = human_marks(turns, reading.read(turns), {"goal_start": p})["goal_start"]
    assert found.things == 90
    assert found.human == pytest.approx(2 / 3)


def test_one_rater_is_no_panel() -> None:
    turns = _rated("response", [[1]] * 40)
    assert human_marks(turns, reading.read(turns), {"turn_defect": np.zeros(40)}) == {}
    none = turns.drop_columns(["gold"])
    assert human_marks(none, reading.read(none), {"turn_defect": np.zeros(40)}) == {}
