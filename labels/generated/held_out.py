"""Labels of the training turns out of fold, from models that did not see their dialogue.

A model's own labels of turns that it learned from would only repeat their gold.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.arrow import pc
from labels.generated.decision import log_odds
from labels.generated.dialogues import Dialogues
from labels.generated.frames.model import FRAMES
from labels.generated.targets import VERDICTS
from labels.goals.spans import Span

# Whether intents and slots of a turn are among what is known, be they null or not.
_MEANT = "meant"


def digests(dialogues: Dialogues) -> list[str]:
    """A fingerprint of each dialogue: of all that labels are made from."""
    found = [hashlib.sha256() for _ in dialogues.dialogue_ids]
    numbers = np.nan_to_num(dialogues.numbers, nan=-1e9).round(5)
    for i, d in enumerate(dialogues.dialogue):
        parts = (
            dialogues.turn_ids[i],
            dialogues.request[i],
            *dialogues.others[i],
            dialogues.prompt[i],
            dialogues.response[i],
            *dialogues.tokens[i],
            *map(repr, dialogues.slots[i]),
        )
        found[d].update("\x1f".join(parts).encode("utf-8", "surrogatepass"))
        found[d].update(numbers[i].tobytes())
    return [f.hexdigest()[:16] for f in found]


@dataclass(frozen=True, slots=True)
class Known:
    """Out-of-fold labels of n turns, NaN for those of other dialogues; arrays (n,) by name.

    `meant`: what was meant by those turns of which it is known, a table of schema `FRAMES`.
    """

    labels: dict[str, np.ndarray]
    meant: pa.Table

    def put(self, values: np.ndarray, name: str) -> np.ndarray:
        """`values` (n,), replaced where an out-of-fold label is known."""
        known = self.labels[name]
        return np.where(np.isfinite(known), known, values)

    def per_goal(self, values: np.ndarray, spans: list[Span]) -> np.ndarray:
        """`values` (n,), replaced in each goal whose turns are known by the mean of their odds."""
        known = self.labels["goal_reached"]
        result = values.copy()
        for span in spans:
            here = known[span.start : span.stop]
            if np.isfinite(here).all():
                result[span.start : span.stop] = 1 / (1 + np.exp(-log_odds(here).mean()))
        return result


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Out-of-fold labels of n training turns: `turn_id`, `digest`, and one column per task.

    `meant` says whether the columns of `FRAMES` hold what was meant.
    """

    table: pa.Table

    @classmethod
    def of(
        cls, dialogues: Dialogues, labels: dict[str, np.ndarray], meant: pa.Table | None = None
    ) -> HeldOut:
        """The labels of `dialogues`; a task that is not among them is null throughout.

        `meant`: a table of schema `FRAMES`, of any of the turns.
        """
        fingerprints = digests(dialogues)
        none = np.full(len(dialogues), np.nan)
        columns: dict[str, Any] = {
            "turn_id": dialogues.turn_ids,
            "digest": [fingerprints[d] for d in dialogues.dialogue],
        }
        columns |= {n: pa.array(labels.get(n, none), pa.float32()) for n in VERDICTS}
        if meant is None:
            meant = FRAMES.empty_table()
        rows = pc.index_in(
            pa.array(dialogues.turn_ids, pa.string()),
            value_set=meant["turn_id"].combine_chunks(),
        )
        columns[_MEANT] = rows.is_valid()
        columns |= {n: meant[n].take(rows) for n in FRAMES.names if n != "turn_id"}
        return cls(pa.table(columns))

    def find(self, dialogues: Dialogues) -> Known:
        """What is known of `dialogues`; nothing of a dialogue that has changed."""
        row = {turn: i for i, turn in enumerate(self.table["turn_id"].to_pylist())}
        theirs = self.table["digest"].to_pylist()
        ours = digests(dialogues)
        rows = [row.get(turn, -1) for turn in dialogues.turn_ids]
        same = [
            r if r >= 0 and theirs[r] == ours[d] else -1
            for r, d in zip(rows, dialogues.dialogue, strict=True)
        ]
        there = np.array(sorted({r for r in same if r >= 0}), int)
        meant = self.table.take(pa.array(there, pa.int64()))
        return Known(
            {
                name: np.append(self.table[name].to_numpy().astype(float), np.nan)[same]
                for name in VERDICTS
            },
            meant.filter(meant[_MEANT]).select(FRAMES.names),
        )

    def write(self, path: Path) -> None:
        """Write a Parquet file."""
        pq.write_table(self.table, path, compression="zstd")

    @classmethod
    def read(cls, path: Path) -> HeldOut | None:
        """Read what `write` wrote; None if there is no such file."""
        return cls(pq.read_table(path)) if path.exists() else None
