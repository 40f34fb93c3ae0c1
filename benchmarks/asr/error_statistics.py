"""What a recogniser's errors look like, whichever recogniser it is.

The same statistics describe the channel, a real recogniser and other assistants' logs: how many
words are wrong and in which way, how much the rest of the n-best list could repair, and how well
the confidence predicts errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from scipy.stats import rankdata

Floats = NDArray[np.float64]

# (true words, n-best list of text and confidence, best first)
Turn = tuple[str, Sequence[tuple[str, float | None]]]
BANDS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True, slots=True)
class Errors:
    """Statistics of a set of turns.

    Attributes
    ----------
    word_error: errors per word of the reference. turn_error: share of turns with a wrong word.
    substituted, deleted, inserted: shares of the errors; they add up to 1.
    oracle: word error of the best among the first `depth` hypotheses.
    auc: probability that a turn without an error has a higher confidence than a turn with one;
        nan without confidences, or if either kind of turn is missing.
    confident: median confidence.
    bands: lower bound of each band of confidence, its share of the turns, and the share of those
        with an error.
    """

    turns: int
    words: float
    word_error: float
    turn_error: float
    substituted: float
    deleted: float
    inserted: float
    oracle: float
    auc: float
    confident: float
    bands: tuple[tuple[float, float, float], ...]

    @property
    def gain(self) -> float:
        """Share of the errors that a perfect choice from the n-best list would repair."""
        return 1.0 - self.oracle / self.word_error if self.word_error else 0.0

    def __str__(self) -> str:
        bands = [
            f"  from {low:.1f}: {share:.3f} of turns, {bad:.3f} wrong"
            for low, share, bad in self.bands
        ]
        rows = [
            f"turns {self.turns}, words {self.words:.1f} each, word error {self.word_error:.3f}, "
            f"turns with an error {self.turn_error:.3f}",
            f"substituted {self.substituted:.2f}, deleted {self.deleted:.2f}, inserted "
            f"{self.inserted:.2f}; n-best repairs {self.gain:.2f}; "
            f"AUC of confidence {self.auc:.3f}, median {self.confident:.3f}",
        ]
        return "\n".join((*rows, *bands))


def measure(turns: Sequence[Turn], depth: int = 5) -> Errors:
    """Statistics of `turns`.

    Raises
    ------
    ValueError: no turn has a transcript.
    """
    turns = [turn for turn in turns if turn[0].split()]
    if not turns:
        raise ValueError("There is no turn with a transcript to measure errors against.")
    truths = [truth.split() for truth, _ in turns]
    firsts = [(n_best[0][0] if n_best else "").split() for _, n_best in turns]
    kinds = np.zeros((len(turns), 3))
    for row, truth, first in zip(kinds, truths, firsts, strict=True):
        for edit in Levenshtein.editops(truth, first):
            row[("replace", "delete", "insert").index(edit.tag)] += 1
    best = sum(
        min(Levenshtein.distance(truth, text.split()) for text, _ in n_best[:depth])
        if n_best
        else len(truth)
        for truth, (_, n_best) in zip(truths, turns, strict=True)
    )
    words = sum(map(len, truths))
    wrong = kinds.sum()
    mix = kinds.sum(axis=0) / max(wrong, 1.0)
    bad = kinds.sum(axis=1) > 0
    confidence = np.array(
        [np.nan if not n_best or n_best[0][1] is None else n_best[0][1] for _, n_best in turns],
        dtype=float,
    )
    known = ~np.isnan(confidence)
    return Errors(
        turns=len(turns),
        words=words / len(turns),
        word_error=float(wrong / words),
        turn_error=float(bad.mean()),
        substituted=float(mix[0]),
        deleted=float(mix[1]),
        inserted=float(mix[2]),
        oracle=best / words,
        auc=_auc(confidence[known], ~bad[known]),
        confident=float(np.median(confidence[known])) if known.any() else float("nan"),
        bands=_bands(confidence[known], bad[known]),
    )


def _auc(score: Floats, positive: NDArray[np.bool_]) -> float:
    ups = int(positive.sum())
    downs = len(positive) - ups
    if not ups or not downs:
        return float("nan")
    return float((rankdata(score)[positive].sum() - ups * (ups + 1) / 2) / (ups * downs))


def _bands(confidence: Floats, bad: NDArray[np.bool_]) -> tuple[tuple[float, float, float], ...]:
    rows = []
    for low, high in zip(BANDS, (*BANDS[1:-1], 1.01), strict=False):
        within = (confidence >= low) & (confidence < high)
        if within.any():
            rows.append((low, float(within.mean()), float(bad[within].mean())))
    return tuple(rows)
