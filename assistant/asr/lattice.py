"""Sentences of candidate words under the language model, as a lattice, left to right.

Paths that reach the same segment in the same state of the model meet at a boundary. Every way into
a boundary is kept as an arc, and the score of the best of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from assistant.asr.candidates import SEGMENTS
from assistant.asr.compiled import compiled
from assistant.asr.language_model import END, LanguageModel

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]

_FAR = -1.0e30
_TABLE = 1 << 14
_BOUNDARIES = _TABLE // 2
_ARCS = 1 << 16
_BINS = 64


class Lattice:
    """Arrays that `fill` fills, made once and used again for every utterance.

    Attributes
    ----------
    boundaries: (…, 4) state, first arc, next boundary of the same segment, segment. 0 is the start.
    reached: score of the best path to each. arcs: (…, 3) boundary that an arc comes from, word or
    -1 for none, next arc into the same boundary. gains: what an arc adds to the score. endings:
    what each boundary of the last segment, in the order of its chain, gets for the sentence's end.
    """

    def __init__(self) -> None:
        self.boundaries = np.zeros((_BOUNDARIES, 4), np.int32)
        self.reached = np.zeros(_BOUNDARIES)
        self.arcs = np.zeros((_ARCS, 3), np.int32)
        self.gains = np.zeros(_ARCS)
        self.endings = np.zeros(_BOUNDARIES)
        self.table = np.zeros(_TABLE, np.int32)
        self.heads = np.zeros(SEGMENTS + 1, np.int32)
        self.best = np.zeros(SEGMENTS + 1)

    @property
    def arrays(self) -> tuple[NDArray[np.generic], ...]:
        """As `fill` takes them."""
        return (
            self.boundaries, self.reached, self.arcs, self.gains, self.endings, self.table,
            self.heads, self.best,
        )  # fmt: skip


def automaton(model: LanguageModel) -> tuple[NDArray[np.generic], ...]:
    """`model` as `fill` takes it."""
    spans = np.stack((model.first, model.count, model.shorter), axis=1)
    return (
        model.unigram, model.unigram_next.astype(np.int32), spans.astype(np.int32),
        model.word.astype(np.int32), model.following.astype(np.int32), model.logp, model.backoff,
    )  # fmt: skip


@compiled
def _step(
    state: int, word: int, unigram: Floats, unigram_next: Ints, spans: Ints, entries: Ints,
    following: Ints, logp: Floats, backoff: Floats,
) -> tuple[float, int]:  # fmt: skip
    """`LanguageModel.step`. spans: first, count, shorter per state; entries: its words."""
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
            return cost + logp[low], following[low]
        cost += backoff[state]
        state = spans[state, 2]
    return cost + unigram[word], unigram_next[word]


@compiled
def _floor(
    t: int, floor: float, beam: float, limit: int, heads: Ints, boundaries: Ints, reached: Floats
) -> float:
    """`floor`, or what only about `limit` boundaries of segment `t` reach."""
    bins = np.zeros(_BINS, np.int64)
    total = 0
    q = heads[t]
    while q >= 0:
        gap = int((floor + beam - reached[q]) / beam * _BINS)
        if gap < _BINS:
            bins[max(gap, 0)] += 1
            total += 1
        q = boundaries[q, 2]
    if total <= limit:
        return floor
    total, b = 0, 0
    while total + bins[b] <= limit or b == 0:
        total += bins[b]
        b += 1
    return floor + beam - beam * b / _BINS


@compiled
def fill(
    frames: int, first: NDArray[np.int64], ends: Ints, words: Ints, scores: Floats, unigram: Floats,
    unigram_next: Ints, spans: Ints, entries: Ints, following: Ints, logp: Floats, backoff: Floats,
    start: int, bonus: Floats, bound: Floats, added: float, weight: float, beam: float, limit: int,
    boundaries: Ints, reached: Floats, arcs: Ints, gains: Floats, endings: Floats, table: Ints,
    heads: Ints, best: Floats,
) -> tuple[int, int, int]:  # fmt: skip
    """Fill a `Lattice`; returns its last boundary, how many end there, and the number of arcs.

    The last segment's boundaries are a chain from the one returned, -1 if there is none.

    first, ends, words, scores: of `Candidates`. unigram … backoff: of `automaton`, with the
    `weight` of the language model; `start` is the state at the sentence's beginning. bonus:
    (words,) what is added for a word whenever it occurs. bound: (words,) the most that the
    weighted language model ever gives it. added: cost of a segment that belongs to no word. beam:
    boundaries this much worse than the best at their segment, or at a later one, are left, and
    all but about `limit` at each segment.
    """
    states = len(backoff)
    mask = _TABLE - 1
    table[:] = -1
    heads[: frames + 1] = -1
    best[: frames + 1] = _FAR
    boundaries[0, 0], boundaries[0, 1], boundaries[0, 2], boundaries[0, 3] = start, -1, -1, 0
    reached[0], heads[0], best[0] = 0.0, 0, 0.0
    boundary_count, arc_count = 1, 0
    for t in range(frames):
        floor = _floor(t, best[t] - beam, beam, limit, heads, boundaries, reached)
        source = heads[t]
        while source >= 0:
            here = reached[source]
            state = boundaries[source, 0]
            if here < floor:
                source = boundaries[source, 2]
                continue
            for c in range(first[t] - 1, first[t + 1]):
                # Before the first: the segment is nobody's, the same state goes on after it.
                end, w, target = t + 1, -1, state
                total = here + added
                if c >= first[t]:
                    end, w = ends[c], words[c]
                    total = here + scores[c] + bonus[w]
                    if total + bound[w] < best[end] - beam:
                        continue
                    cost, target = _step(
                        state, w, unigram, unigram_next, spans, entries, following, logp, backoff
                    )
                    total += weight * cost
                if total < best[end] - beam:
                    continue
                # Going on only costs: what is left behind by a later boundary is lost too.
                earlier = end
                while earlier > t and best[earlier] < total:
                    best[earlier] = total
                    earlier -= 1
                h = ((end * states + target) * 40503) & mask
                q = table[h]
                while q >= 0 and not (boundaries[q, 0] == target and boundaries[q, 3] == end):
                    h = (h + 1) & mask
                    q = table[h]
                if q < 0:
                    if boundary_count == _BOUNDARIES or arc_count == _ARCS:
                        continue
                    q = boundary_count
                    boundary_count += 1
                    table[h] = q
                    boundaries[q, 0], boundaries[q, 1] = target, -1
                    boundaries[q, 2], boundaries[q, 3] = heads[end], end
                    heads[end] = q
                    reached[q] = total
                reached[q] = max(reached[q], total)
                # One word after one history is one arc, however time is cut.
                a = boundaries[q, 1]
                while a >= 0 and not (arcs[a, 1] == w and boundaries[arcs[a, 0], 0] == state):
                    a = arcs[a, 2]
                if a < 0:
                    if arc_count == _ARCS:
                        continue
                    a = arc_count
                    arc_count += 1
                    arcs[a, 2] = boundaries[q, 1]
                    boundaries[q, 1] = a
                elif total <= reached[arcs[a, 0]] + gains[a]:
                    continue
                arcs[a, 0], arcs[a, 1] = source, w
                gains[a] = total - here
            source = boundaries[source, 2]
    last: int = heads[frames]
    ended, q = 0, last
    while q >= 0:
        cost, _ = _step(
            boundaries[q, 0], END, unigram, unigram_next, spans, entries, following, logp, backoff
        )
        endings[ended] = weight * cost
        ended += 1
        q = boundaries[q, 2]
    return last, ended, arc_count
