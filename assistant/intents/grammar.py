"""The small notation that phrasings are written in, and how one becomes words.

``{slot}`` is a slot, ``[a|b c|]`` one of several wordings (the last one nothing), ``<film>`` the
locale's own word for something (`assistant.intents.vocabulary`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

import numpy as np

from assistant.intents.vocabulary import LOCAL_WORDS

_PIECE = re.compile(r"\{(\w+)\}|\[([^\]]*)\]|<(\w+)>|([a-z']+)")
Piece = tuple[str, tuple[str, ...]]


@cache
def parse(template: str) -> tuple[Piece, ...]:
    """Pieces of a phrasing: ("slot", (name,)), ("choice", wordings), ("local", (key,)) or a word.

    Raises
    ------
    ValueError: the phrasing holds something that is neither.
    """
    pieces: list[Piece] = []
    end = 0
    for found in _PIECE.finditer(template):
        gap = template[end : found.start()]
        if gap.strip() or (pieces and not gap):
            break
        end = found.end()
        slot, choice, local, word = found.groups()
        if slot is not None:
            pieces.append(("slot", (slot,)))
        elif choice is not None:
            pieces.append(("choice", tuple(choice.split("|"))))
        elif local is not None:
            pieces.append(("local", (local,)))
        else:
            pieces.append(("word", (word,)))
    if template[end:].strip() or not pieces:
        raise ValueError(f"cannot read the phrasing {template!r} from {template[end:]!r}")
    return tuple(pieces)


@cache
def slots_of(template: str) -> tuple[str, ...]:
    """Names of the slots that a phrasing mentions, in its order."""
    return tuple(what[0] for kind, what in parse(template) if kind == "slot")


@cache
def length_of(template: str) -> int:
    """Words of a phrasing, a slot counted as two."""
    return sum(2 if kind == "slot" else 1 for kind, _ in parse(template))


def render(
    template: str, values: Mapping[str, str], locale: str, rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    """Words of a phrasing and the slot tag of each."""
    words: list[str] = []
    tags: list[str] = []
    for kind, what in parse(template):
        if kind == "slot":
            said = values[what[0]].split()
            words += said
            tags += [f"B-{what[0]}"] + [f"I-{what[0]}"] * (len(said) - 1)
            continue
        if kind == "local":
            what = LOCAL_WORDS[what[0]][locale]
        chosen = what[0] if len(what) == 1 else what[int(rng.random() * len(what))]
        said = chosen.split()
        words += said
        tags += ["O"] * len(said)
    return words, tags
