"""The witness: all its parts, and the feature columns that they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from classifiers.witness.frames import Frames, imitated, meant
from classifiers.witness.language_model import LanguageModel
from classifiers.witness.parts import PARTS
from classifiers.witness.tagger import Tagger
from classifiers.witness.utterances import Utterances
from features.witness import GROUPS

Expert = Frames | LanguageModel | Tagger


def _imitated(utterances: Utterances, rows: np.ndarray) -> Expert | None:
    return Frames.fit(utterances, imitated(utterances, rows))


def _meant(utterances: Utterances, rows: np.ndarray) -> Expert | None:
    return Frames.fit(utterances, meant(utterances, rows))


# How what makes a group of columns is learned from some turns.
_LEARN: dict[str, Callable[[Utterances, np.ndarray], Expert | None]] = {
    "meant": _meant,
    "imitated": _imitated,
    "language": LanguageModel.fit,
    "tagger": Tagger.fit,
}


@dataclass(frozen=True, slots=True)
class Witness:
    """Per group of columns what makes them, one per part; None where there was nothing to learn."""

    groups: dict[str, tuple[Expert | None, ...]]

    @classmethod
    def fit(cls, utterances: Utterances, without: Sequence[str] = ()) -> Witness:
        """Part i of each group learns from the turns of all other parts.

        Frames logged are imitated only where there are none of annotators to learn from: beside
        these they add nothing (docs/evaluation.md).
        """
        others = [np.flatnonzero(utterances.part != i) for i in range(PARTS)]
        groups: dict[str, tuple[Expert | None, ...]] = {}
        for name, learn in _LEARN.items():
            if name not in without and not (name == "imitated" and any(groups.get("meant", ()))):
                groups[name] = tuple(learn(utterances, rows) for rows in others)
        return cls(groups)

    def columns(self, utterances: Utterances) -> dict[str, np.ndarray]:
        """Feature columns of n turns, float32 (n,), by name: each turn by the part that has not
        learned from its dialogue."""
        table: dict[str, np.ndarray] = {}
        rows = [np.flatnonzero(utterances.part == i) for i in range(PARTS)]
        given = [utterances.take(own) for own in rows]
        for group, parts in self.groups.items():
            values = np.full((len(utterances), len(GROUPS[group])), np.nan, np.float32)
            for own, turns, expert in zip(rows, given, parts, strict=True):
                if expert is not None and len(own):
                    values[own] = expert.measure(turns)
            table |= zip(GROUPS[group], values.T, strict=True)
        return table
