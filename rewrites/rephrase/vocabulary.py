"""What is common in the logs: learned from turns without labels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from rewrites.rephrase.turns import Heard

# Commonest questions, intents … that become categories.
MOST_CATEGORIES = 24
# Commonest requests that are counted.
MOST_TEXTS = 20_000


@dataclass(frozen=True, slots=True)
class Words:
    """How telling a word is, and which questions and intents are common: learned without labels."""

    rarity: dict[str, float]
    unseen: float
    questions: dict[str, int]
    intents: dict[str, int]
    replies: dict[str, int]
    verbs: dict[str, int]
    texts: dict[str, int]

    @classmethod
    def of(cls, heard: Sequence[Heard]) -> Self:
        seen = Counter(word for turn in heard for word in turn.words)
        n = len(heard) + 1
        return cls(
            {word: float(np.log(n / (count + 0.5))) for word, count in sorted(seen.items())},
            float(np.log(n / 0.5)),
            _common(template(turn) for turn in heard),
            _common(turn.intent for turn in heard),
            _common(reply(turn) for turn in heard),
            _common(verb(turn) for turn in heard),
            dict(Counter(turn.text for turn in heard).most_common(MOST_TEXTS)),
        )

    def weight(self, words: frozenset[str]) -> float:
        # Exact, as the order of a set differs from process to process.
        return math.fsum(self.rarity.get(word, self.unseen) for word in words)


def template(turn: Heard) -> str:
    """The question without what it names: the first words of the prompt's last sentence."""
    return " ".join(turn.question.split()[:6])


def reply(turn: Heard) -> str:
    """How the reply begins."""
    return " ".join(turn.response.split()[:4])


def verb(turn: Heard) -> str:
    """The first word of the request."""
    return turn.text.partition(" ")[0]


def _common(values: Iterable[str]) -> dict[str, int]:
    counted = Counter(values)
    common = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:MOST_CATEGORIES]
    return {value: i for i, (value, _) in enumerate(common)}
