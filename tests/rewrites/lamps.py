"""Made-up logs in which one request is mostly misheard, and said again."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from data.ingest.ingest import ingest
from data.store.store import Store
from tests.logs import trace, write_lines

START = datetime(2024, 5, 1, 9, 0, tzinfo=UTC)
BAD, GOOD = "tirn on the lamb", "turn on the lamp"


def turn(name: str, user: str | None, at: float, text: str, **fields: Any) -> dict[str, Any]:
    """A turn `at` seconds after the start; NLU takes the last word for a device."""
    found = "lamp" if text == GOOD else text[-4:]
    slots = [{"name": "device", "value": found}]
    return trace(
        name,
        dialogue_id=f"d-{name}",
        user_id=user,
        started_at=(START + timedelta(seconds=at)).isoformat(),
        asr={"hypotheses": [{"text": text}]},
        **{"nlu": {"hypotheses": [{"domain": "home", "intent": "on", "slots": slots}]}, **fields},
    )


def lamps(days: int = 4, per_day: int = 12) -> list[dict[str, Any]]:
    """A misheard request, mostly with a barge-in, then said again; and what goes well at once."""
    rng, turns = random.Random(1), []
    for i in range(days * per_day):
        day, user = i % days, f"u{i % 5}"
        at = day * 86_400 + (i // days) * 600
        bad = {"feedback": {"barge_in": rng.random() < 0.7}}
        turns.append(turn(f"a{i}", user, at, BAD, **bad))
        turns.append(turn(f"b{i}", user, at + 8, GOOD))
        turns.append(turn(f"c{i}", f"v{i % 7}", at, GOOD))
        turns.append(turn(f"d{i}", f"w{i % 7}", at, "play some jazz"))
    return turns


def store_with(folder: Path, turns: list[dict[str, Any]]) -> Store:
    """A new store in `folder` with these turns."""
    store = Store.create(folder / "store")
    if turns:
        ingest(store, [write_lines(folder / "logs.jsonl", turns)])
    return store


def friction_of(texts: list[str], names: list[str], barge_in: list[bool]) -> pa.Table:
    """A table as of `labels.feedback.sessions.friction`: turns, sessions, and who was cut short."""
    n = len(texts)
    follows = [i + 1 < n and names[i] == names[i + 1] for i in range(n)]
    false = pa.array([False] * n, pa.bool_())
    text = pa.array(texts, pa.string())
    return pa.table(
        {
            "session": pa.array(names, pa.string()),
            "assistant": pa.array([""] * n, pa.string()),
            "user_id": pa.nulls(n, pa.string()),
            "locale": pa.nulls(n, pa.string()),
            "text": text,
            "frame": text,
            "gap": pa.array([9.0 if after else None for after in follows], pa.float64()),
            "alike": pa.array([0.5 * after for after in follows], pa.float64()),
            "barge_in": pa.array(barge_in, pa.bool_()),
            **dict.fromkeys(("same_intent", "terminated", "rejected", "apology"), false),
            "explicit": pa.array([""] * n, pa.string()),
            "failed": pa.nulls(n, pa.int32()),
            "p_defect": pa.nulls(n, pa.float32()),
        }
    )
