"""The text that the recogniser's language model is trained on."""

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
    """The examples' words, and a sentence for each name of each entity.

    Such a sentence is an example whose entity of the same kind is replaced by the name. Examples
    choose entities by popularity, so rare ones are missing from them; with these sentences the
    recogniser knows the whole catalogue and can recognise rare names, too.
    """
    # kind → (words before, words after) of slots that hold an entity of this kind.
    frames: dict[str, list[tuple[Words, Words]]] = {}
    sentences: list[Words] = []
    for utterance, intent in examples:
        sentences.append(utterance.words)
        kinds = {slot.name: slot.kinds for slot in intent.slots if slot.names_entity}
        for name, begin, end in _spans(utterance.tags):
            around = utterance.words[:begin], utterance.words[end:]
            for kind in kinds.get(name, ()):
                frames.setdefault(kind, []).append(around)
    named = dict.fromkeys(
        (entity.kind, name) for entity in entities for name in (entity.name, *entity.aliases)
    )
    for kind, name in named:
        words = tuple(spoken(name).split())
        fitting = frames.get(kind)
        if fitting:
            before, after = fitting[int(rng.random() * len(fitting))]
            words = (*before, *words, *after)
        if words:
            sentences.append(words)
    return sentences


def _spans(tags: Sequence[str]) -> Iterable[tuple[str, int, int]]:
    """Name, index of the first word and index after the last word of every slot in `tags`."""
    begin = -1
    for i, tag in enumerate((*tags, "O")):
        if begin >= 0 and not tag.startswith("I"):
            yield tags[begin][2:], begin, i
            begin = -1
        if tag.startswith("B"):
            begin = i
