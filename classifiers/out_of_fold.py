"""Out-of-fold probabilities of the training turns.

A model has seen the labels of its training turns, so its own probabilities for them would only
repeat the labels, and a defect rate over them would be that of the annotators. The out-of-fold
probabilities, computed to fit the calibration, are stored with the model, and scoring uses them for
these turns.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_CROSSED, _VERDICT = "crossed", "verdict"


@dataclass(frozen=True, slots=True)
class CrossFitted:
    """Out-of-fold scores of n turns as they are judged: by what was fitted to other turns alone.

    Attributes
    ----------
    probability: (n, number of classes), calibrated by the scores of the other folds.
    verdict: class numbers (n,), by decision weights of the other folds.
    """

    probability: np.ndarray
    verdict: np.ndarray


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Calibrated out-of-fold probabilities of n turns.

    Attributes
    ----------
    turn_ids: n strings, ascending.
    digests: n fingerprints of what the verdict rests on (`classifiers.context_digest`); they show
        whether a turn or its dialogue has changed since training.
    probability: (n, number of classes), from models that were not trained on the turn.
    part: number of the part that scores the turn's texts (`classifiers.witness.parts`), where
        training put it with others; None without texts, and in models saved by earlier versions.
    crossed: the same turns for a fair comparison with others' verdicts, as calibration and decision
        weights were fitted to all of `probability`; None in models saved by earlier versions.
    """

    turn_ids: pa.Array[Any]
    digests: np.ndarray
    probability: np.ndarray
    part: np.ndarray | None = None
    crossed: CrossFitted | None = None

    def put_into(
        self, probability: np.ndarray, turn_ids: pa.ChunkedArray[Any], digests: np.ndarray
    ) -> None:
        """Replace, in place, the rows of `probability` of training turns that have not changed."""
        target, source = self.rows(turn_ids)
        same = self.digests[source] == digests[target]
        probability[target[same]] = self.probability[source[same]]

    def parts(self, turn_ids: pa.ChunkedArray[Any], part: np.ndarray) -> np.ndarray:
        """`part` of turns (m,), where training turns, changed or not, keep the one of training:
        another one may have learned from them."""
        if self.part is None:
            return part
        target, source = self.rows(turn_ids)
        kept = part.copy()
        kept[target] = self.part[source]
        return kept

    def rows(self, turn_ids: pa.ChunkedArray[Any]) -> tuple[np.ndarray, np.ndarray]:
        """Where training turns stand among `turn_ids`, and where here."""
        index: Any = pc.index_in(turn_ids.combine_chunks(), value_set=self.turn_ids)
        target = np.flatnonzero(index.is_valid().to_numpy(zero_copy_only=False))
        return target, index.drop_null().to_numpy()

    def write(self, path: Path) -> None:
        """Write a Parquet file: `turn_id`, `context_digest`, one column per class, `part`, and of
        `crossed` one column per class and `verdict`."""
        columns: dict[str, Any] = {"turn_id": self.turn_ids, "context_digest": self.digests}
        columns |= {f"p{i}": column for i, column in enumerate(self.probability.T)}
        if self.part is not None:
            columns["part"] = self.part.astype(np.int8)
        if self.crossed is not None:
            shares = self.crossed.probability.T.astype(np.float32)
            columns |= {f"{_CROSSED}{i}": column for i, column in enumerate(shares)}
            columns[_VERDICT] = self.crossed.verdict.astype(np.int8)
        table = pa.table(columns)
        pq.write_table(table, path, compression="zstd")

    @classmethod
    def read(cls, path: Path) -> HeldOut | None:
        """Read what `write` wrote; None if there is no such file."""
        if not path.exists():
            return None
        table = pq.read_table(path)
        names = table.column_names

        def classes(prefix: str) -> np.ndarray:
            columns = [name for name in names if name.removeprefix(prefix).isdigit()]
            return np.column_stack([table[name].to_numpy() for name in columns])

        def whole(name: str) -> np.ndarray:
            numbers: np.ndarray = table[name].to_numpy().astype(np.int64)
            return numbers

        return cls(
            table["turn_id"].combine_chunks(),
            table["context_digest"].to_numpy(),
            classes("p"),
            whole("part") if "part" in names else None,
            CrossFitted(classes(_CROSSED).astype(np.float64), whole(_VERDICT))
            if _VERDICT in names
            else None,
        )
