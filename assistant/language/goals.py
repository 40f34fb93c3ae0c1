"""What somebody wants: an intent, its slots, and the entities that are meant."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from assistant.intents.grammar import slots_of
from assistant.intents.intents import (
    INTENTS,
    THING_KINDS,
    Intent,
)
from assistant.language.situation import boosts, fits
from assistant.language.slot_values import draw_value
from assistant.spoken_forms import spoken
from assistant.stages import Device, Entity

if TYPE_CHECKING:
    from assistant.world import World
    from assistant.world.catalogue import Catalogue
    from assistant.world.homes import Home, User

# Share of turns after another one of the dialogue that go on with it.
FOLLOW_UP_SHARE = 0.4
# Whoever was asked for what they left out mostly says it.
ANSWER_SHARE = 0.8
FAVOURITE_SHARE = 0.4
# How often a name that several things have is said in full, by what is meant: the one that most
# people mean, or another.
FULL_NAME_SHARES = (0.1, 0.55)
# The turn before makes its own domain likelier, and what is playing can be talked about.
SAME_DOMAIN = 2.5
THEN_PLAYBACK = 4.0
# What is in the room is asked for more often than what is elsewhere.
SAME_ROOM = 4.0
_PLAYING_DOMAINS = ("music", "books", "radio", "video")


@dataclass(frozen=True, slots=True)
class Goal:
    """What is wanted in one request.

    Attributes
    ----------
    slots: (name, surface value) of what is said; an entity's is its name in spoken words.
    entities: slot to the id of the entity that is meant, for the slots that name one.
    names: slot to the other ways to say it (aliases). full: slot to the name that tells it from
        others of the same name ("ashton kent"), where there are any.
    follows: said after a turn about the same, so that it may be elliptical; the slots that its
        intent keeps (`SlotSpec.kept`) and that it leaves out are as they were.
    fits: the situation (oven on, screen) lets a bare wording be understood.
    """

    intent: str
    slots: tuple[tuple[str, str], ...]
    entities: Mapping[str, str]
    supported: bool = True
    follows: bool = False
    fits: bool = False
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    full: Mapping[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> tuple[str, ...]:
        """Required slots that are not said; the assistant asks for them."""
        said = {name for name, _ in self.slots}
        needed = (spec.name for spec in INTENTS[self.intent].slots if spec.required)
        return tuple(name for name in needed if name not in said)


def local_name(entity: Entity, locale: str) -> str:
    """What people of a locale call it, in spoken words (coriander, cilantro, dhania)."""
    return entity.facts.get(locale) or spoken(entity.name)


def draw_goal(
    rng: np.random.Generator,
    world: World,
    home: Home,
    user: User,
    device: Device,
    moment: datetime,
    before: Goal | None = None,
) -> Goal:
    """What a user wants now: by habit, hour, device and what is going on around them.

    Raises
    ------
    ValueError: the household has nothing that could be asked for.
    """
    catalogue = world.catalogue
    if before is not None:
        again = INTENTS[before.intent]
        asked = before.missing if not before.follows else ()
        share = ANSWER_SHARE if asked else FOLLOW_UP_SHARE
        if again.follow_ups and rng.random() < share:
            goal = fill(rng, again, catalogue, home, user, device, follows=True, asked=asked)
            if goal is not None:
                return goal
    reached = _reached(user, moment.hour, device, before)
    for _ in range(50):
        place = bisect_right(reached, rng.random() * reached[-1])
        intent = _ALL[min(place, len(_ALL) - 1)]
        goal = fill(rng, intent, catalogue, home, user, device)
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
    asked: tuple[str, ...] = (),
    known: float = 1.0,
) -> Goal | None:
    """A goal of this intent, or None where the home lacks what it is about.

    Parameters
    ----------
    follows: elliptical, after a turn of the same intent. asked: slots it should name if it can.
    known: only entities of this most popular share of the catalogue are named.
    """
    templates = intent.follow_ups if follows else intent.phrasings
    if asked:
        telling = tuple(t for t in templates if any(name in slots_of(t) for name in asked))
        templates = telling or templates
    template = templates[int(rng.random() * len(templates))]
    wanted = slots_of(template)
    slots: dict[str, str] = {}
    entities: dict[str, str] = {}
    names: dict[str, tuple[str, ...]] = {}
    full: dict[str, str] = {}
    # The title first: it decides the artist.
    for name in sorted(wanted, key="artist".__eq__):
        spec = intent.slot(name)
        if not spec.names_entity:
            slots[name] = draw_value(spec.kind, rng, user.locale)
            continue
        entity = _entity(rng, intent, name, entities, catalogue, home, user, device, known)
        if entity is None:
            return None
        said = local_name(entity, user.locale)
        slots[name] = said
        entities[name] = entity.id
        names[name] = tuple(
            alias
            for alias in entity.aliases
            if not alias.startswith(said) and alias not in entity.facts.values()
        )
        rivals = [one for one in catalogue.named(entity.name) if one.kind in spec.kinds]
        if len(rivals) > 1:
            other = any(one.popularity > entity.popularity for one in rivals)
            if "qualified" in entity.facts:
                full[name] = entity.facts["qualified"]
                if rng.random() < FULL_NAME_SHARES[other]:
                    slots[name] = full[name]
                    names[name] = ()
            elif "artist" in entity.facts and "artist" not in wanted and not follows:
                maker = catalogue.by_id.get(entity.facts["artist"])
                if maker is not None and rng.random() < FULL_NAME_SHARES[other]:
                    slots["artist"] = spoken(maker.name)
                    entities["artist"] = maker.id
    return Goal(
        intent.name,
        tuple(slots.items()),
        entities,
        intent.supported,
        follows,
        fits(intent.name, device),
        names,
        full,
    )


def _entity(
    rng: np.random.Generator,
    intent: Intent,
    slot: str,
    so_far: Mapping[str, str],
    catalogue: Catalogue,
    home: Home,
    user: User,
    device: Device,
    known: float,
) -> Entity | None:
    spec = intent.slot(slot)
    if spec.kinds[0] in THING_KINDS:
        return _thing(rng, home.of_kind(spec.kind), device.room)
    # Who names a title and its artist means the artist of that title.
    if slot == "artist" and "title" in so_far:
        return catalogue.by_id.get(catalogue.by_id[so_far["title"]].facts.get("artist", ""))
    if known == 1.0 and rng.random() < FAVOURITE_SHARE:
        liked = [
            catalogue.by_id[i] for i in user.favourites if catalogue.by_id[i].kind in spec.kinds
        ]
        if liked:
            return liked[int(rng.random() * len(liked))]
    return catalogue.draw(rng, spec.kind, home.locale, known)


def _thing(rng: np.random.Generator, things: tuple[Entity, ...], room: str) -> Entity | None:
    if not things:
        return None
    reached = list(
        accumulate(
            thing.popularity * (SAME_ROOM if thing.facts.get("room", thing.name) == room else 1.0)
            for thing in things
        )
    )
    return things[min(bisect_right(reached, rng.random() * reached[-1]), len(things) - 1)]


_ALL = tuple(INTENTS.values())


@lru_cache(maxsize=8192)
def _usual(
    hour: int, device: str, state: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, float], ...]:
    """Weight of every intent in a situation, whoever asks."""
    factors = boosts(hour, device, state)
    return tuple((intent.name, intent.weight * factors[intent.name]) for intent in _ALL)


def _reached(user: User, hour: int, device: Device, before: Goal | None) -> list[float]:
    """Cumulated weights of all intents."""
    state = tuple(sorted(device.state.items()))
    habits = user.habits
    weights = [factor * habits[name] for name, factor in _usual(hour, device.type, state)]
    if before is not None:
        domain = INTENTS[before.intent].domain
        for place, intent in enumerate(_ALL):
            if intent.domain == domain:
                weights[place] *= SAME_DOMAIN
            elif intent.domain == "playback" and domain in _PLAYING_DOMAINS:
                weights[place] *= THEN_PLAYBACK
    return list(accumulate(weights))
