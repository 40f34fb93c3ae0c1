"""The words of a turn and its neighbours as sparse columns, for linear models.

Runs of one and two words are hashed into columns (Weinberger et al. 2009, feature hashing), one
block of columns for each place: the request, the response, those before and after. Within a block a
row is weighted by TF-IDF and scaled to length one, so that no text counts more for being long.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, diags, hstack
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.preprocessing import normalize

from data.schema.scripts import MARKS, UNSPACED
from labels.generated.dialogues import Dialogues

BITS = 16
# Characters of scripts that put no spaces between words are words of their own; runs of two follow.
_WORD = re.compile(rf"[{UNSPACED}\uac00-\ud7af][{MARKS}]*|\w(?:[\w'’]|[{MARKS}])*|[?!]")
_DIGIT = re.compile(r"\d")

# Blocks of a turn: what they hold, and of which turn, counted from the one in question.
ALONE = (("request", 0), ("others", 0), ("response", 0), ("tokens", 0))
CONTEXT = (
    *ALONE,
    ("prompt", 0),
    ("request", -1),
    ("request", 1),
    ("response", 1),
    ("tokens", -1),
    ("tokens", 1),
    ("answered", 0),
)
# What users say next is what they make of a response: less of the rest, where verdicts are rare.
REACTION = (
    *ALONE,
    ("prompt", 0),
    ("request", 1),
    ("response", 1),
    ("answered", 0),
)


def words(text: str) -> list[str]:
    """Words of `text` in lower case, digits as 0: numbers differ, their shape tells as much."""
    return _WORD.findall(_DIGIT.sub("0", text.lower()))


def _runs(text: str) -> list[str]:
    """Runs of one and two words; the edges of the text count as words."""
    found = words(text)
    if not found:
        return []
    edged = ["^", *found, "$"]
    return found + [f"{a} {b}" for a, b in pairwise(edged)]


def _itself(values: Sequence[str]) -> Sequence[str]:
    return values


def hashed(rows: Sequence[Any], texts: bool = True) -> csr_matrix:
    """Log-damped counts of the runs of words in texts, or of ready tokens; (len(rows), 2**BITS)."""
    vectorizer = HashingVectorizer(
        n_features=2**BITS,
        analyzer=_runs if texts else _itself,
        alternate_sign=False,
        norm=None,
    )
    counts = vectorizer.transform(rows) if len(rows) else csr_matrix((0, 2**BITS))
    np.log1p(counts.data, out=counts.data)
    return counts.astype(np.float32)


def folded(counts: csr_matrix, columns: int) -> np.ndarray:
    """Hashed counts in few dense columns, for trees: (rows, `columns`), which divides 2**BITS.

    Columns that fall together are added up; for trees that costs little (Weinberger et al. 2009).
    """
    wide = counts.tocoo()
    dense = np.zeros((counts.shape[0], columns), np.float32)
    np.add.at(dense, (wide.row, wide.col % columns), wide.data)
    return dense


def _answered(dialogues: Dialogues) -> list[list[str]]:
    """Pairs of the first one and two words of the next request and each run of the response."""
    result = []
    for row, after in enumerate(dialogues.neighbour(1)):
        next_words = words(dialogues.request[after])[:2] if after >= 0 else ["$"]
        begins = [" ".join(next_words[:size]) for size in range(1, len(next_words) + 1)]
        said = words(dialogues.response[row])
        runs = dict.fromkeys([*said, *(f"{a} {b}" for a, b in pairwise(said))])
        result.append([f"{run} > {begin}" for begin in begins for run in runs])
    return result


@dataclass(frozen=True, slots=True)
class Words:
    """Counts per kind of text, one row per turn and one, the last, that is empty.

    ``answered`` are pairs: how the next request begins, and a run of words of the response. "No" is
    harmless after "anything else?", and not after "shall I play it in the kitchen?".
    The empty row stands for the neighbour that a turn at the edge of its dialogue does not have.
    """

    counts: dict[str, csr_matrix]

    @classmethod
    def of(cls, dialogues: Dialogues) -> Words:
        """Counts of what was heard, said before and after, and of the categorical values."""
        heard = [" \n ".join(dict.fromkeys(o[:4])) for o in dialogues.others]
        return cls(
            {
                "request": hashed([*dialogues.request, ""]),
                "others": hashed([*heard, ""]),
                "prompt": hashed([*dialogues.prompt, ""]),
                "response": hashed([*dialogues.response, ""]),
                "tokens": hashed([*dialogues.tokens, ()], texts=False),
                "answered": hashed([*_answered(dialogues), ()], texts=False),
            }
        )

    def blocks(self, dialogues: Dialogues, places: Sequence[tuple[str, int]]) -> list[csr_matrix]:
        """Counts (n, 2**BITS) for each of `places`; rows without that neighbour are empty."""
        return [self.counts[kind][dialogues.neighbour(step)] for kind, step in places]


@dataclass(frozen=True, slots=True)
class Weighting:
    """TF-IDF of blocks of counts: `rarity` has one row per block; (blocks, 2**BITS)."""

    rarity: np.ndarray

    @classmethod
    def fit(cls, blocks: Sequence[csr_matrix], least: int = 2) -> Weighting:
        """Weights of the columns; 0 where one occurs in fewer than `least` rows: what occurs once
        says nothing about other rows."""
        rarity = []
        for counts in blocks:
            occurs = np.bincount(counts.indices, minlength=counts.shape[1])
            rarity.append(
                np.where(occurs >= least, np.log((1 + counts.shape[0]) / (1 + occurs)) + 1, 0.0)
            )
        return cls(np.array(rarity, np.float32))

    def apply(self, blocks: Sequence[csr_matrix]) -> csr_matrix:
        """Weighted blocks side by side, each scaled to length one; (n, blocks * 2**BITS)."""
        return hstack(self.each(blocks), format="csr", dtype=np.float32)

    def each(self, blocks: Sequence[csr_matrix]) -> list[csr_matrix]:
        """Weighted blocks, each row scaled to length one."""
        return [normalize(c @ diags(r)) for c, r in zip(blocks, self.rarity, strict=True)]
