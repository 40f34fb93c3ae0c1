"""Speech output: how long until the first sound, and until the last."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

# Duration of a word including pauses: about 180 words a minute.
WORD_MS = 330.0


def length_ms(response: str) -> float:
    """How long it takes to speak a response, in milliseconds."""
    return WORD_MS * len(response.split())


@dataclass(frozen=True, slots=True)
class Tts:
    """A `TtsStage`: longer sentences take longer, and sometimes the voice has to be loaded."""

    version: str = "tts-2.0"
    base_ms: float = 90.0
    per_word_ms: float = 4.0
    cold: float = 0.01

    def __call__(self, response: str, rng: np.random.Generator) -> float:
        """Milliseconds until the first sound; 0 for an empty response."""
        words = len(response.split())
        if not words:
            return 0.0
        planning = (self.base_ms + self.per_word_ms * min(words, 30)) * math.exp(rng.normal(0, 0.2))
        loading = 650.0 * rng.random() if rng.random() < self.cold else 0.0
        return round(planning + loading, 1)
