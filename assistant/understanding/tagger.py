"""A conditional random field that finds the slots of a sentence, given the intent it should serve."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import pycrfsuite

from assistant.understanding.cues import token_cues, with_intent


class Tagger:
    """Slot tags (``B-title``, ``I-title``, ``O``) with the probability of the whole sequence."""

    def __init__(self, model: bytes) -> None:
        self.model = model

    @cached_property
    def _crf(self) -> pycrfsuite.Tagger:
        crf = pycrfsuite.Tagger()
        crf.open_inmemory(self.model)
        return crf

    def __getstate__(self) -> dict[str, bytes]:
        # The native tagger cannot travel between processes; its bytes can.
        return {"model": self.model}

    def tags(
        self, words: Sequence[str], rows: Sequence[Sequence[str]], intent: str
    ) -> tuple[list[str], float]:
        """Tags of `words`, whose `token_cues` are `rows`, and how probable they are."""
        if not words:
            return [], 1.0
        crf = self._crf
        crf.set(with_intent(rows, words, intent))
        tags: list[str] = crf.tag()
        return tags, min(1.0, float(crf.probability(tags)))


def fit_tagger(
    sentences: Sequence[tuple[Sequence[str], Sequence[str], str]], *, iterations: int = 60
) -> Tagger:
    """Train on (words, tags, intent)."""
    trainer = pycrfsuite.Trainer(algorithm="lbfgs", verbose=False)
    trainer.set_params({"c1": 0.0, "c2": 0.02, "max_iterations": iterations})
    for words, tags, intent in sentences:
        if words:
            trainer.append(with_intent(token_cues(words), words, intent), list(tags))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "slots.crf"
        trainer.train(str(path))
        return Tagger(path.read_bytes())


def slots_of(words: Sequence[str], tags: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """(slot, surface words) in the order of the text; a stray ``I-`` opens a slot."""
    slots: list[tuple[str, list[str]]] = []
    open_slot = ""
    for word, tag in zip(words, tags, strict=True):
        kind, _, name = tag.partition("-")
        if kind == "O":
            open_slot = ""
        elif kind == "I" and name == open_slot:
            slots[-1][1].append(word)
        else:
            slots.append((name, [word]))
            open_slot = name
    return tuple((name, " ".join(part)) for name, part in slots)
