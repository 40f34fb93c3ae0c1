"""Made-up logs for the tests of feedback: who said what, when, and what came back."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from data.ingest.ingest import ingest
from data.store.store import Store
from tests.logs import trace, write_lines

START = datetime(2024, 5, 1, 9, 0, 0, 250_000, tzinfo=UTC)


def said(
    dialogue: str, index: int, text: str | None, at: float | None = None, **fields: Any
) -> dict[str, Any]:
    """Turn `index` of a dialogue, `at` seconds after the start; 10 s after the one before."""
    at = 10.0 * index if at is None else at
    heard = {} if text is None else {"asr": {"hypotheses": [{"text": text}]}}
    return trace(
        f"{dialogue}.{index}",
        dialogue_id=dialogue,
        turn_index=index,
        started_at=(START + timedelta(seconds=at)).isoformat(),
        **{**heard, **fields},
    )


def store_of(folder: Path, turns: list[dict[str, Any]]) -> Store:
    """A new store in `folder` with these turns."""
    store = Store.create(folder / "store")
    if turns:
        ingest(store, [write_lines(folder / "logs.jsonl", turns)])
    return store


def traffic(dialogues: int = 400, seed: int = 3) -> list[dict[str, Any]]:
    """Lamps switched by users, three in ten of whose requests fail; gold says which.

    After a failure users mostly say it again, cut in, or leave; the assistant apologises at times.
    """
    rng = random.Random(seed)
    turns: list[dict[str, Any]] = []
    for number in range(dialogues):
        name, index, again = f"t{number:03d}", 0, False
        while index < 4:
            fails = rng.random() < 0.3
            text = f"{'please ' if again else ''}turn on lamp {rng.randrange(30)}"
            sorry = fails and rng.random() < 0.3
            again = fails and rng.random() < 0.6
            turns.append(
                said(
                    name,
                    index,
                    turns[-1]["asr"]["hypotheses"][0]["text"] + " now" if again and index else text,
                    at=1_000.0 * number + 10 * index,
                    user_id=f"u{number % 9}",
                    result={"status": "ok", "response": "sorry, try again" if sorry else "done"},
                    feedback={"barge_in": rng.random() < (0.5 if fails else 0.03)},
                    gold={"defect": fails},
                )
            )
            index += 1
            if not again and rng.random() < 0.5:
                break
    return turns
