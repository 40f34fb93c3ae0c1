"""Pronunciations of a vocabulary as a prefix tree."""

from __future__ import annotations

import numpy as np

from assistant.asr.language_model import MARKS, LanguageModel
from assistant.asr.lexicon import spoken
from assistant.asr.phones import INDEX


class Tree:
    """Pronunciations in one accent, in breadth-first order: siblings are adjacent.

    Attributes
    ----------
    nodes: (nodes, 5) first child, number of children, phone, first leaf, number of leaves. The
        words that end at a node are ``words[leaf : leaf + leaves]``.
    words: numbers of words in the language model.
    """

    def __init__(self, model: LanguageModel, locale: str) -> None:
        nodes: list[dict[str, int]] = [{}]
        ending: list[list[int]] = [[]]
        for number, word in enumerate(model.words):
            if word in MARKS:
                continue
            for phones in spoken(word, locale):
                here = 0
                for phone in phones:
                    child = nodes[here].get(phone)
                    if child is None:
                        child = len(nodes)
                        nodes[here][phone] = child
                        nodes.append({})
                        ending.append([])
                    here = child
                ending[here].append(number)
        order, sounds = [0], [0]
        for old in order:
            for phone, child in sorted(nodes[old].items()):
                order.append(child)
                sounds.append(INDEX[phone])
        children = np.array([len(nodes[old]) for old in order])
        leaves = np.array([len(ending[old]) for old in order])
        first_child = np.cumsum(children) - children + 1
        first_leaf = np.cumsum(leaves) - leaves
        rows = (first_child, children, np.array(sounds), first_leaf, leaves)
        self.nodes = np.stack(rows, axis=1).astype(np.int32)
        self.words = np.array([number for old in order for number in ending[old]], np.int32)
