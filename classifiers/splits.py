"""Splits for cross-validation: related turns stay on one side, or scores would be too high."""

from __future__ import annotations

import warnings
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.model_selection import StratifiedGroupKFold

from data.errors import NotEnoughLabels
from labels.rules.normalise import normalise

Fold = tuple[np.ndarray, np.ndarray]


def groups(turns: pa.Table) -> np.ndarray:
    """A group number per turn (n,): its dialogue, or its sentence where recordings repeat.

    A dialogue of one turn is grouped by what was said (the annotator's transcript, else the text
    heard), so that the same sentence recorded many times is never both learned from and tested on.
    """
    dialogues = turns["dialogue_id"].to_pylist()
    length = Counter(dialogues)
    gold = turns["gold"].combine_chunks()
    transcripts = pc.struct_field(gold, "transcript").to_pylist()
    texts = _first_texts(turns)
    spoken: dict[str, str] = {}
    keys = []
    for dialogue, transcript, text in zip(dialogues, transcripts, texts, strict=True):
        sentence = transcript or text
        if length[dialogue] == 1 and sentence:
            if sentence not in spoken:
                spoken[sentence] = f"said {normalise(sentence)}"
            keys.append(spoken[sentence])
        else:
            keys.append(f"in {dialogue}")
    _, numbers = np.unique(np.array(keys, object).astype(str), return_inverse=True)
    return numbers


def folds(target: np.ndarray, group: np.ndarray, n: int, seed: int) -> list[Fold]:
    """At most `n` pairs of (train rows, held-out rows) that never split a group.

    Groups with labelled turns are assigned so that the folds have similar shares of the classes;
    the others (`target` None) are assigned at random. Raises `NotEnoughLabels` if all labels are in
    one group.
    """
    labelled = np.flatnonzero(target != None)  # noqa: E711  # element-wise
    n = min(n, len(np.unique(group[labelled])))
    if n < 2:
        raise NotEnoughLabels(
            f"All {len(labelled)} labelled turns belong to one dialogue (or are one sentence): "
            "nothing is left to test on; annotate turns of other dialogues."
        )
    strata = np.unique(target[labelled].astype(str), return_inverse=True)[1]
    splitter = StratifiedGroupKFold(n, shuffle=True, random_state=seed)
    part = np.random.default_rng(seed).integers(0, n, int(group.max()) + 1)
    with warnings.catch_warnings():
        # A class with fewer turns than folds is only a warning there, and unavoidable here.
        warnings.simplefilter("ignore", UserWarning)
        for i, (_, held_out) in enumerate(splitter.split(strata, strata, group[labelled])):
            part[group[labelled[held_out]]] = i
    return [(np.flatnonzero(part[group] != i), np.flatnonzero(part[group] == i)) for i in range(n)]


def parts(group: np.ndarray, n: int, seed: int) -> list[Fold]:
    """`n` pairs of (train rows, held-out rows) that never split a group, at random; no labels."""
    part = np.random.default_rng(seed).integers(0, n, int(group.max(initial=0)) + 1)[group]
    return [(np.flatnonzero(part != i), np.flatnonzero(part == i)) for i in range(n)]


def _first_texts(turns: pa.Table) -> list[str | None]:
    hypotheses = pc.struct_field(turns["asr"].combine_chunks(), "hypotheses")
    return [h[0]["text"] if h else None for h in hypotheses.to_pylist()]
