"""A small world of people who say things again, for the tests of rewriting."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.logs import trace

ANYMORE = "play we don't talk anymore"
BRUNO = "play we don't talk about bruno"
WILKERSON, WILKINSON = "the weather in wilkerson", "weather in wilkinson"
LAMP, LAMB = "turn on the lamp", "tirn on the lamb"
_START = datetime(2024, 5, 1, 9, 0, tzinfo=UTC)
_FRAMES = {
    ANYMORE: ("music", "play", "anymore"),
    BRUNO: ("music", "play", "bruno"),
    WILKERSON: ("weather", "forecast", "wilkerson"),
    WILKINSON: ("weather", "forecast", "wilkinson"),
    LAMP: ("home", "on", "lamp"),
    LAMB: ("home", "on", "lamb"),
}


def turn(name: str, user: str | None, at: float, text: str, **fields: Any) -> dict[str, Any]:
    """A turn `at` seconds after the first day began."""
    domain, intent, value = _FRAMES.get(text, ("other", text.split()[0], text[-6:]))
    slots = [{"name": "what", "value": value}]
    return trace(
        name,
        dialogue_id=f"d-{name}",
        user_id=user,
        started_at=(_START + timedelta(seconds=at)).isoformat(),
        device={"type": "speaker"},
        asr={"hypotheses": [{"text": text}]},
        nlu={"hypotheses": [{"domain": domain, "intent": intent, "slots": slots}]},
        **fields,
    )


def world(days: int = 12) -> list[dict[str, Any]]:
    """What `fan`, `wilk` and twenty others say, over some days."""
    rng, turns = random.Random(1), list[dict[str, Any]]()
    bad = {"feedback": {"barge_in": True}}

    def said(user: str, at: float, text: str, **fields: Any) -> None:
        turns.append(turn(f"t{len(turns)}", user, at, text, **fields))

    for day in range(days):
        at = day * 86_400.0
        said("fan", at, ANYMORE)
        said("fan", at + 3_600, ANYMORE)
        said("wilk", at + 600, WILKERSON)
        if day % 2:
            said("wilk", at + 7_200, WILKINSON, **bad)
            said("wilk", at + 7_208, WILKERSON)
        for i in range(20):
            start = at + 1_000 + i * 1_500
            user = f"u{i}"
            said(user, start, rng.choice([BRUNO, ANYMORE, "what time is it", "play some jazz"]))
            said(user, start + 300, WILKINSON if i % 2 else WILKERSON)
            if rng.random() < 0.3:
                said(user, start + 600, LAMB, **bad)
                said(user, start + 608, LAMP)
            else:
                said(user, start + 600, LAMP)
    return turns
