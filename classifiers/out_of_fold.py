"""What training turns got from models that had not seen them.

A model knows the labels of the turns it was trained on: what it says of them is hindsight, and a
defect rate over them would be the annotators' own. The probabilities that were worked out of fold,
to fit the calibration, are kept with the model, and scoring gives these turns those.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Calibrated out-of-fold probabilities of n turns.

    Attributes
    ----------
    turn_ids: n strings, ascending.
    digests: n fingerprints of what the verdict rests on (`classifiers.context_digest`): a turn
    whose
        dialogue has changed since is no longer the one that training saw.
    probability: (n, number of classes).
    """

    turn_ids: pa.Array[Any]
    digests: np.ndarray
    probability: np.ndarray

    def put_into(
        self, probability: np.ndarray, turn_ids: pa.ChunkedArray[Any], digests: np.ndarray
    ) -> None:
        """Replace the rows of `probability` that belong to turns that training saw as they are."""
        place: Any = pc.index_in(turn_ids.combine_chunks(), value_set=self.turn_ids)
        known = np.flatnonzero(place.is_valid().to_numpy(zero_copy_only=False))
        mine = place.drop_null().to_numpy()
        same = self.digests[mine] == digests[known]
        probability[known[same]] = self.probability[mine[same]]

    def write(self, path: Path) -> None:
        columns: dict[str, Any] = {"turn_id": self.turn_ids, "context_digest": self.digests}
        columns |= {f"p{i}": column for i, column in enumerate(self.probability.T)}
        table = pa.table(columns)
        pq.write_table(table, path, compression="zstd")

    @classmethod
    def read(cls, path: Path) -> HeldOut | None:
        """What `write` wrote; None if the model has none."""
        if not path.exists():
            return None
        table = pq.read_table(path)
        return cls(
            table["turn_id"].combine_chunks(),
            table["context_digest"].to_numpy(),
            np.column_stack([table[name].to_numpy() for name in table.column_names[2:]]),
        )
