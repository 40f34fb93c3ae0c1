"""Verdicts of the raters in gold, for panels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from labels.generated.dialogues import Dialogues


def marks(turns: pa.Table, dialogues: Dialogues, of: str) -> list[list[float]]:
    """Marks that raters gave, per turn in the order of `dialogues`; `of` as in `gold.ratings`.

    Marks of a goal or a dialogue stand on its last turn.
    """
    if "gold" not in turns.column_names:
        return [[] for _ in range(len(dialogues))]
    gold: list[dict[str, Any] | None] = (
        turns["gold"].combine_chunks().take(pa.array(dialogues.row)).to_pylist()
    )
    return [
        [
            r["value"]
            for r in (g or {}).get("ratings") or []
            if r["of"] == of and r["value"] is not None
        ]
        for g in gold
    ]


def bad(given: list[list[float]], assistants: list[str | None]) -> list[list[bool]]:
    """Which marks call a response bad: 1 of 3, 1 and 2 of 5.

    A scale is known by the highest mark that raters of an assistant's responses gave.
    """
    highest: dict[str | None, float] = {}
    for assistant, values in zip(assistants, given, strict=True):
        highest[assistant] = max([highest.get(assistant, 0.0), *values])
    return [
        [value <= (1 if highest[a] <= 3 else 2) for value in values]
        for a, values in zip(assistants, given, strict=True)
    ]


def shares(verdicts: list[list[bool]]) -> np.ndarray:
    """Share of the raters that say so (n,); NaN without raters."""
    return np.array([np.mean(v) if v else np.nan for v in verdicts], float).reshape(len(verdicts))
