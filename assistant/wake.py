"""The wake stage: does a sound contain the wake phrase, spoken by somebody in the room?

The score is a logistic function of the acoustic evidence. Televisions and people talking to each
other sometimes exceed the threshold; how often depends on how well the model has learnt to tell a
loudspeaker from a voice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from rapidfuzz.distance import Levenshtein

from assistant.asr.lexicon import spoken
from assistant.stages import (
    Context,
    Heard,
    Sound,
)

# Mean evidence that a sound comes from a mouth (1) rather than a loudspeaker (0): people speak less
# directly to each other than to a device. Rooms and codecs blur the evidence so much that sometimes
# a television passes for a person, and the reverse.
_LIVE = {"user": 0.68, "television": 0.38, "side_talk": 0.58}
_LIVE_SPREAD = 0.18
_APART = _LIVE["user"] - _LIVE["television"]


@lru_cache(maxsize=4096)
def likeness(phrase: str, heard: str, accent: str) -> float:
    """Similarity of the phones of `phrase` and of `heard` in a speaker's accent, from 0 to 1."""
    expected = "".join(spoken(word, "en-US")[0] for word in phrase.split())
    actual = "".join(spoken(word, accent)[0] for word in heard.split())
    return Levenshtein.normalized_similarity(expected, actual)


@dataclass(frozen=True, slots=True)
class Wake:
    """A `WakeStage`.

    Attributes
    ----------
    threshold: the stage fires when the score reaches it.
    television_bias: log odds for a sound with a loudspeaker's mean evidence. A model that was never
        trained on televisions has 0; the optimum is minus the squared distance of the two
        distributions, `_APART / _LIVE_SPREAD` standard deviations.
    """

    version: str = "wake-3.2"
    phrase: str = "hey juno"
    threshold: float = 0.5
    television_bias: float = -2.8
    spread: float = 1.1

    def __call__(self, sound: Sound, context: Context, rng: np.random.Generator) -> Heard:
        # Accents cost a wake model less than comparing the phones suggests.
        similar = max(
            likeness(self.phrase, sound.phrase, "en-US"),
            likeness(self.phrase, sound.phrase, sound.accent),
        )
        similar = min(1.0, max(0.0, similar + rng.normal(0.0, 0.05)))
        live = min(1.0, max(0.0, _LIVE[sound.source] + rng.normal(0.0, _LIVE_SPREAD)))
        snr = sound.snr_db + 3.0 * sound.loudness + rng.normal(0.0, 2.0)
        odds = (
            2.7
            + 12.0 * (similar - 0.9)
            + 0.07 * (snr - 15.0)
            - 0.12 * (sound.distance_m - 2.0)
            + (_LIVE["user"] - live) / _APART * self.television_bias
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
