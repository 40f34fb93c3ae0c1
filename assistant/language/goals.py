"""What a user wants: an intent, its slots, and the entities they mean."""

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
from assistant.intents.intents import INTENTS, THING_KINDS, Intent
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
# People who are asked for what they left out mostly say it.
ANSWER_SHARE = 0.8
FAVOURITE_SHARE = 0.4
# How often a name that several entities share is said in full: for the most popular of them, and
# for the others.
FULL_NAME_SHARES = (0.1, 0.55)
# The turn before makes its own domain likelier, and people talk about what is playing.
SAME_DOMAIN = 2.5
THEN_PLAYBACK = 4.0
# Things in the same room are asked for more often than things elsewhere.
SAME_ROOM = 4.0
_PLAYING_DOMAINS = ("music", "books", "radio", "video")


@dataclass(frozen=True, slots=True)
class Goal:
    """What a user wants with one request.

    Attributes
    ----------
    slots: (name, surface value) as spoken; for an entity, its name in spoken words.
    entities: slot to the id of the entity it means, for slots that name an entity.
    names: slot to the other ways to say it (aliases). full: slot to the name that tells the entity
        from others of the same name ("ashton kent"), where there are others.
    follows: comes after a turn with the same intent, so it may be elliptical; kept slots
        (`SlotSpec.kept`) that it leaves out stay as they were.
    fits: the situation (oven on, screen) makes a bare phrase understandable.
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
        """Required slots that the request leaves out; the assistant asks for them."""
        present = {name for name, _ in self.slots}
        required = (spec.name for spec in INTENTS[self.intent].slots if spec.required)
        return tuple(name for name in required if name not in present)


def local_name(entity: Entity, locale: str) -> str:
    """What people of a locale call an entity, in spoken words (coriander, cilantro, dhania)."""
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
    """What a user wants now, by habit, hour, device and what is going on around them.

    Raises
    ------
    ValueError: no goal can be filled for this household.
    """
    catalogue = world.catalogue
    if before is not None:
        same = INTENTS[before.intent]
        requested = before.missing if not before.follows else ()
        share = ANSWER_SHARE if requested else FOLLOW_UP_SHARE
        if same.follow_ups and rng.random() < share:
            goal = fill(rng, same, catalogue, home, user, device, follows=True, requested=requested)
            if goal is not None:
                return goal
    cumulative = _cumulative_weights(user, moment.hour, device, before)
    for _ in range(50):
        index = bisect_right(cumulative, rng.random() * cumulative[-1])
        intent = _ALL[min(index, len(_ALL) - 1)]
        goal = fill(rng, intent, catalogue, home, user, device)
        if goal is not None:
            return goal
    raise ValueError(f"no request can be made up for home {home.id}")


def fill(
    rng: np.random.Generator,
    intent: Intent,
    catalogue: Catalogue,
    home: Home,
    user: User,
    device: Device,
    *,
    follows: bool = False,
    requested: tuple[str, ...] = (),
    popular: float = 1.0,
) -> Goal | None:
    """A goal with this intent, or None where the home has no such thing.

    Parameters
    ----------
    follows: elliptical, after a turn with the same intent.
    requested: slots that the goal should have, if a phrase allows it.
    popular: only this most popular share of the catalogue's entities is named.
    """
    phrases = intent.follow_ups if follows else intent.phrases
    if requested:
        answers = tuple(p for p in phrases if any(name in slots_of(p) for name in requested))
        phrases = answers or phrases
    names_of_slots = slots_of(phrases[int(rng.random() * len(phrases))])
    slots: dict[str, str] = {}
    entities: dict[str, str] = {}
    names: dict[str, tuple[str, ...]] = {}
    full: dict[str, str] = {}
    # The title first: it decides the artist.
    for name in sorted(names_of_slots, key="artist".__eq__):
        spec = intent.slot(name)
        if not spec.names_entity:
            slots[name] = draw_value(spec.kind, rng, user.locale)
            continue
        entity = _entity(rng, intent, name, entities, catalogue, home, user, device, popular)
        if entity is None:
            return None
        spoken_name = local_name(entity, user.locale)
        slots[name] = spoken_name
        entities[name] = entity.id
        names[name] = tuple(
            alias
            for alias in entity.aliases
            if not alias.startswith(spoken_name) and alias not in entity.facts.values()
        )
        namesakes = [e for e in catalogue.named(entity.name) if e.kind in spec.kinds]
        if len(namesakes) > 1:
            less_popular = any(e.popularity > entity.popularity for e in namesakes)
            if "qualified" in entity.facts:
                full[name] = entity.facts["qualified"]
                if rng.random() < FULL_NAME_SHARES[less_popular]:
                    slots[name] = full[name]
                    names[name] = ()
            elif "artist" in entity.facts and "artist" not in names_of_slots and not follows:
                artist = catalogue.by_id.get(entity.facts["artist"])
                if artist is not None and rng.random() < FULL_NAME_SHARES[less_popular]:
                    slots["artist"] = spoken(artist.name)
                    entities["artist"] = artist.id
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
    entities: Mapping[str, str],
    catalogue: Catalogue,
    home: Home,
    user: User,
    device: Device,
    popular: float,
) -> Entity | None:
    """The entity that a slot names; `entities` are those of the slots before it."""
    spec = intent.slot(slot)
    if spec.kinds[0] in THING_KINDS:
        return _thing(rng, home.of_kind(spec.kind), device.room)
    # An artist that is named with a title is the artist of that title.
    if slot == "artist" and "title" in entities:
        return catalogue.by_id.get(catalogue.by_id[entities["title"]].facts.get("artist", ""))
    if popular == 1.0 and rng.random() < FAVOURITE_SHARE:
        favourites = [
            catalogue.by_id[i] for i in user.favourites if catalogue.by_id[i].kind in spec.kinds
        ]
        if favourites:
            return favourites[int(rng.random() * len(favourites))]
    return catalogue.draw(rng, spec.kind, home.locale, popular)


def _thing(rng: np.random.Generator, things: tuple[Entity, ...], room: str) -> Entity | None:
    if not things:
        return None
    cumulative = list(
        accumulate(
            thing.popularity * (SAME_ROOM if thing.facts.get("room", thing.name) == room else 1.0)
            for thing in things
        )
    )
    index = bisect_right(cumulative, rng.random() * cumulative[-1])
    return things[min(index, len(things) - 1)]


_ALL = tuple(INTENTS.values())


@lru_cache(maxsize=8192)
def _situation_weights(
    hour: int, device: str, state: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, float], ...]:
    """Weight of every intent in a situation, before a user's habits."""
    factors = boosts(hour, device, state)
    return tuple((intent.name, intent.weight * factors[intent.name]) for intent in _ALL)


def _cumulative_weights(user: User, hour: int, device: Device, before: Goal | None) -> list[float]:
    """Cumulative weights of all intents, in the order of `INTENTS`."""
    state = tuple(sorted(device.state.items()))
    habits = user.habits
    usual = _situation_weights(hour, device.type, state)
    weights = [weight * habits[name] for name, weight in usual]
    if before is not None:
        domain = INTENTS[before.intent].domain
        for index, intent in enumerate(_ALL):
            if intent.domain == domain:
                weights[index] *= SAME_DOMAIN
            elif intent.domain == "playback" and domain in _PLAYING_DOMAINS:
                weights[index] *= THEN_PLAYBACK
    return list(accumulate(weights))
