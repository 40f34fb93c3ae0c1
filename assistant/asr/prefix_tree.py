"""Pronunciations of a vocabulary as a prefix tree."""

from __future__ import annotations

import numpy as np

from assistant.asr.language_model import MARKS, LanguageModel
from assistant.asr.lexicon import spoken
from assistant.asr.phones import INDEX


class Tree:
    """Pronunciations in one accent, breadth first: children lie side by side.

    Attributes
    ----------
    nodes: (nodes, 5) child, children, phone, leaf, leaves; the words that end at a node are
        ``words[leaf : leaf + leaves]``. words: numbers of words in the language model.
    """

    def __init__(self, model: LanguageModel, locale: str) -> None:
        nodes: list[dict[str, int]] = [{}]
        at: list[list[int]] = [[]]
        for number, word in enumerate(model.words):
            if word in MARKS:
                continue
            for phones in spoken(word, locale):
                here = 0
                for phone in phones:
                    down = nodes[here].get(phone)
                    if down is None:
                        down = len(nodes)
                        nodes[here][phone] = down
                        nodes.append({})
                        at.append([])
                    here = down
                at[here].append(number)
        order, sounds = [0], [0]
        for old in order:
            for phone, down in sorted(nodes[old].items()):
                order.append(down)
                sounds.append(INDEX[phone])
        children = np.array([len(nodes[old]) for old in order])
        leaves = np.array([len(at[old]) for old in order])
        child = np.cumsum(children) - children + 1
        leaf = np.cumsum(leaves) - leaves
        rows = (child, children, np.array(sounds), leaf, leaves)
        self.nodes = np.stack(rows, axis=1).astype(np.int32)
        self.words = np.array([number for old in order for number in at[old]], np.int32)
