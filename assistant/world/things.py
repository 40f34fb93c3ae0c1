"""What a household has: rooms, lamps, appliances, doors, contacts, lists. Names are alike."""

from __future__ import annotations

import numpy as np

from assistant.spoken_forms import listed
from assistant.stages import Entity
from assistant.world import names

ROOMS = {
    "en-US": listed("kitchen|living room|bedroom|kids' room|bathroom|office|garage|den", "|"),
    "en-GB": listed("kitchen|lounge|bedroom|nursery|bathroom|study|hall|conservatory", "|"),
    "en-IN": listed("kitchen|hall|bedroom|children's room|bathroom|study|balcony|puja room", "|"),
    "en-AU": listed("kitchen|lounge room|bedroom|kids' room|bathroom|study|garage|patio", "|"),
}
_LAMPS = {
    "en-US": listed("light|light|lamp|floor lamp|ceiling light", "|"),
    "en-GB": listed("light|light|lamp|big light|ceiling light", "|"),
    "en-IN": listed("light|light|tube light|lamp|bulb", "|"),
    "en-AU": listed("light|light|lamp|downlights|floor lamp", "|"),
}
_APPLIANCES = {
    "en-US": listed(
        "coffee maker|fan|bedroom fan|heater|space heater|tv|christmas lights|dishwasher|dryer|"
        "air purifier|humidifier|sprinklers|vacuum",
        "|",
    ),
    "en-GB": listed(
        "kettle|coffee machine|fan|heater|bedroom heater|telly|fairy lights|dishwasher|"
        "tumble dryer|washing machine|towel rail|electric blanket|hoover",
        "|",
    ),
    "en-IN": listed(
        "fan|bedroom fan|ceiling fan|geyser|bathroom geyser|ac|bedroom ac|tv|water pump|"
        "washing machine|mixer|air cooler|water purifier",
        "|",
    ),
    "en-AU": listed(
        "kettle|coffee machine|fan|bedroom fan|heater|telly|aircon|bedroom aircon|pool pump|"
        "dishwasher|dryer|washing machine|sprinklers",
        "|",
    ),
}
_DOORS = {
    "en-US": listed("front door|back door|garage|garage door|patio door", "|"),
    "en-GB": listed("front door|back door|garage|side gate|conservatory door", "|"),
    "en-IN": listed("main door|back door|main gate|balcony door|terrace door", "|"),
    "en-AU": listed("front door|back door|garage|roller door|side gate", "|"),
}
_LISTS = listed(
    "shopping list|to do list|packing list|party list|hardware list|birthday list|weekend list", "|"
)
_FAMILY = {
    "en-US": listed("mom|dad|grandma|grandpa|aunt linda|uncle bob|work|the office", "|"),
    "en-GB": listed("mum|dad|nan|grandad|auntie jean|uncle bob|work|the office", "|"),
    "en-IN": listed("mummy|papa|nani|dadi|didi|bhaiya|office|watchman", "|"),
    "en-AU": listed("mum|dad|nan|pop|aunty jean|uncle bob|work|the office", "|"),
}
# First names that are easily taken for each other.
_ALIKE = tuple(
    group.split("/")
    for group in listed(
        "jon/john/joan dan/dad/don ellen/helen/alan kate/kay/katie mary/marie/maria sean/shane "
        "ann/anna/hannah tim/kim/jim bill/will/phil mark/marcus eric/erica sara/clara tom/tommy "
        "chris/kris/christine lee/leah/leo erin/aaron marc/mike rick/nick/vic"
    )
)
_ALIKE_INDIAN = tuple(
    group.split("/")
    for group in listed(
        "anil/sunil/anish ravi/rajiv/rahul priya/riya/piya anita/sunita/kavita rohan/mohan/roshan "
        "arun/varun/tarun neha/sneha deepa/deepak meena/mina/tina vijay/ajay/sanjay amit/sumit"
    )
)


def make_things(rng: np.random.Generator, identity: str, locale: str) -> tuple[Entity, ...]:
    """Entities of one household, its rooms first."""
    things: list[Entity] = []

    def add(kind: str, name: str, aliases: tuple[str, ...] = (), **facts: str) -> None:
        if any(thing.kind == kind and thing.name == name for thing in things):
            return
        place = sum(thing.kind == kind for thing in things)
        # Whatever was set up first is used most.
        weight = round((place + 1) ** -0.5, 4)
        things.append(Entity(f"{identity}-{kind}-{place}", kind, name, aliases, weight, facts))

    rooms = ROOMS[locale][: 4 + int(rng.random() * 5)]
    for room in rooms:
        add("room", room)
    for room in rooms:
        lamps = _LAMPS[locale]
        for lamp in dict.fromkeys(_some(rng, lamps, 1 + (rng.random() < 0.45))):
            add("light", f"{room} {lamp}", (lamp,) if rng.random() < 0.15 else (), room=room)
    if rng.random() < 0.3:
        add("light", "back bedroom light", (), room="bedroom")
    for appliance in dict.fromkeys(_some(rng, _APPLIANCES[locale], 5 + int(rng.random() * 4))):
        room = next((room for room in rooms if appliance.startswith(room)), rooms[0])
        add("appliance", appliance, (), room=room)
    for door in _DOORS[locale][: 2 + int(rng.random() * 4)]:
        short = door.removesuffix(" door").removeprefix("side ")
        add("door", door, (short,) if short != door and rng.random() < 0.3 else ())
    add("list", _LISTS[0])
    for name in dict.fromkeys(_some(rng, _LISTS[1:], 2)):
        add("list", name, (name.removesuffix(" list"),))
    for name, aliases in _contacts(rng, locale):
        add("contact", name, aliases)
    add("account", "account", (), plan="premium" if rng.random() < 0.6 else "basic")
    return tuple(things)


def _some(rng: np.random.Generator, words: tuple[str, ...], count: int) -> list[str]:
    return [words[int(rng.random() * len(words))] for _ in range(count)]


def _contacts(rng: np.random.Generator, locale: str) -> list[tuple[str, tuple[str, ...]]]:
    found: list[tuple[str, tuple[str, ...]]] = [
        (name, ()) for name in _some(rng, _FAMILY[locale], 3)
    ]
    indian = 0.85 if locale == "en-IN" else 0.08
    lasts = names.INDIAN_LAST if rng.random() < indian else names.LAST
    for alike in (_ALIKE_INDIAN if locale == "en-IN" else _ALIKE,) * 2:
        group = alike[int(rng.random() * len(alike))]
        # Alike names are said alone by those who have one, in full by those who have both.
        found += [(name, ()) for name in group if rng.random() < 0.7]
    for _ in range(4 + int(rng.random() * 7)):
        firsts = names.INDIAN_FIRST if rng.random() < indian else names.FIRST
        first = firsts[int(rng.random() * len(firsts))]
        last = lasts[int(rng.random() * len(lasts))]
        # "vijay" alone is the one who is listed so.
        taken = any(name.split()[0] == first for name, _ in found)
        found.append((f"{first} {last}", () if taken else (first,)))
    return found
