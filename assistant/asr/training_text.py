"""Text that the recogniser's language model is counted from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from assistant.spoken_forms import spoken
from assistant.stages import Entity

if TYPE_CHECKING:
    from assistant.intents.intents import Intent
    from assistant.language.wording import Utterance

Words = tuple[str, ...]


def text_for_asr(
    examples: Sequence[tuple[Utterance, Intent]],
    entities: Iterable[Entity],
    rng: np.random.Generator,
) -> list[Words]:
    """The examples' words, and each entity's names once more in the place of one of their own kind.

    Examples name things by popularity and leave rare ones out; the recogniser is given the whole
    catalogue, as a class of its language model would be, so that a rare name can be heard though it
    is not expected.
    """
    # kind → (words before, words after) of slots that hold an entity of this kind.
    places: dict[str, list[tuple[Words, Words]]] = {}
    sentences: list[Words] = []
    for utterance, intent in examples:
        sentences.append(utterance.words)
        kinds = {slot.name: slot.kinds for slot in intent.slots if slot.names_entity}
        for name, begin, end in _spans(utterance.tags):
            around = utterance.words[:begin], utterance.words[end:]
            for kind in kinds.get(name, ()):
                places.setdefault(kind, []).append(around)
    named = dict.fromkeys(
        (thing.kind, name) for thing in entities for name in (thing.name, *thing.aliases)
    )
    for kind, name in named:
        words = tuple(spoken(name).split())
        fitting = places.get(kind)
        if fitting:
            before, after = fitting[int(rng.random() * len(fitting))]
            words = (*before, *words, *after)
        if words:
            sentences.append(words)
    return sentences


def _spans(tags: Sequence[str]) -> Iterable[tuple[str, int, int]]:
    """Slot name, first and one past the last word of every slot that `tags` mark."""
    begin = -1
    for i, tag in enumerate((*tags, "O")):
        if begin >= 0 and not tag.startswith("I"):
            yield tags[begin][2:], begin, i
            begin = -1
        if tag.startswith("B"):
            begin = i
