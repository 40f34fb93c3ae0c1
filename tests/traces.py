"""Made-up logs in which all six failure points occur and leave realistic traces.

They are small and simple: enough to train on in seconds. The quality of models is measured on real
logs.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from data.schema.trace import FAILURE_POINTS

_SONGS = ["hunger games", "yellow", "bad moon", "hey jude", "thriller", "clocks", "halo", "creep"]
_HEARD = ["hungry james", "fellow", "bad room", "hay dude", "filler", "locks", "hello", "greek"]
_START = datetime(2024, 3, 1, 8, 0, tzinfo=UTC)


def logs(dialogues: int = 240, seed: int = 5, prefix: str = "d") -> list[dict[str, Any]]:
    """Dialogues of one to four turns over some weeks, every turn with gold."""
    rng = random.Random(seed)
    return [
        turn
        for d in range(dialogues)
        for turn in _dialogue(rng, f"{prefix}{d:04d}", _START + timedelta(hours=3 * d))
    ]


def _dialogue(rng: random.Random, name: str, start: datetime) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    song = rng.randrange(len(_SONGS))
    again = False
    for i in range(rng.randint(1, 4)):
        point = rng.choices(FAILURE_POINTS, [1, 3, 2, 2, 1, 8])[0]
        turns.append(_turn(rng, name, i, start + timedelta(seconds=25 * i), point, song, again))
        again = point != "correct"
        if not again:
            song = rng.randrange(len(_SONGS))
    return turns


def _turn(
    rng: random.Random,
    dialogue: str,
    index: int,
    at: datetime,
    point: str,
    song: int,
    again: bool,
) -> dict[str, Any]:
    meant = _SONGS[song]
    heard = {"asr": _HEARD[song], "false_wake": rng.choice(["and then he", "on the", "tonight"])}
    text = heard.get(point, meant)
    intent = "play_video" if point == "nlu" else "play_music"
    sure = 0.4 if point in ("asr", "false_wake") else 0.85
    sure = min(1.0, max(0.0, rng.gauss(sure, 0.12)))
    candidates = [{"id": f"s{song}", "name": meant, "score": rng.uniform(0.7, 1.0)}]
    opening = rng.choice(["no i said play", "play"]) if again else rng.choice(["play", "put on"])
    return {
        "turn_id": f"{dialogue}-{index}",
        "dialogue_id": dialogue,
        "turn_index": index,
        "started_at": at.isoformat(),
        "assistant": rng.choice(["kitchen", "car"]),
        "user_id": f"u{dialogue[-1]}",
        "locale": rng.choice(["en-GB", "en-US"]),
        "device": {"type": rng.choice(["speaker", "phone"]), "has_screen": rng.random() < 0.5},
        "versions": {"asr": rng.choice(["4.1", "4.2"]), "nlu": "7"},
        "wake": {
            "score": min(1.0, rng.uniform(0.5, 0.65) + (0.0 if point == "false_wake" else 0.3)),
            "threshold": 0.5,
        },
        "asr": {
            "hypotheses": [
                {"text": f"{opening} {text}", "confidence": sure},
                {"text": f"{opening} {_HEARD[song - 1]}", "confidence": (1 - sure) / 2},
            ],
            "audio_ms": rng.uniform(900, 2500),
            "signals": {"snr": rng.gauss(8 if point == "asr" else 18, 4)},
        },
        "nlu": {
            "hypotheses": [
                {
                    "domain": "media",
                    "intent": intent,
                    "confidence": rng.uniform(0.6, 1.0),
                    "slots": [{"name": "title", "value": text}],
                }
            ]
        },
        "er": {
            "mentions": [
                {"slot": "title", "text": text, "candidates": [] if point == "er" else candidates}
            ]
        },
        "result": {
            "action": "play",
            "status": "error" if point == "result" else "ok",
            "response": "Sorry, I can't do that." if point == "er" else f"Playing {text}.",
        },
        "gold": {"failure_point": point, "transcript": f"{opening} {meant}", "annotator": "test"},
    }
