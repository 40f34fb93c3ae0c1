"""Where values of features lie among correct turns: quantiles of the training turns.

The reasons that are stored with predictions are no sample for this: a feature is among them just
when its value is unusual. So the quantiles are taken at training, of every feature and of the turns
whose label is "correct", and lie beside the model's files (not among those that make its id).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

FILE = "reference.parquet"
# Percentiles that are kept: 0, 1, ..., 100.
_KEPT = 101
# Fewer turns say nothing about percentages.
_LEAST = 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value lies among correct turns that have one.

    Attributes
    ----------
    below, same: shares of correct turns with a smaller and with the same value, in per cent steps.
    quantiles: 101 percentiles, from the smallest value to the largest.
    missing: share of correct turns without a value. turns: correct turns.
    """

    value: float
    below: float
    same: float
    quantiles: tuple[float, ...]
    missing: float
    turns: int

    @property
    def above(self) -> float:
        return max(0.0, 1 - self.below - self.same)

    def words(self) -> str:
        """`lower than 96 % of correct turns`, `the same as 80 % of correct turns`."""
        if self.same >= 0.5 or (self.same > self.below and self.same > self.above):
            return f"the same as {self.same:.0%} of correct turns".replace("%", "\u2009%")
        low, high = self.below < self.above, max(self.below, self.above)
        # The last per cent is not known exactly.
        share = f"{min(high, 0.99):.0%}" if high < 0.995 else "more than 99%"
        side = "lower" if low else "higher"
        return f"{side} than {share} of correct turns".replace("%", "\u2009%")


@dataclass(frozen=True, slots=True)
class Reference:
    """Percentiles of features among correct turns.

    Attributes
    ----------
    features: k names. quantiles: (k, 101), NaN where no correct turn has a value.
    missing: (k,) shares of correct turns without a value. turns: correct turns.
    """

    features: tuple[str, ...]
    quantiles: NDArray[np.float64]
    missing: NDArray[np.float64]
    turns: int

    @classmethod
    def fit(cls, x: NDArray[np.float32], columns: tuple[str, ...]) -> Reference | None:
        """Percentiles of a feature matrix (correct turns, features); None of too few turns."""
        if len(x) < _LEAST:
            return None
        at = np.linspace(0, 1, _KEPT)
        quantiles = np.full((x.shape[1], _KEPT), np.nan)
        missing = np.isnan(x).mean(0)
        for place in range(x.shape[1]):
            known = x[:, place][~np.isnan(x[:, place])]
            if len(known) >= _LEAST:
                # A percentile is a value that occurs, so that equal values stay equal.
                quantiles[place] = np.quantile(known, at, method="inverted_cdf")
        return cls(columns, quantiles, missing.astype(np.float64), len(x))

    def place(self, feature: str, value: float | None) -> Place | None:
        """Where a value of a feature lies; None where that is not known."""
        if value is None or feature not in self.features:
            return None
        row = self.features.index(feature)
        quantiles = self.quantiles[row]
        if np.isnan(quantiles[0]):
            return None
        # Stored values are single precision, as the quantiles are.
        given = float(np.float32(value))
        below = float(np.searchsorted(quantiles, given, "left")) / _KEPT
        upto = float(np.searchsorted(quantiles, given, "right")) / _KEPT
        return Place(
            float(value),
            below,
            upto - below,
            tuple(float(q) for q in quantiles),
            float(self.missing[row]),
            self.turns,
        )

    def write(self, folder: Path) -> None:
        """Write it beside the files of a model."""
        size = _KEPT
        flat = pa.array(self.quantiles.ravel(), pa.float32())
        table = pa.table(
            {
                "feature": pa.array(self.features, pa.string()),
                "quantiles": pa.FixedSizeListArray.from_arrays(flat, size),
                "missing": pa.array(self.missing),
                "turns": pa.array([self.turns] * len(self.features), pa.int64()),
            }
        )
        pq.write_table(table, folder / FILE, compression="zstd")

    @classmethod
    def read(cls, folder: Path) -> Reference | None:
        """What `write` wrote; None for a model that has none, or a file that cannot be read."""
        try:
            table = pq.read_table(folder / FILE)
            quantiles = np.array(table["quantiles"].to_pylist(), np.float64)
            return cls(
                tuple(str(name) for name in table["feature"].to_pylist()),
                quantiles.reshape(table.num_rows, _KEPT),
                table["missing"].to_numpy(),
                int(table["turns"][0].as_py()) if table.num_rows else 0,
            )
        except (OSError, KeyError, ValueError, pa.ArrowException):
            return None
