"""What can be asked for: intents, their slots and their phrases, read from the text files here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from types import MappingProxyType

from assistant.intents.grammar import check_phrase, slots_of
from assistant.text_files import Line, Section, read_sections

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
# Kinds of entity in the catalogue that a slot may name.
CATALOGUE_KINDS = (
    "artist", "song", "album", "film", "series", "audiobook", "station", "podcast", "town", "place",
    "food", "dish", "category", "genre", "playlist", "video_genre", "topic", "word", "subject",
    "person", "news_source", "team",
)  # fmt: skip
# The files of intents; the order of all intents is part of what a seed decides.
FILES = ("music", "media", "household", "information", "planning", "contact", "dialogue")


@dataclass(frozen=True, slots=True)
class SlotSpec:
    """A slot of an intent. `kind` may name several kinds of entity: ``film|series``.

    `free_text` slots take any words (a message). A `kept` slot stays as it was where a follow-up
    does not name it: "and tomorrow" is about the same town.
    """

    name: str
    kind: str
    required: bool = False
    free_text: bool = False
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
    phrases: phrases that are clear by themselves, in the notation of `assistant.intents.grammar`.
    bare: phrases that other intents share ("play {title}"): the situation tells which is meant.
    follow_ups: phrases after a turn with the same intent ("and tomorrow").
    weight: how often people ask for it, relative to the others, before their habits.
    supported: whether the assistant can do it at all.
    """

    name: str
    domain: str
    slots: tuple[SlotSpec, ...]
    action: str
    phrases: tuple[str, ...]
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
    def kept_slots(self) -> frozenset[str]:
        """Names of the slots that stay as they were where a follow-up does not name them."""
        return frozenset(slot.name for slot in self.slots if slot.kept)

    @cached_property
    def by_slots(self) -> dict[tuple[str, ...], tuple[str, ...]]:
        """Phrases by the slots they mention (sorted names)."""
        return _group(self.phrases)

    @cached_property
    def bare_by_slots(self) -> dict[tuple[str, ...], tuple[str, ...]]:
        return _group(self.bare)

    @cached_property
    def follow_ups_by_slots(self) -> dict[tuple[str, ...], tuple[str, ...]]:
        return _group(self.follow_ups)


def _group(phrases: tuple[str, ...]) -> dict[tuple[str, ...], tuple[str, ...]]:
    groups: dict[tuple[str, ...], list[str]] = {}
    for phrase in phrases:
        groups.setdefault(tuple(sorted(slots_of(phrase))), []).append(phrase)
    return {names: tuple(group) for names, group in groups.items()}


def read_intents(sections: Iterable[Section]) -> list[Intent]:
    """Intents, one a section; docs/assistant.md describes the lines.

    Raises
    ------
    TextFileError: a line that is not as described there, or an intent without a domain, a weight or
        a phrase that needs no context.
    """
    return [_intent(section) for section in sections]


_NAME = re.compile(r"([A-Z][a-z]+)+")
_SETTING = re.compile(r"([a-z ]+|slot \w+): (.+)")
_SLOT_OPTIONS = ("required", "free text", "kept")


def _intent(section: Section) -> Intent:
    heading = section.heading
    if not _NAME.fullmatch(heading.text):
        raise heading.error("the name of an intent, such as PlayMusic")
    # Settings come first; no phrase has a colon.
    lines = tuple(takewhile(lambda line: ":" in line.text, section.lines))
    settings, slots = _settings(lines)
    phrases: dict[str, list[str]] = {"": [], "~": [], "+": []}
    for line in section.lines[len(lines) :]:
        mark = line.text[0] if line.text[0] in phrases else ""
        phrase = line.text.removeprefix(mark).strip()
        check_phrase(line, phrase, [slot.name for slot in slots])
        phrases[mark].append(phrase)
    if missing := [key for key in ("domain", "weight") if key not in settings]:
        raise heading.error(f"a line '{missing[0]}: …' below it")
    if not phrases[""]:
        raise heading.error("at least one phrase that opens with neither ~ nor +")
    return Intent(
        heading.text,
        settings["domain"].text,
        slots,
        re.sub(r"(?<!^)(?=[A-Z])", "_", heading.text).lower(),
        tuple(phrases[""]),
        tuple(phrases["+"]),
        tuple(phrases["~"]),
        float(settings["weight"].text),
        "supported" not in settings,
    )


def _settings(lines: Iterable[Line]) -> tuple[dict[str, Line], tuple[SlotSpec, ...]]:
    """The settings of an intent by name, with their values as text, and its slots."""
    expected = {
        "domain": (re.compile(r"[a-z_]+"), "a domain in lower case"),
        "weight": (re.compile(r"\d+(\.\d+)?"), "a number such as 2.5"),
        "supported": (re.compile("no"), "'no', or no such line"),
    }
    settings: dict[str, Line] = {}
    slots: list[SlotSpec] = []
    for line in lines:
        match = _SETTING.fullmatch(line.text)
        name = match[1] if match else ""
        if name in settings:
            raise line.error(f"'{name}' only once in an intent")
        if match and name.startswith("slot "):
            slots.append(_slot(line, name.removeprefix("slot "), match[2]))
        elif match and name in expected:
            pattern, description = expected[name]
            if not pattern.fullmatch(match[2]):
                raise line.error(f"{name}: {description}")
        else:
            raise line.error(f"{', '.join(expected)} or 'slot NAME', a colon, and a value")
        settings[name] = Line(line.file, line.number, match[2])
    return settings, tuple(slots)


def _slot(line: Line, name: str, text: str) -> SlotSpec:
    kind, *options = (part.strip() for part in text.split(","))
    kinds = (*VALUE_KINDS, *THING_KINDS, *CATALOGUE_KINDS)
    if not set(kind.split("|")) <= set(kinds):
        raise line.error(f"one or more of these kinds, joined by '|': {', '.join(kinds)}")
    if not set(options) <= set(_SLOT_OPTIONS):
        raise line.error(f"no other options of a slot than {', '.join(_SLOT_OPTIONS)}")
    return SlotSpec(
        name,
        kind,
        required="required" in options,
        free_text="free text" in options,
        kept="kept" in options,
    )


def _read_all() -> dict[str, Intent]:
    intents: dict[str, Intent] = {}
    for file in FILES:
        sections = read_sections("assistant.intents", f"{file}.txt")
        for intent in read_intents(sections.values()):
            if intent.name in intents:
                raise sections[intent.name].heading.error("an intent that no other file has")
            intents[intent.name] = intent
    return intents


INTENTS: Mapping[str, Intent] = MappingProxyType(_read_all())
DOMAINS: tuple[str, ...] = tuple(dict.fromkeys(intent.domain for intent in INTENTS.values()))
