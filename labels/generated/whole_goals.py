"""Goals as rows: what was said in their turns, and numbers about them.

A goal is a run of turns (`labels.goals.spans.Span`). What comes after it belongs to the evidence:
users move on when they have what they wanted, and ask again when they have not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix

from labels.generated.dialogues import Dialogues
from labels.generated.words import Words, folded, hashed
from labels.goals.spans import Span

# Values of a goal's turns are summed up by these.
_SUMMARIES = ("mean", "most", "least", "last", "last but one", "first")
# Columns for the categorical values of all turns, of the last, and of the one before that.
_FOLDED = 128


def blocks(dialogues: Dialogues, counted: Words, spans: Sequence[Span]) -> list[csr_matrix]:
    """Counts of words per goal: all turns, the first, the last two, and what follows."""
    n = len(dialogues)
    member = _membership(spans, n + 1)
    first = np.array([s.start for s in spans], np.int64)
    last = np.array([s.stop - 1 for s in spans], np.int64)
    before = np.array([s.stop - 2 if s.stop - s.start > 1 else n for s in spans], np.int64)
    after = _after(dialogues, spans)
    found = [_damped(member @ _undamped(counted.counts[k])) for k in ("request", "response")]
    found.append(_damped(member @ _undamped(counted.counts["tokens"])))
    found.append(hashed(_steps(dialogues, spans), texts=False))
    found += [counted.counts["request"][rows] for rows in (first, before, last, after)]
    found += [counted.counts["response"][rows] for rows in (before, last)]
    found += [counted.counts["tokens"][rows] for rows in (before, last)]
    return found


def columns(
    dialogues: Dialogues,
    counted: Words,
    spans: Sequence[Span],
    turns: np.ndarray,
    scores: np.ndarray,
) -> np.ndarray:
    """Feature matrix of goals, float32, NaN where there is nothing; (len(spans), k).

    Parameters
    ----------
    turns: features of turns (n, j), of which mean, extremes, first and last are taken.
    scores: probabilities of turns (n, m), summed up likewise; given apart as they change by fold.
    """
    values = np.hstack([turns, scores])
    tokens = counted.counts["tokens"]
    padded = np.vstack([values, np.full((1, values.shape[1]), np.nan, np.float32)])
    if not spans:
        return np.zeros((0, 6 + len(_SUMMARIES) * values.shape[1] + 3 * _FOLDED), np.float32)
    start = np.array([s.start for s in spans])
    stop = np.array([s.stop for s in spans])
    length = stop - start
    # Spans may leave turns out, so each is reduced over its own rows.
    rows = np.concatenate([np.arange(s.start, s.stop) for s in spans])
    edge = np.append(0, np.cumsum(length)[:-1])
    taken = values[rows]
    known = np.isfinite(taken)
    count = np.add.reduceat(known, edge, axis=0)
    total = np.add.reduceat(np.where(known, taken, 0), edge, axis=0)
    with np.errstate(invalid="ignore"):
        mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    before = np.where(length > 1, stop - 2, len(values))
    member = _membership(spans, len(values) + 1)
    parts = [
        _of_goals(dialogues, start, stop, spans),
        mean,
        np.fmax.reduceat(taken, edge, axis=0),
        np.fmin.reduceat(taken, edge, axis=0),
        values[stop - 1],
        padded[before],
        values[start],
        folded(_damped(member @ _undamped(tokens)), _FOLDED),
        folded(tokens[stop - 1], _FOLDED),
        folded(tokens[before], _FOLDED),
    ]
    return np.hstack(parts).astype(np.float32)


def _of_goals(
    dialogues: Dialogues, start: np.ndarray, stop: np.ndarray, spans: Sequence[Span]
) -> np.ndarray:
    dialogue = dialogues.dialogue[start]
    same = np.append(dialogue[1:] == dialogue[:-1], False)
    begun = np.append(True, ~same[:-1])
    number = np.arange(len(spans)) - np.maximum.accumulate(
        np.where(begun, np.arange(len(spans)), 0)
    )
    return np.stack(
        [
            stop - start,
            number,
            same,
            dialogues.position[start],
            dialogues.length[start] - 1 - dialogues.position[stop - 1],
            dialogues.length[start],
        ],
        axis=1,
    ).astype(np.float32)


def _membership(spans: Sequence[Span], n: int) -> csr_matrix:
    """1 where a turn (column, of n) is in a goal (row)."""
    rows = np.repeat(np.arange(len(spans)), [s.stop - s.start for s in spans])
    at = (
        np.concatenate([np.arange(s.start, s.stop) for s in spans])
        if spans
        else np.zeros(0, np.int64)
    )
    return csr_matrix((np.ones(len(at), np.float32), (rows, at)), shape=(len(spans), n))


def _after(dialogues: Dialogues, spans: Sequence[Span]) -> np.ndarray:
    """Row of the turn that follows each goal in its dialogue, n where there is none."""
    n = len(dialogues)
    follows = [dialogues.neighbour(1)[s.stop - 1] for s in spans]
    return np.array([row if row >= 0 else n for row in follows], np.int64)


def _steps(dialogues: Dialogues, spans: Sequence[Span]) -> list[list[str]]:
    """Pairs of categorical values of one turn and the next: what was answered to what."""
    result = []
    for span in spans:
        pairs = []
        for row in range(span.start, span.stop):
            own = [t for t in dialogues.tokens[row] if not t.startswith(("assistant=", "device="))]
            said = [t for t in own if t.startswith(("act=", "action=", "status="))]
            heard = [t for t in own if not t.startswith(("act=", "action=", "status="))]
            pairs += [f"{a} > {b}" for a in heard for b in said]
            if row + 1 < span.stop:
                following = dialogues.tokens[row + 1]
                pairs += [
                    f"{a} >> {b}"
                    for a in said
                    for b in following
                    if b.startswith(("intent=", "slot="))
                ]
        result.append(pairs)
    return result


def _undamped(counts: csr_matrix) -> csr_matrix:
    plain = counts.copy()
    np.expm1(plain.data, out=plain.data)
    return plain


def _damped(counts: csr_matrix) -> csr_matrix:
    np.log1p(counts.data, out=counts.data)
    return counts
