"""Simulated annotators: a second one, who does not always agree with the first, and one of goals.

The first annotation is the truth. The second annotator cannot run the stages again, so they blame
the first stage that looks wrong, and they overlook errors, mostly where an outcome is wrong in a
detail. A model can be compared with the agreement between the two.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from labels.rules.failure_point import COLUMNS, derive

# How often a visible error is overlooked.
_OVERLOOKED = {"false_wake": 0.03, "asr": 0.03, "nlu": 0.06, "er": 0.10, "result": 0.08}
# How often a correct turn is called wrong, and which stage is blamed then.
_IMAGINED = 0.008
_BLAMED = (("asr", 0.4), ("nlu", 0.25), ("er", 0.2), ("result", 0.15))
_CUMULATIVE = np.cumsum([share for _, share in _BLAMED])
# The stage that is mistaken for another where only the internals would tell them apart.
_CONFUSED = {"nlu": ("er", 0.06), "er": ("result", 0.08), "result": ("er", 0.07)}


def second_annotator(turns: pa.Table, seed: int = 0) -> pa.Table:
    """Annotations by a second annotator: columns `turn_id` and `failure_point`.

    Parameters
    ----------
    turns: rows of the table `turns` with complete gold, `failure_point` included.
    """
    unaided = derive(_without_replay(turns))["derived"].to_pylist()
    rng = np.random.default_rng([seed, 51])
    annotated = [_annotated(point, rng) if point else None for point in unaided]
    points = pa.array(annotated, pa.string())
    return turns.select(["turn_id"]).append_column("failure_point", points)


def _annotated(seen: str, rng: np.random.Generator) -> str:
    draws = rng.random(3)
    if seen == "correct":
        if draws[0] >= _IMAGINED:
            return seen
        return _BLAMED[int(np.searchsorted(_CUMULATIVE, draws[1] * _CUMULATIVE[-1]))][0]
    if draws[0] < _OVERLOOKED[seen]:
        return "correct"
    other, share = _CONFUSED.get(seen, ("", 0.0))
    return other if draws[2] < share else seen


def _without_replay(turns: pa.Table) -> pa.Table:
    """The turns as seen by an annotator who cannot run the stages again."""
    kind = turns.schema.field("gold").type
    gold = [
        {**row, "replay": None, "failure_point": None} if row else None
        for row in turns["gold"].to_pylist()
    ]
    columns = [name for name in COLUMNS if name != "gold"]
    return turns.select(columns).append_column("gold", pa.array(gold, kind))


# How often a pass over dialogues misses where a goal begins: another want of the same intent looks
# like going on with the first; and how often it takes a request said in other words for a new want.
_MISSED = {"same intent": 0.25, "same domain": 0.08, "other": 0.03}
_SPLIT = 0.03
# How often a goal that was not reached is taken for one that was, by the last failure point (an
# item of a similar name shows least), and the other way round.
_BELIEVED = {"er": 0.15, "result": 0.10, "nlu": 0.06, "asr": 0.06, "false_wake": 0.06}
_DOUBTED = 0.03


def pass_over_goals(turns: pa.Table, seed: int = 0) -> pa.Table:
    """One simulated pass over dialogues: columns turn_id, goal_start and goal_reached (bool).

    Parameters
    ----------
    turns: rows of the table `turns` with complete gold (`goal_id`, `goal_reached`, `intent`,
        `domain`, `failure_point`), each dialogue in its order. A goal that nobody addressed to the
        assistant is null in `goal_reached`.
    """
    rng = np.random.default_rng([seed, 52])
    rows = turns.select(["turn_id", "dialogue_id", "gold"]).to_pylist()
    starts: list[bool] = []
    for at, row in enumerate(rows):
        before = rows[at - 1] if at else None
        if before is None or before["dialogue_id"] != row["dialogue_id"]:
            starts.append(True)
            continue
        one, other = before["gold"], row["gold"]
        if one["goal_id"] == other["goal_id"]:
            starts.append(bool(rng.random() < _SPLIT))
            continue
        alike = "same domain" if one["domain"] == other["domain"] else "other"
        if one["intent"] == other["intent"]:
            alike = "same intent"
        starts.append(bool(rng.random() >= _MISSED[alike]))
    last = {(row["dialogue_id"], row["gold"]["goal_id"]): row["gold"] for row in rows}
    judged = {key: _judged(gold, rng) for key, gold in last.items()}
    reached = [judged[row["dialogue_id"], row["gold"]["goal_id"]] for row in rows]
    return (
        turns.select(["turn_id"])
        .append_column("goal_start", pa.array(starts))
        .append_column("goal_reached", pa.array(reached, pa.bool_()))
    )


def _judged(gold: dict[str, Any], rng: np.random.Generator) -> bool | None:
    """Whether somebody who looks at its last turn says that a goal was reached."""
    reached = gold["goal_reached"]
    if reached is None:
        return None
    mistaken = _DOUBTED if reached else _BELIEVED.get(gold["failure_point"], _DOUBTED)
    return bool(reached) != bool(rng.random() < mistaken)
