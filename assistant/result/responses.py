"""What the assistant says; the sentences are in ``responses.txt``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from string import Formatter
from zlib import crc32

from assistant.intents.intents import INTENTS, Intent, SlotSpec
from assistant.stages import Context
from assistant.text_files import read_sections
from data.errors import TextFileError

# Sections that belong to no intent, and the fields that their sentences may have.
_MESSAGES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("done", "oven on", "oven off", "not understood", "declined"), ()),
    **dict.fromkeys(("no screen", "trouble", "stale", "unreadable"), ()),
    **dict.fromkeys(("not found", "not here", "not in plan", "unreachable"), ("name",)),
    "done with": ("names",),
    "ask": ("kind",),
}


def _read() -> dict[str, tuple[str, ...]]:
    """The sentences of every section."""
    sentences: dict[str, tuple[str, ...]] = {}
    kinds = {kind for intent in INTENTS.values() for slot in intent.slots for kind in slot.kinds}
    questions = {f"ask {kind}" for kind in kinds}
    for name, section in read_sections("assistant.result", "responses.txt").items():
        if name in INTENTS:
            sentences[name] = section.patterns([slot.name for slot in INTENTS[name].slots])
        elif name in questions or name in _MESSAGES:
            sentences[name] = section.patterns(_MESSAGES.get(name, ()))
        else:
            raise section.heading.error(
                f"an intent, 'ask' and the kind of a slot, or one of {', '.join(_MESSAGES)}"
            )
    if missing := sorted(_MESSAGES.keys() - sentences.keys()):
        raise TextFileError(f"assistant/result/responses.txt lacks [{missing[0]}]; add it.")
    return sentences


_SENTENCES: Mapping[str, tuple[str, ...]] = _read()
_FIELDS: Mapping[str, frozenset[str]] = {
    sentence: frozenset(field for _, field, _, _ in Formatter().parse(sentence) if field)
    for sentences in _SENTENCES.values()
    for sentence in sentences
}


def done(intent: Intent, names: Mapping[str, str], answers: Iterable[str], context: Context) -> str:
    """What is said when all went well; `answers` are what the catalogue has to say itself."""
    answer = next((answer for answer in answers if answer), "")
    if answer:
        return _capitalised(f"{answer}.")
    if intent.name == "OvenTemperature":
        return message("oven on" if context.device.state.get("oven") == "on" else "oven off")
    sentences = [s for s in _SENTENCES.get(intent.name, ()) if _FIELDS[s] <= names.keys()]
    if not sentences:
        return message("done with", names=", ".join(names.values())) if names else message("done")
    most = max(len(_FIELDS[s]) for s in sentences)
    options = [s for s in sentences if len(_FIELDS[s]) == most]
    key = "|".join(names.values())
    return _capitalised(options[crc32(key.encode()) % len(options)].format_map(names))


def question(slot: SlotSpec) -> str:
    """The question for a slot that is missing."""
    kind = slot.kinds[0]
    if f"ask {kind}" in _SENTENCES:
        return message(f"ask {kind}")
    return message("ask", kind=kind.replace("_", " "))


def declined(intent: Intent) -> str:
    """What is said to a request that the assistant cannot serve."""
    return message("declined", len(intent.name))


def message(section: str, choice: int = 0, /, **fields: str) -> str:
    """A sentence of a section; `choice` counts round its sentences."""
    sentences = _SENTENCES[section]
    return sentences[choice % len(sentences)].format_map(fields)


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
