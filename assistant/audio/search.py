"""The recogniser's search, compiled by numba: words through a pronunciation tree, then sentences.

First, from every segment at which a word may begin, the words that the next segments sound like
(`words_from`); then sentences of such words under the language model, left to right, where paths
that reach the same segment in the same state of the model meet (`forward`). Every way into such a
boundary is kept, so that the boundaries form a lattice, and the n-best list is read from it by an
A* search from the end, which is exact because the forward scores are (Soong and Huang 1991).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.extras import optional

numba = optional("numba", "numba", "The assistant")

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_FAR = -1.0e30
_TABLE = 1 << 14
_BOUNDARIES = _TABLE // 2
_ARCS = 1 << 16
_FOUND = 1 << 14
_PARTS = 4096
_SEEN = 512
_BINS = 64
_PRIME = 1000003
LONGEST = 64
# Segments beyond this are left unheard.
SEGMENTS = 160


def _compiled(function: Any) -> Any:
    # The machine code is kept beside the module; the first run ever pays for compiling it.
    return numba.njit(cache=True)(function)


class Workspace:
    """Arrays that a search fills, made once and used again for every utterance."""

    def __init__(self, nodes: int) -> None:
        self.tokens = np.zeros((4, nodes), np.int64)
        self.token_scores = np.zeros((2, nodes))
        self.found = np.zeros((2, _FOUND), np.int64)
        self.found_scores = np.zeros(_FOUND)
        self.rank = np.zeros(_FOUND)
        self.boundaries = np.zeros((5, _TABLE), np.int64)
        self.reached = np.zeros(_BOUNDARIES)
        self.arcs = np.zeros((3, _ARCS), np.int64)
        self.gains = np.zeros(_ARCS)
        self.heads = np.full(SEGMENTS + 1, -1, np.int64)
        self.best = np.zeros(SEGMENTS + 1)
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
def words_from(
    begin: int,
    match: Floats,
    lost: float,
    added: float,
    tree: Ints,
    word_at: Ints,
    prior: Floats,
    reach: float,
    slope: float,
    keep: int,
    credit: float,
    tokens: Ints,
    token_scores: Floats,
    found: Ints,
    found_scores: Floats,
    rank: Floats,
) -> int:
    """Words that may begin at segment `begin`: rows end and word of `found`, with their scores.

    match: (segments, phones) log likelihood, 0 for each segment's likeliest phone. tree: rows
    child, children, phone, leaf, leaves per node; the words at ``word_at[leaf : leaf + leaves]``.
    prior: (words,) what is known of a word beforehand; by it, the score and a `credit` per segment
    the best `keep` are chosen. reach: the worst score there may be; `slope` is the share of it that
    a word has to be eight segments long for. tokens:
    rows node and stamp, for this segment and the next. Returns how many words were found.
    """
    frames = match.shape[0]
    count, top = 0, _FAR
    now, active = 0, 1
    tokens[0, 0], token_scores[0, 0] = 0, 0.0
    stamp = begin * (SEGMENTS + 1)
    for t in range(begin, frames + 1):
        # A word may sound the worse the longer it has been going on.
        floor = -min(reach, (1.0 - slope) * reach + slope * reach * (t - begin + 1) / 8.0)
        # Words that end before segment t, with their last phone heard or left out.
        for i in range(active):
            n = tokens[2 * now, i]
            here = token_scores[now, n]
            if n == 0:
                continue
            for option in range(-1, tree[1, n]):
                m, score = n, here
                if option >= 0:
                    m, score = tree[0, n] + option, here + lost
                if tree[4, m] == 0 or score < floor:
                    continue
                for leaf in range(tree[3, m], tree[3, m] + tree[4, m]):
                    if count < _FOUND:
                        found[0, count] = t
                        found[1, count] = word_at[leaf]
                        found_scores[count] = score
                        rank[count] = score + prior[word_at[leaf]] + credit * (t - begin)
                        top = max(top, rank[count])
                        count += 1
        if t == frames or active == 0:
            break
        then = 1 - now
        new = 0
        for i in range(active):
            n = tokens[2 * now, i]
            here = token_scores[now, n]
            for option in range(-1, tree[1, n]):
                if option < 0 and n == 0:
                    continue
                child = tree[0, n] + option
                inner = 0
                while True:
                    # No phone; the child's; or a grandchild's, the child's having gone missing.
                    if option < 0:
                        m, score = n, here + added
                    elif inner == 0:
                        m, score = child, here + match[t, tree[2, child]]
                    else:
                        m = tree[0, child] + inner - 1
                        score = here + lost + match[t, tree[2, m]]
                    if score >= floor:
                        if tokens[2 * then + 1, m] == stamp + t:
                            token_scores[then, m] = max(token_scores[then, m], score)
                        else:
                            tokens[2 * then + 1, m] = stamp + t
                            tokens[2 * then, new] = m
                            token_scores[then, m] = score
                            new += 1
                    if option < 0 or here + lost < floor or inner == tree[1, child]:
                        break
                    inner += 1
        now, active = then, new

    if count > keep:
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
            if int((top - rank[i]) / width) < limit:
                found[0, kept], found[1, kept] = found[0, i], found[1, i]
                found_scores[kept] = found_scores[i]
                kept += 1
        count = kept
    return count


@_compiled
def _floor(
    t: int,
    floor: float,
    beam: float,
    limit: int,
    heads: Any,
    boundaries: Ints,
    reached: Floats,
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
        q = boundaries[2, q]
    if total <= limit:
        return floor
    total, b = 0, 0
    while total + bins[b] <= limit or b == 0:
        total += bins[b]
        b += 1
    return floor + beam - beam * b / _BINS


@_compiled
def forward(
    match: Floats,
    lost: float,
    added: float,
    tree: Ints,
    word_at: Ints,
    prior: Floats,
    reach: float,
    slope: float,
    keep: int,
    credit: float,
    unigram: Floats,
    unigram_next: Ints,
    spans: Ints,
    entries: Ints,
    logp: Floats,
    backoff: Floats,
    bonus: Floats,
    bound: Floats,
    start: int,
    lm_weight: float,
    beam: float,
    limit: int,
    tokens: Ints,
    token_scores: Floats,
    found: Ints,
    found_scores: Floats,
    rank: Floats,
    boundaries: Ints,
    reached: Floats,
    arcs: Ints,
    gains: Floats,
    heads: Any,
    best: Floats,
) -> tuple[int, int]:
    """Fill the lattice; returns the last boundary's place in its chain and the number of arcs.

    bonus: (words,) what is added for a word whenever it occurs. bound: (words,) the most that the
    language model ever gives it. beam: boundaries this much worse
    than the best at their segment, or at a later one, are left, and all but about `limit` at each
    segment. boundaries: rows state, first arc,
    next boundary of the same segment, hash table, segment.
    """
    frames = match.shape[0]
    states = len(backoff)
    mask = _TABLE - 1
    boundaries[3, :] = -1
    tokens[1, :] = -1
    tokens[3, :] = -1
    heads[:] = -1
    best[:] = _FAR
    reached[0] = 0.0
    boundaries[0, 0], boundaries[1, 0], boundaries[2, 0] = start, -1, -1
    boundaries[4, 0] = 0
    heads[0] = 0
    best[0] = 0.0
    recs, arc_count = 1, 0
    for t in range(frames):
        floor = _floor(t, best[t] - beam, beam, limit, heads, boundaries, reached)
        count = -1
        source = heads[t]
        while source >= 0:
            here = reached[source]
            if here >= floor:
                if count < 0:
                    count = words_from(
                        t, match, lost, added, tree, word_at, prior, reach, slope, keep, credit,
                        tokens,
                        token_scores, found, found_scores, rank,
                    )  # fmt: skip
                for c in range(-1, count):
                    # c = -1: the segment is nobody's, the same state goes on after it.
                    end, w, target = t + 1, -1, boundaries[0, source]
                    total = here + added
                    if c >= 0:
                        end, w = found[0, c], found[1, c]
                        total = here + found_scores[c] + bonus[w]
                        if total + bound[w] < best[end] - beam:
                            continue
                        cost, target = _step(
                            target, w, unigram, unigram_next, spans, entries, logp, backoff
                        )
                        total += lm_weight * cost
                    if total < best[end] - beam:
                        continue
                    # Going on only costs: what is left behind by a later boundary is lost too.
                    earlier = end
                    while earlier > t and best[earlier] < total:
                        best[earlier] = total
                        earlier -= 1
                    k = end * states + target
                    h = (k * 40503) & mask
                    q = boundaries[3, h]
                    while q >= 0 and not (boundaries[0, q] == target and boundaries[4, q] == end):
                        h = (h + 1) & mask
                        q = boundaries[3, h]
                    if q < 0:
                        if recs == _BOUNDARIES or arc_count == _ARCS:
                            continue
                        q = recs
                        recs += 1
                        boundaries[3, h] = q
                        boundaries[0, q], boundaries[1, q] = target, -1
                        boundaries[2, q], boundaries[4, q] = heads[end], end
                        heads[end] = q
                        reached[q] = total
                    reached[q] = max(reached[q], total)
                    # One word after one history is one arc, however time is cut.
                    a = boundaries[1, q]
                    while a >= 0:
                        if arcs[1, a] == w and boundaries[0, arcs[0, a]] == boundaries[0, source]:
                            break
                        a = arcs[2, a]
                    if a < 0:
                        if arc_count == _ARCS:
                            continue
                        a = arc_count
                        arc_count += 1
                        arcs[2, a] = boundaries[1, q]
                        boundaries[1, q] = a
                    elif total <= reached[arcs[0, a]] + gains[a]:
                        continue
                    arcs[0, a], arcs[1, a] = source, w
                    gains[a] = total - here
            source = boundaries[2, source]
    final: int = heads[frames]
    return final, arc_count


@_compiled
def backward(
    last: int,
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

    endings: log probability that the sentence ends, per boundary of the chain from `last`. parts:
    rows boundary, next part, word, hash of the words so far, parts looked at.
    """
    count, pops, found = 0, 0, 0
    q = last
    for i in range(len(endings)):
        if count < _PARTS:
            parts[0, count], parts[1, count], parts[2, count], parts[3, count] = q, -1, -1, 7
            part_scores[0, count] = endings[i]
            part_scores[1, count] = reached[q] + endings[i]
            count += 1
        q = boundaries[2, q]
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
                parts[3, count] = parts[3, p]
                if arcs[1, a] >= 0:
                    parts[3, count] = parts[3, p] * _PRIME + arcs[1, a] + 1
                part_scores[0, count] = part_scores[0, p] + gains[a]
                part_scores[1, count] = reached[arcs[0, a]] + part_scores[0, count]
                count += 1
            a = arcs[2, a]
    return found
