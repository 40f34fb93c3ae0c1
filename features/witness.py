"""Features of the witness: what a small language understanding of one's own makes of the words.

Columns by group: ``meant`` has learned from the frames that annotators gave, ``imitated`` from
those logged, ``language`` from transcripts, ``tagger`` which words fill which slots. They are
computed by `classifiers.witness`; here is what each of them means.
"""

from __future__ import annotations

from typing import Literal

from features.feature import Feature

Measure = tuple[str, str, Literal["+", "-", "0"], str]

_FRAME: list[Measure] = [
    ("frame", "nats", "-", "Log-likelihood of what was understood"),
    ("gap", "nats", "+", "How much likelier than what was understood the likeliest frame is"),
    ("nbest", "nats", "-", "Log-likelihood of what was understood over the n-best list"),
    ("nbest_gap", "nats", "+", "How much likelier the likeliest frame is over the n-best list"),
    ("least", "probability", "-", "Probability of the least likely thing understood"),
    ("missing", "probability", "+", "Probability of the likeliest slot or value not understood"),
    ("unknown", "items", "+", "Intents, slots and values understood that are too rare to judge"),
    ("differs", "share", "+", "Share of n-best confidence on texts that mean another frame"),
    ("keeps", "share", "-", "Share of n-best confidence on texts that mean what was understood"),
]
_BASIS = {
    "imitated": "going by what is usual for words like these",
    "meant": "going by what annotators make of words like these",
}
_LANGUAGE: list[Measure] = [
    ("words", "nats", "-", "How usual the words heard are in what annotators transcribed"),
    ("words_least", "nats", "-", "How usual the least usual word heard is after the one before"),
    ("words_better", "nats", "+", "How much more usual the words of another hypothesis are"),
    ("letters", "nats", "-", "How usual the letters heard are in what annotators transcribed"),
    ("letters_least", "nats", "-", "How usual the least usual letter heard is after those before"),
    ("letters_better", "nats", "+", "How much more usual the letters of another hypothesis are"),
]
_TAGGER: list[Measure] = [
    ("weakest", "probability", "-", "Probability that the words of a slot fill it, of the weakest"),
    ("missed", "probability", "+", "Probability that a word in no slot fills one, at the highest"),
    ("edge", "probability", "+", "Probability that a word beside a slot's value belongs to it"),
]


def column(group: str, measure: str) -> str:
    """Name of a feature column."""
    return f"text.{group}_{measure}"


# Per group the names of its columns, in the order in which they are computed.
GROUPS: dict[str, tuple[str, ...]] = {
    group: tuple(column(group, name) for name, *_ in measures)
    for group, measures in (
        ("imitated", _FRAME),
        ("meant", _FRAME),
        ("language", _LANGUAGE),
        ("tagger", _TAGGER),
    )
}

FEATURES = [
    *[
        Feature(column(group, name), "", unit, direction, f"{sentence}, {basis}")
        for group, basis in _BASIS.items()
        for name, unit, direction, sentence in _FRAME
    ],
    *[
        Feature(column(group, name), "", unit, direction, sentence)
        for group, measures in (("language", _LANGUAGE), ("tagger", _TAGGER))
        for name, unit, direction, sentence in measures
    ],
]
