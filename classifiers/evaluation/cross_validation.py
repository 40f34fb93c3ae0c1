"""How good the model is on dialogues that it has not seen: in random folds, and on later ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from classifiers import splits
from classifiers.calibration import decide
from classifiers.concentration import concentrated
from classifiers.evaluation.limits import limits
from classifiers.evaluation.shift import shift
from classifiers.metrics import bootstrap, headline, summary
from classifiers.settings import Settings
from classifiers.splits import folds
from classifiers.train import fit, rescore
from classifiers.training_set import TrainingSet, only_learnable, prepare
from data.errors import UsageError
from data.store.temporary import scratch
from labels.rules.failure_point import MIN_PER_CLASS
from progress import Progress, portion, silent


def evaluate(
    turns: pa.Table,
    settings: Settings,
    n: int = 5,
    progress: Progress = silent,
    *,
    forward: bool = True,
    annotations: pa.Table | None = None,
) -> dict[str, Any]:
    """Fit on n-1 folds, score the held-out fold, n times; then fit on the first part of the
    period, and score the rest.

    Heads, booster, calibration and decision weights are all fitted to the turns learned from. Folds
    share no dialogue (no sentence, where recordings repeat). `annotations`: of the store, to tell
    how far people agree.

    Returns
    -------
    `classifiers.metrics.summary` of the folds, with ``intervals`` (95 %, bootstrap over dialogues),
    ``folds``, ``context``, ``seed``, ``without``, ``settings``, and

    ``forward``: the same figures on later dialogues, with ``learned`` (turns), ``start``, ``cut``
        and ``end`` (times), ``repeated``, ``undated`` and ``shift``, see `classifiers.splits` and
        `classifiers.evaluation.shift`; only ``reason`` where there is no such split.
    ``headline``: see `classifiers.metrics.headline`.
    ``concentration``: see `classifiers.concentration`.
    ``limits``: what any model could reach, see `classifiers.evaluation.limits`.

    Raises `UsageError` for fewer than 2 folds, `NotEnoughLabels` as training does.
    """
    if n < 2:
        raise UsageError(
            f"Cross-validation needs at least 2 folds, got {n}; give --folds 2 or more."
        )
    steps = n + (2 if forward else 1)
    with scratch("faultline-encoder-") as folder:
        progress(0, steps, "reading features and texts")
        data, encoder = prepare(turns, settings, folder)
        # Classes too rare to learn are left out, as in training.
        data, classes = only_learnable(data)
        probability, verdict = score_folds(
            data, settings, encoder, classes, n, portion(progress, 1 / steps, (n + 1) / steps)
        )
        result = figures_of(data, settings, classes, probability, verdict)
        result["folds"] = n
        result["context"] = settings.context
        result["seed"] = settings.seed
        result["without"] = list(settings.without)
        result["limits"] = _limits(turns, annotations, data, settings, classes, probability)
        result["forward"] = {"reason": "it was not asked for"}
        if forward:
            progress(n + 1, steps, "learning from the first part, testing on the rest")
            result["forward"] = forward_figures(data, settings, encoder, classes)
    result["headline"] = headline(result, result["forward"])
    return result


def score_folds(
    data: TrainingSet,
    settings: Settings,
    encoder: Any,
    classes: tuple[str, ...],
    n: int,
    progress: Progress = silent,
) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities (turns, k) and verdicts (numbers of `classes`) of all turns, each by
    a model of the other n-1 folds."""
    probability = np.zeros((len(data.target), len(classes)))
    verdict = np.zeros(len(data.target), np.int64)
    # A different seed from the folds inside `fit`, so that the two splits are unrelated.
    split = folds(data.target, data.group, n, settings.seed + 1000)
    for i, (train, held_out) in enumerate(split):
        progress(i, len(split), f"fold {i + 1} of {len(split)}")
        probability[held_out], verdict[held_out] = score_held_out(
            data, settings, encoder, classes, train, held_out
        )
    return probability, verdict


def score_held_out(
    data: TrainingSet,
    settings: Settings,
    encoder: Any,
    classes: tuple[str, ...],
    train: np.ndarray,
    held_out: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities (held-out turns, k) and verdicts by a model of other turns."""
    model = fit(data.take(train), settings, encoder, minimum=2)
    part = rescore(model, data.take(held_out))
    position = np.array([classes.index(name) for name in model.classes])
    probability = np.zeros((len(held_out), len(classes)))
    probability[:, position] = part
    return probability, position[decide(part, model.weights)]


def figures_of(
    data: TrainingSet,
    settings: Settings,
    classes: tuple[str, ...],
    probability: np.ndarray,
    verdict: np.ndarray,
) -> dict[str, Any]:
    """Figures with intervals of the labelled turns among `data`."""
    rows, target = labelled_rows(data, classes)
    group, probability, verdict = data.group[rows], probability[rows], verdict[rows]
    figures = summary(probability, target, None, classes, verdict)
    figures["intervals"] = bootstrap(
        target, verdict, group, classes, seed=settings.seed, probability=probability
    )
    figures["groups"] = len(np.unique(group))
    figures["concentration"] = concentrated(target, group, classes)
    return figures


def labelled_rows(data: TrainingSet, classes: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of labelled turns, and the class number of each."""
    rows = np.flatnonzero(np.isin(data.target.astype(str), classes))
    number = {name: i for i, name in enumerate(classes)}
    return rows, np.array([number[t] for t in data.target[rows]])


def _limits(
    turns: pa.Table,
    annotations: pa.Table | None,
    data: TrainingSet,
    settings: Settings,
    classes: tuple[str, ...],
    probability: np.ndarray,
) -> dict[str, Any]:
    rows, target = labelled_rows(data, classes)
    return limits(
        turns.sort_by("turn_id").take(pa.array(rows)),
        annotations,
        {name: values[rows] for name, values in data.logged.items()},
        probability[rows],
        target,
        data.group[rows],
        classes,
        settings.seed,
    )


def forward_figures(
    data: TrainingSet, settings: Settings, encoder: Any, classes: tuple[str, ...]
) -> dict[str, Any]:
    """Figures on later dialogues, of a model of earlier ones; only a reason if there are none."""
    assert data.began is not None
    split = splits.forward(data.began, data.group, data.target, MIN_PER_CLASS)
    if isinstance(split, str):
        return {"reason": split}
    late = data.take(split.late)
    tested = score_held_out(data, settings, encoder, classes, split.early, split.late)
    learned = data.target[split.early] != None  # noqa: E711  # element-wise
    return {
        **figures_of(late, settings, classes, *tested),
        "learned": int(learned.sum()),
        "repeated": split.repeated,
        "undated": split.undated,
        **{name: f"{getattr(split, name)}Z" for name in ("start", "cut", "end")},
        "shift": shift(data, split.early, split.late),
    }
