"""The words that may begin at each segment of an utterance, by how well they sound.

Tokens pass through the prefix tree of pronunciations, one segment after the other. A segment is a
phone or an insertion; a phone may have been deleted, which leaves no segment.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from assistant.asr.compiled import compiled

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float64]

# Segments after this many are ignored.
SEGMENTS = 160
# At most this many words are looked at, and kept, per segment that they begin at.
_WORDS = 1 << 14
_WORDS_KEPT = 512
_BINS = 64
_LOWEST = -1.0e30


class Pronunciations(NamedTuple):
    """A prefix tree of pronunciations, as `prefix_tree.Tree` makes it."""

    nodes: Ints
    words: Ints


class Pruning(NamedTuple):
    """What may be wrong about a word, and how many words are kept.

    Attributes
    ----------
    deletion, insertion: cost of a phone without segment, and of a segment without phone.
    reach, slope: the worst score that a word may have, and the share of it that is only allowed
        once the word is eight segments long.
    keep: about how many words are kept per segment. credit: what each of a word's segments adds
        to its rank.
    """

    deletion: float
    insertion: float
    reach: float
    slope: float
    keep: int
    credit: float


class Candidates(NamedTuple):
    """Arrays that `find` fills; they are allocated once and reused for every utterance.

    Attributes
    ----------
    first: (segments + 1,) index at which the words that begin at each segment start in `end`,
        `word` and `score`.
    end, word: the segment after a word's last, and the word's number. score: how well it sounds.
    rank: scores of the words of one segment, as they are pruned by.
    active, stamp, tokens: per node of the tree, for this segment and the next: nodes with a token,
        when each was last reached, and its token's score.
    """

    first: Longs
    end: Ints
    word: Ints
    score: Floats
    rank: Floats
    active: Ints
    stamp: Ints
    tokens: Floats

    @classmethod
    def allocate(cls, nodes: int) -> Candidates:
        """Arrays for trees of up to `nodes` nodes."""
        size = SEGMENTS * _WORDS_KEPT + _WORDS
        return cls(
            first=np.zeros(SEGMENTS + 1, np.int64),
            end=np.zeros(size, np.int32),
            word=np.zeros(size, np.int32),
            score=np.zeros(size),
            rank=np.zeros(_WORDS),
            active=np.zeros((2, nodes), np.int32),
            stamp=np.zeros((2, nodes), np.int32),
            tokens=np.zeros((2, nodes)),
        )


@compiled
def _prune(first: int, count: int, top: float, pruning: Pruning, candidates: Candidates) -> int:
    """Move the best `pruning.keep` or so of `count` words to the front; returns how many remain."""
    end, word, score, rank = candidates.end, candidates.word, candidates.score, candidates.rank
    bins = np.zeros(_BINS, np.int64)
    width = pruning.reach / _BINS
    for i in range(count):
        gap = int((top - rank[i]) / width)
        if gap < _BINS:
            bins[gap] += 1
    total, limit = 0, 0
    while limit < _BINS and total < pruning.keep:
        total += bins[limit]
        limit += 1
    remaining = 0
    for i in range(count):
        if int((top - rank[i]) / width) < limit and remaining < _WORDS_KEPT:
            end[first + remaining] = end[first + i]
            word[first + remaining] = word[first + i]
            score[first + remaining] = score[first + i]
            remaining += 1
    return remaining


@compiled
def _words_from(
    begin: int,
    match: Floats,
    tree: Pronunciations,
    prior: Floats,
    pruning: Pruning,
    candidates: Candidates,
) -> tuple[int, float]:
    """All words that may begin at segment `begin`; returns how many, and the highest rank."""
    nodes, leaves = tree.nodes, tree.words
    deletion, insertion, credit = pruning.deletion, pruning.insertion, pruning.credit
    reach, slope = pruning.reach, pruning.slope
    end, word, score, rank = candidates.end, candidates.word, candidates.score, candidates.rank
    active, stamp, tokens = candidates.active, candidates.stamp, candidates.tokens
    first = candidates.first[begin]
    frames = match.shape[0]
    count, top = 0, _LOWEST
    now, living = 0, 1
    active[0, 0], tokens[0, 0] = 0, 0.0
    for t in range(begin, frames + 1):
        # The longer a word has been going on, the worse it may sound.
        floor = -min(reach, (1.0 - slope) * reach + slope * reach * (t - begin + 1) / 8.0)
        # Words that end before segment t, with their last phone matched or deleted.
        for i in range(living):
            n = active[now, i]
            here = tokens[now, n]
            if n == 0:
                continue
            for option in range(-1, nodes[n, 1]):
                m, value = n, here
                if option >= 0:
                    m, value = nodes[n, 0] + option, here + deletion
                if nodes[m, 4] == 0 or value < floor:
                    continue
                for leaf in range(nodes[m, 3], nodes[m, 3] + nodes[m, 4]):
                    if count < _WORDS:
                        w = leaves[leaf]
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
            for option in range(-1, nodes[n, 1]):
                if option < 0 and n == 0:
                    continue
                child = nodes[n, 0] + option
                inner = 0
                while True:
                    # An insertion; the child's phone; or a grandchild's after the child's deletion.
                    if option < 0:
                        m, value = n, here + insertion
                    elif inner == 0:
                        m, value = child, here + match[t, nodes[child, 2]]
                    else:
                        m = nodes[child, 0] + inner - 1
                        value = here + deletion + match[t, nodes[m, 2]]
                    if value >= floor:
                        if stamp[then, m] == mark:
                            tokens[then, m] = max(tokens[then, m], value)
                        else:
                            stamp[then, m] = mark
                            active[then, new] = m
                            tokens[then, m] = value
                            new += 1
                    if option < 0 or here + deletion < floor or inner == nodes[child, 1]:
                        break
                    inner += 1
        now, living = then, new
    return count, top


@compiled
def find(
    match: Floats, tree: Pronunciations, prior: Floats, pruning: Pruning, candidates: Candidates
) -> None:
    """Fill `candidates` for every segment.

    Parameters
    ----------
    match: (segments, phones) log likelihood, 0 for each segment's likeliest phone; at most
        `SEGMENTS` of them.
    prior: (words,) what is known of a word beforehand. It counts, beside the score and the credit
        for length, in which words are kept.
    """
    candidates.stamp[:] = -1
    first = candidates.first
    first[0] = 0
    for begin in range(match.shape[0]):
        count, top = _words_from(begin, match, tree, prior, pruning, candidates)
        if count > pruning.keep:
            count = _prune(first[begin], count, top, pruning, candidates)
        first[begin + 1] = first[begin] + count
