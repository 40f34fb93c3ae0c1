"""The texts that an encoder reads, and the features derived from them.

`FIELDS` are SQL expressions over the frame, one text per turn; `SIMILARITIES` pair two of them;
`HEADS` name the fields from which class scores are learned. Embeddings themselves are never
features: each number that the booster reads has a name and a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from features.feature import Feature, When

FIELDS: dict[str, str] = {
    "heard": "coalesce(lower(raw_text), '')",
    # The frame in words: "play music | artist: queen".
    "frame": "array_to_string(list_concat([replace(coalesce(intent, 'none'), '_', ' ')],"
    " [replace(coalesce(s.name, ''), '_', ' ') || ': ' || coalesce(s.value, '') for s in slots]),"
    " ' | ')",
    "prompt": "coalesce(prompt_text, '')",
    "response": "coalesce(response, '')",
    "next": "coalesce(next_text, '')",
    "next_prompt": "coalesce(next_prompt, '')",
}
_AFTER = {"next", "next_prompt"}


@dataclass(frozen=True, slots=True)
class Similarity:
    """Cosine similarity of the embeddings of two fields; null where either is empty."""

    a: str
    b: str
    direction: Literal["+", "-", "0"]
    sentence: str

    @property
    def name(self) -> str:
        return f"text.{self.a}_{self.b}_sim"

    @property
    def when(self) -> When:
        return "after" if {self.a, self.b} & _AFTER else "own"


SIMILARITIES = [
    Similarity(
        "heard",
        "frame",
        "-",
        "Similarity in meaning of the words heard to what was understood",
    ),
    Similarity("heard", "prompt", "-", "Similarity in meaning of the words heard to the prompt"),
    Similarity(
        "heard", "response", "-", "Similarity in meaning of the words heard to the response"
    ),
    Similarity("prompt", "response", "+", "Similarity in meaning of the response to the prompt"),
    Similarity("heard", "next", "+", "Similarity in meaning of the next request to this one"),
    Similarity(
        "response", "next", "0", "Similarity in meaning of the next request to the response"
    ),
    Similarity(
        "prompt", "next_prompt", "+", "Similarity in meaning of the next prompt to this one"
    ),
]


@dataclass(frozen=True, slots=True)
class Head:
    """Class scores learned from the embeddings of some fields; `sentence` names these."""

    name: str
    fields: tuple[str, ...]
    sentence: str

    @property
    def when(self) -> When:
        return "after" if set(self.fields) & _AFTER else "own"

    def column(self, failure_point: str) -> str:
        return f"text.{self.name}_{failure_point}"


HEADS = [
    Head("request", ("heard", "frame"), "words heard and what was understood"),
    Head(
        "exchange",
        ("heard", "prompt", "response"),
        "prompt, the words heard and the response",
    ),
    Head("next", ("heard", "next", "next_prompt"), "words heard and what was said next"),
]


@dataclass(frozen=True, slots=True)
class Lexical:
    """Class scores learned from word n-grams, up to n = `longest`, of some fields; `sentence` names
    these."""

    name: str
    fields: tuple[str, ...]
    longest: int
    sentence: str
    when: When = "own"

    def column(self, failure_point: str) -> str:
        return f"text.{self.name}_{failure_point}"


LEXICAL = [
    Lexical("words", ("heard",), 3, "exact words heard"),
    Lexical("phrase", ("heard", "frame"), 2, "exact words heard and understood"),
]

# Agreement of the frame with what is usual, or what annotators choose, for similar words.
AGREEMENT = [
    Feature(
        "text.intent_usual",
        "",
        "probability",
        "-",
        "How usual the intent is for words like these",
    ),
    Feature(
        "text.intent_usual_gap",
        "",
        "probability",
        "+",
        "How much more usual another intent is for words like these",
    ),
    Feature(
        "text.intent_meant",
        "",
        "probability",
        "-",
        "How likely annotators would give words like these the intent understood",
    ),
    Feature(
        "text.intent_meant_gap",
        "",
        "probability",
        "+",
        "How much likelier annotators would give words like these another intent",
    ),
    *[
        Feature(
            f"text.slots{kind}_{side}",
            "",
            "probability",
            "+",
            f"{measure} of the {which} slot that was {state}, {basis}",
        )
        for kind, basis in (
            ("", "going by what is usual for words like these"),
            ("_meant", "going by what annotators make of words like these"),
        )
        for side, measure, which, state in (
            ("missing", "Probability", "likeliest", "not filled"),
            ("odd", "Improbability", "least likely", "filled"),
        )
    ],
]


def fields_used(hindsight: bool) -> list[str]:
    """Names of the text fields available in this context, in order; later turns in hindsight."""
    return [name for name in FIELDS if hindsight or name not in _AFTER]
