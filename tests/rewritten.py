"""A small store whose users say failing requests again, with rewrites of them in every state."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from data.ingest.ingest import ingest
from data.schema.tables import REWRITE_OUTCOMES, REWRITES
from data.store.predictions import commit_predictions
from data.store.rewrites import rewrite_id
from data.store.store import Store
from data.store.workspace import put_setting
from tests.logs import write_lines
from tests.scored import MODEL, NASTY, predictions_table

START = datetime(2024, 3, 4, 8, 0, tzinfo=UTC)
DAYS = 28
HEARD, MEANT = "play hungry james", "play hunger games"
KEPT = "u2"
ARABIC, CHINESE, LONG = "شغل الموسيقى", "播放音乐", "la " * 3_300 + "end"
# Requests that are said in one session a day, and what follows: both as the recogniser writes them.
SAID = {
    "Play  hungry James": MEANT,
    ARABIC: "شغل أغنية",
    CHINESE: "播放歌曲",
    LONG: "stop",
    NASTY: f"not {NASTY}",
}


def _id(request: str, rewrite: str, user_id: str | None = None) -> str:
    return rewrite_id("", request, rewrite, user_id)


def _request(text: str) -> str:
    return " ".join(text.lower().split())


GENERAL, PERSONAL = _id(HEARD, MEANT), _id(HEARD, "play james", "u1")
OWN_KEEPS = _id(HEARD, HEARD, KEPT)


def records() -> list[dict[str, Any]]:
    """A session of two turns for each text of `SAID` on each day, of users u0 to u3 in turn."""
    lines = []
    for day in range(DAYS):
        for number, (said, meant) in enumerate(SAID.items()):
            for index, text in enumerate((said, meant)):
                lines.append(
                    {
                        "turn_id": f"{day:02d}-{number}-{index}",
                        "dialogue_id": f"{day:02d}-{number}",
                        "turn_index": index,
                        "started_at": (
                            START + timedelta(days=day, minutes=number, seconds=8 * index)
                        ).isoformat(),
                        "user_id": f"u{day % 4}",
                        "locale": "en-GB",
                        "device": {"type": "phone" if day % 2 else "speaker"},
                        "asr": {"hypotheses": [{"text": text, "confidence": 0.8}]},
                        "nlu": {
                            "hypotheses": [
                                {
                                    "domain": "media",
                                    "intent": "Play",
                                    "slots": [{"name": "title", "value": text[:20]}],
                                }
                            ]
                        },
                        "er": {
                            "mentions": [
                                {
                                    "slot": "title",
                                    "text": "hungry james" if not index else "hunger games",
                                    "candidates": []
                                    if not index
                                    else [{"name": "The Hunger Games", "id": "1", "score": 0.9}],
                                }
                            ]
                        },
                        "result": {"action": "play", "status": "ok", "response": "Here you are."},
                    }
                )
    return lines


def predictions(turns: pa.Table) -> pa.Table:
    """The first turn of each session fails at ER, the second one works."""
    table = predictions_table(turns)
    rows = table.to_pylist()
    for row in rows:
        bad = row["turn_index"] == 0
        row |= {f"p_{name}": 0.02 for name in ("false_wake", "asr", "nlu", "result")}
        row |= {"p_er": 0.82 if bad else 0.02, "p_correct": 0.1 if bad else 0.9}
        row |= {"p_defect": 1 - row["p_correct"], "failure_point": "er" if bad else "correct"}
    return pa.Table.from_pylist(rows, schema=table.schema)


def rewrite(request: str, text: str, user_id: str | None = None, **fields: Any) -> dict[str, Any]:
    """A row of `REWRITES`."""
    nodes = [
        {"text": request, "state": f"media|Play|title={request[:20]}", "failure": 0.9, "turns": 28},
        {"text": text, "state": f"media|Play|title={text[:20]}", "failure": 0.1, "turns": 28},
    ]
    edges = [{"from": 0, "to": 1, "p": 0.8}, {"from": 0, "to": 0, "p": 0.1}]
    return {
        "rewrite_id": _id(request, text, user_id),
        "assistant": "",
        "request": request,
        "rewrite": text,
        "user_id": user_id,
        "method": "chain, personal" if user_id else "chain",
        "request_state": nodes[0]["state"],
        "rewrite_state": nodes[1]["state"],
        "users": 1 if user_id else 4,
        "sessions": 28,
        "turns": 28,
        "failing": 25.2,
        "p_before": 0.1,
        "p_after": 0.9,
        "score": 0.8,
        "failure_point": "er",
        "examples": [],
        "chain": json.dumps({"nodes": nodes, "edges": edges}),
        "state": "proposed",
        "mined_at": START + timedelta(days=DAYS),
        **fields,
    }


def rewrites() -> list[dict[str, Any]]:
    """One row for every text of `SAID`, and rows of users for the first one."""
    rows = [
        rewrite(
            _request(said),
            _request(meant),
            examples=[f"{day:02d}-{number}-0" for day in range(5)],
        )
        for number, (said, meant) in enumerate(SAID.items())
    ]
    rows[2] |= {"state": "rejected", "reason": "not for all", "decided_by": "Ada"}
    rows[2]["decided_at"] = START + timedelta(days=DAYS)
    return [
        *rows,
        rewrite(HEARD, "play james", "u1", sessions=7, examples=["01-0-0"]),
        rewrite(HEARD, HEARD, KEPT, p_before=0.8, p_after=0.8),
    ]


def outcomes() -> list[dict[str, Any]]:
    """Outcomes of the first rewrite: 12 wins, a loss and two turns without help."""
    day = (START + timedelta(days=20)).date()
    row = {"rewrite_id": GENERAL, "day": day, "turns": 8, "wins": 6, "losses": 1, "no_help": 1}
    return [{**row, "source": "replay"}, {**row, "source": "use", "losses": 0}]


def evaluation() -> dict[str, Any]:
    """What `faultline rewrites mine` leaves among the settings."""

    def row(name: str, net: float) -> dict[str, Any]:
        return {
            "name": name,
            "triggers": 60,
            "wins": 40,
            "losses": 5,
            "no_help": 15,
            "precision": 0.76 if net else None,
            "mended": net + 0.02,
            "net": net,
            "low": net - 0.03,
            "high": net + 0.03,
            "false_triggers": 0.01,
        }

    return {
        "at": "2024-04-02T08:00:00+00:00",
        "share": 0.7,
        "since": "2024-03-24",
        "until": "2024-03-31",
        "turns": 80,
        "wrong": 40,
        "judged": 0,
        "rows": [row("none", 0.0), row("plain chain", 0.18), row("chain + personal", 0.24)],
        "parts": [row(name, 0.1) for name in ("head", "tail", "seen", "unseen")],
    }


def fill(path: Path, scored: bool = True, mined: bool = True) -> Store:
    """A new store at `path`."""
    store = Store.create(path)
    ingest(store, [write_lines(path.with_suffix(".jsonl"), records())])
    if scored:
        with store.snapshot() as snapshot:
            turns = snapshot.query("FROM turns ORDER BY turn_id")
        commit_predictions(store, predictions(turns), MODEL)
        (store.models / MODEL).mkdir(exist_ok=True)
        store.promote(MODEL)
    if mined:
        with store.commit() as cycle:
            cycle.append("rewrites", pa.Table.from_pylist(rewrites(), schema=REWRITES))
            cycle.append(
                "rewrite_outcomes", pa.Table.from_pylist(outcomes(), schema=REWRITE_OUTCOMES)
            )
        put_setting(store, "rewrites_evaluation", evaluation())
    return store
