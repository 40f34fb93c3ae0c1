"""The texts that an encoder reads, and what is measured on them.

`FIELDS` are SQL expressions over the frame, one text per turn; `SIMILARITIES` pair two of them;
`HEADS` name the fields from which a class score is learned. Embeddings themselves are never
features: each number that reaches the booster has a name and a sentence.
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
    """Cosine of two fields; null where either is empty."""

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
        "Likeness in meaning of the words heard to what was understood",
    ),
    Similarity("heard", "prompt", "-", "Likeness in meaning of the words heard to the prompt"),
    Similarity("heard", "response", "-", "Likeness in meaning of the words heard to the response"),
    Similarity("prompt", "response", "+", "Likeness in meaning of the response to the prompt"),
    Similarity("heard", "next", "+", "Likeness in meaning of the next request to this one"),
    Similarity("response", "next", "0", "Likeness in meaning of the next request to the response"),
    Similarity("prompt", "next_prompt", "+", "Likeness in meaning of the next prompt to this one"),
]


@dataclass(frozen=True, slots=True)
class Head:
    """Class scores learned from some fields."""

    name: str
    fields: tuple[str, ...]
    sentence: str

    @property
    def when(self) -> When:
        return "after" if set(self.fields) & _AFTER else "own"

    def column(self, failure_point: str) -> str:
        return f"text.{self.name}_{failure_point}"


HEADS = [
    Head("request", ("heard", "frame"), "The words heard and what was understood"),
    Head(
        "exchange",
        ("heard", "prompt", "response"),
        "The prompt, the words heard and the response",
    ),
    Head("next", ("heard", "next", "next_prompt"), "The words heard and what was said next"),
]


@dataclass(frozen=True, slots=True)
class Lexical:
    """Class scores learned from runs of up to `longest` of the very words of some fields."""

    name: str
    fields: tuple[str, ...]
    longest: int
    sentence: str
    when: When = "own"

    def column(self, failure_point: str) -> str:
        return f"text.{self.name}_{failure_point}"


LEXICAL = [
    Lexical("words", ("heard",), 3, "The very words heard"),
    Lexical("phrase", ("heard", "frame"), 2, "The very words heard and understood"),
]

# How well the assistant's frame agrees with what its traffic, or annotators, make of like words.
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
            f"{said} of the {which} slot that was {did}, {judge}",
        )
        for kind, judge in (
            ("", "going by what is usual for words like these"),
            ("_meant", "going by what annotators make of words like these"),
        )
        for side, said, which, did in (
            ("missing", "Probability", "likeliest", "not filled"),
            ("odd", "Improbability", "least likely", "filled"),
        )
    ],
]


def fields_used(hindsight: bool) -> list[str]:
    """The fields that may be read in this context, in order."""
    return [name for name in FIELDS if hindsight or name not in _AFTER]
