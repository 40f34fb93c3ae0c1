"""The catalogue: stage, unit, direction and sentence of every feature, by name."""

from __future__ import annotations

from functools import cache

import pyarrow as pa

from data.schema.trace import FAILURE_POINTS
from features.categories import CATEGORIES
from features.categories import sentence as column_sentence
from features.feature import Feature
from features.matrix import LOGGED
from features.text import AGREEMENT, HEADS, LEXICAL, SIMILARITIES, Head, Lexical

_WORDS = {
    "false_wake": "a false wake",
    "asr": "an ASR error",
    "nlu": "an NLU error",
    "er": "an entity-resolution error",
    "result": "a wrong result",
    "correct": "a correct turn",
}


@cache
def _by_name() -> dict[str, Feature]:
    heads: list[Head | Lexical] = [*HEADS, *LEXICAL]
    texts = [
        *[Feature(s.name, "", "cosine", s.direction, s.sentence, s.when) for s in SIMILARITIES],
        *[
            Feature(
                head.column(point),
                "",
                "probability",
                "-" if point == "correct" else "+",
                f"{head.sentence} point to {_WORDS[point]}",
                head.when,
            )
            for head in heads
            for point in FAILURE_POINTS
        ],
        *AGREEMENT,
    ]
    return {feature.name: feature for feature in [*LOGGED, *texts]}


def feature(name: str) -> Feature:
    """The catalogue's entry for `name`.

    Columns named by the data (``nlu.intent=play``, ``asr.signal.snr``) get a generated entry; the
    sentence of an unknown name is the name itself.
    """
    entry = _by_name().get(name)
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


def catalogue() -> pa.Table:
    """All features that do not depend on the data, one row each.

    Columns: feature, stage, unit, direction, sentence, when (see `features.feature.Feature`).
    """
    rows = [
        {
            "feature": f.name,
            "stage": f.stage,
            "unit": f.unit,
            "direction": f.direction,
            "sentence": f.sentence,
            "when": f.when,
        }
        for f in _by_name().values()
    ]
    return pa.Table.from_pylist(rows)
