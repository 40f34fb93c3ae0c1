"""What a household has: rooms, lamps, appliances, doors, contacts, lists, with similar names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from assistant.stages import Entity
from assistant.world.words import LOCAL, SIMILAR_NAMES, WORDS


def make_things(rng: np.random.Generator, identity: str, locale: str) -> tuple[Entity, ...]:
    """Entities of one household, its rooms first."""
    things: list[Entity] = []

    def add(kind: str, name: str, aliases: tuple[str, ...] = (), **facts: str) -> None:
        if any(thing.kind == kind and thing.name == name for thing in things):
            return
        index = sum(thing.kind == kind for thing in things)
        # Whatever was set up first is used most.
        weight = round((index + 1) ** -0.5, 4)
        things.append(Entity(f"{identity}-{kind}-{index}", kind, name, aliases, weight, facts))

    rooms = LOCAL["rooms"][locale][: 4 + int(rng.random() * 5)]
    for room in rooms:
        add("room", room)
    for room in rooms:
        lamps = LOCAL["lamps"][locale]
        for lamp in dict.fromkeys(_some(rng, lamps, 1 + (rng.random() < 0.45))):
            add("light", f"{room} {lamp}", (lamp,) if rng.random() < 0.15 else (), room=room)
    if rng.random() < 0.3:
        add("light", "back bedroom light", (), room="bedroom")
    appliances = _some(rng, LOCAL["appliances"][locale], 5 + int(rng.random() * 4))
    for appliance in dict.fromkeys(appliances):
        room = next((room for room in rooms if appliance.startswith(room)), rooms[0])
        add("appliance", appliance, (), room=room)
    for door in LOCAL["doors"][locale][: 2 + int(rng.random() * 4)]:
        short = door.removesuffix(" door").removeprefix("side ")
        add("door", door, (short,) if short != door and rng.random() < 0.3 else ())
    shopping, *others = WORDS["lists"]
    add("list", shopping)
    for name in dict.fromkeys(_some(rng, others, 2)):
        add("list", name, (name.removesuffix(" list"),))
    for name, aliases in _contacts(rng, locale):
        add("contact", name, aliases)
    add("account", "account", (), plan="premium" if rng.random() < 0.6 else "basic")
    return tuple(things)


def _some(rng: np.random.Generator, words: Sequence[str], count: int) -> list[str]:
    return [words[int(rng.random() * len(words))] for _ in range(count)]


def _contacts(rng: np.random.Generator, locale: str) -> list[tuple[str, tuple[str, ...]]]:
    contacts: list[tuple[str, tuple[str, ...]]] = [
        (name, ()) for name in _some(rng, LOCAL["relatives"][locale], 3)
    ]
    indian = 0.85 if locale == "en-IN" else 0.08
    lasts = LOCAL["last names"]["en-IN" if rng.random() < indian else "en-US"]
    groups = SIMILAR_NAMES[locale]
    for _ in range(2):
        similar = groups[int(rng.random() * len(groups))]
        # People who know one of them say the first name alone, and in full if they know both.
        contacts += [(name, ()) for name in similar if rng.random() < 0.7]
    for _ in range(4 + int(rng.random() * 7)):
        firsts = LOCAL["first names"]["en-IN" if rng.random() < indian else "en-US"]
        first = firsts[int(rng.random() * len(firsts))]
        last = lasts[int(rng.random() * len(lasts))]
        # The first name alone means the contact that is stored under just that name.
        taken = any(name.split()[0] == first for name, _ in contacts)
        contacts.append((f"{first} {last}", () if taken else (first,)))
    return contacts
