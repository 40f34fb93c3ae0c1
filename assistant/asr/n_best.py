"""The best word sequences of a lattice: an A* search from its end.

It is exact, because the lattice has the score of the best path to every node (Soong and Huang
1991).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from assistant.asr.compiled import compiled

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float64]

_LOWEST = -1.0e30
_PARTIALS = 4096
_EXPANDED = 512
_PRIME = 1000003
# A sentence has fewer words than this.
LONGEST = 64


class Paths(NamedTuple):
    """The paths of a lattice: the fields of `lattice.Lattice`."""

    nodes: Ints
    reached: Floats
    arcs: Ints
    gains: Floats
    endings: Floats


class Partials(NamedTuple):
    """Ends of sentences that `read` has expanded or is yet to, and the sentences it returns.

    Attributes
    ----------
    rows: (…, 5) node that a partial begins at, the partial that follows its first word, that word
        (-1 for none), hash of all its words, and, as a list of its own, the partials expanded.
    scores: (…, 2) of the partial itself, and of the best sentence that ends in it.
    words: (sentences, `LONGEST`) word numbers, -1 after the last. totals: score of each sentence.
    """

    rows: Longs
    scores: Floats
    words: Longs
    totals: Floats

    @classmethod
    def allocate(cls, wanted: int) -> Partials:
        """Arrays for up to `wanted` sentences."""
        return cls(
            rows=np.zeros((_PARTIALS, 5), np.int64),
            scores=np.zeros((_PARTIALS, 2)),
            words=np.zeros((wanted, LONGEST), np.int64),
            totals=np.zeros(wanted),
        )


@compiled
def read(last: int, ended: int, paths: Paths, partials: Partials) -> int:
    """Read the best word sequences of a lattice into `partials`; returns how many there are.

    Parameters
    ----------
    last, ended: the last node and the number of nodes there, as `lattice.fill` returned them.
    """
    nodes, arcs, reached = paths.nodes, paths.arcs, paths.reached
    rows, scores, words = partials.rows, partials.scores, partials.words
    count, expanded, listed = 0, 0, 0
    q = last
    for i in range(min(ended, _PARTIALS)):
        rows[count, 0], rows[count, 1], rows[count, 2], rows[count, 3] = q, -1, -1, 7
        scores[count, 0] = paths.endings[i]
        scores[count, 1] = reached[q] + paths.endings[i]
        count += 1
        q = nodes[q, 2]
    # Few partials are ever open: a linear search is quicker than a heap is to compile.
    while listed < len(words) and expanded < _EXPANDED:
        p, top = -1, _LOWEST
        for i in range(count):
            if scores[i, 1] > top:
                p, top = i, scores[i, 1]
        if p < 0:
            break
        scores[p, 1] = _LOWEST
        q = rows[p, 0]
        repeated = False
        for i in range(expanded):
            if rows[rows[i, 4], 0] == q and rows[rows[i, 4], 3] == rows[p, 3]:
                repeated = True
                break
        if repeated:
            continue
        rows[expanded, 4] = p
        expanded += 1
        if q == 0:
            partials.totals[listed] = top
            back, k = p, 0
            while back >= 0 and k < LONGEST - 1:
                if rows[back, 2] >= 0:
                    words[listed, k] = rows[back, 2]
                    k += 1
                back = rows[back, 1]
            words[listed, k] = -1
            listed += 1
            continue
        a = nodes[q, 1]
        while a >= 0:
            if count < _PARTIALS:
                rows[count, 0], rows[count, 1], rows[count, 2] = arcs[a, 0], p, arcs[a, 1]
                rows[count, 3] = rows[p, 3]
                if arcs[a, 1] >= 0:
                    rows[count, 3] = rows[p, 3] * _PRIME + arcs[a, 1] + 1
                scores[count, 0] = scores[p, 0] + paths.gains[a]
                scores[count, 1] = reached[arcs[a, 0]] + scores[count, 0]
                count += 1
            a = arcs[a, 2]
    return listed
