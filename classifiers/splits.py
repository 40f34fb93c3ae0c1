"""Which turns must stay on one side of a split, or the score lies."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.model_selection import StratifiedGroupKFold

from labels.normalise import normalise

Fold = tuple[np.ndarray, np.ndarray]


def groups(turns: pa.Table) -> np.ndarray:
    """A group number per turn: its dialogue, or its sentence where recordings repeat.

    A dialogue of one turn is grouped by what was said (the annotator's transcript, else the text heard), so that
    the same sentence recorded many times is never both learned from and tested on.
    """
    dialogues = turns["dialogue_id"].to_pylist()
    length = Counter(dialogues)
    gold = turns["gold"].combine_chunks()
    transcripts = pc.struct_field(gold, "transcript").to_pylist()
    heard = _first_texts(turns)
    spoken: dict[str, str] = {}
    keys = []
    for dialogue, transcript, text in zip(dialogues, transcripts, heard, strict=True):
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
    """`n` (train rows, held-out rows) pairs by group, each with like shares of the classes."""
    n = min(n, len(np.unique(group)))
    strata = np.unique([str(t) for t in target], return_inverse=True)[1]
    splitter = StratifiedGroupKFold(n, shuffle=True, random_state=seed)
    import warnings

    with warnings.catch_warnings():
        # A class with fewer turns than folds is only a warning there, and unavoidable here.
        warnings.simplefilter("ignore", UserWarning)
        return list(splitter.split(np.zeros(len(target)), strata, group))


def _first_texts(turns: pa.Table) -> list[str | None]:
    hypotheses = pc.struct_field(turns["asr"].combine_chunks(), "hypotheses")
    filled = pc.greater(pc.fill_null(pc.list_value_length(hypotheses), 0), 0)
    first = (
        pc.list_element(pc.if_else(filled, hypotheses, pa.scalar(None, hypotheses.type)), 0)
        if (pc.all(filled).as_py())
        else None
    )
    if first is not None:
        texts: list[str | None] = pc.struct_field(first, "text").to_pylist()
        return texts
    return [h[0]["text"] if h else None for h in hypotheses.to_pylist()]
