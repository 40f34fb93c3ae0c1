"""A conditional random field that finds the slots of a sentence for a given intent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from assistant.intents.intents import Intent
from assistant.nlu.cues import token_cues, with_intent
from assistant.optional import optional

# The role of a slot by its kind; all other kinds are names of things.
_ROLES = {
    "artist": "who", "contact": "who", "person": "who", "author": "who",
    "town": "where", "place": "where", "room": "where",
    "duration": "when", "time": "when", "date": "when",
    "number": "much", "percent": "much", "temperature": "much", "oven_temperature": "much",
    "message": "text", "reminder": "text", "event": "text",
}  # fmt: skip

pycrfsuite = optional("pycrfsuite", "python-crfsuite", "The assistant")

Roles = Mapping[str, Mapping[str, str]]


def roles_of(intents: Iterable[Intent]) -> dict[str, dict[str, str]]:
    """For each intent, the role that each slot is tagged as.

    About ten roles stand for all slots: the time of training grows with the square of the number of
    tags, and "by" comes before a person, whatever the intent calls the slot.
    """
    roles: dict[str, dict[str, str]] = {}
    for intent in intents:
        by_slot: dict[str, str] = {}
        for slot in intent.slots:
            role = _ROLES.get(slot.kinds[0], "name")
            while role in by_slot.values():
                role += "2"
            by_slot[slot.name] = role
        roles[intent.name] = by_slot
    return roles


class Tagger:
    """Slot tags (``B-title``, ``I-title``, ``O``) with the probability of the whole sequence."""

    def __init__(self, model: bytes, roles: Roles) -> None:
        self.model = model
        self.roles = roles
        self._slots = {i: {role: slot for slot, role in r.items()} for i, r in roles.items()}

    @cached_property
    def _crf(self) -> Any:
        crf = pycrfsuite.Tagger()
        crf.open_inmemory(self.model)
        return crf

    def __reduce__(self) -> tuple[object, ...]:
        # The native tagger cannot travel between processes; its bytes can.
        return (type(self), (self.model, self.roles))

    def tags(
        self, words: Sequence[str], rows: Sequence[Sequence[str]], intent: str
    ) -> tuple[list[str], float]:
        """Tags of `words`, whose `token_cues` are `rows`, and the probability of the tagging."""
        if not words:
            return [], 1.0
        crf = self._crf
        crf.set(with_intent(rows, words, intent))
        role_tags: list[str] = crf.tag()
        probability = min(1.0, float(crf.probability(role_tags)))
        slots = self._slots[intent]
        tags = []
        for tag in role_tags:
            slot = slots.get(tag[2:])
            tags.append(f"{tag[:2]}{slot}" if slot else "O")
        return tags, probability


def fit_tagger(
    sentences: Iterable[tuple[Sequence[str], Sequence[str], str]],
    roles: Roles,
    *,
    iterations: int = 40,
) -> Tagger:
    """Train on (words, tags, intent)."""
    # The other algorithms are faster, but shuffle with the C library's random numbers.
    trainer = pycrfsuite.Trainer(algorithm="lbfgs", verbose=False)
    trainer.set_params({"c1": 0.0, "c2": 0.03, "max_iterations": iterations, "feature.minfreq": 3})
    for words, tags, intent in sentences:
        if words:
            by_slot = roles[intent]
            labels = [tag if tag == "O" else tag[:2] + by_slot[tag[2:]] for tag in tags]
            trainer.append(with_intent(token_cues(words), words, intent), labels)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "slots.crf"
        trainer.train(str(path))
        return Tagger(path.read_bytes(), roles)


def slots_of(words: Sequence[str], tags: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """(slot, surface words) in the order of the text; a stray ``I-`` opens a slot."""
    slots: list[tuple[str, list[str]]] = []
    open_slot = ""
    for word, tag in zip(words, tags, strict=True):
        kind, _, name = tag.partition("-")
        if kind == "O":
            open_slot = ""
        elif kind == "I" and name == open_slot:
            slots[-1][1].append(word)
        else:
            slots.append((name, [word]))
            open_slot = name
    return tuple((name, " ".join(part)) for name, part in slots)
