"""Contracts of the audio part: lexicon, language model, recogniser, wake, statistics."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from assistant.audio.recogniser import Recogniser, build_recogniser
from assistant.contract import Context, Device, Sound

SENTENCES = [
    line.split()
    for line in (
        "play some music", "play the hunger games", "what is the weather in boston",
        "set a timer for twenty minutes", "turn on the kitchen light", "call mom",
        "add milk to my shopping list", "what time is it", "turn off the bedroom lamp",
    )
]  # fmt: skip
DEVICE = Device("d1", "speaker", "kitchen", has_screen=False, far_field=True, near_television=False)
CONTEXT = Context(DEVICE, "en-US", datetime(2026, 3, 1, tzinfo=UTC))


def sound(text: str, snr_db: float = 20.0, accent: str = "en-US") -> Sound:
    return Sound(tuple(text.split()), "user", accent, snr_db, 2.8, 2.0, far_field=True)


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    return build_recogniser(SENTENCES, ["boom", "thirteen", "berlin"])


def test_a_perfect_channel_is_heard_perfectly() -> None:
    perfect = build_recogniser(SENTENCES, level=0.0)
    for sentence in SENTENCES:
        text = " ".join(sentence)
        assert perfect(sound(text, 30.0), CONTEXT, np.random.default_rng(1)).text == text


def test_the_same_seed_hears_the_same(recogniser: Recogniser) -> None:
    heard = [recogniser(sound("call mom", 2.0), CONTEXT, np.random.default_rng(5)) for _ in "ab"]
    assert heard[0] == heard[1]
