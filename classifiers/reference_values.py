"""Reference values: percentiles of each feature among correct training turns.

The reasons stored with predictions cannot serve as a sample: a feature is among them only where its
value is unusual. So the percentiles are computed in training, for every feature over the turns
labelled "correct", and stored beside the model's files (they are not part of its id).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

FILE = "reference.parquet"
# Percentiles 0, 1, ..., 100.
_PERCENTILES = 101
# Fewer values are too few for percentiles.
_MIN_VALUES = 20


@dataclass(frozen=True, slots=True)
class Rank:
    """The percentile rank of a value among the correct turns that have one.

    Attributes
    ----------
    below, same: shares of these turns with a smaller and with the same value, in steps of 1 %.
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
        # The percentiles do not resolve the last per cent.
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
        """Percentiles of a feature matrix (correct turns, features); None for too few turns."""
        if len(x) < _MIN_VALUES:
            return None
        levels = np.linspace(0, 1, _PERCENTILES)
        quantiles = np.full((x.shape[1], _PERCENTILES), np.nan)
        missing = np.isnan(x).mean(0)
        for i in range(x.shape[1]):
            logged = x[:, i][~np.isnan(x[:, i])]
            if len(logged) >= _MIN_VALUES:
                # A percentile is a value that occurs, so that equal values stay equal.
                quantiles[i] = np.quantile(logged, levels, method="inverted_cdf")
        return cls(columns, quantiles, missing.astype(np.float64), len(x))

    def rank(self, feature: str, value: float | None) -> Rank | None:
        """The rank of a feature's value; None without a value or percentiles of the feature."""
        if value is None or feature not in self.features:
            return None
        row = self.features.index(feature)
        quantiles = self.quantiles[row]
        if np.isnan(quantiles[0]):
            return None
        # Stored values are single precision, as the quantiles are.
        single = float(np.float32(value))
        below = float(np.searchsorted(quantiles, single, "left")) / _PERCENTILES
        up_to = float(np.searchsorted(quantiles, single, "right")) / _PERCENTILES
        return Rank(
            float(value),
            below,
            up_to - below,
            tuple(float(q) for q in quantiles),
            float(self.missing[row]),
            self.turns,
        )

    def write(self, folder: Path) -> None:
        """Write ``reference.parquet`` to the folder of a model."""
        flat = pa.array(self.quantiles.ravel(), pa.float32())
        table = pa.table(
            {
                "feature": pa.array(self.features, pa.string()),
                "quantiles": pa.FixedSizeListArray.from_arrays(flat, _PERCENTILES),
                "missing": pa.array(self.missing),
                "turns": pa.array([self.turns] * len(self.features), pa.int64()),
            }
        )
        pq.write_table(table, folder / FILE, compression="zstd")

    @classmethod
    def read(cls, folder: Path) -> Reference | None:
        """Read what `write` wrote; None if the file is missing or cannot be read."""
        try:
            table = pq.read_table(folder / FILE)
            quantiles = np.array(table["quantiles"].to_pylist(), np.float64)
            return cls(
                tuple(str(name) for name in table["feature"].to_pylist()),
                quantiles.reshape(table.num_rows, _PERCENTILES),
                table["missing"].to_numpy(),
                int(table["turns"][0].as_py()) if table.num_rows else 0,
            )
        except (OSError, KeyError, ValueError, pa.ArrowException):
            return None
