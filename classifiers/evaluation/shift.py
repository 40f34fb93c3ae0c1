"""What changed between the turns that a model learned from and later ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from classifiers.training_set import TrainingSet
from features.catalogue import sentence
from features.drift import LARGE, NOTICEABLE, class_drift, drift

# Features that are named.
_TOP = 5


def shift(data: TrainingSet, early: np.ndarray, late: np.ndarray) -> dict[str, Any]:
    """How far the logged features and the shares of the failure points moved.

    By the population stability index (Siddiqi 2006; see `features.drift`). `early`, `late`: row
    numbers of `data`.

    Returns
    -------
    ``features``: how many were compared. ``noticeable``, ``large``: how many of them moved by an
    index above 0.1 and above 0.25, more than chance explains. ``top``: of these the farthest, each
    with ``feature``, ``sentence`` (its name for people) and ``psi``. ``labels``: the index of the
    failure points. ``shares``: of each failure point, early and late.
    """
    before, now = (
        pa.table({name: values[rows] for name, values in data.logged.items()})
        for rows in (early, late)
    )
    moved = drift(before, now, list(data.logged))
    counts = []
    for rows in (early, late):
        names, turns = np.unique(data.target[rows].astype(str), return_counts=True)
        counts.append({str(n): float(t) for n, t in zip(names, turns, strict=True) if n != "None"})
    psi, _ = class_drift(*counts)
    significant = [column for column in moved if column.significant]
    return {
        "features": len(moved),
        "noticeable": sum(column.psi >= NOTICEABLE for column in significant),
        "large": sum(column.psi >= LARGE for column in significant),
        "top": [
            {"feature": column.name, "sentence": sentence(column.name), "psi": column.psi}
            for column in significant[:_TOP]
        ],
        "labels": psi,
        "shares": {
            name: [side.get(name, 0.0) / max(sum(side.values()), 1) for side in counts]
            for name in counts[0]
        },
    }
