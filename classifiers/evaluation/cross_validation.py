"""Cross-validation by dialogue: how good the model is on dialogues that it has not seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from classifiers.calibration import decide
from classifiers.metrics import bootstrap, summary
from classifiers.settings import Settings
from classifiers.splits import folds
from classifiers.train import (
    TrainingSet,
    fit,
    only_learnable,
    prepare,
    rescore,
)
from data.errors import UsageError
from data.store.temporary import scratch
from progress import Progress, silent


def evaluate(
    turns: pa.Table, settings: Settings, n: int = 5, progress: Progress = silent
) -> dict[str, Any]:
    """Fit on n-1 folds, score the held-out fold, n times.

    Heads, booster, calibration and decision weights are all fitted to the training folds. Folds
    share no dialogue (no sentence, where recordings repeat).

    Returns
    -------
    `classifiers.metrics.summary`, with ``intervals`` (95 %, bootstrap over dialogues), ``folds``,
    ``context``, ``seed`` and ``without``.

    Raises `UsageError` for fewer than 2 folds, `NotEnoughLabels` as training does.
    """
    if n < 2:
        raise UsageError(
            f"Cross-validation needs at least 2 folds, got {n}; give --folds 2 or more."
        )
    with scratch("faultline-encoder-") as folder:
        progress(0, n + 1, "reading features and texts")
        data, encoder = prepare(turns, settings, folder)
        # Classes too rare to learn are left out, as in training.
        data, classes = only_learnable(data)
        probability, verdict = _cross_validate(data, settings, encoder, classes, n, progress)
    rows = np.flatnonzero(np.isin(data.target.astype(str), classes))
    number = {name: i for i, name in enumerate(classes)}
    target = np.array([number[t] for t in data.target[rows]])
    result = summary(probability[rows], target, None, classes, verdict[rows])
    result["intervals"] = bootstrap(
        target, verdict[rows], data.group[rows], classes, seed=settings.seed
    )
    result["folds"] = n
    result["context"] = settings.context
    result["seed"] = settings.seed
    result["without"] = list(settings.without)
    return result


def _cross_validate(
    data: TrainingSet,
    settings: Settings,
    encoder: Any,
    classes: tuple[str, ...],
    n: int,
    progress: Progress,
) -> tuple[np.ndarray, np.ndarray]:
    """Out-of-fold probabilities (turns, k), calibrated, and verdicts (turns,) of every turn."""
    probability = np.zeros((len(data.target), len(classes)))
    verdict = np.zeros(len(data.target), np.int64)
    # A different seed from the folds inside `fit`, so that the two splits are unrelated.
    for i, (train, held_out) in enumerate(
        folds(data.target, data.group, n, settings.seed + 1000), start=1
    ):
        progress(i, n + 1, f"fold {i} of {n}")
        model = fit(data.take(train), settings, encoder, minimum=2)
        part = rescore(model, data.take(held_out))
        position = np.array([classes.index(name) for name in model.classes])
        probability[np.ix_(held_out, position)] = part
        verdict[held_out] = position[decide(part, model.weights)]
    return probability, verdict
