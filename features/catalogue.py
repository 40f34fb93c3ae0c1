"""The catalogue: stage, unit, direction and sentence of every feature, by name."""

from __future__ import annotations

from functools import cache

from data.schema.trace import FAILURE_POINTS
from data.schema.vocabulary import FAILURE_NOUNS
from features.categories import CATEGORIES
from features.categories import sentence as column_sentence
from features.feature import Feature
from features.matrix import LOGGED
from features.text import AGREEMENT, HEADS, LEXICAL, SIMILARITIES, Head, Lexical
from features.witness import FEATURES as WITNESS


def _error(point: str) -> str:
    """`NLU error`, without its article."""
    return FAILURE_NOUNS[point].partition(" ")[2]


@cache
def catalogue() -> dict[str, Feature]:
    """Every feature that does not depend on the data, by name."""
    heads: list[Head | Lexical] = [*HEADS, *LEXICAL]
    texts = [
        *[Feature(s.name, "", "cosine", s.direction, s.sentence, s.when) for s in SIMILARITIES],
        *[
            Feature(
                head.column(point),
                "",
                "probability",
                "-" if point == "correct" else "+",
                f"Text-model score: {_error(point)}, by the {head.sentence}",
                head.when,
            )
            for head in heads
            for point in FAILURE_POINTS
        ],
        *AGREEMENT,
        *WITNESS,
    ]
    return {feature.name: feature for feature in [*LOGGED, *texts]}


def feature(name: str) -> Feature:
    """The catalogue's entry for `name`.

    Columns named by the data (``nlu.intent=play``, ``asr.signal.snr``) get a generated entry; the
    sentence of an unknown name is the name itself.
    """
    entry = catalogue().get(name)
    if entry:
        return entry
    base, is_category, _ = name.partition("=")
    category = next((c for c in CATEGORIES if is_category and c.name == base), None)
    unit, when = ("yes/no", category.when) if category else ("as logged", "own")
    return Feature(name, "", unit, "0", column_sentence(name) or name, when)


def sentence(name: str) -> str:
    """The feature's name for people, such as "ASR confidence of the first hypothesis"."""
    return feature(name).sentence


def stage(name: str) -> str:
    """The stage of a feature: wake, asr, nlu, er, result, dialogue or text."""
    return feature(name).stage
