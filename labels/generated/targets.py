"""What the label model is to say, from gold. Read in training and in evaluation only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from labels.generated import raters
from labels.generated.dialogues import Dialogues
from labels.goals.spans import starts_of

# Tasks that end in a yes or a no, in the order in which they are learned.
VERDICTS = ("goal_start", "turn_defect", "goal_reached")
# Ids of goals that begin so were found by a label model and judged by a person: whether they were
# reached is gold, where they begin is not.
FOUND = "~"


@dataclass(frozen=True, slots=True)
class Targets:
    """Gold of n turns, in the order of a `Dialogues`; NaN or None where there is none.

    Attributes
    ----------
    goal_start: 1 where a goal begins, 0 where the one of the turn before goes on (n,); NaN on the
        first turn of a dialogue, where one begins in any case. From ids of goals, else from marks
        of raters.
    goal: number of the goal that each turn serves, from 0 in each dialogue, -1 for none (n,).
    goal_reached: 1 reached, 0 not (n,), the same on all turns of a goal.
    turn_defect: verdict on the response: 1 a defect (n,). `defect`, else the failure point.
    defect_share: share of the raters that call the response bad (n,), `turn_defect` where there are
        no raters.
    intent: n strings or None.
    """

    goal_start: np.ndarray
    goal: np.ndarray
    goal_reached: np.ndarray
    turn_defect: np.ndarray
    defect_share: np.ndarray
    intent: list[str | None]


def read(turns: pa.Table, dialogues: Dialogues) -> Targets:
    """Gold of `turns`, the table that `dialogues` was read from."""
    n = len(dialogues)
    gold: list[dict[str, Any] | None] = [None] * n
    if "gold" in turns.column_names:
        gold = turns["gold"].combine_chunks().take(pa.array(dialogues.row)).to_pylist()
    rows = [g or {} for g in gold]
    ids = [r.get("goal_id") for r in rows]
    verdict = np.array([_verdict(r) for r in rows], float).reshape(n)
    share = raters.shares(
        raters.bad(raters.marks(turns, dialogues, "response"), raters.assistants(turns, dialogues))
    )
    _, goal = starts_of(ids, dialogues.dialogue)
    known = [None if goal_id is None or goal_id.startswith(FOUND) else goal_id for goal_id in ids]
    start, _ = starts_of(known, dialogues.dialogue)
    said = raters.shares(
        [[mark > 0 for mark in given] for given in raters.marks(turns, dialogues, "boundary")]
    )
    # Without ids, what most of those say who were asked; a draw is nobody's verdict.
    told = np.where(said == 0.5, np.nan, (said > 0.5).astype(float))
    told[np.isnan(said) | (dialogues.position == 0)] = np.nan
    return Targets(
        goal_start=np.where(np.isnan(start), told, start),
        goal=goal,
        goal_reached=np.array([_float(r.get("goal_reached")) for r in rows], float).reshape(n),
        turn_defect=verdict,
        defect_share=np.where(np.isnan(share), verdict, share),
        intent=[r.get("intent") for r in rows],
    )


def _float(value: bool | None) -> float:
    return np.nan if value is None else float(value)


def _verdict(gold: dict[str, Any]) -> float:
    if gold.get("defect") is not None:
        return float(gold["defect"])
    point = gold.get("failure_point")
    return np.nan if point is None else float(point != "correct")
