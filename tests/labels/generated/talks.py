"""Dialogues whose goals, defects and ends follow from the words, for tests of the label model."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from data.schema.trace import TURNS, schema

SCHEMA = schema([field for field in TURNS if field.name not in ("extra", "digest", "day")])

_TOPICS = {
    "weather": ("will it rain in paris", "it will be sunny in paris", "and tomorrow", "sunny too"),
    "music": ("play some jazz", "playing jazz", "louder please", "volume is up"),
    "timer": ("set a timer for ten minutes", "ten minutes from now", "name it tea", "named tea"),
}


def talks(dialogues: int, seed: int = 0, gold: bool = True, feedback: bool = False) -> pa.Table:
    """Turns of dialogues with two goals each, of two to four turns; a third of the goals fail.

    A goal that fails is one whose last request is said again after an apology. Another topic is
    another goal.
    """
    generator = np.random.default_rng(seed)
    rows = []
    for d in range(dialogues):
        topics = generator.choice(list(_TOPICS), 2, replace=False)
        turns: list[dict[str, Any]] = []
        for goal, topic in enumerate(topics):
            first, answer, second, answered = _TOPICS[topic]
            reached = generator.random() > 1 / 3
            said = [(first, answer, False), (second, answered, False)]
            if not reached:
                said = [(first, "sorry i did not get that", True), (first, "sorry again", True)]
            elif generator.random() < 0.5:
                said = said[:1]
            turns += [
                {"request": q, "response": r, "defect": bad, "goal": goal, "reached": reached}
                | {"intent": topic}
                for q, r, bad in said
            ]
        name = f"d{d:03}"
        rows += [_record(name, i, turn, turns, gold, feedback) for i, turn in enumerate(turns)]
    return pa.table(
        [pa.array([r.get(f.name) for r in rows], f.type) for f in SCHEMA], schema=SCHEMA
    )


def replaced(turns: pa.Table, name: str, values: list[Any]) -> pa.Table:
    """`turns` with another column `name`."""
    field = SCHEMA.field(name)
    return turns.set_column(turns.column_names.index(name), field, pa.array(values, field.type))


def values(turns: pa.Table, name: str) -> list[Any]:
    """A column of `turns` as a list."""
    found: list[Any] = turns[name].to_pylist()
    return found


def table(dialogues: dict[str, list[tuple[str, str]]], **fields: Any) -> pa.Table:
    """Turns without gold of dialogues given as requests and responses."""
    rows = []
    for name, turns in dialogues.items():
        said = [{"request": q, "response": r} for q, r in turns]
        rows += [_record(name, i, turn, said, False, False) | fields for i, turn in enumerate(said)]
    return pa.table(
        [pa.array([r.get(f.name) for r in rows], f.type) for f in SCHEMA], schema=SCHEMA
    )


def _record(
    dialogue: str,
    index: int,
    turn: dict[str, Any],
    turns: list[dict[str, Any]],
    gold: bool,
    feedback: bool,
) -> dict[str, Any]:
    record: dict[str, Any] = {
        "turn_id": f"{dialogue}-{index:03}",
        "dialogue_id": dialogue,
        "turn_index": index,
        "started_at": datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=11 * index),
        "assistant": "test",
        "prompt": {"text": turns[index - 1]["response"]} if index else None,
        "asr": {"hypotheses": [{"text": turn["request"], "confidence": 0.9}]},
        "result": {"response": turn["response"]},
    }
    if gold:
        record["gold"] = {
            "goal_id": f"g{turn['goal']}",
            "goal_reached": turn["reached"],
            "defect": turn["defect"],
            "intent": turn["intent"],
        }
    if feedback:
        record["feedback"] = {"explicit": "no" if turn["defect"] else "yes"}
    return record
