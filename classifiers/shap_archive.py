"""SHAP values of a sample of turns, stored beside the model as `shap.npz`."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import ModelError
from data.store.durability import replacing


@dataclass(frozen=True, slots=True)
class Explained:
    """SHAP values (log-odds before calibration) of n sampled turns, for each of k classes.

    Attributes
    ----------
    turn_ids: n strings. classes: k failure points. columns: all d features.
    strength: mean absolute contribution of a feature, (k, d).
    stages: mean absolute value of a stage's summed contributions, (k, len(EVIDENCE)).
    kept: names of the m strongest features. x: their values, (n, m), NaN where not logged.
    values: their contributions, (k, n, m).
    pairs: the strongest interactions of each class, (k, p, 2) numbers of columns.
    pair_strength: mean absolute interaction of a pair, beyond its two main effects, (k, p).
    paired: number of turns from which the interactions were computed.
    """

    turn_ids: np.ndarray
    classes: tuple[str, ...]
    columns: tuple[str, ...]
    strength: np.ndarray
    stages: np.ndarray
    kept: tuple[str, ...]
    x: np.ndarray
    values: np.ndarray
    pairs: np.ndarray
    pair_strength: np.ndarray
    paired: int

    def write(self, path: Path) -> None:
        """Write `path` as a compressed NumPy archive; replaces an existing file at once."""
        arrays: dict[str, Any] = {
            "turn_ids": self.turn_ids.astype(str),
            "classes": np.array(self.classes),
            "columns": np.array(self.columns),
            "strength": self.strength.astype(np.float32),
            "stages": self.stages.astype(np.float32),
            "kept": np.array(self.kept),
            "x": self.x.astype(np.float32),
            "values": self.values.astype(np.float16),
            "pairs": self.pairs.astype(np.int32),
            "pair_strength": self.pair_strength.astype(np.float32),
            "paired": np.array(self.paired),
        }
        # Another process may be reading the file, or writing it as well.
        with replacing(path) as draft, draft.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def read(cls, path: Path) -> Explained | None:
        """Read what `write` wrote; None if there is no file; `ModelError` if it is damaged."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                explained = cls(
                    arrays["turn_ids"],
                    tuple(arrays["classes"].tolist()),
                    tuple(arrays["columns"].tolist()),
                    arrays["strength"],
                    arrays["stages"],
                    tuple(arrays["kept"].tolist()),
                    arrays["x"],
                    arrays["values"].astype(np.float32),
                    arrays["pairs"],
                    arrays["pair_strength"],
                    int(arrays["paired"]),
                )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ModelError(
                f"The explanations in {path} are damaged ({error}); delete the file."
            ) from error
        shape = (len(explained.classes), len(explained.turn_ids), len(explained.kept))
        if explained.values.shape != shape:
            raise ModelError(f"The explanations in {path} are damaged; delete the file.")
        return explained
