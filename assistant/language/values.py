"""Slot values that are words rather than entities: times, durations, messages …"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from assistant.language.words import number

_MINUTES = (1, 2, 3, 5, 5, 5, 8, 10, 10, 10, 12, 15, 15, 20, 20, 25, 30, 30, 40, 45, 50, 90)
_DATES = (
    "today|today|tomorrow|tomorrow|tomorrow|tonight|this weekend|on monday|on tuesday|on wednesday|"
    "on thursday|on friday|on saturday|on sunday|next week|next monday|next friday|this evening|"
    "tomorrow morning|tomorrow night|the day after tomorrow|on the weekend|later today|this week"
).split("|")
_MESSAGES = (
    "i'm on my way|i'll be late|running ten minutes late|call me when you can|dinner is ready|"
    "happy birthday|see you tomorrow|can you pick up some milk|where are you|i love you"
).split("|")


def _one(words: tuple[str, ...] | list[str], rng: np.random.Generator) -> str:
    return words[int(rng.random() * len(words))]


def duration(rng: np.random.Generator, locale: str) -> str:
    minutes = _MINUTES[int(rng.random() * len(_MINUTES))]
    draw = rng.random()
    if draw < 0.1:
        return _one(["half an hour", "an hour", "an hour and a half", "one hour", "two hours"], rng)
    if draw < 0.16:
        return f"{number(10 * int(rng.integers(2, 7)))} seconds"
    if draw < 0.22:
        return f"{_one(['an hour', 'one hour', 'two hours'], rng)} and {number(minutes)} minutes"
    return f"{number(minutes)} minute{'' if minutes == 1 else 's'}"


def date(rng: np.random.Generator, locale: str) -> str:
    return _one(_DATES, rng)


def message(rng: np.random.Generator, locale: str) -> str:
    return _one(_MESSAGES, rng)


_DRAWS: dict[str, Callable[[np.random.Generator, str], str]] = {
    "duration": duration, "date": date, "message": message,
}  # fmt: skip


def draw_value(kind: str, rng: np.random.Generator, locale: str) -> str:
    """A value as it is spoken."""
    return _DRAWS[kind](rng, locale)
