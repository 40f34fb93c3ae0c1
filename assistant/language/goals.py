"""What somebody wants: an intent, its slots, and the entities that are meant."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from assistant.contract import Device, Entity
from assistant.language.grammar import slots_of
from assistant.language.intents import INTENTS, Intent
from assistant.language.situation import boosts, fits
from assistant.language.values import draw_value
from assistant.language.words import spoken

if TYPE_CHECKING:
    from assistant.world import World
    from assistant.world.catalogue import Catalogue
    from assistant.world.homes import Home, User

FOLLOW_UP_SHARE = 0.45
FAVOURITE_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class Goal:
    """What is wanted in one request.

    Attributes
    ----------
    slots: (name, surface value) of what is said; an entity's is its name in spoken words.
    entities: slot to the id of the entity that is meant, for the slots that name one.
    names: slot to the other ways to say it (aliases), the most telling first.
    follows: said after a turn about the same, so that it may be elliptical.
    fits: the situation (oven on, screen) lets a bare wording be understood.
    """

    intent: str
    slots: tuple[tuple[str, str], ...]
    entities: Mapping[str, str]
    supported: bool = True
    follows: bool = False
    fits: bool = False
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def draw_goal(
    rng: np.random.Generator,
    world: World,
    home: Home,
    user: User,
    device: Device,
    moment: datetime,
    before: Goal | None = None,
) -> Goal:
    """What a user wants now: by habit, hour, device and what is going on around them."""
    if before is not None and rng.random() < FOLLOW_UP_SHARE:
        again = INTENTS[before.intent]
        if again.follow_ups:
            goal = fill(rng, again, world.catalogue, home, user, device, follows=True)
            if goal is not None:
                return goal
    names, reached = _weights(user, moment.hour, device)
    for _ in range(50):
        place = bisect_right(reached, rng.random() * reached[-1])
        intent = INTENTS[names[min(place, len(names) - 1)]]
        goal = fill(rng, intent, world.catalogue, home, user, device)
        if goal is not None:
            return goal
    raise ValueError(f"home {home.id} has nothing that could be asked for")


def fill(
    rng: np.random.Generator,
    intent: Intent,
    catalogue: Catalogue,
    home: Home,
    user: User,
    device: Device,
    *,
    follows: bool = False,
    known: float = 1.0,
) -> Goal | None:
    """A goal of this intent, or None where the home lacks what it is about."""
    templates = intent.follow_ups if follows else intent.phrasings
    template = templates[int(rng.random() * len(templates))]
    slots: dict[str, str] = {}
    entities: dict[str, str] = {}
    names: dict[str, tuple[str, ...]] = {}
    for name in slots_of(template):
        spec = intent.slot(name)
        if not spec.names_entity:
            slots[name] = draw_value(spec.kind, rng, user.locale)
            continue
        entity = _entity(rng, intent, name, entities, catalogue, home, user, known)
        if entity is None:
            return None
        slots[name] = spoken(entity.name)
        entities[name] = entity.id
        if entity.aliases:
            names[name] = tuple(spoken(alias) for alias in entity.aliases)
    return Goal(
        intent.name,
        tuple(slots.items()),
        entities,
        intent.supported,
        follows,
        fits(intent.name, device),
        names,
    )


def _entity(
    rng: np.random.Generator,
    intent: Intent,
    slot: str,
    so_far: Mapping[str, str],
    catalogue: Catalogue,
    home: Home,
    user: User,
    known: float,
) -> Entity | None:
    spec = intent.slot(slot)
    things = home.of_kind(spec.kind)
    if things:
        return things[int(rng.random() * len(things))]
    # Who names a title and its artist means the artist of that title.
    if slot == "artist" and "title" in so_far:
        maker = catalogue.by_id[so_far["title"]].facts.get("artist", "")
        return catalogue.by_id.get(maker)
    if known == 1.0 and rng.random() < FAVOURITE_SHARE:
        liked = [
            catalogue.by_id[i] for i in user.favourites if catalogue.by_id[i].kind in spec.kinds
        ]
        if liked:
            return liked[int(rng.random() * len(liked))]
    return catalogue.draw(rng, spec.kind, home.locale, known)


def _weights(user: User, hour: int, device: Device) -> tuple[tuple[str, ...], list[float]]:
    factors = boosts(hour, device.type, tuple(sorted(device.state.items())))
    names = tuple(INTENTS)
    return names, list(
        accumulate(
            INTENTS[name].weight * user.habits.get(name, 1.0) * factors.get(name, 1.0)
            for name in names
        )
    )
