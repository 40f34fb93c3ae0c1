"""Names to numbers by binary search in their sorted hashes: nothing to build when it is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.arrow import Column


@dataclass(frozen=True, slots=True)
class Lookup:
    """Distinct names with their hashes in order, and the position of each in `names`."""

    names: Column
    hashes: np.ndarray
    order: np.ndarray

    @classmethod
    def of(cls, names: Column) -> Lookup:
        """Of an array of distinct texts."""
        found = names.to_numpy(zero_copy_only=False).astype(object)
        hashed = _hashed(found) if len(found) else np.zeros(0, np.uint64)
        order = np.argsort(hashed, kind="stable")
        return cls(names, hashed[order], order)

    def find(self, name: str) -> int:
        """The position of a name; -1 if it is none of them."""
        wanted = _hashed(np.array([name], object))[0]
        place = int(np.searchsorted(self.hashes, wanted))
        while place < len(self.hashes) and self.hashes[place] == wanted:
            # Two names may share a hash.
            if self.names[int(self.order[place])].as_py() == name:
                return int(self.order[place])
            place += 1
        return -1

    def name(self, number: int) -> str:
        """The name at a position; '' for -1."""
        return str(self.names[int(number)].as_py()) if number >= 0 else ""

    def __len__(self) -> int:
        return len(self.hashes)


def _hashed(names: np.ndarray) -> np.ndarray:
    values: Any = pd.util.hash_array(names, categorize=False)
    hashed: np.ndarray = values
    return hashed
