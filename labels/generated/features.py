"""Everything that is computed of turns before any task is learned or answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from classifiers.encoder import Encoder
from labels.generated import context, whole_goals, words
from labels.generated.candidates import ALONE, REACTION, WORDS, Rows
from labels.generated.context import Texts, lined_up
from labels.generated.dialogues import Dialogues
from labels.generated.mentioned import Values
from labels.generated.words import Weighting, Words
from labels.goals.spans import Span

# Turns whose probabilities trees see beside the turn's own, which comes first.
_BESIDE = (0, -1, 1, -2, 2)


@dataclass(frozen=True, slots=True)
class Features:
    """Words, numbers and vectors of turns.

    Attributes
    ----------
    counted: words per kind of text. texts: encoder vectors.
    rarity: of words, as training saw them.
    own: numbers of each turn itself (n, k), called `names`; around: those of its neighbours too
        (n, 5 k).
    """

    dialogues: Dialogues
    counted: Words
    texts: Texts
    rarity: Weighting
    own: np.ndarray
    around: np.ndarray
    names: tuple[str, ...]


def texts_of(
    dialogues: Dialogues, encoder: Encoder, progress: Callable[[int], None] | None = None
) -> Texts:
    """Encoder vectors of requests, prompts and responses; an empty text's is all zero."""
    kinds = ("request", "prompt", "response")
    column = pa.chunked_array([pa.array(getattr(dialogues, kind), pa.string()) for kind in kinds])
    vectors, rows = encoder.encode_column(column, progress)
    empty = np.zeros((1, vectors.shape[1]), np.float32)
    padded = np.vstack([vectors, empty])
    n = len(dialogues)
    row = {}
    for place, kind in enumerate(kinds):
        here = rows[place * n : (place + 1) * n].astype(np.int64)
        blank = np.array([not text for text in getattr(dialogues, kind)], bool)
        row[kind] = np.where(blank, len(vectors), here)
    return Texts(padded, row)


def compute(
    dialogues: Dialogues, values: Values, texts: Texts, rarity: Weighting | None = None
) -> Features:
    """The features of `dialogues`; `values` and `rarity` are those that training saw.

    Without `rarity` these dialogues are the training's.
    """
    counted = Words.of(dialogues)
    rarity = rarity or context.rarity_of(counted)
    around, names = context.columns(dialogues, counted, values, rarity, texts)
    own = len(names) // 5
    return Features(dialogues, counted, texts, rarity, around[:, :own], around, tuple(names[:own]))


def turn_rows(features: Features, network: np.ndarray | None) -> Rows:
    """Turns as rows; `network` are its columns for the task, None without one."""
    blocks = features.counted.blocks
    places = {ALONE: words.ALONE, WORDS: words.CONTEXT, REACTION: words.REACTION}
    return Rows(
        {name: blocks(features.dialogues, at) for name, at in places.items()},
        features.around,
        network,
    )


def spread_turns(dialogues: Dialogues) -> Callable[[np.ndarray], np.ndarray]:
    """From a probability per turn to those of the turn and its neighbours (n, 5)."""
    return lambda p: lined_up(p, dialogues, _BESIDE)


def goal_rows(
    features: Features, spans: Sequence[Span], scores: np.ndarray, network: np.ndarray | None
) -> Rows:
    """Goals as rows. `scores`: of turns (n, m), see `whole_goals.columns`."""
    found = whole_goals.blocks(features.dialogues, features.counted, spans)
    numbers = whole_goals.columns(features.dialogues, features.counted, spans, features.own, scores)
    # A goal's own words: those of all its turns. What follows and its last turns are the context.
    return Rows({ALONE: found[:3], WORDS: found}, numbers, network)


def alone(p: np.ndarray) -> np.ndarray:
    """From a probability per goal to one column (goals, 1)."""
    return p[:, None].astype(np.float32)
