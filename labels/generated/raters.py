"""Verdicts of the raters in gold, and labels beside one human pass on the same panels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from labels.generated.dialogues import Dialogues
from labels.goals.measures import Mark, Panels, human_mark

# What raters of each task marked.
RATED = {"goal_start": "boundary", "goal_reached": "goal", "turn_defect": "response"}
# A panel is one rater against three others; where nearly nothing has four raters, two or one.
_OTHERS = 3
_FEW = 1 / 40


def marks(turns: pa.Table, dialogues: Dialogues, of: str) -> list[list[float]]:
    """Marks that raters gave, per turn in the order of `dialogues`; `of` as in `gold.ratings`.

    Marks of a goal or a dialogue stand on its last turn.
    """
    if "gold" not in turns.column_names:
        return [[] for _ in range(len(dialogues))]
    gold: list[dict[str, Any] | None] = (
        turns["gold"].combine_chunks().take(pa.array(dialogues.row)).to_pylist()
    )
    return [
        [
            r["value"]
            for r in (g or {}).get("ratings") or []
            if r["of"] == of and r["value"] is not None
        ]
        for g in gold
    ]


def assistants(turns: pa.Table, dialogues: Dialogues) -> list[str | None]:
    """The assistant of each turn, in the order of `dialogues`; n names or None."""
    if "assistant" not in turns.column_names:
        return [None] * len(dialogues)
    found: list[str | None] = turns["assistant"].take(pa.array(dialogues.row)).to_pylist()
    return found


def bad(given: list[list[float]], assistants: list[str | None]) -> list[list[bool]]:
    """Which marks call a response bad: 1 of 3, 1 and 2 of 5.

    A scale is known by the highest mark that raters of an assistant's responses gave.
    """
    highest: dict[str | None, float] = {}
    for assistant, values in zip(assistants, given, strict=True):
        highest[assistant] = max([highest.get(assistant, 0.0), *values])
    return [
        [value <= (1 if highest[a] <= 3 else 2) for value in values]
        for a, values in zip(assistants, given, strict=True)
    ]


def shares(verdicts: list[list[bool]]) -> np.ndarray:
    """Share of the raters that say so (n,); NaN without raters."""
    return np.array([np.mean(v) if v else np.nan for v in verdicts], float).reshape(len(verdicts))


def human_marks(
    turns: pa.Table, dialogues: Dialogues, labels: Mapping[str, np.ndarray], seed: int = 0
) -> dict[str, Mark]:
    """One human pass and labels against the very same panels, per task that several people rated.

    Parameters
    ----------
    labels: per task the probabilities (n,) of turns of `dialogues` that they were not learned from:
        that a goal begins, that it was reached, that the response was a defect. Things with a NaN
        are in no panel. On each set of panels the labels say yes as often as the raters do
        (`Panels.said_as_often`), so what is compared is the order, not the threshold.
    """
    found = {}
    for task, p in labels.items():
        given = marks(turns, dialogues, RATED[task])
        if task == "turn_defect":
            verdicts = bad(given, assistants(turns, dialogues))
        elif task == "goal_reached":
            # Of 1 to 3, only 3 is a goal that was reached altogether.
            verdicts, p = [[mark < 3 for mark in of] for of in given], 1 - p
        else:
            verdicts = [[mark > 0 for mark in of] for of in given]
        verdicts = [v if known else [] for v, known in zip(verdicts, np.isfinite(p), strict=True)]
        raters = np.array([len(v) for v in verdicts])
        rated = (raters > 1).sum()
        others = next(
            (k for k in range(_OTHERS, 0, -1) if rated and (raters > k).sum() > rated * _FEW), 0
        )
        if others:
            panels = Panels.draw(verdicts, dialogues.dialogue, others=others, seed=seed)
            found[task] = human_mark(panels, p, seed)
    return found
