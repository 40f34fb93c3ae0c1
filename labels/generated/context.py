"""Numbers about a turn in its dialogue, for trees: lengths, likeness, repetition, place.

With hindsight: the next request is the best evidence on a response, and the turns after a boundary
show the new goal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from labels.generated.dialogues import Dialogues
from labels.generated.mentioned import COLUMNS as MENTIONED
from labels.generated.mentioned import Values
from labels.generated.words import Weighting, Words, words

# Pairs whose likeness is measured: kind of text and turn, counted from the one in question.
_PAIRS = (
    (("request", 0), ("request", -1)),
    (("request", 0), ("request", 1)),
    (("request", 1), ("request", -1)),
    (("response", 0), ("response", -1)),
    (("response", 0), ("response", 1)),
    (("request", 0), ("response", 0)),
    (("response", 0), ("request", 1)),
    (("prompt", 0), ("request", 0)),
    (("prompt", 0), ("request", 1)),
    (("request", 0), ("request", -2)),
    (("request", 0), ("request", 2)),
    (("request", 1), ("request", 2)),
)
_KINDS = ("request", "response", "prompt")
_WINDOWS = (1, 2, 4)
_LOOK_BACK = 30
# Columns that are also given for the turns beside.
_BESIDE = (-2, -1, 1, 2)


@dataclass(frozen=True, slots=True)
class Texts:
    """Unit vectors of distinct texts, and the row of each turn's; the last vector is all zero."""

    vectors: np.ndarray
    row: dict[str, np.ndarray]

    def of(self, kind: str, dialogues: Dialogues, step: int = 0) -> np.ndarray:
        """Vectors (n, size) of a kind of text, of the turn `step` later; zero where none."""
        rows = np.append(self.row[kind], len(self.vectors) - 1)
        found: np.ndarray = self.vectors[rows[dialogues.neighbour(step)]]
        return found


def rarity_of(counted: Words) -> Weighting:
    """How rare each word of requests, responses and prompts is, for the likeness of texts.

    Kept with the model: likeness must not depend on which other dialogues are read with one.
    """
    return Weighting.fit([counted.counts[kind] for kind in _KINDS], least=0)


def columns(
    dialogues: Dialogues, counted: Words, values: Values, rarity: Weighting, texts: Texts
) -> tuple[np.ndarray, list[str]]:
    """Feature matrix (n, k), float32, NaN where there is nothing to measure, and its names."""
    table: dict[str, np.ndarray] = {}
    for j, name in enumerate(dialogues.number_names):
        table[name] = dialogues.numbers[:, j]
    table |= _places(dialogues)
    table |= _likeness(dialogues, counted, rarity, texts)
    mentioned = values.columns(dialogues)
    table |= {name: mentioned[:, j] for j, name in enumerate(MENTIONED)}
    names = list(table)
    x = np.array([table[name] for name in names], np.float32).reshape(len(names), -1).T
    return _with_neighbours(x, names, dialogues)


def _with_neighbours(
    x: np.ndarray, names: list[str], dialogues: Dialogues
) -> tuple[np.ndarray, list[str]]:
    """The columns of the turns beside the turn, after its own; NaN beyond the dialogue's edge."""
    padded = np.vstack([x, np.full((1, x.shape[1]), np.nan, np.float32)])
    all_names, parts = list(names), [x]
    for step in _BESIDE:
        parts.append(padded[dialogues.neighbour(step)])
        all_names += [f"{name} {step:+d}" for name in names]
    return np.hstack(parts), all_names


def _places(dialogues: Dialogues) -> dict[str, np.ndarray]:
    length = {
        kind: np.array([len(words(t)) for t in getattr(dialogues, kind)], np.float32)
        for kind in ("request", "response", "prompt")
    }
    asks = np.array([t.rstrip().endswith("?") for t in dialogues.response], np.float32)
    return {
        "position": dialogues.position.astype(np.float32),
        "left": (dialogues.length - 1 - dialogues.position).astype(np.float32),
        "turns": dialogues.length.astype(np.float32),
        **{f"words {kind}": value for kind, value in length.items()},
        "response asks": asks,
        "values": np.array([len(t) for t in dialogues.tokens], np.float32),
    }


def _likeness(
    dialogues: Dialogues, counted: Words, rarity: Weighting, texts: Texts
) -> dict[str, np.ndarray]:
    """Cosines of TF-IDF rows and of encoder vectors, and the likeness of the turns around."""
    table: dict[str, np.ndarray] = {}
    weighted = rarity.each([counted.counts[kind] for kind in _KINDS])
    rows = dict(zip(_KINDS, weighted, strict=True))
    for a, b in _PAIRS:
        name = f"{a[0]}{a[1]:+d} ~ {b[0]}{b[1]:+d}"
        left = rows[a[0]][dialogues.neighbour(a[1])]
        right = rows[b[0]][dialogues.neighbour(b[1])]
        there = (dialogues.neighbour(a[1]) >= 0) & (dialogues.neighbour(b[1]) >= 0)
        cosine = np.asarray(left.multiply(right).sum(axis=1)).ravel()
        table[f"words {name}"] = np.where(there, cosine, np.nan)
        cosine = _dots(texts.of(a[0], dialogues, a[1]), texts.of(b[0], dialogues, b[1]))
        table[f"sense {name}"] = np.where(there, cosine, np.nan)
    return table | _repeated(dialogues, texts) | _cohesion(dialogues, texts)


def _dots(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    value: np.ndarray = np.einsum("ij,ij->i", a, b)
    return value


def _repeated(dialogues: Dialogues, texts: Texts) -> dict[str, np.ndarray]:
    """How often a text was there before in its dialogue, and its likeness to the nearest."""
    table = {}
    for kind in ("request", "response"):
        before = np.zeros(len(dialogues), np.float32)
        seen: dict[str, int] = {}
        for i, text in enumerate(getattr(dialogues, kind)):
            if dialogues.position[i] == 0:
                seen = {}
            if text:
                before[i] = seen.get(text, 0)
                seen[text] = seen.get(text, 0) + 1
        table[f"{kind} repeated"] = before
        own = texts.of(kind, dialogues)
        nearest = np.full(len(dialogues), np.nan, np.float32)
        for step in range(1, min(_LOOK_BACK, int(dialogues.length.max(initial=0))) + 1):
            earlier = dialogues.neighbour(-step)
            there = earlier >= 0
            nearest[there] = np.fmax(nearest[there], _dots(own[there], own[earlier[there]]))
        table[f"{kind} nearest before"] = nearest
    return table


def _cohesion(dialogues: Dialogues, texts: Texts) -> dict[str, np.ndarray]:
    """Likeness of what is before the turn and what comes from it on (Hearst 1997, TextTiling).

    Windows of 1, 2 and 4 turns; the depth is how far the likeness is below that of both sides.
    """
    mixed = texts.of("request", dialogues) + 0.5 * texts.of("response", dialogues)
    table = {}
    for window in _WINDOWS:
        before, after = np.zeros_like(mixed), np.zeros_like(mixed)
        for step in range(window):
            for total, at in ((after, step), (before, -step - 1)):
                rows = dialogues.neighbour(at)
                total[rows >= 0] += mixed[rows[rows >= 0]]
        scale = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            cosine = np.where(scale > 0, _dots(before, after) / scale, np.nan)
        table[f"cohesion {window}"] = cosine.astype(np.float32)
        padded = np.append(cosine, np.nan)
        sides = [padded[dialogues.neighbour(step)] for step in (-1, 1)]
        table[f"depth {window}"] = (sides[0] + sides[1] - 2 * cosine).astype(np.float32)
    return table


def lined_up(values: np.ndarray, dialogues: Dialogues, steps: Sequence[int]) -> np.ndarray:
    """A column's values at the turns `steps` away, NaN beyond the edge; (n, len(steps))."""
    padded: Any = np.append(values.astype(np.float32), np.float32(np.nan))
    found: np.ndarray = np.stack([padded[dialogues.neighbour(step)] for step in steps], axis=1)
    return found
