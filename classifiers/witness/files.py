"""A witness as JSON and arrays, and back: what `classifiers.registry` writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from classifiers.witness.frames import Frames
from classifiers.witness.language_model import Counts, LanguageModel
from classifiers.witness.ngrams import Terms
from classifiers.witness.tagger import Tagger
from classifiers.witness.witness import Expert, Witness

_PREFIX = "witness"
_COUNTS = ("grams", "count", "histories", "total", "followers")


def shapes(witness: Witness | None) -> dict[str, Any] | None:
    """Names of what the parts have learned, for JSON; null for a part without anything."""
    if witness is None:
        return None
    return {group: [_shape(part) for part in parts] for group, parts in witness.groups.items()}


def arrays(witness: Witness | None) -> dict[str, np.ndarray]:
    """The numbers that the parts have learned, by name."""
    if witness is None:
        return {}
    return {
        f"{_PREFIX}.{group}.{i}/{name}": values
        for group, parts in witness.groups.items()
        for i, part in enumerate(parts)
        if part is not None
        for name, values in _arrays(part).items()
    }


def read(shapes: Mapping[str, Any] | None, arrays: Mapping[str, np.ndarray]) -> Witness | None:
    """What `shapes` and `arrays` were made of; `KeyError` or `ValueError` if they do not fit."""
    if shapes is None:
        return None
    return Witness(
        {
            group: tuple(
                _read(shape, arrays, f"{_PREFIX}.{group}.{i}/") if shape else None
                for i, shape in enumerate(parts)
            )
            for group, parts in shapes.items()
        }
    )


def _shape(part: Expert | None) -> dict[str, Any] | None:
    if isinstance(part, Frames):
        return {"kind": "frames", "intents": part.intents, "items": part.items}
    if isinstance(part, Tagger):
        return {"kind": "tagger", "slots": part.slots}
    if isinstance(part, LanguageModel):
        return {"kind": "language", "words": len(part.words), "letters": len(part.letters)}
    return None


def _arrays(part: Expert) -> dict[str, np.ndarray]:
    if isinstance(part, Frames):
        return {
            "codes": part.terms.codes,
            "rarity": part.terms.rarity,
            "prompt_codes": part.prompts.codes,
            "prompt_rarity": part.prompts.rarity,
            "weights": part.weights,
            "bias": part.bias,
        }
    if isinstance(part, Tagger):
        return {"codes": part.codes, "weights": part.weights, "bias": part.bias}
    levels = {"words": part.words, "letters": part.letters}
    return {
        f"{kind}.{i}.{name}": getattr(counts, name)
        for kind, of in levels.items()
        for i, counts in enumerate(of)
        for name in _COUNTS
    }


def _read(shape: Mapping[str, Any], arrays: Mapping[str, np.ndarray], prefix: str) -> Expert:
    def own(name: str) -> np.ndarray:
        return arrays[prefix + name]

    def levels(kind: str) -> tuple[Counts, ...]:
        return tuple(
            Counts(*(own(f"{kind}.{i}.{name}") for name in _COUNTS)) for i in range(shape[kind])
        )

    if shape["kind"] == "frames":
        return Frames(
            Terms(own("codes"), own("rarity")),
            Terms(own("prompt_codes"), own("prompt_rarity")),
            tuple(shape["intents"]),
            tuple(shape["items"]),
            own("weights"),
            own("bias"),
        )
    if shape["kind"] == "tagger":
        return Tagger(own("codes"), tuple(shape["slots"]), own("weights"), own("bias"))
    return LanguageModel(levels("words"), levels("letters"))
