"""Sentences of candidate words under the language model, as a lattice, from left to right.

Paths that reach the same segment in the same state of the model meet in one node. Every way into a
node is kept as an arc, and the score of the best of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from assistant.asr.candidates import SEGMENTS
from assistant.asr.compiled import compiled
from assistant.asr.language_model import END, LanguageModel

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float64]

_LOWEST = -1.0e30
_TABLE = 1 << 14
_NODES = _TABLE // 2
_ARCS = 1 << 16
_BINS = 64


class Words(NamedTuple):
    """The words that may begin at each segment: the fields of `candidates.Candidates`."""

    first: Longs
    end: Ints
    word: Ints
    score: Floats


class Automaton(NamedTuple):
    """A `LanguageModel` for `fill`.

    Attributes
    ----------
    spans: (states, 3) first, count and shorter of each state. entries: the model's `word`.
    """

    unigram: Floats
    unigram_next: Ints
    spans: Ints
    entries: Ints
    following: Ints
    logp: Floats
    backoff: Floats
    start: int

    @classmethod
    def of(cls, model: LanguageModel) -> Automaton:
        """`model`, with 32-bit integers."""
        spans = np.stack((model.first, model.count, model.shorter), axis=1)
        return cls(
            unigram=model.unigram,
            unigram_next=model.unigram_next.astype(np.int32),
            spans=spans.astype(np.int32),
            entries=model.word.astype(np.int32),
            following=model.following.astype(np.int32),
            logp=model.logp,
            backoff=model.backoff,
            start=model.start,
        )


class Beam(NamedTuple):
    """Weights of a path, and which paths go on.

    Attributes
    ----------
    insertion: cost of a segment that belongs to no word. language: weight of the language model.
    width: nodes this much worse than the best at their segment, or at a later one, are pruned.
    limit: about how many nodes go on at each segment.
    """

    insertion: float
    language: float
    width: float
    limit: int


class Lattice(NamedTuple):
    """Arrays that `fill` fills; they are allocated once and reused for every utterance.

    Attributes
    ----------
    nodes: (…, 4) state, first arc, next node of the same segment, segment. 0 is the start.
    reached: score of the best path to each node.
    arcs: (…, 3) node that an arc comes from, word or -1 for none, next arc into the same node.
    gains: what an arc adds to the score.
    endings: what each node of the last segment, in the order of its chain, gets for the end of the
        sentence.
    table: node of each hash of a segment and a state. heads, best: per segment, its newest node
        and the best score of any of its nodes or of a later one's.
    """

    nodes: Ints
    reached: Floats
    arcs: Ints
    gains: Floats
    endings: Floats
    table: Ints
    heads: Ints
    best: Floats

    @classmethod
    def allocate(cls) -> Lattice:
        """Arrays for utterances of up to `SEGMENTS` segments."""
        return cls(
            nodes=np.zeros((_NODES, 4), np.int32),
            reached=np.zeros(_NODES),
            arcs=np.zeros((_ARCS, 3), np.int32),
            gains=np.zeros(_ARCS),
            endings=np.zeros(_NODES),
            table=np.zeros(_TABLE, np.int32),
            heads=np.zeros(SEGMENTS + 1, np.int32),
            best=np.zeros(SEGMENTS + 1),
        )


@compiled
def _step(state: int, word: int, model: Automaton) -> tuple[float, int]:
    """`LanguageModel.step`: log probability of `word` after `state`, and the next state."""
    spans, entries = model.spans, model.entries
    cost = 0.0
    while state != 0:
        low = spans[state, 0]
        end = low + spans[state, 1]
        high = end
        while low < high:
            middle = (low + high) >> 1
            if entries[middle] < word:
                low = middle + 1
            else:
                high = middle
        if low < end and entries[low] == word:
            return cost + model.logp[low], model.following[low]
        cost += model.backoff[state]
        state = spans[state, 2]
    return cost + model.unigram[word], model.unigram_next[word]


@compiled
def _floor(t: int, beam: Beam, lattice: Lattice) -> float:
    """The score that a node of segment `t` needs to go on."""
    nodes, reached, width = lattice.nodes, lattice.reached, beam.width
    floor: float = lattice.best[t] - width
    bins = np.zeros(_BINS, np.int64)
    total = 0
    q = lattice.heads[t]
    while q >= 0:
        gap = int((floor + width - reached[q]) / width * _BINS)
        if gap < _BINS:
            bins[max(gap, 0)] += 1
            total += 1
        q = nodes[q, 2]
    if total <= beam.limit:
        return floor
    total, b = 0, 0
    while total + bins[b] <= beam.limit or b == 0:
        total += bins[b]
        b += 1
    return floor + width - width * b / _BINS


@compiled
def fill(
    frames: int,
    words: Words,
    model: Automaton,
    bonus: Floats,
    bound: Floats,
    beam: Beam,
    lattice: Lattice,
) -> tuple[int, int, int]:
    """Fill `lattice`; returns its last node, the number of nodes there, and the number of arcs.

    The nodes of the last segment are a chain from the one returned, which is -1 if there are none.

    Parameters
    ----------
    frames: number of segments.
    bonus: (words,) what is added for a word whenever it occurs.
    bound: (words,) the most that the weighted language model ever gives a word.
    """
    first, ends, numbers, scores = words.first, words.end, words.word, words.score
    nodes, reached, arcs, gains = lattice.nodes, lattice.reached, lattice.arcs, lattice.gains
    table, heads, best = lattice.table, lattice.heads, lattice.best
    insertion, language, width = beam.insertion, beam.language, beam.width
    states = len(model.backoff)
    mask = _TABLE - 1
    table[:] = -1
    heads[: frames + 1] = -1
    best[: frames + 1] = _LOWEST
    nodes[0, 0], nodes[0, 1], nodes[0, 2], nodes[0, 3] = model.start, -1, -1, 0
    reached[0], heads[0], best[0] = 0.0, 0, 0.0
    node_count, arc_count = 1, 0
    for t in range(frames):
        floor = _floor(t, beam, lattice)
        source = heads[t]
        while source >= 0:
            here = reached[source]
            state = nodes[source, 0]
            if here < floor:
                source = nodes[source, 2]
                continue
            for c in range(first[t] - 1, first[t + 1]):
                # Before the first word: the segment is an insertion, and the state stays the same.
                end, w, target = t + 1, -1, state
                total = here + insertion
                if c >= first[t]:
                    end, w = ends[c], numbers[c]
                    total = here + scores[c] + bonus[w]
                    if total + bound[w] < best[end] - width:
                        continue
                    cost, target = _step(state, w, model)
                    total += language * cost
                if total < best[end] - width:
                    continue
                # Scores only fall along a path: what a later node beats by far is pruned, too.
                earlier = end
                while earlier > t and best[earlier] < total:
                    best[earlier] = total
                    earlier -= 1
                h = ((end * states + target) * 40503) & mask
                q = table[h]
                while q >= 0 and not (nodes[q, 0] == target and nodes[q, 3] == end):
                    h = (h + 1) & mask
                    q = table[h]
                if q < 0:
                    if node_count == _NODES or arc_count == _ARCS:
                        continue
                    q = node_count
                    node_count += 1
                    table[h] = q
                    nodes[q, 0], nodes[q, 1] = target, -1
                    nodes[q, 2], nodes[q, 3] = heads[end], end
                    heads[end] = q
                    reached[q] = total
                reached[q] = max(reached[q], total)
                # The same word after the same history is one arc, wherever it begins.
                a = nodes[q, 1]
                while a >= 0 and not (arcs[a, 1] == w and nodes[arcs[a, 0], 0] == state):
                    a = arcs[a, 2]
                if a < 0:
                    if arc_count == _ARCS:
                        continue
                    a = arc_count
                    arc_count += 1
                    arcs[a, 2] = nodes[q, 1]
                    nodes[q, 1] = a
                elif total <= reached[arcs[a, 0]] + gains[a]:
                    continue
                arcs[a, 0], arcs[a, 1] = source, w
                gains[a] = total - here
            source = nodes[source, 2]
    last: int = heads[frames]
    ended, q = 0, last
    while q >= 0:
        cost, _ = _step(nodes[q, 0], END, model)
        lattice.endings[ended] = language * cost
        ended += 1
        q = nodes[q, 2]
    return last, ended, arc_count
