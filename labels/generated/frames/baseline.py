"""The simple baseline: what was meant, from the words of the request alone.

Intents: TF-IDF of runs of one and two words, and a logistic regression. Slots: a value of gold that
stands in the words belongs to the slot that it was mostly meant as.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from labels.generated.frames.candidates import Candidate, Counts, Gazetteer, normal, place
from labels.generated.frames.requests import Frame, Turn
from labels.generated.frames.targets import LONGEST
from labels.generated.frames.words import tokens
from labels.generated.words import Weighting, hashed

# The longest value that is looked up, in words.
_LONGEST = 6
# A value that is mostly said without being meant ("food") is none.
_MEANT = 0.5
_C, _STEPS = 10.0, 100


@dataclass(frozen=True, slots=True)
class Baseline:
    """A fitted baseline.

    Attributes
    ----------
    intents: k names. columns: v of the hashed columns, those that say anything. rarity: of each,
    (v,). weight: (v, k). bias: (k,).
    gazetteer: values and the slots that they belong to. heard: per value of it, how many requests
    that were learned from have it in their words.
    """

    intents: tuple[str, ...]
    columns: np.ndarray
    rarity: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    gazetteer: Gazetteer
    heard: dict[str, int]

    @classmethod
    def fit(cls, turns: Sequence[Turn], frames: Sequence[Frame | None]) -> Baseline:
        """Learn from what `frames` says of `turns`; None teaches nothing."""
        both = [(t, f) for t, f in zip(turns, frames, strict=True) if f is not None]
        gazetteer = Gazetteer.of(Counts.of(f for _, f in both))
        heard: Counter[str] = Counter()
        for turn, frame in both:
            if frame.slots is not None:
                heard.update(set(_runs(turn.request)) & gazetteer.of_value.keys())
        known = [(t.request, f.intent) for t, f in both if f.intent is not None]
        intents = tuple(sorted({intent for _, intent in known}))
        number = {intent: i for i, intent in enumerate(intents)}
        y = np.array([number[intent] for _, intent in known], int)
        counts = hashed([request for request, _ in known])
        rarity = Weighting.fit([counts]).rarity[0]
        columns = np.flatnonzero(rarity)
        weight = np.zeros((len(columns), len(intents)), np.float32)
        # As frequent as they are, where no words tell them apart.
        bias = np.log(np.bincount(y, minlength=len(intents)) / max(len(y), 1))
        if len(intents) > 1 and len(columns):
            model = LogisticRegression(C=_C, max_iter=_STEPS, tol=1e-3).fit(
                _weighted(counts, columns, rarity[columns]), y
            )
            if len(intents) == 2:
                # One column for two classes: the odds of the second.
                weight[:, 1], bias = model.coef_[0], np.array([0.0, model.intercept_[0]])
            else:
                weight[:], bias = model.coef_.T, model.intercept_
        return cls(intents, columns, rarity[columns], weight, bias, gazetteer, dict(heard))

    def intent(self, turns: Sequence[Turn], names: Sequence[str]) -> np.ndarray:
        """Probability of each of the intents `names`; shape (len(turns), len(names))."""
        p = np.zeros((len(turns), len(names)))
        place_of = {name: i for i, name in enumerate(names)}
        if self.intents:
            x = _weighted(hashed([t.request for t in turns]), self.columns, self.rarity)
            odds = x @ self.weight + self.bias
            shares = np.exp(odds - odds.max(axis=1, keepdims=True))
            p[:, [place_of[i] for i in self.intents]] = shares / shares.sum(axis=1, keepdims=True)
        return p

    def slots(self, turn: Turn) -> list[tuple[Candidate, float]]:
        """Known values in the words of a request, each with how often it was meant when said."""
        counts, found, words = self.gazetteer.counts, {}, tokens(turn.request, LONGEST)
        for value in dict.fromkeys(_runs(turn.request)):
            names = self.gazetteer.of_value.get(value, ())
            share = counts.values[value] / max(self.heard.get(value, 0), 1)
            if names and share >= _MEANT:
                name = max(names, key=lambda n: counts.pairs[n, value])
                written = counts.written.get((name, value), value.strip())
                start, end = place(words, value)
                found[name, value] = (Candidate((name, written), start, end), min(share, 1.0))
        return list(found.values())

    def save(self, path: Path) -> None:
        """Write to the file `path`; the gazetteer is the caller's."""
        heard = np.frombuffer(msgspec.json.encode(self.heard), np.uint8)
        intents = np.frombuffer(msgspec.json.encode(self.intents), np.uint8)
        np.savez_compressed(
            path,
            intents=intents,
            heard=heard,
            columns=self.columns,
            rarity=self.rarity,
            weight=self.weight,
            bias=self.bias,
        )

    @classmethod
    def load(cls, path: Path, gazetteer: Gazetteer) -> Baseline:
        """What `save` wrote, with the gazetteer that it was learned with."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(
                tuple(msgspec.json.decode(arrays["intents"].tobytes(), type=list[str])),
                arrays["columns"],
                arrays["rarity"],
                arrays["weight"],
                arrays["bias"],
                gazetteer,
                msgspec.json.decode(arrays["heard"].tobytes(), type=dict[str, int]),
            )


def _weighted(counts: csr_matrix, columns: np.ndarray, rarity: np.ndarray) -> csr_matrix:
    weights = np.zeros(counts.shape[1], np.float32)
    weights[columns] = rarity
    return Weighting(weights[None]).apply([counts])[:, columns]


def _runs(text: str) -> list[str]:
    """Runs of up to `_LONGEST` words, as the gazetteer has its values."""
    words = normal(text).split()
    return [
        f" {' '.join(words[i:j])} "
        for i in range(len(words))
        for j in range(i + 1, min(i + _LONGEST, len(words)) + 1)
    ]
