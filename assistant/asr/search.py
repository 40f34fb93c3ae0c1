"""The recogniser's search: words that the segments sound like, then sentences of them.

The arrays are allocated once; compiled functions fill them (`candidates`, `lattice`, `n_best`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assistant.asr.candidates import Candidates, Pronunciations, Pruning, find
from assistant.asr.language_model import LanguageModel
from assistant.asr.lattice import Automaton, Beam, Lattice, Words, fill
from assistant.asr.n_best import Partials, Paths, read
from assistant.asr.prefix_tree import Tree

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Settings:
    """How the recogniser weighs what it knows.

    Attributes
    ----------
    deviation: noise that its acoustic model was trained with, in articulatory space.
    deletion, insertion: log probability of a phone that left no segment, and of a segment that is
        no phone.
    language: weight of the language model against the acoustics. word: cost of every word.
    at_home: log weight of words from the household's own names (contacts, lamps, rooms).
    sharpness: scale of path scores in the posteriors.
    reach, slope: the worst score that a word may have, and the share of it that is only allowed
        once the word is eight segments long.
    keep: about how many words may begin at one segment; `credit` per segment favours long ones.
    beam, limit: how far behind the best a sentence may be, and how many go on at one segment.
    listed, wanted: hypotheses in the n-best list, and hypotheses that share the posterior mass.
    """

    deviation: float = 0.42
    deletion: float = -4.0
    insertion: float = -5.0
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
        self._vocabulary = np.array(model.words, dtype=object)
        self._trees = {
            locale: Pronunciations(tree.nodes, tree.words) for locale, tree in trees.items()
        }
        self._pruning = Pruning(s.deletion, s.insertion, s.reach, s.slope, s.keep, s.credit)
        self._beam = Beam(s.insertion, s.language, s.beam, s.limit)
        self._automaton = Automaton.of(model)
        self._candidates = Candidates.allocate(max(len(tree.nodes) for tree in trees.values()))
        self._lattice = Lattice.allocate()
        self._partials = Partials.allocate(s.wanted)
        self._prior = 0.6 * s.language * np.maximum(model.unigram, -12.0)
        bound = model.unigram.copy()
        np.maximum.at(bound, model.word, model.logp)
        self._bound = s.language * bound

    def __call__(
        self, match: Floats, locale: str, bonus: Floats
    ) -> tuple[Floats, list[list[str]], int]:
        """Scores and words of the best sentences, and the number of arcs in the lattice.

        Parameters
        ----------
        match: (segments, phones) log likelihood, 0 for each segment's likeliest phone; at most
            `candidates.SEGMENTS` of them.
        locale: accent whose pronunciations are searched. bonus: (words,) added for each word.
        """
        heard, lattice, partials = self._candidates, self._lattice, self._partials
        find(match, self._trees[locale], self._prior, self._pruning, heard)
        words = Words(heard.first, heard.end, heard.word, heard.score)
        last, ended, arcs = fill(
            len(match), words, self._automaton, bonus, self._bound, self._beam, lattice
        )
        paths = Paths(lattice.nodes, lattice.reached, lattice.arcs, lattice.gains, lattice.endings)
        count = read(last, ended, paths, partials)
        sentences = [
            [self._vocabulary[number] for number in row[: row.index(-1)]]
            for row in partials.words[:count].tolist()
        ]
        return partials.totals[:count], sentences, arcs
