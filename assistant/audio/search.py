"""The recogniser's search: words through a pronunciation tree, compiled by numba.

Time-synchronous token passing over the observed segments (Young, Russell and Thornton 1989). A
token is (node of the tree, word boundary it started from); tokens that reach the same place are
merged and the better one lives. Every way into a word boundary is kept, so that the boundaries form
a lattice, and the n-best list is read from it by an A* search from the end that is exact because the
forward scores are (Soong and Huang 1991).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_FAR = -1.0e30
_TABLE = 1 << 14
_BOUNDARIES = 1 << 14
_ARCS = 1 << 16
_PARTS = 4096
_SEEN = 512
_PRIME = 1000003
LONGEST = 64


def _compiled(function: Any) -> Any:
    # The machine code is kept beside the module; the first run ever pays for compiling it.
    return numba.njit(cache=True)(function)


class Workspace:
    """Arrays that a search fills, made once: token tables, word boundaries, arcs, partial paths."""

    def __init__(self, states: int) -> None:
        self.stamp = np.full(states, -1, np.int64)
        self.where = np.zeros(states, np.int64)
        self.integers = np.zeros((7, _TABLE), np.int64)
        self.scores = np.zeros((2, _TABLE))
        self.boundaries = np.zeros((2, _BOUNDARIES), np.int64)
        self.reached = np.zeros(_BOUNDARIES)
        self.arcs = np.zeros((3, _ARCS), np.int64)
        self.gains = np.zeros(_ARCS)
        self.parts = np.zeros((5, _PARTS), np.int64)
        self.part_scores = np.zeros((2, _PARTS))


@_compiled
def _step(
    state: int,
    word: int,
    unigram: Floats,
    unigram_next: Ints,
    spans: Ints,
    entries: Ints,
    logp: Floats,
    backoff: Floats,
) -> tuple[float, int]:
    """`LanguageModel.step`. spans: first, count, shorter per state; entries: word, next."""
    cost = 0.0
    while state != 0:
        low = spans[0, state]
        end = low + spans[1, state]
        high = end
        while low < high:
            middle = (low + high) >> 1
            if entries[0, middle] < word:
                low = middle + 1
            else:
                high = middle
        if low < end and entries[0, low] == word:
            return cost + logp[low], entries[1, low]
        cost += backoff[state]
        state = spans[2, state]
    return cost + unigram[word], unigram_next[word]


@_compiled
def forward(
    match: Floats,
    insertion: Floats,
    deletion: float,
    tree: Ints,
    word_at: Ints,
    ahead: Floats,
    unigram: Floats,
    unigram_next: Ints,
    spans: Ints,
    entries: Ints,
    logp: Floats,
    backoff: Floats,
    bonus: Floats,
    start: int,
    lm_weight: float,
    beam: float,
    limit: int,
    stamp: Ints,
    where: Ints,
    integers: Ints,
    scores: Floats,
    boundaries: Ints,
    reached: Floats,
    arcs: Ints,
    gains: Floats,
) -> tuple[int, int, int]:
    """Fill the lattice.

    Parameters
    ----------
    match: (segments, phones) log likelihood of each segment under each phone.
    insertion: (segments,) log likelihood that the segment is no phone at all.
    deletion: log probability that a phone left no segment.
    tree: rows child, children, phone, leaf, leaves per node; words at ``word_at[leaf:…]``.
    ahead: per node, a guess at the language model cost of the words below it.
    bonus: (words,) what is added for a word whenever it occurs.
    beam: tokens this much worse than the best die. limit: about how many live per segment.

    Returns the first of the final word boundaries, the end of them, and how many tokens there were.
    """
    frames, phones = match.shape
    mask = _TABLE - 1
    stamp[:] = -1
    integers[0, :] = -1
    reached[0] = 0.0
    boundaries[0, 0] = start
    boundaries[1, 0] = -1
    recs, arc_count = 1, 0
    now, then = 0, 1
    integers[2, 0], integers[3, 0], scores[0, 0] = 0, 0, 0.0
    tokens, looked, last = 1, 0, 1

    for t in range(frames + 1):
        best = _FAR
        for i in range(tokens):
            best = max(best, scores[now, i] + ahead[integers[2 + 2 * now, i]])
        floor = best - beam
        if tokens > limit:
            # A coarse histogram tells how far the beam must close.
            for b in range(64):
                integers[6, b] = 0
            for i in range(tokens):
                gap = best - scores[now, i] - ahead[integers[2 + 2 * now, i]]
                if gap < beam:
                    integers[6, int(gap / beam * 64)] += 1
            total = 0
            for b in range(64):
                total += integers[6, b]
                if total > limit:
                    floor = best - beam * (b + 1) / 64
                    break
        looked += tokens

        # Words that may end here, with the last phone heard or left out.
        last = recs
        if t > 0:
            for i in range(tokens):
                n = integers[2 + 2 * now, i]
                here = scores[now, i]
                if n == 0 or here + ahead[n] < floor:
                    continue
                source = integers[3 + 2 * now, i]
                for option in range(-1, tree[1, n]):
                    m = n
                    at_end = here
                    if option >= 0:
                        m = tree[0, n] + option
                        at_end = here + deletion
                    if tree[4, m] == 0 or at_end + ahead[m] < floor:
                        continue
                    for leaf in range(tree[3, m], tree[3, m] + tree[4, m]):
                        w = word_at[leaf]
                        cost, target = _step(
                            boundaries[0, source], w,
                            unigram, unigram_next, spans, entries, logp, backoff,
                        )  # fmt: skip
                        total_score = at_end + lm_weight * cost + bonus[w]
                        if total_score + ahead[0] < floor:
                            continue
                        if stamp[target] == t:
                            q = where[target]
                        elif recs < _BOUNDARIES:
                            q = recs
                            recs += 1
                            stamp[target] = t
                            where[target] = q
                            reached[q] = _FAR
                            boundaries[0, q] = target
                            boundaries[1, q] = -1
                        else:
                            continue
                        reached[q] = max(reached[q], total_score)
                        # One word after one history is one arc, however time is cut.
                        a = boundaries[1, q]
                        while a >= 0:
                            if (
                                arcs[1, a] == w
                                and boundaries[0, arcs[0, a]] == boundaries[0, source]
                            ):
                                break
                            a = arcs[2, a]
                        if a < 0:
                            if arc_count == _ARCS:
                                continue
                            a = arc_count
                            arc_count += 1
                            arcs[2, a] = boundaries[1, q]
                            boundaries[1, q] = a
                        elif total_score <= reached[arcs[0, a]] + gains[a]:
                            continue
                        arcs[0, a] = source
                        arcs[1, a] = w
                        gains[a] = total_score - reached[source]
        if t == frames:
            break
        for q in range(last, recs):
            if tokens < _TABLE:
                integers[2 + 2 * now, tokens] = 0
                integers[3 + 2 * now, tokens] = q
                scores[now, tokens] = reached[q]
                tokens += 1

        # On to the next segment: it is no phone, the child's, or a grandchild's (child left out).
        loudest = _FAR
        for p in range(phones):
            loudest = max(loudest, match[t, p])
        top = _FAR
        new = 0
        for i in range(tokens):
            n = integers[2 + 2 * now, i]
            here = scores[now, i]
            if here + ahead[n] < floor:
                continue
            source = integers[3 + 2 * now, i]
            for option in range(-1, tree[1, n]):
                child = tree[0, n] + option
                inner = 0
                while True:
                    if option < 0:
                        m = n
                        after = here + insertion[t]
                    elif inner == 0:
                        m = child
                        after = here + match[t, tree[2, m]]
                    else:
                        m = tree[0, child] + inner - 1
                        after = here + deletion + match[t, tree[2, m]]
                    if after + ahead[m] > top - beam:
                        k = m * 1048576 + source
                        h = (k * 40503) & mask
                        while integers[0, h] != -1 and integers[0, h] != k:
                            h = (h + 1) & mask
                        if integers[0, h] == k:
                            at = integers[1, h]
                            scores[then, at] = max(scores[then, at], after)
                        elif new < _TABLE // 2:
                            integers[0, h] = k
                            integers[1, h] = new
                            integers[2 + 2 * then, new] = m
                            integers[3 + 2 * then, new] = source
                            scores[then, new] = after
                            new += 1
                        top = max(top, after + ahead[m])
                    if option < 0:
                        break
                    if inner == 0 and here + deletion + loudest + ahead[child] < top - beam:
                        break
                    if inner == tree[1, child]:
                        break
                    inner += 1
        integers[0, :] = -1
        now, then = then, now
        tokens = new
    return last, recs, looked


@_compiled
def backward(
    last: int,
    recs: int,
    wanted: int,
    endings: Floats,
    boundaries: Ints,
    reached: Floats,
    arcs: Ints,
    gains: Floats,
    parts: Ints,
    part_scores: Floats,
    found_scores: Floats,
    found_words: Ints,
) -> int:
    """Read the `wanted` best word sequences off the lattice; returns how many there are.

    endings: log probability that the sentence ends, per final boundary. parts: rows boundary, next
    part, word, hash of the words so far, heap.
    """
    count, pops, found, heap = 0, 0, 0, 0
    for q in range(last, recs):
        if count < _PARTS:
            parts[0, count], parts[1, count], parts[2, count], parts[3, count] = q, -1, -1, 7
            part_scores[0, count] = endings[q - last]
            part_scores[1, count] = reached[q] + endings[q - last]
            count += 1
    # Few parts are ever open: looking through them all is quicker than a heap is to compile.
    while found < wanted and pops < _SEEN:
        p = -1
        top = _FAR
        for i in range(count):
            if part_scores[1, i] > top:
                top = part_scores[1, i]
                p = i
        if p < 0:
            break
        part_scores[1, p] = _FAR
        q = parts[0, p]
        repeated = False
        for i in range(pops):
            if parts[0, parts[4, i]] == q and parts[3, parts[4, i]] == parts[3, p]:
                repeated = True
                break
        if repeated:
            continue
        parts[4, pops] = p
        pops += 1
        if q == 0:
            found_scores[found] = top
            back, k = p, 0
            while back >= 0 and k < LONGEST - 1:
                if parts[2, back] >= 0:
                    found_words[found, k] = parts[2, back]
                    k += 1
                back = parts[1, back]
            found_words[found, k] = -1
            found += 1
            continue
        a = boundaries[1, q]
        while a >= 0:
            if count < _PARTS:
                parts[0, count], parts[1, count], parts[2, count] = arcs[0, a], p, arcs[1, a]
                parts[3, count] = parts[3, p] * _PRIME + arcs[1, a] + 1
                part_scores[0, count] = part_scores[0, p] + gains[a]
                part_scores[1, count] = reached[arcs[0, a]] + part_scores[0, count]
                count += 1
            a = arcs[2, a]
    return found
