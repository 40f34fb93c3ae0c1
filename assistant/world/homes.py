"""Households, their devices, and the people who talk to these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from assistant.intents.intents import DOMAINS, INTENTS
from assistant.stages import LOCALES, Device, Entity
from assistant.world.catalogue import Catalogue
from assistant.world.things import make_things

# Share of households by locale.
LOCALE_SHARES = (0.46, 0.24, 0.17, 0.13)
# People live in this most populous share of the towns, and ask about the others, too.
LARGER_TOWNS = 0.5
# How many favourites of each kind a user has.
FAVOURITES = {
    "artist": 4, "song": 5, "album": 2, "playlist": 3, "genre": 2, "audiobook": 2, "film": 2,
    "series": 2, "station": 2, "podcast": 2, "news_source": 1, "town": 2, "team": 1, "food": 8,
    "place": 3,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who talks to the assistant.

    Attributes
    ----------
    locale: the accent; mostly the home's.
    rate: words per second. noise_db: how much louder than usual their surroundings are.
    patience, clarity, verbosity, feedback_rate: 0 to 1.
    habits: factor on each intent's weight. favourites: ids of entities they ask for again.
    """

    id: str
    locale: str
    rate: float
    noise_db: float
    patience: float
    clarity: float
    verbosity: float
    feedback_rate: float
    habits: Mapping[str, float]
    favourites: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Home:
    """A household. `things` are its own entities: lamps, rooms, contacts, lists …"""

    id: str
    locale: str
    town: str
    devices: tuple[Device, ...]
    things: tuple[Entity, ...]
    users: tuple[User, ...]

    def of_kind(self, kind: str) -> tuple[Entity, ...]:
        kinds = kind.split("|")
        return tuple(thing for thing in self.things if thing.kind in kinds)


def build_homes(seed: int, catalogue: Catalogue, count: int) -> tuple[Home, ...]:
    """`count` households; the same for the same seed and catalogue, whatever the count."""
    return tuple(
        _home(np.random.default_rng([seed, 12, number]), catalogue, number)
        for number in range(count)
    )


def _home(rng: np.random.Generator, catalogue: Catalogue, number: int) -> Home:
    locale = LOCALES[int(rng.choice(len(LOCALES), p=LOCALE_SHARES))]
    town = catalogue.draw(rng, "town", locale, known=LARGER_TOWNS)
    identity = f"home-{number:04d}"
    things = make_things(rng, identity, locale)
    rooms = [thing.name for thing in things if thing.kind == "room"]
    count = 1 + int(rng.choice(4, p=(0.35, 0.35, 0.2, 0.1)))
    users = tuple(_user(rng, catalogue, locale, f"{identity}-u{i}") for i in range(count))
    devices = _devices(rng, identity, rooms)
    return Home(identity, locale, town.id if town else "", devices, things, users)


def _devices(rng: np.random.Generator, identity: str, rooms: list[str]) -> tuple[Device, ...]:
    """A speaker or display for the kitchen, and some others."""
    kitchen, living, sleeping = rooms[:3]
    devices: list[Device] = []

    def add(kind: str, room: str, television: float = 0.0) -> None:
        far = kind in ("speaker", "display", "tv")
        devices.append(
            Device(
                f"{identity}-d{len(devices) + 1}",
                kind,
                room,
                kind in ("display", "tv", "phone"),
                far,
                kind == "tv" or bool(rng.random() < television),
            )
        )

    add("speaker" if rng.random() < 0.55 else "display", kitchen, 0.12)
    if rng.random() < 0.75:
        add("speaker" if rng.random() < 0.6 else "display", living, 0.7)
    if rng.random() < 0.4:
        add("tv", living)
    if rng.random() < 0.45:
        add("speaker", sleeping, 0.15)
    if rng.random() < 0.55:
        add("phone", living)
    if rng.random() < 0.25:
        add("car", "car")
    return tuple(devices)


def _user(rng: np.random.Generator, catalogue: Catalogue, locale: str, identity: str) -> User:
    accent = locale if rng.random() < 0.88 else LOCALES[int(rng.random() * len(LOCALES))]
    tastes = {domain: 0.1 + 0.9 * float(rng.gamma(1.6, 1 / 1.6)) for domain in DOMAINS}
    # Everybody says yes and stop.
    tastes["dialogue"] = 1.0
    factors = rng.gamma(3.0, 1 / 3.0, len(INTENTS)).tolist()
    favourites = [
        entity.id
        for kind, count in FAVOURITES.items()
        for _ in range(count)
        if (entity := catalogue.draw(rng, kind, locale)) is not None
    ]
    return User(
        identity,
        accent,
        round(float(np.clip(rng.normal(2.6, 0.4), 1.6, 4.0)), 3),
        round(float(np.clip(rng.normal(0, 3), -6, 9)), 3),
        round(float(rng.beta(3, 2)), 3),
        round(float(rng.beta(5, 2)), 3),
        round(float(rng.beta(2, 2.5)), 3),
        round(float(rng.beta(1.2, 8)), 3),
        {
            intent.name: round(tastes[intent.domain] * factor, 4)
            for intent, factor in zip(INTENTS.values(), factors, strict=True)
        },
        tuple(dict.fromkeys(favourites)),
    )


def device_at(home: Home, device: Device, moment: datetime, rng: np.random.Generator) -> Device:
    """The device with the state of itself and its room at a moment.

    ``oven``: on (with ``oven_target``) around meals, in kitchens; ``playing``: music, book, video
    or radio; ``timer`` and ``alarm``: running, ringing; ``television``: on, where there is one
    nearby, audible in the room; ``moving``: a car on the road. Keys that do not apply are absent.
    """
    state = dict(device.state)
    hour = moment.hour
    if device.room == "kitchen":
        cooking = 0.5 if 17 <= hour < 20 else 0.3 if hour in (11, 12) else 0.06
        if rng.random() < cooking:
            state["oven"] = "on"
            state["oven_target"] = str(350 if home.locale == "en-US" else 180)
        if rng.random() < 0.6 * cooking:
            state["timer"] = "running"
    if device.type == "car":
        state["moving"] = "yes"
    if device.near_television and rng.random() < _television(hour):
        state["television"] = "on"
    if rng.random() < 0.3:
        state["playing"] = _playing(device, hour, float(rng.random()))
    if "timer" not in state and rng.random() < 0.04:
        state["timer"] = "running"
    if device.room != "kitchen" and 6 <= hour < 9 and rng.random() < 0.15:
        state["alarm"] = "ringing"
    return replace(device, state=state)


def _television(hour: int) -> float:
    return 0.55 if hour >= 17 else 0.5 if hour in (7, 8) else 0.2


def _playing(device: Device, hour: int, draw: float) -> str:
    if device.type == "tv" or (device.has_screen and draw < 0.35):
        return "video"
    if hour >= 21 or hour < 6:
        return "book" if draw < 0.6 else "music"
    return "music" if draw < 0.6 else "radio" if draw < 0.82 else "book"
