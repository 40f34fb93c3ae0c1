"""Why a turn got its verdict: Shapley values of the booster, per feature and per stage.

TreeSHAP values (Lundberg et al. 2020, path-dependent) of the verdict's score before calibration, in
log-odds. They add up: base value + all contributions = the score. Batches are explained by the
WOODELF algorithm (Nadel & Wettenstein 2025), which shares the work of a batch between its rows; a
handful of turns by LightGBM's own ``pred_contrib``, which needs no preparation. Both give the same
numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pyarrow as pa
from woodelf import WoodelfExplainer
from woodelf.core.trees.parse_models import load_decision_tree_ensemble_model

from data.schema.tables import EVIDENCE, REASON
from features.catalogue import stage

REASONS = 8
# Below this many rows of one class, preparing a WOODELF explainer costs more than it saves.
_FEW = 256


@dataclass(slots=True)
class Explainer:
    """Explains one booster; the WOODELF explainer of each class is prepared once.

    Attributes
    ----------
    booster: multiclass, k classes. columns: names of its features, d of them.
    """

    booster: lgb.Booster
    columns: tuple[str, ...]
    _woodelf: dict[int, Any]
    _base: np.ndarray | None

    def __init__(self, booster: lgb.Booster, columns: tuple[str, ...]) -> None:
        self.booster = booster
        self.columns = columns
        self._woodelf = {}
        self._base = None

    @property
    def base(self) -> np.ndarray:
        """Expected score per class, shape (k,), in log-odds: the base value of an explanation."""
        if self._base is None:
            any_row = np.zeros((1, len(self.columns)), np.float32)
            self._base = self._pred_contrib(any_row)[0, :, -1]
        return self._base

    def contributions(self, x: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Contribution of every feature to the score of one class per row.

        Parameters
        ----------
        x: feature matrix (n, d), NaN allowed. classes: class number per row (n,).

        Returns
        -------
        (n, d) log-odds, float32.
        """
        values = np.empty(x.shape, np.float32)
        for k in np.unique(classes):
            rows = np.flatnonzero(classes == k)
            if len(rows) < _FEW:
                values[rows] = self.by_lightgbm(x[rows], int(k))
            else:
                values[rows] = self.by_woodelf(x[rows], int(k))
        return values

    def by_lightgbm(self, x: np.ndarray, k: int) -> np.ndarray:
        """Contributions to class `k` by LightGBM itself, (n, d) log-odds; fast for a few rows."""
        return self._pred_contrib(x)[:, k, :-1]

    def by_woodelf(self, x: np.ndarray, k: int) -> np.ndarray:
        """Contributions to class `k` by WOODELF, (n, d) log-odds; fast for many rows."""
        # In double precision, as LightGBM compares: with float32 columns, pandas would round the
        # thresholds to float32 first.
        frame = pd.DataFrame(x.astype(np.float64), columns=self._names, copy=False)
        values: np.ndarray = np.asarray(self.prepared(k).shap_values(frame, verbose=False))
        return values

    def prepared(self, k: int) -> Any:
        """The WOODELF explainer of class `k`, over columns named `Column_0`, `Column_1`, …

        Raises `ValueError` if there is no class `k`.
        """
        if not 0 <= k < self.booster.num_model_per_iteration():
            # WOODELF would silently explain another class.
            raise ValueError(f"class {k} of {self.booster.num_model_per_iteration()}")
        if k not in self._woodelf:
            trees = load_decision_tree_ensemble_model(self.booster, self._names, class_index=k)
            self._woodelf[k] = WoodelfExplainer(trees, feature_perturbation="tree_path_dependent")
        return self._woodelf[k]

    @property
    def _names(self) -> list[str]:
        return [f"Column_{i}" for i in range(len(self.columns))]

    def _pred_contrib(self, x: np.ndarray) -> np.ndarray:
        flat = np.asarray(self.booster.predict(x, pred_contrib=True))
        return flat.reshape(len(x), -1, len(self.columns) + 1)


def evidence(contributions: np.ndarray, columns: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Contributions (n, d) summed per stage: ``{"asr": (n,), …}`` for each of
    `data.schema.tables.EVIDENCE`, in log-odds."""
    member = np.array([[stage(c) == name for name in EVIDENCE] for c in columns], np.float32)
    total = contributions @ member.reshape(len(columns), len(EVIDENCE))
    return {name: total[:, i] for i, name in enumerate(EVIDENCE)}


def reasons(
    x: np.ndarray, contributions: np.ndarray, columns: tuple[str, ...]
) -> pa.ListArray[Any]:
    """Per row the `REASONS` strongest features with stage, value and contribution, strongest first.

    `x` and `contributions` have shape (n, d); a list is of `data.schema.tables.REASON`.
    """
    count = min(REASONS, contributions.shape[1])
    size = np.abs(contributions)
    top = np.argpartition(-size, count - 1, axis=1)[:, :count]
    rows = np.arange(len(x))[:, None]
    # Ties are ordered by column, so that scoring twice writes the same bytes.
    top = np.take_along_axis(top, np.argsort(top, axis=1), axis=1)
    top = np.take_along_axis(top, np.argsort(-size[rows, top], axis=1, kind="stable"), axis=1)
    names = pa.array(list(columns))
    stages = pa.array([stage(name) for name in columns])
    flat: Any = pa.array(top.ravel())
    values = x[rows, top].ravel().astype(np.float64)
    items = pa.StructArray.from_arrays(
        [
            names.take(flat),
            stages.take(flat),
            pa.array(values, from_pandas=True),
            pa.array(contributions[rows, top].ravel().astype(np.float64)),
        ],
        fields=list(REASON),
    )
    return pa.ListArray.from_arrays(np.arange(len(x) + 1, dtype=np.int32) * count, items)
