"""Talk that is not meant for the assistant, of which NLU should make nothing."""

from __future__ import annotations

import numpy as np

from assistant.text_files import read_sections

# In the order in which they are drawn.
_FIELDS = ("who", "thing", "how", "place")
_WORDS = {
    name: section.words
    for name, section in read_sections(
        "assistant.nlu", "chatter_words.txt", ("openings", *_FIELDS)
    ).items()
}
_SENTENCES = read_sections("assistant.nlu", "chatter.txt", ("sentences",))["sentences"].patterns(
    _FIELDS
)
# Some sentences have no opening.
_OPENINGS = (*_WORDS["openings"], "")


def chatter(rng: np.random.Generator, n: int) -> list[tuple[str, ...]]:
    """`n` sentences in words; some begin late or end early, cut by a false wake."""
    sentences = []
    for _ in range(n):
        fields = {name: _pick(rng, _WORDS[name]) for name in _FIELDS}
        text = f"{_pick(rng, _OPENINGS)} {_pick(rng, _SENTENCES).format(**fields)}"
        words = text.split()
        if rng.random() < 0.4:
            start = int(rng.integers(0, max(1, len(words) // 2)))
            words = words[start : start + int(rng.integers(3, 9))]
        sentences.append(tuple(words))
    return sentences


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]
