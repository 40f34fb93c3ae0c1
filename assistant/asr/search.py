"""The recogniser's search: words that the segments sound like, then sentences of them.

The arrays are made once; what fills them is compiled (`candidates`, `lattice`, `n_best`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assistant.asr.candidates import Candidates, find
from assistant.asr.language_model import LanguageModel
from assistant.asr.lattice import (
    Lattice,
    automaton,
    fill,
)
from assistant.asr.n_best import Parts, read
from assistant.asr.prefix_tree import Tree

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Settings:
    """How the recogniser weighs what it knows.

    Attributes
    ----------
    deviation: noise that its acoustic model was trained with, in articulatory space.
    lost, added: log probability of a phone that left no segment, and of a segment that is none.
    language: weight of the language model against the acoustics. word: cost of every word.
    at_home: log weight of words from the household's own names (contacts, lamps, rooms).
    sharpness: scale of path scores in the posteriors.
    reach, slope: how badly a word may sound, and the share of it that only comes with its length.
    keep: how many words may begin at one segment, where long ones get `credit` per segment.
    beam, limit: how far behind the best a sentence may be, and how many go on at one segment.
    listed, wanted: hypotheses put out, and hypotheses that share the posterior mass.
    """

    deviation: float = 0.42
    lost: float = -4.0
    added: float = -5.0
    language: float = 0.9
    word: float = 0.0
    at_home: float = 1.0
    sharpness: float = 0.75
    reach: float = 10.0
    slope: float = 0.4
    keep: int = 100
    credit: float = 0.6
    beam: float = 8.0
    limit: int = 12
    listed: int = 5
    wanted: int = 12


class Search:
    """A search with one language model through the words of some accents."""

    def __init__(self, model: LanguageModel, trees: Mapping[str, Tree], settings: Settings) -> None:
        s = settings
        self._words = np.array(model.words, dtype=object)
        self._start = model.start
        self._settings = s
        self._trees = {locale: (tree.nodes, tree.words) for locale, tree in trees.items()}
        self._candidates = Candidates(max(len(tree.nodes) for tree in trees.values()))
        self._lattice = Lattice()
        self._parts = Parts(s.wanted)
        self._automaton = automaton(model)
        self._prior = 0.6 * s.language * np.maximum(model.unigram, -12.0)
        bound = model.unigram.copy()
        np.maximum.at(bound, model.word, model.logp)
        self._bound = s.language * bound

    def __call__(
        self, match: Floats, locale: str, bonus: Floats
    ) -> tuple[Floats, list[list[str]], int]:
        """Scores and words of the best sentences, and how many arcs were looked at.

        Parameters
        ----------
        match: (segments, phones) log likelihood, 0 for each segment's likeliest phone; at most
            `candidates.SEGMENTS` of them.
        locale: accent whose pronunciations are looked for. bonus: (words,) what each word gets.
        """
        s, heard, lattice, parts = self._settings, self._candidates, self._lattice, self._parts
        find(
            match, *self._trees[locale], self._prior, s.lost, s.added, s.reach, s.slope, s.keep,
            s.credit, *heard.arrays,
        )  # fmt: skip
        last, ended, arcs = fill(
            len(match), heard.first, heard.end, heard.word, heard.score, *self._automaton,
            self._start, bonus, self._bound, s.added, s.language, s.beam, s.limit, *lattice.arrays,
        )  # fmt: skip
        count = read(
            last, ended, lattice.boundaries, lattice.reached, lattice.arcs, lattice.gains,
            lattice.endings, *parts.arrays,
        )  # fmt: skip
        words = self._words
        lists = [[words[n] for n in row[: row.index(-1)]] for row in parts.found[:count].tolist()]
        return parts.found_scores[:count], lists, arcs
