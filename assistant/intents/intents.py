"""What can be asked for: intents, their slots and their phrasings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from assistant.intents import (
    contact,
    dialogue,
    household,
    information,
    media,
    music,
    planning,
)
from assistant.intents.grammar import slots_of

# Kinds of slot whose value is words rather than an entity.
VALUE_KINDS = (
    "chore",
    "duration",
    "time",
    "date",
    "number",
    "percent",
    "temperature",
    "oven_temperature",
    "message",
    "reminder",
    "event",
)
# Kinds of entity that belong to a household.
THING_KINDS = ("light", "appliance", "room", "door", "contact", "list")


@dataclass(frozen=True, slots=True)
class SlotSpec:
    """A slot of an intent. `kind` may name several kinds of entity: ``film|series``.

    `open_` slots hold free text (a message), of any words. A follow-up that does not name a `kept`
    slot leaves it as it was: "and tomorrow" is about the same town.
    """

    name: str
    kind: str
    required: bool = False
    open_: bool = False
    kept: bool = False

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(self.kind.split("|"))

    @property
    def names_entity(self) -> bool:
        return self.kind not in VALUE_KINDS


@dataclass(frozen=True)
class Intent:
    """Something that people ask for.

    Attributes
    ----------
    phrasings: wordings that say what is meant, in the notation of `assistant.intents.grammar`.
    bare: wordings that other intents share ("play {title}"): the situation has to tell.
    follow_ups: what is said when the turn before was about the same ("and tomorrow").
    weight: how often it is asked for, relative to the others, before habits.
    supported: whether the assistant can do it at all.
    """

    name: str
    domain: str
    slots: tuple[SlotSpec, ...]
    action: str
    phrasings: tuple[str, ...]
    follow_ups: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()
    weight: float = 1.0
    supported: bool = True

    def slot(self, name: str) -> SlotSpec:
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, SlotSpec]:
        return {slot.name: slot for slot in self.slots}

    @cached_property
    def kept(self) -> frozenset[str]:
        """Names of the slots that a follow-up leaves as they were."""
        return frozenset(slot.name for slot in self.slots if slot.kept)

    @cached_property
    def by_slots(self) -> dict[tuple[str, ...], tuple[str, ...]]:
        """Phrasings by the slots they mention (sorted names)."""
        return _group(self.phrasings)

    @cached_property
    def bare_by_slots(self) -> dict[tuple[str, ...], tuple[str, ...]]:
        return _group(self.bare)

    @cached_property
    def follow_ups_by_slots(self) -> dict[tuple[str, ...], tuple[str, ...]]:
        return _group(self.follow_ups)


def _group(templates: tuple[str, ...]) -> dict[tuple[str, ...], tuple[str, ...]]:
    groups: dict[tuple[str, ...], list[str]] = {}
    for template in templates:
        groups.setdefault(tuple(sorted(slots_of(template))), []).append(template)
    return {names: tuple(found) for names, found in groups.items()}


def _slot(text: str) -> SlotSpec:
    name, kind = text.rstrip("!*+").split(":")
    return SlotSpec(name, kind, required="!" in text, open_="*" in text, kept="+" in text)


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


def read_intents(text: str) -> list[Intent]:
    """Intents from the notation of the modules beside this one.

    ``# Name domain weight slot:kind! slot:kind`` opens an intent (``!`` required, ``*`` free
    text, ``+`` kept by follow-ups that do not name it; a weight followed by ``-`` marks what the
    assistant cannot do); one phrasing a line follows; ``~`` opens a bare one, ``+`` a follow-up.
    """
    intents: list[Intent] = []
    for block in text.split("\n# ")[1:]:
        head, *lines = _lines(block)
        name, domain, weight, *slots = head.split()
        intents.append(
            Intent(
                name,
                domain,
                tuple(_slot(slot) for slot in slots),
                _snake(name),
                tuple(line for line in lines if line[0] not in "~+"),
                tuple(line[1:].strip() for line in lines if line[0] == "+"),
                tuple(line[1:].strip() for line in lines if line[0] == "~"),
                float(weight.rstrip("-")),
                not weight.endswith("-"),
            )
        )
    return intents


_MODULES = (music, media, household, information, planning, contact, dialogue)
INTENTS: Mapping[str, Intent] = MappingProxyType(
    {intent.name: intent for module in _MODULES for intent in read_intents(module.TEXT)}
)
DOMAINS: tuple[str, ...] = tuple(dict.fromkeys(intent.domain for intent in INTENTS.values()))
