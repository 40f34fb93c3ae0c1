"""Households, the devices in them, and the people who talk to those."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from assistant.contract import LOCALES, Device, Entity
from assistant.language.intents import DOMAINS, INTENTS
from assistant.world import names
from assistant.world.catalogue import Catalogue

# Share of households by locale.
LOCALE_SHARES = (0.46, 0.24, 0.17, 0.13)


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who talks to the assistant.

    Attributes
    ----------
    locale: the accent; mostly the home's.
    rate: words per second. noise_db: how much louder than usual it is around them.
    patience, clarity, verbosity, feedback_rate: 0 to 1.
    habits: factor on each intent's weight. favourites: ids of entities they come back to.
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
    """A household. `things` are the entities of it alone: lamps, rooms, contacts, lists …"""

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
        _home(np.random.default_rng([seed, 12, place]), catalogue, place) for place in range(count)
    )


def _home(rng: np.random.Generator, catalogue: Catalogue, place: int) -> Home:
    locale = LOCALES[int(rng.choice(len(LOCALES), p=LOCALE_SHARES))]
    town = catalogue.draw(rng, "town", locale)
    identity = f"home-{place:04d}"
    rooms = ("kitchen", "living room", "bedroom")
    devices = (
        Device(f"{identity}-d1", "speaker", "kitchen", False, True, False),
        Device(f"{identity}-d2", "display", "living room", True, True, True),
        Device(f"{identity}-d3", "phone", "bedroom", True, False, False),
    )
    things = [
        Entity(f"{identity}-light-{i}", "light", f"{room} light") for i, room in enumerate(rooms)
    ]
    users = tuple(
        _user(rng, catalogue, locale, f"{identity}-u{i}") for i in range(int(rng.integers(1, 4)))
    )
    return Home(identity, locale, town.id if town else "", devices, tuple(things), users)


def _user(rng: np.random.Generator, catalogue: Catalogue, locale: str, identity: str) -> User:
    accent = locale if rng.random() < 0.88 else LOCALES[int(rng.random() * len(LOCALES))]
    tastes = {domain: float(rng.gamma(1.6, 1 / 1.6)) + 0.05 for domain in DOMAINS}
    return User(
        identity,
        accent,
        float(np.clip(rng.normal(2.6, 0.4), 1.6, 4.0)),
        float(np.clip(rng.normal(0, 3), -6, 9)),
        float(rng.beta(3, 2)),
        float(rng.beta(5, 2)),
        float(rng.beta(2, 3)),
        float(rng.beta(1.2, 8)),
        {i.name: tastes[i.domain] * float(rng.gamma(2, 0.5)) for i in INTENTS.values()},
        (),
    )


def device_at(home: Home, device: Device, moment: datetime, rng: np.random.Generator) -> Device:
    """The device with the state that it and its room are in at a moment (oven on, film playing)."""
    state = dict(device.state)
    if device.room == "kitchen" and 17 <= moment.hour < 21 and rng.random() < 0.45:
        state["oven"] = "on"
    return replace(device, state=state)
