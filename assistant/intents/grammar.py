"""The small notation that phrases are written in, and how a phrase becomes words.

``{slot}`` is a slot, ``[a|b c|]`` one of several wordings (here the last is nothing), ``<film>``
the locale's own word for something (``vocabulary.txt``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache

import numpy as np

from assistant.stages import LOCALES
from assistant.text_files import Line, read_sections

# Wordings by locale; a wording that is listed twice is twice as frequent.
LOCAL_WORDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    name: section.by_key(LOCALES)
    for name, section in read_sections("assistant.intents", "vocabulary.txt").items()
}
_PIECE = re.compile(r"\{(\w+)\}|\[([^\]]*)\]|<(\w+)>|([a-z']+)")
Piece = tuple[str, tuple[str, ...]]


@cache
def parse(phrase: str) -> tuple[Piece, ...]:
    """Pieces of a phrase: ("slot", (name,)), ("choice", wordings), ("local", (key,)) or a word.

    Raises
    ------
    ValueError: the phrase contains anything else.
    """
    pieces: list[Piece] = []
    end = 0
    for match in _PIECE.finditer(phrase):
        gap = phrase[end : match.start()]
        if gap.strip() or (pieces and not gap):
            break
        end = match.end()
        slot, choice, local, word = match.groups()
        if slot is not None:
            pieces.append(("slot", (slot,)))
        elif choice is not None:
            pieces.append(("choice", tuple(choice.split("|"))))
        elif local is not None:
            pieces.append(("local", (local,)))
        else:
            pieces.append(("word", (word,)))
    if phrase[end:].strip() or not pieces:
        raise ValueError(f"cannot read the phrase {phrase!r} from {phrase[end:]!r}")
    return tuple(pieces)


@cache
def slots_of(phrase: str) -> tuple[str, ...]:
    """Names of the slots that a phrase mentions, in its order."""
    return tuple(value[0] for kind, value in parse(phrase) if kind == "slot")


@cache
def length_of(phrase: str) -> int:
    """Words of a phrase, a slot counted as two."""
    return sum(2 if kind == "slot" else 1 for kind, _ in parse(phrase))


def check_phrase(line: Line, phrase: str, slots: Collection[str]) -> None:
    """Check a phrase of a text file; `slots` are those that it may mention.

    Raises
    ------
    TextFileError: it cannot be read, or mentions another slot or an unknown local word.
    """
    try:
        pieces = parse(phrase)
    except ValueError:
        raise line.error("words in lower case, {slot}, [one|another] and <local word>") from None
    if not set(slots_of(phrase)) <= set(slots):
        raise line.error(f"no other slots than {', '.join(slots) or 'none'}")
    if any(kind == "local" and value[0] not in LOCAL_WORDS for kind, value in pieces):
        raise line.error("in <…>, only words that are a section of vocabulary.txt")


def render(
    phrase: str, values: Mapping[str, str], locale: str, rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    """Words of a phrase and the slot tag of each."""
    words: list[str] = []
    tags: list[str] = []
    for kind, value in parse(phrase):
        if kind == "slot":
            filler = values[value[0]].split()
            words += filler
            tags += [f"B-{value[0]}"] + [f"I-{value[0]}"] * (len(filler) - 1)
            continue
        wordings = LOCAL_WORDS[value[0]][locale] if kind == "local" else value
        index = 0 if len(wordings) == 1 else int(rng.random() * len(wordings))
        plain = wordings[index].split()
        words += plain
        tags += ["O"] * len(plain)
    return words, tags
