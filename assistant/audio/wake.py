"""The wake stage: does this sound carry the wake phrase, said by somebody in the room?

A logistic score over what an acoustic model has to go by. Televisions and people talking to each
other sometimes score above the threshold; how often depends on how far the model has learnt to tell
a loudspeaker from a voice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from rapidfuzz.distance import Levenshtein

from assistant.audio.lexicon import spoken
from assistant.contract import Context, Heard, Sound


@lru_cache(maxsize=4096)
def likeness(phrase: str, heard: str, accent: str) -> float:
    """How alike two phrases sound, 1 for the same phones, the second in somebody's accent."""
    wanted = "".join(spoken(word, "en-US")[0] for word in phrase.split())
    got = "".join(spoken(word, accent)[0] for word in heard.split())
    return Levenshtein.normalized_similarity(wanted, got)


@dataclass(frozen=True, slots=True)
class Wake:
    """A `WakeStage`.

    Attributes
    ----------
    threshold: the stage fires when the score reaches it.
    television_bias: log odds given to a loudspeaker's sound. A model that was never shown
        televisions has 0; the good one is well below.
    """

    version: str = "wake-3.2"
    phrase: str = "hey juno"
    threshold: float = 0.5
    television_bias: float = -4.0
    spread: float = 1.1

    def __call__(self, sound: Sound, context: Context, rng: np.random.Generator) -> Heard:
        # Accents cost a wake model less than a word by word comparison says.
        similar = max(
            likeness(self.phrase, sound.phrase, "en-US"),
            likeness(self.phrase, sound.phrase, sound.accent),
        )
        similar = min(1.0, max(0.0, similar + rng.normal(0.0, 0.05)))
        # Voice in the room (1) or from a loudspeaker (0); talk between people is less pointed.
        live = {"user": 1.0, "television": 0.15, "side_talk": 0.75}[sound.source]
        live = min(1.0, max(0.0, live + rng.normal(0.0, 0.14)))
        snr = sound.snr_db + 3.0 * sound.loudness + rng.normal(0.0, 2.0)
        odds = (
            3.4
            + 9.0 * (similar - 0.9)
            + 0.07 * (snr - 15.0)
            - 0.12 * (sound.distance_m - 2.0)
            + (1.0 - live) * self.television_bias
            + rng.normal(0.0, self.spread)
        )
        return Heard(
            score=round(1.0 / (1.0 + math.exp(-odds)), 4),
            threshold=self.threshold,
            phrase=self.phrase,
            latency_ms=round(110.0 * math.exp(rng.normal(0.0, 0.18)), 1),
            signals={
                "likeness": round(similar, 4),
                "live": round(live, 4),
                "snr_db": round(snr, 2),
                "near_television": float(context.device.near_television),
            },
        )
