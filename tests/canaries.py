"""A store in whose texts each field of each assistant has a word of its own, to be found again.

The word of the field `heard` of the assistant `car` is `zqheardcarx`: no page escapes or cuts it.
Turns of `car` are in en-US, those of `kitchen` in en-GB, and each has four of both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from streamlit.testing.v1 import AppTest

from data.ingest.ingest import ingest
from data.schema.layout import TABLES
from data.store.rewrites import PROPOSED
from data.store.store import Store
from tests import scored

ASSISTANTS = {"kitchen": "en-GB", "car": "en-US"}
START = datetime(2024, 3, 1, 8, 0, tzinfo=UTC)
TURNS = 40
# One ends where the next begins: Arrow stores texts back to back.
_WORD = re.compile(r"zq(?:(?!zq)[a-z])+x")


def word(field: str, assistant: str) -> str:
    """The word that stands in a field of an assistant's rows."""
    return f"zq{re.sub('[^a-z]', '', field)}{assistant}x"


def turn(assistant: str, number: int) -> str:
    """The id of a turn."""
    return f"{word('turn', assistant)}{number}"


def records() -> list[dict[str, Any]]:
    """Trace records, one turn to a dialogue, with a word in every text."""
    rows = []
    for number in range(TURNS):
        for assistant, locale in ASSISTANTS.items():

            def said(field: str, assistant: str = assistant) -> str:
                return word(field, assistant)

            rows.append(
                {
                    "turn_id": turn(assistant, number),
                    "dialogue_id": f"{said('dialogue')}{number}",
                    "turn_index": 0,
                    "started_at": START + timedelta(hours=number),
                    "assistant": assistant,
                    "locale": locale,
                    "user_id": said("user"),
                    "device": {"type": "phone", "id": said("deviceid")},
                    "versions": {"asr": "4.1" if number < TURNS // 2 else "4.2"},
                    "prompt": {"text": said("prompt")},
                    "wake": {"score": 0.9, "phrase": said("phrase")},
                    "asr": {
                        "hypotheses": [
                            {"text": said("heard"), "confidence": 0.8},
                            {"text": said("alternative"), "confidence": 0.1},
                        ]
                    },
                    "nlu": {
                        "hypotheses": [
                            {
                                "domain": "music",
                                "intent": "play",
                                "confidence": 0.8,
                                "slots": [{"name": "song", "value": said("slot")}],
                            }
                        ]
                    },
                    "er": {
                        "mentions": [
                            {
                                "slot": "song",
                                "text": said("mention"),
                                "candidates": [{"id": said("entity"), "name": said("candidate")}],
                            }
                        ]
                    },
                    "result": {"action": "play", "status": "ok", "response": said("response")},
                    "gold": {
                        "transcript": said("gold"),
                        "failure_point": "asr" if number % 3 else "correct",
                    },
                }
            )
    return rows


# Columns that have to hold something that can be read.
_FIXED: dict[str, Any] = {
    "failure_point": "asr",
    "state": "new",
    "kind": "rate",
    "answer": "verdict",
    "method": "chain",
    "scope": "user",
    "page": "explore",
    "tracker": "github",
    "source": "annotated",
    "chain": "{}",
    "unknown_fields": "{}",
    "format": "trace",
    "model_id": scored.MODEL,
    "explicit": "no",
    "decided_by": "explicit",
    "goal_id": "g0",
    "role": "viewer",
    "what": "export",
}


def _row(table: str, assistant: str) -> dict[str, Any]:
    of_turn = {
        "turn_id": turn(assistant, 1),
        "first_turn": turn(assistant, 1),
        "last_turn": turn(assistant, 1),
        "dialogue_id": f"{word('dialogue', assistant)}1",
        "day": START.date(),
        "assistant": assistant,
        "slice": f"asr:assistant={assistant}",
    }
    row: dict[str, Any] = {}
    for field in TABLES[table].schema:
        if field.name in of_turn:
            value = of_turn[field.name]
        elif field.name in _FIXED and pa.types.is_string(field.type):
            value = _FIXED[field.name]
        elif pa.types.is_string(field.type):
            value = word(f"{table}{field.name}", assistant)
        elif pa.types.is_timestamp(field.type):
            value = START
        elif pa.types.is_boolean(field.type):
            value = False
        elif pa.types.is_integer(field.type) or pa.types.is_floating(field.type):
            value = 0
        else:
            value = None
        row[field.name] = value
    if table == "rewrites":
        row["state"] = PROPOSED
    if table == "settings":
        row["value"] = json.dumps(row["value"])
    if table == "judge_verdicts":
        row["annotator"] = "judge:vendor"
    if table == "tickets":
        row["url"] = f"https://example.org/{word('url', assistant)}"
    if table == "triage":
        row["link"] = f"https://example.org/{word('url', assistant)}"
    if table == "views":
        row["query"] = f"text={word('viewquery', assistant)}"
    if table == "alerts":
        row["query"] = f"text={word('alertquery', assistant)}"
    return row


# Tables with a row for each assistant; `turns` and what follows from them are filled by themselves.
FILLED = (
    *("annotations", "judge_verdicts", "triage", "tickets", "alerts", "views", "settings"),
    *("rewrites", "rewrite_outcomes", "feedback", "goals", "generated_labels", "preferences"),
    *("preference_changes", "quarantine", "left_out"),
)


def fill(path: Path) -> Store:
    """A new store at `path`: two versions of it, the later with rows in every table."""
    store = Store.create(path)
    log = path.with_name("zqfilex.jsonl")
    log.write_text(
        "".join(f"{json.dumps(record, default=datetime.isoformat)}\n" for record in records())
        + '{"turn_id": "zqbrokenlinex", "started_at": 7}\n',
        encoding="utf-8",
    )
    ingest(store, [log])
    scored.score(store)
    with store.commit() as cycle:
        for table in FILLED:
            rows = [_row(table, assistant) for assistant in ASSISTANTS]
            cycle.append(table, pa.Table.from_pylist(rows, TABLES[table].schema))
    return store


def everything_sent(at: AppTest) -> str:
    """All that a page has sent to the browser: every element with whatever it holds, as text."""
    parts: list[str] = []

    def visit(node: Any) -> None:
        proto = getattr(node, "proto", None)
        if proto is not None and hasattr(proto, "SerializeToString"):
            parts.append(proto.SerializeToString().decode("utf-8", "replace"))
        for child in getattr(node, "children", {}).values():
            visit(child)

    visit(at._tree)
    parts.append(json.dumps(dict(at.query_params), default=str))
    return "\n".join(parts)


def words_in(text: str | bytes) -> set[str]:
    """The words of the store in what somebody was sent."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return set(_WORD.findall(text.lower()))


def of(assistant: str, words: Iterable[str]) -> set[str]:
    """Those that only rows of an assistant have."""
    return {found for found in words if found.endswith(f"{assistant}x")}
