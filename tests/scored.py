"""A small seeded store with hand-made turns and predictions, for tests of pages and queries."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from data.ingest.ingest import ingest
from data.schema.tables import EVIDENCE, PREDICTIONS
from data.schema.trace import FAILURE_POINTS
from data.store.predictions import commit_predictions
from data.store.store import Store
from data.store.turn_columns import facts

MODEL = "model-a"
START = datetime(2024, 3, 1, 8, 0, tzinfo=UTC)
NASTY = "<img src=x onerror=alert(1)> **bold** [a](http://x.example) :red[no] $x$ \u202egnp"


def records(dialogues: int = 60, seed: int = 7) -> list[dict[str, Any]]:
    """Dialogues of one to five turns over some weeks; some log everything, some very little."""
    rng = random.Random(seed)
    turns = []
    for d in range(dialogues):
        started = START + timedelta(hours=10 * d)
        length = rng.randint(1, 5)
        for i in range(length):
            base: dict[str, Any] = {
                "turn_id": f"d{d:03d}-{i}",
                "dialogue_id": f"d{d:03d}",
                "turn_index": i,
                "started_at": started + timedelta(seconds=20 * i),
                "assistant": rng.choice(["kitchen", "car"]),
                "locale": rng.choice(["en-GB", "en-US", None]),
                "device": {"type": rng.choice(["speaker", "phone"])},
                "asr": {
                    "hypotheses": [
                        {"text": f"play song {d}", "confidence": round(rng.random(), 3)},
                        {"text": f"play some {d}", "confidence": round(rng.random(), 3)},
                    ],
                    "audio_ms": 1234.0,
                    "signals": {"snr": 12.5},
                },
            }
            if d % 2:
                base |= {
                    "versions": {"asr": rng.choice(["4.1", "4.2"]), "nlu": "7"},
                    "prompt": {"text": "What would you like?"},
                    "wake": {"score": 0.9, "threshold": 0.5, "phrase": "hey you"},
                    "nlu": {
                        "hypotheses": [
                            {
                                "domain": "music",
                                "intent": "play",
                                "confidence": 0.8,
                                "slots": [{"name": "song", "value": str(d)}],
                            }
                        ],
                        "latency_ms": 31.0,
                    },
                    "er": {"mentions": [{"slot": "song", "text": str(d), "candidates": []}]},
                    "result": {"action": "play", "status": "ok", "response": f"Playing {d}."},
                    "feedback": {"barge_in": True, "barge_in_ms": 400.0},
                    "gold": {"transcript": f"play song {d}", "failure_point": "correct"},
                }
            turns.append(base)
    turns.append(
        {
            "turn_id": "nasty",
            "dialogue_id": "nasty",
            "turn_index": 0,
            "started_at": START + timedelta(days=3),
            "asr": {"hypotheses": [{"text": NASTY}, {"text": "x" * 5000}]},
            "result": {"response": NASTY, "items": [NASTY]},
            "gold": {"transcript": NASTY, "annotator": NASTY},
        }
    )
    turns.append(
        {
            "turn_id": "bare",
            "dialogue_id": "bare",
            "turn_index": 0,
            "started_at": START + timedelta(days=4),
        }
    )
    return turns


def predictions_table(turns: pa.Table, model: str = MODEL, seed: int = 11) -> pa.Table:
    """Plausible predictions of a table `turns`: probabilities add up, and so does evidence."""
    rng = random.Random(seed)
    rows = []
    for turn in facts(turns).to_pylist():
        weights = [rng.expovariate(1.0) for _ in FAILURE_POINTS]
        weights[FAILURE_POINTS.index("correct")] *= 6
        p = [w / sum(weights) for w in weights]
        reasons: list[dict[str, Any]] = [
            {
                "feature": f"{stage}.{name}",
                "stage": stage,
                "value": None if rng.random() < 0.2 else round(rng.random(), 3),
                "contribution": rng.gauss(0, 1),
            }
            for stage in ("asr", "nlu", "er", "dialogue", "text")
            for name in ("confidence", "length")
        ]
        evidence = dict.fromkeys(EVIDENCE, 0.05)
        for reason in reasons:
            evidence[reason["stage"]] += reason["contribution"]
        rows.append(
            {
                **turn,
                "model_id": model,
                "failure_point": FAILURE_POINTS[p.index(max(p))],
                **{f"p_{name}": value for name, value in zip(FAILURE_POINTS, p, strict=True)},
                "p_defect": 1 - p[-1],
                "base_value": -1.0,
                **{f"evidence_{name}": value for name, value in evidence.items()},
                "reasons": sorted(reasons, key=lambda r: -abs(r["contribution"])),
                "context_digest": 1,
            }
        )
    return pa.Table.from_pylist(rows, schema=PREDICTIONS)


def score(store: Store, model: str = MODEL, seed: int = 11) -> None:
    """Commit hand-made predictions of every turn, with their roll-up, and promote the model."""
    with store.snapshot() as snapshot:
        turns = snapshot.query("FROM turns ORDER BY turn_id")
    commit_predictions(store, predictions_table(turns, model, seed), model)
    (store.models / model).mkdir(exist_ok=True)
    store.promote(model)


def fill(path: Path, scored: bool = True) -> Store:
    """A new store at `path` with the seeded turns, scored or not."""
    store = Store.create(path)
    lines = path.with_suffix(".jsonl")
    lines.write_text(
        "".join(f"{json.dumps(record, default=datetime.isoformat)}\n" for record in records()),
        encoding="utf-8",
    )
    ingest(store, [lines])
    if scored:
        score(store)
    return store


def phones_failing(path: Path) -> Store:
    """A store in which phones fail at ASR."""
    store = fill(path, scored=False)
    with store.snapshot() as snapshot:
        table = predictions_table(snapshot.query("FROM turns ORDER BY turn_id"))
    rows = table.to_pylist()
    for row in rows:
        bad = row["device_type"] == "phone"
        row |= {f"p_{name}": 0.01 for name in ("false_wake", "nlu", "er", "result")}
        row |= {"p_asr": 0.9 if bad else 0.02, "p_correct": 0.06 if bad else 0.94}
        row |= {"p_defect": 1 - row["p_correct"], "failure_point": "asr" if bad else "correct"}
    commit_predictions(store, pa.Table.from_pylist(rows, schema=table.schema), MODEL)
    (store.models / MODEL).mkdir()
    store.promote(MODEL)
    return store
