"""Slot values that are words rather than entities: times, durations, messages …"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from assistant.intents.grammar import render
from assistant.spoken_forms import listed, number

_MINUTES = (1, 2, 3, 5, 5, 5, 8, 10, 10, 10, 12, 15, 15, 20, 20, 25, 30, 30, 40, 45, 50, 90)
_DURATIONS = listed("half an hour|an hour|an hour and a half|one hour|two hours|a minute", "|")
_DAYS = listed("monday tuesday wednesday thursday friday saturday sunday")
_DATES = listed(
    "today|today|tomorrow|tomorrow|tomorrow|tomorrow|tonight|tonight|this week|next week|"
    "this evening|tomorrow morning|tomorrow night|the day after tomorrow|<weekend>|<weekend>|"
    "later today|this <afternoon>|tomorrow <afternoon>|this morning|at the end of the week",
    "|",
)
_MONTHS = listed(
    "january february march april may june july august september october november december"
)
_ORDINALS = listed(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth "
    "fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
)
_LEVELS = (10, 15, 20, 25, 30, 40, 50, 50, 50, 60, 70, 75, 80, 90, 100)

# Texts of messages, reminders and events: one part of each column.
_MESSAGES = (
    "i'm on my way|i'll be [a bit|] late|[i'm|] running {n} minutes late|call me when you can|"
    "dinner is ready|dinner is at {h}|happy birthday|see you {d}|where are you|i love you|"
    "can you pick up some {x}|don't forget the {x}|i'll be home {d}|i'll be there at {h}|"
    "we're out of {x}|the train is late|it's time to go|good luck {d}|thank you for {d}|"
    "i can't make it {d}|let's meet at {h}|are we still on for {d}|what time are you coming|"
    "i forgot my {x}|please bring the {x}|come downstairs|it's bedtime|"
    "breakfast is ready|i'll call you {d}|have a safe flight|the {x} has arrived|"
    "we need to leave at {h}|sorry i missed your call|can we talk {d}|i left the {x} at home"
)
_REMINDERS = (
    "call {p}|call {p} back|take out the <rubbish>|feed the {a}|walk the dog|"
    "pick up [the|some] {x}|"
    "pay the {b} bill|buy {x}|water the plants|take my medicine|take the [cake|bread|chicken] out|"
    "pick up the kids|book the {o}|send {p} the photos|charge [my phone|the laptop|the car]|"
    "wash the [car|curtains|towels|windows]|return the [library books|parcel|keys]|ring the {o}|"
    "bring the {x} back|check the [oven|mail|tyres|pool|smoke alarm]|do the laundry|email {p}|"
    "turn the [oven|heater|iron|sprinkler] off|wish {p} a happy birthday|cancel the {o}|"
    "clean the [kitchen|bathroom|car|fridge]|move the car|lock the back door|go to the {o}|"
    "defrost the chicken|renew my passport|put the bins out|ask {p} about the {x}|stretch|"
    "drink some water|leave for the {o}|finish my homework|call {p} about the {b} bill"
)
_CHORES = (
    "take out the <rubbish>|do the dishes|walk the dog|make me a cup of tea|clean the bathroom|"
    "feed the {a}|do my homework|wash the car|iron my shirts|open a bottle of wine|find my keys|"
    "make the bed|fold the laundry|mow the lawn|water the plants|vacuum the stairs|cook dinner|"
    "peel the potatoes|change the baby|pick up the kids|charge my phone|close my bank account|"
    "fix the {x}|bring me the {x}|cut my hair|sign this letter|give me a massage|catch the {a}"
)
_EVENTS = (
    "lunch with {p}|dinner with {p}|coffee with {p}|a meeting with {p}|the {o} appointment|"
    "a {o} appointment|{p}'s birthday|the school play|football practice|yoga class|"
    "the parents' evening|a call with {p}|piano lesson|the team meeting|drinks with {p}|"
    "the car service|a haircut|book club|the {b} meeting|the wedding|cricket practice|"
    "swimming with {p}|the concert|a weekend with {p}|the interview|breakfast with {p}"
)
_FILL = {
    "x": listed(
        "milk|bread|keys|cake|laundry|umbrella|passport|phone|laptop|washing|bike|charger|parcel|"
        "library books|chicken|coffee|tickets|batteries|jacket|suitcase|car|iron|glasses|bag",
        "|",
    ),
    "p": listed(
        "mum|dad|sam|alex|grandma|doctor lee|priya|tom|the boss|maria|uncle joe|ella|ravi|"
        "the plumber|the landlord|aunt jean|ben|lucy|the neighbours|arjun|kate|my sister",
        "|",
    ),
    "a": listed("cat dog fish rabbit chickens hamster"),
    "b": listed("electricity|water|phone|gas|internet|credit card|rent|insurance|council", "|"),
    "o": listed(
        "dentist|doctor|vet|hairdresser|plumber|garage|bank|gym|library|optician|post office|"
        "school|restaurant|accountant",
        "|",
    ),
}


def _one(words: tuple[str, ...], rng: np.random.Generator) -> str:
    return words[int(rng.random() * len(words))]


def _plural(count: int, noun: str) -> str:
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def duration(rng: np.random.Generator, locale: str) -> str:
    minutes = _MINUTES[int(rng.random() * len(_MINUTES))]
    draw = rng.random()
    if draw < 0.1:
        return _one(_DURATIONS, rng)
    if draw < 0.16:
        return _plural(10 * (2 + int(rng.random() * 5)), "second")
    if draw < 0.22:
        return f"{_one(('an hour', 'one hour', 'two hours'), rng)} and {_plural(minutes, 'minute')}"
    if draw < 0.27:
        return f"{_plural(minutes, 'minute')} and thirty seconds"
    if draw < 0.35:
        return _plural(1 + int(rng.random() * 59), "minute")
    return _plural(minutes, "minute")


def time(rng: np.random.Generator, locale: str) -> str:
    hour = number(1 + int(rng.random() * 12))
    draw = rng.random()
    if draw < 0.2:
        return f"{hour} {_one(('a m', 'p m'), rng)}"
    if draw < 0.32:
        return f"{hour} o'clock"
    if draw < 0.42:
        return f"{hour} {_one(('in the morning', 'in the evening', 'tonight'), rng)}"
    if draw < 0.56:
        way = ("half past", "quarter past", "quarter to")
        return f"{'half' if locale == 'en-GB' and draw < 0.45 else _one(way, rng)} {hour}"
    if draw < 0.6:
        return _one(("noon", "midnight", "lunchtime", "dinner time", "sunrise"), rng)
    if draw < 0.75:
        return hour
    minute = (5, 10, 15, 20, 30, 30, 30, 40, 45, 45, 50)[int(rng.random() * 11)]
    half = _one((" a m", " p m", "", ""), rng)
    return f"{hour} {'oh ' if minute < 10 else ''}{number(minute)}{half}"


def date(rng: np.random.Generator, locale: str) -> str:
    draw = rng.random()
    if draw < 0.62:
        return " ".join(render(_one(_DATES, rng), {}, locale, rng)[0])
    if draw < 0.9:
        return f"{_one(('on', 'on', 'next', 'this'), rng)} {_one(_DAYS, rng)}"
    month, day = _one(_MONTHS, rng), _one(_ORDINALS, rng)
    return f"on {month} {day}" if locale == "en-US" else f"on the {day} of {month}"


def small_number(rng: np.random.Generator, locale: str) -> str:
    top = 12 if rng.random() < 0.7 else 60
    return number(1 + int(rng.random() * top))


def percent(rng: np.random.Generator, locale: str) -> str:
    level = number(_LEVELS[int(rng.random() * len(_LEVELS))])
    return level if rng.random() < 0.2 else f"{level} percent"


def temperature(rng: np.random.Generator, locale: str) -> str:
    """Of a room; fahrenheit in the United States."""
    degrees = int(64 + rng.random() * 13) if locale == "en-US" else int(17 + rng.random() * 9)
    return number(degrees) + ("" if rng.random() < 0.3 else " degrees")


def oven_temperature(rng: np.random.Generator, locale: str) -> str:
    """Fahrenheit in the United States."""
    fahrenheit = locale == "en-US"
    degrees = 25 * int(10 + rng.random() * 10) if fahrenheit else 10 * int(14 + rng.random() * 12)
    return number(degrees) + ("" if rng.random() < 0.3 else " degrees")


def _text(templates: tuple[str, ...], rng: np.random.Generator, locale: str) -> str:
    template = _one(templates, rng)
    values = {name: _one(words, rng) for name, words in _FILL.items() if f"{{{name}}}" in template}
    if "{n}" in template:
        values["n"] = number(5 * (1 + int(rng.random() * 6)))
    if "{h}" in template:
        values["h"] = time(rng, locale)
    if "{d}" in template:
        values["d"] = date(rng, locale)
    if "{p}'s" in template:
        return template.replace("{p}", values["p"])
    return " ".join(render(template, values, locale, rng)[0])


def message(rng: np.random.Generator, locale: str) -> str:
    return _text(_MESSAGE_PARTS, rng, locale)


def reminder(rng: np.random.Generator, locale: str) -> str:
    return _text(_REMINDER_PARTS, rng, locale)


def chore(rng: np.random.Generator, locale: str) -> str:
    return _text(_CHORE_PARTS, rng, locale)


def event(rng: np.random.Generator, locale: str) -> str:
    return _text(_EVENT_PARTS, rng, locale)


def _templates(text: str) -> tuple[str, ...]:
    """Parts between ``|``, but not of those within brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "[") - (letter == "]")
        if letter == "|" and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return tuple(parts)


_MESSAGE_PARTS = _templates(_MESSAGES)
_REMINDER_PARTS = _templates(_REMINDERS)
_CHORE_PARTS = _templates(_CHORES)
_EVENT_PARTS = _templates(_EVENTS)
_DRAWS: dict[str, Callable[[np.random.Generator, str], str]] = {
    "chore": chore,
    "date": date,
    "duration": duration,
    "event": event,
    "message": message,
    "number": small_number,
    "percent": percent,
    "reminder": reminder,
    "oven_temperature": oven_temperature,
    "temperature": temperature,
    "time": time,
}


def draw_value(kind: str, rng: np.random.Generator, locale: str) -> str:
    """A value of one of `intents.VALUE_KINDS`, as it is spoken.

    Raises
    ------
    ValueError: there is no such kind.
    """
    if kind not in _DRAWS:
        raise ValueError(f"no values of kind {kind!r}; there are {', '.join(_DRAWS)}")
    return _DRAWS[kind](rng, locale)
