"""The features of NLU: the words, and what the assistant knows of the situation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from assistant.stages import Context

# Sentences of at most this many words may depend on the turn before ("and tomorrow").
ELLIPTICAL = 5


@dataclass(frozen=True, slots=True)
class Situation:
    """The part of a `Context` that NLU uses; hashable, so that answers can be cached.

    Attributes
    ----------
    before: intent that NLU found in the turn before, "" at the start of a dialogue.
    domain: its domain. asked: whether the assistant's last words were a question.
    running: names of the appliances and players that are on. named: cues for names of the catalogue
        or the household in the sentence.
    """

    before: str = ""
    domain: str = ""
    screen: bool = False
    asked: bool = False
    running: tuple[str, ...] = ()
    named: tuple[str, ...] = ()

    @classmethod
    def of(cls, context: Context, named: tuple[str, ...] = ()) -> Self:
        before = context.before
        return cls(
            before=before.intent if before else "",
            domain=before.domain if before else "",
            screen=context.device.has_screen,
            asked=context.prompt.endswith("?"),
            running=_running(context.device.state),
            named=named,
        )


_OFF = ("off", "none", "idle", "stopped", "")


def _running(state: Mapping[str, str]) -> tuple[str, ...]:
    """What is on, with its value unless that is "on" or a number: ``oven``, ``playing film``."""
    return tuple(
        key if value == "on" or value.isdigit() else f"{key} {value}"
        for key, value in sorted(state.items())
        if value not in _OFF
    )


def sentence_cues(words: Sequence[str], situation: Situation) -> list[str]:
    """Features of a whole sentence, for the intent classifier."""
    cues = list(words)
    cues += [f"{a} {b}" for a, b in pairwise(words)]
    cues += [f"{a} {b} {c}" for a, b, c in zip(words, words[1:], words[2:], strict=False)]
    # Word beginnings survive many recognition errors and inflections.
    cues += [f"{word[:4]}~" for word in words if len(word) > 4]
    cues += [f"~{word[-3:]}" for word in words if len(word) > 4]
    if words:
        cues += [f"^{' '.join(words[:2])}", f"{' '.join(words[-2:])}$"]
    cues.append(f"#{min(len(words), 12) // 2}")
    cues.append("screen" if situation.screen else "no screen")
    cues += [f"on={name}" for name in situation.running]
    if len(words) <= ELLIPTICAL:
        text = " ".join(words)
        cues.append(f"={text}")
        cues += [f"on={name} & {text}" for name in situation.running]
    cues += [f"on={name} & {word}" for name in situation.running for word in words[-2:]]
    cues += situation.named
    short = len(words) <= ELLIPTICAL
    if situation.before:
        cues.append(f"before={situation.before}")
        if short:
            first = words[0] if words else ""
            cues += [
                f"short & before={situation.before}",
                f"short & domain={situation.domain}",
                f"{first} & before={situation.before}",
                f"{first} & domain={situation.domain}",
            ]
            cues += [f"{name} & before={situation.before}" for name in situation.named[::2]]
    if situation.asked and short:
        cues.append("short & asked")
    return cues


def token_cues(words: Sequence[str]) -> list[list[str]]:
    """Features of each word that do not depend on the intent, for the slot tagger."""
    last = len(words) - 1
    rows = []
    for i, word in enumerate(words):
        left = words[i - 1] if i else "^"
        right = words[i + 1] if i < last else "$"
        rows.append(
            [
                f"w={word}",
                f"<={left}",
                f">={right}",
                f"<w={left} {word}",
                f"w>={word} {right}",
                f"<>={left} {right}",
                f"<<={words[i - 2] if i > 1 else '^'} {left}",
                f">>={right} {words[i + 2] if i < last - 1 else '$'}",
                f"s={word[-3:]}",
                f"p={word[:3]}",
            ]
        )
    return rows


def with_intent(
    rows: Sequence[Sequence[str]], words: Sequence[str], intent: str
) -> list[list[str]]:
    """`token_cues` together with the intent whose slots are tagged."""
    last = len(words) - 1
    return [
        [
            *row,
            f"i={intent}",
            f"i={intent} w={words[i]}",
            f"i={intent} <={words[i - 1] if i else '^'}",
            f"i={intent} >={words[i + 1] if i < last else '$'}",
        ]
        for i, row in enumerate(rows)
    ]
