"""The recogniser's search: words through a pronunciation tree, compiled by numba.

Time-synchronous token passing over the observed segments (Young, Russell and Thornton 1989). A
token is (node of the tree, word boundary it started from); tokens that reach the same place are
merged and the better one lives. Every way into a word boundary is kept, so that the boundaries form
a lattice, and the n-best list is read from it by an A* search from the end that is exact because the
forward scores are (Soong and Huang 1991).
"""

from __future__ import annotations

import heapq
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_FAR = -1.0e30
_TABLE = 1 << 15
_PRIME = 1000003


def _compiled(function: Any) -> Any:
    return numba.njit(cache=True, nogil=True)(function)


@_compiled
def _step(state: int, word: int, lm: Any) -> tuple[float, int]:
    """`LanguageModel.step`."""
    unigram, unigram_next, first, count, words, logp, following, backoff, shorter = lm
    cost = 0.0
    while state != 0:
        low = first[state]
        end = low + count[state]
        high = end
        while low < high:
            middle = (low + high) >> 1
            if words[middle] < word:
                low = middle + 1
            else:
                high = middle
        if low < end and words[low] == word:
            return cost + logp[low], following[low]
        cost += backoff[state]
        state = shorter[state]
    return cost + unigram[word], unigram_next[word]


@_compiled
def _grown(array: Any) -> Any:
    larger = np.empty(2 * len(array), array.dtype)
    larger[: len(array)] = array
    return larger


@_compiled
def search(
    match: Floats,
    insertion: Floats,
    deletion: Floats,
    tree: Any,
    lm: Any,
    bonus: Floats,
    start: int,
    lm_weight: float,
    beam: float,
    limit: int,
    wanted: int,
) -> tuple[Floats, Ints, Ints, int]:
    """The `wanted` best word sequences for the segments of `match`.

    Parameters
    ----------
    match: (segments, phones) log likelihood of each segment under each phone.
    insertion: (segments,) log likelihood that the segment is no phone at all.
    deletion: (phones,) log probability that the phone left no segment.
    tree: arrays of `recogniser.Tree`. lm: arrays of `LanguageModel`, from ``unigram`` on.
    bonus: (words,) what is added for a word whenever it occurs.
    beam: tokens this much worse than the best die. limit: most tokens that live per segment.

    Returns
    -------
    scores (n,), best first; words (n, longest), -1 beyond the end; lengths (n,); tokens looked at.
    """
    child, children, phone, leaf, leaves, word_at, ahead = tree
    frames, phones = match.shape
    states = len(lm[2])
    stamp = np.full(states, -1, np.int64)
    where = np.zeros(states, np.int64)

    rec_score = np.empty(1024)
    rec_state = np.empty(1024, np.int64)
    rec_arc = np.full(1024, -1, np.int64)
    rec_score[0], rec_state[0] = 0.0, start
    recs = 1
    arc_from = np.empty(4096, np.int64)
    arc_word = np.empty(4096, np.int64)
    arc_gain = np.empty(4096)
    arc_next = np.empty(4096, np.int64)
    arcs = 0

    key = np.full(_TABLE, -1, np.int64)
    slot = np.zeros(_TABLE, np.int64)
    node = np.zeros(_TABLE, np.int64)
    rec = np.zeros(_TABLE, np.int64)
    score = np.zeros(_TABLE)
    new_node = np.zeros(_TABLE, np.int64)
    new_rec = np.zeros(_TABLE, np.int64)
    new_score = np.zeros(_TABLE)
    used = np.zeros(_TABLE, np.int64)
    histogram = np.zeros(64, np.int64)

    node[0], rec[0], score[0] = 0, 0, 0.0
    tokens, looked = 1, 0
    last_first = 1

    for t in range(frames + 1):
        best = _FAR
        for i in range(tokens):
            best = max(best, score[i] + ahead[node[i]])
        floor = best - beam
        if tokens > limit:
            histogram[:] = 0
            for i in range(tokens):
                gap = best - score[i] - ahead[node[i]]
                if gap < beam:
                    histogram[int(gap / beam * 64)] += 1
            total = 0
            for b in range(64):
                total += histogram[b]
                if total > limit:
                    floor = best - beam * (b + 1) / 64
                    break
        looked += tokens

        # Words that may end here.
        last_first = recs
        if t > 0:
            for i in range(tokens):
                n = node[i]
                if n == 0 or score[i] + ahead[n] < floor:
                    continue
                for option in range(-1, children[n]):
                    # Ends here, or with one more phone that was not heard.
                    m = n if option < 0 else child[n] + option
                    if leaves[m] == 0:
                        continue
                    reached = score[i] if option < 0 else score[i] + deletion[phone[m]]
                    if reached + ahead[m] < floor:
                        continue
                    for leaf_i in range(leaf[m], leaf[m] + leaves[m]):
                        w = word_at[leaf_i]
                        source = rec[i]
                        cost, target = _step(rec_state[source], w, lm)
                        total_score = reached + lm_weight * cost + bonus[w]
                        if total_score + ahead[0] < floor:
                            continue
                        if stamp[target] == t:
                            q = where[target]
                        else:
                            if recs == len(rec_score):
                                rec_score = _grown(rec_score)
                                rec_state = _grown(rec_state)
                                rec_arc = _grown(rec_arc)
                            q = recs
                            recs += 1
                            stamp[target] = t
                            where[target] = q
                            rec_score[q] = _FAR
                            rec_state[q] = target
                            rec_arc[q] = -1
                        gain = total_score - rec_score[source]
                        rec_score[q] = max(rec_score[q], total_score)
                        # One word after one history is one arc, however time is cut.
                        a = rec_arc[q]
                        while a >= 0:
                            if (
                                arc_word[a] == w
                                and rec_state[arc_from[a]] == rec_state[source]
                            ):
                                break
                            a = arc_next[a]
                        if a < 0:
                            if arcs == len(arc_from):
                                arc_from = _grown(arc_from)
                                arc_word = _grown(arc_word)
                                arc_gain = _grown(arc_gain)
                                arc_next = _grown(arc_next)
                            a = arcs
                            arcs += 1
                            arc_next[a] = rec_arc[q]
                            rec_arc[q] = a
                        elif total_score <= rec_score[arc_from[a]] + arc_gain[a]:
                            continue
                        arc_from[a] = source
                        arc_word[a] = w
                        arc_gain[a] = gain
        if t == frames:
            break
        for q in range(last_first, recs):
            if tokens < _TABLE:
                node[tokens], rec[tokens], score[tokens] = 0, q, rec_score[q]
                tokens += 1

        # On to the next segment.
        loudest = _FAR
        for p in range(phones):
            loudest = max(loudest, match[t, p])
        top = _FAR
        new = 0
        for i in range(tokens):
            n = node[i]
            s = score[i]
            if s + ahead[n] < floor:
                continue
            for option in range(-1, children[n]):
                if option < 0:
                    m, reached, depth = n, s + insertion[t], 0
                else:
                    m = child[n] + option
                    reached = s + match[t, phone[m]]
                    depth = 1
                # depth 1: the child was heard; then its children, the child itself left out.
                inner = 0
                while True:
                    if reached + ahead[m] > top - beam:
                        k = m * 1048576 + rec[i]
                        h = (k * 40503) & (_TABLE - 1)
                        while key[h] != -1 and key[h] != k:
                            h = (h + 1) & (_TABLE - 1)
                        if key[h] == k:
                            at = slot[h]
                            new_score[at] = max(new_score[at], reached)
                        elif new < _TABLE // 2:
                            key[h] = k
                            slot[h] = new
                            used[new] = h
                            new_node[new], new_rec[new], new_score[new] = m, rec[i], reached
                            new += 1
                        top = max(top, reached + ahead[m])
                    if depth == 0:
                        break
                    parent = child[n] + option
                    skipped = s + deletion[phone[parent]]
                    if inner == 0 and skipped + loudest + ahead[parent] < top - beam:
                        break
                    if inner == children[parent]:
                        break
                    m = child[parent] + inner
                    reached = skipped + match[t, phone[m]]
                    inner += 1
        for j in range(new):
            key[used[j]] = -1
        node, new_node = new_node, node
        rec, new_rec = new_rec, rec
        score, new_score = new_score, score
        tokens = new

    # From the end backwards through the lattice.
    longest = 64
    scores = np.full(wanted, _FAR)
    texts = np.full((wanted, longest), -1, np.int64)
    lengths = np.zeros(wanted, np.int64)
    part_rec = np.empty(4096, np.int64)
    part_gain = np.empty(4096)
    part_back = np.empty(4096, np.int64)
    part_word = np.empty(4096, np.int64)
    part_hash = np.empty(4096, np.int64)
    heap = [(0.0, -1)]
    heap.pop()
    parts = 0
    for q in range(last_first, recs):
        cost, _ = _step(rec_state[q], 1, lm)
        if parts == len(part_rec):
            break
        part_rec[parts], part_gain[parts], part_back[parts] = q, lm_weight * cost, -1
        part_word[parts], part_hash[parts] = -1, 7
        heapq.heappush(heap, (-(rec_score[q] + part_gain[parts]), parts))
        parts += 1
    seen = np.empty((512, 2), np.int64)
    pops = 0
    found = 0
    while len(heap) > 0 and found < wanted and pops < 512:
        value, p = heapq.heappop(heap)
        q = part_rec[p]
        repeated = False
        for i in range(pops):
            if seen[i, 0] == q and seen[i, 1] == part_hash[p]:
                repeated = True
                break
        if repeated:
            continue
        seen[pops, 0], seen[pops, 1] = q, part_hash[p]
        pops += 1
        if q == 0:
            scores[found] = -value
            back = p
            while back >= 0 and lengths[found] < longest:
                if part_word[back] >= 0:
                    texts[found, lengths[found]] = part_word[back]
                    lengths[found] += 1
                back = part_back[back]
            found += 1
            continue
        a = rec_arc[q]
        while a >= 0:
            if parts < len(part_rec):
                part_rec[parts] = arc_from[a]
                part_gain[parts] = part_gain[p] + arc_gain[a]
                part_back[parts] = p
                part_word[parts] = arc_word[a]
                part_hash[parts] = part_hash[p] * _PRIME + arc_word[a] + 1
                heapq.heappush(heap, (-(rec_score[arc_from[a]] + part_gain[parts]), parts))
                parts += 1
            a = arc_next[a]
    return scores[:found], texts[:found], lengths[:found], looked
