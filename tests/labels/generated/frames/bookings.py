"""Made-up bookings: what is misheard is asked again, and prompts ask for what is missing."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from data.schema.trace import TURNS

CITIES = ("york", "leeds", "bath", "ely", "oban", "wells")
GARBLED = "the uh sum there"
_START = datetime(2024, 3, 1, 8, 0, tzinfo=UTC)


def turn(
    dialogue: str,
    index: int,
    texts: list[str] | None,
    *,
    prompt: str | None = None,
    response: str | None = None,
    nlu: tuple[str | None, list[tuple[str, str]]] | None = None,
    gold: tuple[str | None, list[tuple[str, str]] | None] | None = None,
    confidence: float | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """A row of `data.schema.trace.TURNS`; frames are (intent, slots)."""
    row: dict[str, Any] = dict.fromkeys(TURNS.names)
    row |= {
        "turn_id": f"{dialogue}-{index}",
        "dialogue_id": dialogue,
        "turn_index": index,
        "started_at": _START + timedelta(seconds=20 * index),
        "prompt": {"text": prompt},
        "result": {"response": response},
    }
    if texts is not None:
        hypotheses = [{"text": text, "confidence": confidence} for text in texts]
        row["asr"] = {"hypotheses": hypotheses}
    if nlu is not None:
        row["nlu"] = {"hypotheses": [{"confidence": 0.8, **_frame(*nlu)}]}
    if gold is not None:
        row["gold"] = _frame(*gold)
    return row | fields


def _frame(intent: str | None, slots: list[tuple[str, str]] | None) -> dict[str, Any]:
    pairs = None if slots is None else [{"name": n, "value": v} for n, v in slots]
    return {"intent": intent, "slots": pairs}


def with_gold(turns: pa.Table, gold: list[dict[str, Any] | None]) -> pa.Table:
    """`turns` with other gold."""
    field = TURNS.field("gold")
    return turns.set_column(turns.schema.get_field_index("gold"), field, pa.array(gold, field.type))


def table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=TURNS)


def bookings(n: int, seed: int, *, gold: bool = True, nlu: bool = False) -> pa.Table:
    """`n` dialogues of two or three turns; a third of the first requests are misheard."""
    rng = random.Random(seed)
    rows = []
    for d in range(n):
        name = f"{seed}-{d:04d}"
        city, people = rng.choice(CITIES), rng.choice(("two", "three", "four"))
        kind = rng.choice(("table", "taxi"))
        intent = {"table": "BookTable", "taxi": "BookTaxi"}[kind]
        slot = {"table": "city", "taxi": "destination"}[kind]
        said = f"a {kind} in {city.title()} please"
        meant = (intent, [(slot, city.title())])
        heard = GARBLED if rng.random() < 1 / 3 else said
        turns: list[dict[str, Any]] = []

        def add(text: str, frame: Any, understood: Any, turns: Any = turns, name: str = name,
                **fields: Any) -> None:  # fmt: skip
            turns.append(
                turn(
                    name,
                    len(turns),
                    [text],
                    gold=frame if gold else None,
                    nlu=understood if nlu else None,
                    **fields,
                )
            )

        if heard != said:
            add(heard, meant, ("none", []), response="what was that")
            add(said, meant, meant, prompt="what was that", response="for how many")
        else:
            add(said, meant, meant, response="for how many")
        number = {"two": "2", "three": "3", "four": "4"}[people]
        group = (intent, [("people", number)])
        add(f"{people} of us", group, group, prompt="for how many", response=f"booked in {city}")
        rows += turns
    return table(rows)
