"""Words that the segments of an utterance sound like, wherever one may begin.

Tokens go through the tree of pronunciations, one segment after the other: a segment is a phone, or
none; a phone may have left no segment.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from assistant.asr.compiled import compiled

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]

# Segments beyond this are left unheard.
SEGMENTS = 160
# Words that may end anywhere after one beginning, and those that are kept of them at most.
_FOUND = 1 << 14
_KEPT = 512
_BINS = 64
_FAR = -1.0e30


class Candidates:
    """Arrays that `find` fills, made once and used again for every utterance.

    Attributes
    ----------
    first: (segments + 1,) where the words of each segment begin in the arrays that follow.
    end, word: where a word ends, and its number. score: how well it sounds.
    """

    def __init__(self, nodes: int) -> None:
        self.first = np.zeros(SEGMENTS + 1, np.int64)
        self.end = np.zeros(SEGMENTS * _KEPT + _FOUND, np.int32)
        self.word = np.zeros(len(self.end), np.int32)
        self.score = np.zeros(len(self.end))
        self.rank = np.zeros(_FOUND)
        # Nodes with a token, and when each was reached last: for this segment and the next.
        self.active = np.zeros((2, nodes), np.int32)
        self.stamp = np.zeros((2, nodes), np.int32)
        self.tokens = np.zeros((2, nodes))

    @property
    def arrays(self) -> tuple[NDArray[np.generic], ...]:
        """As `find` takes them."""
        return (
            self.first, self.end, self.word, self.score, self.rank,
            self.active, self.stamp, self.tokens,
        )  # fmt: skip


@compiled
def _keep(
    first: int, count: int, keep: int, top: float, reach: float, end: Ints, word: Ints,
    score: Floats, rank: Floats,
) -> int:  # fmt: skip
    """Move the best `keep` or so of `count` words to the front; returns how many are left."""
    bins = np.zeros(_BINS, np.int64)
    width = reach / _BINS
    for i in range(count):
        gap = int((top - rank[i]) / width)
        if gap < _BINS:
            bins[gap] += 1
    total, limit = 0, 0
    while limit < _BINS and total < keep:
        total += bins[limit]
        limit += 1
    kept = 0
    for i in range(count):
        if int((top - rank[i]) / width) < limit and kept < _KEPT:
            end[first + kept] = end[first + i]
            word[first + kept] = word[first + i]
            score[first + kept] = score[first + i]
            kept += 1
    return kept


@compiled
def _from(
    begin: int, match: Floats, tree: Ints, tree_words: Ints, prior: Floats, lost: float,
    added: float, reach: float, slope: float, credit: float, first: int, end: Ints, word: Ints,
    score: Floats, rank: Floats, active: Ints, stamp: Ints, tokens: Floats,
) -> tuple[int, float]:  # fmt: skip
    """All words that may begin at segment `begin`; returns how many, and the highest rank."""
    frames = match.shape[0]
    count, top = 0, _FAR
    now, living = 0, 1
    active[0, 0], tokens[0, 0] = 0, 0.0
    for t in range(begin, frames + 1):
        # A word may sound the worse the longer it has been going on.
        floor = -min(reach, (1.0 - slope) * reach + slope * reach * (t - begin + 1) / 8.0)
        # Words that end before segment t, with their last phone heard or left out.
        for i in range(living):
            n = active[now, i]
            here = tokens[now, n]
            if n == 0:
                continue
            for option in range(-1, tree[n, 1]):
                m, value = n, here
                if option >= 0:
                    m, value = tree[n, 0] + option, here + lost
                if tree[m, 4] == 0 or value < floor:
                    continue
                for leaf in range(tree[m, 3], tree[m, 3] + tree[m, 4]):
                    if count < _FOUND:
                        w = tree_words[leaf]
                        end[first + count], word[first + count] = t, w
                        score[first + count] = value
                        rank[count] = value + prior[w] + credit * (t - begin)
                        top = max(top, rank[count])
                        count += 1
        if t == frames or living == 0:
            break
        then, new = 1 - now, 0
        mark = begin * (SEGMENTS + 1) + t
        for i in range(living):
            n = active[now, i]
            here = tokens[now, n]
            for option in range(-1, tree[n, 1]):
                if option < 0 and n == 0:
                    continue
                child = tree[n, 0] + option
                inner = 0
                while True:
                    # No phone; the child's; or a grandchild's, the child's having gone missing.
                    if option < 0:
                        m, value = n, here + added
                    elif inner == 0:
                        m, value = child, here + match[t, tree[child, 2]]
                    else:
                        m = tree[child, 0] + inner - 1
                        value = here + lost + match[t, tree[m, 2]]
                    if value >= floor:
                        if stamp[then, m] == mark:
                            tokens[then, m] = max(tokens[then, m], value)
                        else:
                            stamp[then, m] = mark
                            active[then, new] = m
                            tokens[then, m] = value
                            new += 1
                    if option < 0 or here + lost < floor or inner == tree[child, 1]:
                        break
                    inner += 1
        now, living = then, new
    return count, top


@compiled
def find(
    match: Floats, tree: Ints, tree_words: Ints, prior: Floats, lost: float, added: float,
    reach: float, slope: float, keep: int, credit: float, first: NDArray[np.int64], end: Ints,
    word: Ints, score: Floats, rank: Floats, active: Ints, stamp: Ints, tokens: Floats,
) -> None:  # fmt: skip
    """Fill `Candidates` for every segment.

    match: (segments, phones) log likelihood, 0 for each segment's likeliest phone. tree,
    tree_words: of `Tree`. lost, added: cost of a phone without segment, and of a segment without
    phone. prior: (words,) what is known of a word beforehand; by it, the score and a `credit` per
    segment the best `keep` or so are chosen for each segment. reach: the worst score there may
    be; `slope` is the share of it that a word has to be eight segments long for.
    """
    stamp[:] = -1
    first[0] = 0
    for begin in range(match.shape[0]):
        at = first[begin]
        count, top = _from(
            begin, match, tree, tree_words, prior, lost, added, reach, slope, credit, at, end,
            word, score, rank, active, stamp, tokens,
        )  # fmt: skip
        if count > keep:
            count = _keep(at, count, keep, top, reach, end, word, score, rank)
        first[begin + 1] = at + count
