"""The best word sequences of a lattice: an A* search from its end.

It is exact, because the lattice has the score of the best way to every boundary (Soong and Huang
1991).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from assistant.asr.compiled import compiled

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float64]

_FAR = -1.0e30
_PARTS = 4096
_SEEN = 512
_PRIME = 1000003
# A sentence has fewer words than this.
LONGEST = 64


class Parts:
    """Ends of sentences that `read` has looked at or is yet to, and what it finds.

    Attributes
    ----------
    rows: (…, 5) boundary, next part, word, hash of the words so far, parts looked at. scores:
    (…, 2) of the part itself, and of the best sentence that ends in it.
    """

    def __init__(self, wanted: int) -> None:
        self.rows = np.zeros((_PARTS, 5), np.int64)
        self.scores = np.zeros((_PARTS, 2))
        self.found = np.zeros((wanted, LONGEST), np.int64)
        self.found_scores = np.zeros(wanted)

    @property
    def arrays(self) -> tuple[NDArray[np.generic], ...]:
        """As `read` takes them."""
        return self.rows, self.scores, self.found, self.found_scores


@compiled
def read(
    last: int, ended: int, boundaries: Ints, reached: Floats, arcs: Ints, gains: Floats,
    endings: Floats, rows: Longs, scores: Floats, found: Longs, found_scores: Floats,
) -> int:  # fmt: skip
    """Read the best word sequences off a `Lattice` into `Parts`; returns how many there are.

    last, ended: what `lattice.fill` returned. found: word numbers, -1 after the last.
    """
    count, pops, listed = 0, 0, 0
    q = last
    for i in range(min(ended, _PARTS)):
        rows[count, 0], rows[count, 1], rows[count, 2], rows[count, 3] = q, -1, -1, 7
        scores[count, 0] = endings[i]
        scores[count, 1] = reached[q] + endings[i]
        count += 1
        q = boundaries[q, 2]
    # Few parts are ever open: looking through them all is quicker than a heap is to compile.
    while listed < len(found) and pops < _SEEN:
        p, top = -1, _FAR
        for i in range(count):
            if scores[i, 1] > top:
                p, top = i, scores[i, 1]
        if p < 0:
            break
        scores[p, 1] = _FAR
        q = rows[p, 0]
        repeated = False
        for i in range(pops):
            if rows[rows[i, 4], 0] == q and rows[rows[i, 4], 3] == rows[p, 3]:
                repeated = True
                break
        if repeated:
            continue
        rows[pops, 4] = p
        pops += 1
        if q == 0:
            found_scores[listed] = top
            back, k = p, 0
            while back >= 0 and k < LONGEST - 1:
                if rows[back, 2] >= 0:
                    found[listed, k] = rows[back, 2]
                    k += 1
                back = rows[back, 1]
            found[listed, k] = -1
            listed += 1
            continue
        a = boundaries[q, 1]
        while a >= 0:
            if count < _PARTS:
                rows[count, 0], rows[count, 1], rows[count, 2] = arcs[a, 0], p, arcs[a, 1]
                rows[count, 3] = rows[p, 3]
                if arcs[a, 1] >= 0:
                    rows[count, 3] = rows[p, 3] * _PRIME + arcs[a, 1] + 1
                scores[count, 0] = scores[p, 0] + gains[a]
                scores[count, 1] = reached[arcs[a, 0]] + scores[count, 0]
                count += 1
            a = arcs[a, 2]
    return listed
