"""Hostile texts, and a store in which every field that can hold text holds one of them.

`x.example` stands in every address, so that a link to it is found whatever it looks like.
"""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from data.ingest.ingest import ingest
from data.store import workspace
from data.store.annotations import SHARE, annotate
from data.store.store import Store
from labels.rules.derived import refresh
from tests.scored import MODEL, score

TEXTS: tuple[str, ...] = (
    # HTML, as elements, attributes and half of one.
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><a xlink:href=javascript:alert(1)>x</a></svg>",
    "<iframe src=https://x.example></iframe>",
    "<style>* { display: none }</style></style>",
    "</textarea></title></style></script><h1>big</h1>",
    '" onmouseover="alert(1)" x="',
    "' autofocus onfocus=alert(1) '",
    "<a href='https://x.example'>press</a>",
    "<a href=javascript:alert(1) target=_blank>press</a>",
    "<b>bold</b><br><i>i</i><sub>1</sub><sup>2</sup>",
    "<form action=https://x.example><input name=a><button>go</button></form>",
    "<meta http-equiv=refresh content='0;url=https://x.example'>",
    "<base href=https://x.example><link rel=stylesheet href=//x.example/a.css>",
    "<!--<!DOCTYPE html><html><body onload=alert(1)>",
    "&lt;script&gt;alert(1)&lt;/script&gt; &amp;lt;b&amp;gt; &#60;b&#62;",
    "<bdi><details open ontoggle=alert(1)><math><mtext></bdi>",
    # Markdown.
    "[press](https://x.example)",
    "![picture](https://x.example/a.png)",
    "[press][1] [1]: https://x.example 'title'",
    "[press](javascript:alert(1)) <javascript:alert(1)>",
    "**bold** *i* __u__ ~~gone~~ `code` ==mark==",
    "# heading",
    "    indented ```fence```",
    "- item",
    "1. item",
    "> quote",
    "| a | b |",
    "---",
    "[^1] [^1]: footnote [x] [ ]",
    "<https://x.example> <me@x.example>",
    # What GitHub's Markdown makes a link without being asked.
    "www.x.example",
    "WWW.X.EXAMPLE/path?q=1#top",
    "https://x.example/a",
    "HTTP://X.EXAMPLE ftp://x.example mailto:me@x.example xmpp:me@x.example",
    "me@x.example",
    "first.last+tag@sub.x.example.",
    # Streamlit's own.
    ":red[red] :blue-background[blue] :small[small] :rainbow[r]",
    ":material/home: :streamlit: :smile: :+1: ::",
    ':color[x]{foreground="red"} :badge[x] :gray-badge[x]',
    "a -> b <- c <-> d -- e >= f <= g ~= h",
    "$x^2$ $$\\frac{1}{2}$$ \\(x\\) \\[x\\]",
    # Plotly and other templates.
    "%{customdata} %{x} %{y}<extra>extra</extra> %{fullData.name}",
    "{{ 7 * 7 }} {% raw %} ${7*7} #{7*7} {0} {a!r} %s %(a)s %n",
    # Formulas.
    "=1+1",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "+1 -1",
    "＝HYPERLINK(1)",
    # Characters.
    "\u202eright to left\u202c \u2066isolated\u2069",
    "\u200f\u200e\u061cעברית العربية 123",
    "zero\u200bwidth\u200c\u200d\u2060\ufeff",
    "z\u0300\u0301\u0302\u0303" + "\u0304\u0305\u0306\u0307\u0308" * 40,
    "\u00ad\u034f\u115f\u3164\uffa0\ufffc\ufffd",
    "a\nb\r\nc\td\u2028e\u2029f\u0085g\x0bh",
    "\x01\x02\x1b[31mred\x1b[0m\x7f\x9b",
    "\\0 \\x00 \\u0000 %00 &#0; \\",
    "👩\u200d👧\u200d👦 🏳\ufe0f\u200d🌈 \U000e0041",
    "'; DROP TABLE turns; --",
    '"; import os; os.system("id") #',
    "../../../etc/passwd\\..\\con.txt",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "NULL",
    "NaN",
    "true",
    "0",
    "-1",
    "1e999",
    "2024-03-01",
    "All",
    "Signal",
    "not logged",
    "others",
    "(empty)",
    "_index",
    "undefined",
    "constructor",
    "__proto__",
    "x" * 10_000,
    "word " * 2_000,
    "<" * 300,
    "[" * 300,
    "![](" * 100,
    "$" * 99,
    "`" * 99,
    "\\" * 99,
)
STATUSES = ("ok", "error", "no_match", "unsupported")
# A name of a view and an annotator may be 100 and 60 characters long.
_NAME = 60


def record(number: int, day: int, dialogue: int, index: int) -> dict[str, Any]:
    """A turn whose free texts are all text `number`, or the ones after it."""

    def text(shift: int = 0) -> str:
        return TEXTS[(number + shift) % len(TEXTS)]

    slots = [{"name": text(), "value": text(1)}, {"name": text(2), "value": text()}]
    acts = [{"act": text(), "slots": slots}]
    return {
        "turn_id": f"{dialogue}-{index} {text()}",
        "dialogue_id": f"{dialogue} {text()}",
        "turn_index": index,
        "started_at": datetime(2024, 3, 1, 9, tzinfo=UTC)
        + timedelta(days=day, minutes=dialogue, seconds=20 * index),
        "assistant": text(),
        "user_id": text(),
        "locale": text(),
        "device": {"type": text(), "id": text(), "state": {text(): text()}},
        "versions": {
            part: text() for part in ("wake", "asr", "nlu", "er", "result", "tts", text())
        },
        "prompt": {"text": text(), "acts": acts},
        "wake": {"phrase": text(), "score": 0.4, "threshold": 0.3, "signals": {text(): 1.0}},
        "asr": {
            "hypotheses": [
                {"text": text(), "confidence": 0.4},
                {"text": text(1), "confidence": 0.9},
            ],
            "endpoint": text(),
            "audio_ms": 900.0,
            "latency_ms": 80.0,
            "signals": {text(): 1.0, "snr": 3.0},
        },
        "nlu": {
            "hypotheses": [
                {"domain": text(), "intent": text(), "confidence": 0.5, "slots": slots},
                {"domain": text(1), "intent": text(1), "confidence": 0.4},
            ],
            "signals": {text(): 1.0},
        },
        "er": {
            "mentions": [
                {"slot": text(), "text": text(), "candidates": []},
                {
                    "slot": text(1),
                    "text": text(1),
                    "candidates": [
                        {"id": text(), "name": text(), "score": 0.5},
                        {"id": text(1), "name": text(1), "score": 0.5},
                    ],
                },
            ]
        },
        "result": {
            "action": text(),
            "status": STATUSES[number % len(STATUSES)],
            "response": text(),
            "acts": acts,
            "items": [text()],
        },
        "gold": {
            "transcript": text(1),
            "domain": text(),
            "intent": text(1),
            "slots": slots,
            "entities": {text(): text(1)},
            "action": text(),
            "replay": {"intent": text(), "slots": slots},
            "failure_point": ("asr", "nlu", "er", "correct")[number % 4],
            "annotator": text(),
        },
        text(): text(),
    }


def records() -> list[dict[str, Any]]:
    """Two turns of each text on each of several days; the seeded rest makes rates and slices."""
    rng = random.Random(5)
    rows = []
    dialogue = 0
    for day in range(10):
        for number in range(len(TEXTS)):
            if day and rng.random() < 0.6:
                continue
            dialogue += 1
            rows += [record(number, day, dialogue, index) for index in range(2)]
    return rows


def fill(path: Path) -> Store:
    """A scored store at `path` full of hostile texts, with views, decisions and annotations."""
    store = Store.create(path)
    logs = path.with_suffix(".jsonl")
    rows = records()
    # Lines that go to quarantine with a hostile field, reason or excerpt.
    rows += [{**rows[0], "turn_id": text, "turn_index": text} for text in TEXTS]
    rows += [{**rows[0], "asr": {"signals": {text: text}}} for text in TEXTS]
    lines = [json.dumps(row, default=datetime.isoformat) for row in rows]
    lines += [" ".join(text.split()) for text in TEXTS]
    logs.write_text("\n".join(lines) + "\n", "utf-8")
    ingest(store, [logs])
    score(store)
    score(store, "model-b", seed=12)
    store.promote(MODEL)
    refresh(store)
    with store.snapshot() as snapshot:
        turns = snapshot.query(
            "SELECT turn_id, dialogue_id, day FROM turns WHERE turn_index = 0 AND "
            "day = (SELECT min(day) FROM turns) ORDER BY turn_id"
        ).to_pylist()
    workspace.put_setting(store, SHARE, 0.0)
    for turn, text in zip(turns[:12], TEXTS[::7], strict=False):
        who = text.strip()[:_NAME].strip()
        for name, verdict in ((who, "asr"), (f"{who} 2", "nlu")):
            annotate(store, turn, name, verdict, transcript=text, intent=text, note=text,
                     slots=[{"name": text, "value": text}])  # fmt: skip
    for text in TEXTS[::5]:
        name = text.strip()[:_NAME].strip()
        workspace.save_view(store, name, "explore", f"domain={name}", note=text)
        workspace.set_triage(
            store, f"asr:domain={name}", "asr", owner=name, note=text, state="fixed", version=name,
            link="https://x.example/ticket?<script>",
        )  # fmt: skip
    return store
