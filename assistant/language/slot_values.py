"""Slot values that are words rather than entities: times, durations, messages …"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from assistant.intents.grammar import check_phrase, render
from assistant.spoken_forms import number
from assistant.text_files import read_sections

_MINUTES = (1, 2, 3, 5, 5, 5, 8, 10, 10, 10, 12, 15, 15, 20, 20, 25, 30, 30, 40, 45, 50, 90)
_LEVELS = (10, 15, 20, 25, 30, 40, 50, 50, 50, 60, 70, 75, 80, 90, 100)
# Fields of a text that stand for a word of the list of this name, in the order in which they are
# drawn; and fields whose values are composed.
_WORD_FIELDS = ("thing", "person", "animal", "bill", "office")
_COMPOSED_FIELDS = ("minutes", "time", "date")
_TEXT_KINDS = ("messages", "reminders", "chores", "events")


def _read_words() -> dict[str, tuple[str, ...]]:
    names = ("durations", "days", "dates", "months", "ordinals", *_WORD_FIELDS)
    sections = read_sections("assistant.language", "slot_words.txt", names)
    for entry in sections["dates"].entries:
        check_phrase(entry, entry.text, ())
    return {name: section.words for name, section in sections.items()}


def _read_texts() -> dict[str, tuple[str, ...]]:
    sections = read_sections("assistant.language", "slot_texts.txt", _TEXT_KINDS)
    for section in sections.values():
        for line in section.lines:
            # "{person}'s birthday" is no phrase, but `_text` knows it.
            phrase = line.text.replace("{person}'s", "{person}")
            check_phrase(line, phrase, (*_WORD_FIELDS, *_COMPOSED_FIELDS))
    return {name: section.texts for name, section in sections.items()}


_WORDS = _read_words()
_TEXTS = _read_texts()


def _pick(words: tuple[str, ...], rng: np.random.Generator) -> str:
    return words[int(rng.random() * len(words))]


def _plural(count: int, noun: str) -> str:
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def duration(rng: np.random.Generator, locale: str) -> str:
    minutes = _MINUTES[int(rng.random() * len(_MINUTES))]
    draw = rng.random()
    if draw < 0.1:
        return _pick(_WORDS["durations"], rng)
    if draw < 0.16:
        return _plural(10 * (2 + int(rng.random() * 5)), "second")
    if draw < 0.22:
        hours = _pick(("an hour", "one hour", "two hours"), rng)
        return f"{hours} and {_plural(minutes, 'minute')}"
    if draw < 0.27:
        return f"{_plural(minutes, 'minute')} and thirty seconds"
    if draw < 0.35:
        return _plural(1 + int(rng.random() * 59), "minute")
    return _plural(minutes, "minute")


def time(rng: np.random.Generator, locale: str) -> str:
    hour = number(1 + int(rng.random() * 12))
    draw = rng.random()
    if draw < 0.2:
        return f"{hour} {_pick(('a m', 'p m'), rng)}"
    if draw < 0.32:
        return f"{hour} o'clock"
    if draw < 0.42:
        return f"{hour} {_pick(('in the morning', 'in the evening', 'tonight'), rng)}"
    if draw < 0.56:
        part = ("half past", "quarter past", "quarter to")
        return f"{'half' if locale == 'en-GB' and draw < 0.45 else _pick(part, rng)} {hour}"
    if draw < 0.6:
        return _pick(("noon", "midnight", "lunchtime", "dinner time", "sunrise"), rng)
    if draw < 0.75:
        return hour
    minute = (5, 10, 15, 20, 30, 30, 30, 40, 45, 45, 50)[int(rng.random() * 11)]
    half = _pick((" a m", " p m", "", ""), rng)
    return f"{hour} {'oh ' if minute < 10 else ''}{number(minute)}{half}"


def date(rng: np.random.Generator, locale: str) -> str:
    draw = rng.random()
    if draw < 0.62:
        return " ".join(render(_pick(_WORDS["dates"], rng), {}, locale, rng)[0])
    if draw < 0.9:
        return f"{_pick(('on', 'on', 'next', 'this'), rng)} {_pick(_WORDS['days'], rng)}"
    month, day = _pick(_WORDS["months"], rng), _pick(_WORDS["ordinals"], rng)
    return f"on {month} {day}" if locale == "en-US" else f"on the {day} of {month}"


def small_number(rng: np.random.Generator, locale: str) -> str:
    top = 12 if rng.random() < 0.7 else 60
    return number(1 + int(rng.random() * top))


def percent(rng: np.random.Generator, locale: str) -> str:
    level = number(_LEVELS[int(rng.random() * len(_LEVELS))])
    return level if rng.random() < 0.2 else f"{level} percent"


def temperature(rng: np.random.Generator, locale: str) -> str:
    """Of a room; in Fahrenheit in the United States."""
    degrees = int(64 + rng.random() * 13) if locale == "en-US" else int(17 + rng.random() * 9)
    return number(degrees) + ("" if rng.random() < 0.3 else " degrees")


def oven_temperature(rng: np.random.Generator, locale: str) -> str:
    """In Fahrenheit in the United States."""
    fahrenheit = locale == "en-US"
    degrees = 25 * int(10 + rng.random() * 10) if fahrenheit else 10 * int(14 + rng.random() * 12)
    return number(degrees) + ("" if rng.random() < 0.3 else " degrees")


def _text(kind: str, rng: np.random.Generator, locale: str) -> str:
    text = _pick(_TEXTS[kind], rng)
    values = {name: _pick(_WORDS[name], rng) for name in _WORD_FIELDS if f"{{{name}}}" in text}
    if "{minutes}" in text:
        values["minutes"] = number(5 * (1 + int(rng.random() * 6)))
    if "{time}" in text:
        values["time"] = time(rng, locale)
    if "{date}" in text:
        values["date"] = date(rng, locale)
    if "{person}'s" in text:
        return text.replace("{person}", values["person"])
    return " ".join(render(text, values, locale, rng)[0])


_DRAWS: dict[str, Callable[[np.random.Generator, str], str]] = {
    "chore": partial(_text, "chores"),
    "date": date,
    "duration": duration,
    "event": partial(_text, "events"),
    "message": partial(_text, "messages"),
    "number": small_number,
    "percent": percent,
    "reminder": partial(_text, "reminders"),
    "oven_temperature": oven_temperature,
    "temperature": temperature,
    "time": time,
}


def draw_value(kind: str, rng: np.random.Generator, locale: str) -> str:
    """A value of a kind in `intents.VALUE_KINDS`, as people say it.

    Raises
    ------
    ValueError: unknown kind.
    """
    if kind not in _DRAWS:
        raise ValueError(f"unknown kind of value {kind!r}; expected one of {', '.join(_DRAWS)}")
    return _DRAWS[kind](rng, locale)
