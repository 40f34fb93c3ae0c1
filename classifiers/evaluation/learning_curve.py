"""Learning curve: macro-F1 against the number of labelled turns, and what more would bring.

    python -m classifiers.evaluation.learning_curve STORE MODEL

Cross-validated fits on shares of the labelled dialogues, and a power law through them (Hestness et
al. 2017; Viering & Loog 2023 for its limits). The result is stored beside the model, as
``learning.json``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from classifiers import registry
from classifiers.calibration import decide
from classifiers.metrics import macro_f1
from classifiers.settings import Settings
from classifiers.splits import folds
from classifiers.train import fit, rescore
from classifiers.training_data import training_turns
from classifiers.training_set import TrainingSet, only_learnable, prepare
from data.errors import NotEnoughLabels
from data.store.durability import replacing
from data.store.store import Store
from data.store.temporary import scratch
from progress import Progress, run_reporting, silent

# Share of the labelled dialogues, and number of samples: small samples differ more.
SHARES = ((0.25, 2), (0.4, 2), (0.6, 1), (0.8, 1), (1.0, 1))
FOLDS = 4
MORE = (0, 250, 500, 1000)
# Turns without labels show the heads what is usual; more of them would only take time.
UNLABELLED = 2_000
_RESAMPLES = 400
_EXPONENTS = np.linspace(0.05, 1.0, 20)
FIXED = (
    "Features and text vectors are worked out once and kept; text heads, booster, calibration and "
    "decision weights are fitted anew for every share, with three inner folds instead of five and "
    "at most some 2,000 unlabelled turns."
)


def learning_curve(
    data: TrainingSet,
    settings: Settings,
    encoder: Any,
    progress: Progress = silent,
    shares: Sequence[tuple[float, int]] = SHARES,
    n: int = FOLDS,
) -> dict[str, Any]:
    """Out-of-fold macro-F1 after training on shares of the labelled dialogues, extrapolated.

    For each of `n` folds the model is fitted to a share of the labelled dialogues of the other
    folds; the rest of these stay as turns without labels. All shares are tested on the same turns.
    `shares` are pairs of a share and its number of samples.

    Returns
    -------
    A dict for JSON: `labelled`, `points` (share, labels, macro_f1, low, high), `ahead` (more,
    labels, macro_f1, low, high, gain, gain_low, gain_high), `fixed`, `seed`.

    Raises `NotEnoughLabels` if the labels do not suffice for three points.
    """
    data, classes = only_learnable(data)
    settings = replace(settings, folds=3)
    split = folds(data.target, data.group, n, settings.seed + 2000)
    runs = [(share, draw) for share, draws in shares for draw in range(draws)]
    total, done = len(runs) * len(split), 0
    labelled = np.flatnonzero(data.target != None)  # noqa: E711  # element-wise
    _, group = np.unique(data.group[labelled], return_inverse=True)
    number = {name: i for i, name in enumerate(classes)}
    truth = np.array([number[t] for t in data.target[labelled]])
    tables: list[np.ndarray] = []
    trained: list[tuple[float, float]] = []
    for share, draw in runs:
        verdict = np.full(len(data.target), -1)
        sizes = []
        for train, held_out in split:
            progress(done, total, f"{share:.0%} of the labelled dialogues")
            done += 1
            part = thinned(data.take(train), share, settings.seed + draw)
            sizes.append(int((part.target != None).sum()))  # noqa: E711
            try:
                model = fit(part, settings, encoder, minimum=2)
            except NotEnoughLabels:
                break
            position = np.array([number[name] for name in model.classes])
            predicted = decide(rescore(model, data.take(held_out)), model.weights)
            verdict[held_out] = position[predicted]
        else:
            trained.append((share, float(np.mean(sizes))))
            tables.append(_tables(truth, verdict[labelled], group, len(classes)))
    progress(total, total, f"{runs[-1][0]:.0%} of the labelled dialogues")
    if len({size for _, size in trained}) < 3:
        raise NotEnoughLabels(
            f"{len(labelled)} labelled turns are too few for a learning curve: parts of them do "
            "not suffice to train on; annotate more turns."
        )
    curve = extrapolate(
        [size for _, size in trained], np.array(tables), len(labelled), settings.seed
    )
    for point, (share, _) in zip(curve["points"], trained, strict=True):
        point["share"] = share
    return {"labelled": len(labelled), **curve, "fixed": FIXED, "seed": settings.seed}


def thinned(data: TrainingSet, share: float, seed: int) -> TrainingSet:
    """The same turns, with a random share of the labelled groups; the others as if nobody had
    annotated them."""
    labelled = data.target != None  # noqa: E711  # element-wise
    groups = np.unique(data.group[labelled])
    sampled = np.random.default_rng(seed).permutation(groups)[: max(round(share * len(groups)), 2)]
    hidden = np.setdiff1d(groups, sampled)
    return data.only_gold_of(np.flatnonzero(~np.isin(data.group, hidden)))


def _tables(truth: np.ndarray, verdict: np.ndarray, group: np.ndarray, k: int) -> np.ndarray:
    """Confusion table per group, flattened: (groups, k * k)."""
    tables = np.zeros((int(group.max()) + 1, k * k))
    np.add.at(tables, (group, truth * k + verdict), 1)
    return tables


def extrapolate(
    sizes: Sequence[float],
    tables: np.ndarray,
    labelled: int,
    seed: int,
    more: Sequence[int] = MORE,
) -> dict[str, Any]:
    """Points of the curve and its extrapolation, with 95 % intervals from a cluster bootstrap.

    Parameters
    ----------
    sizes: labelled turns learned from in each of r runs.
    tables: confusion tables per run and group of test turns, (r, groups, k * k).
    labelled: labelled turns there are now. more: additional labelled turns to extrapolate to.

    Returns
    -------
    `points` and `ahead` as in `learning_curve`, but for the points' `share`.
    """
    runs, groups, cells = tables.shape
    k = int(np.sqrt(cells))
    generator = np.random.default_rng(seed)
    goals = np.array([labelled + n for n in more], float)
    value = np.array([macro_f1(table.sum(axis=0).reshape(k, k)) for table in tables])
    measured = np.empty((_RESAMPLES, runs))
    ahead = np.empty((_RESAMPLES, len(goals)))
    size_of = np.asarray(sizes, float)
    for i in range(_RESAMPLES):
        times = np.bincount(generator.integers(0, groups, groups), minlength=groups)
        measured[i] = [macro_f1((times @ table).reshape(k, k)) for table in tables]
        # Which dialogues were learned from is random as well, so runs are resampled too, until they
        # have at least three sizes: fewer would not determine a curve.
        sample = generator.integers(0, runs, runs)
        while len(set(size_of[sample])) < 3:
            sample = generator.integers(0, runs, runs)
        ahead[i] = 1 - power_law(size_of[sample], 1 - measured[i, sample], goals)
    best = 1 - power_law(size_of, 1 - value, goals)
    gain = ahead - ahead[:, :1]

    def interval(values: np.ndarray) -> tuple[float, float]:
        low, high = np.percentile(values, [2.5, 97.5])
        return float(low), float(high)

    points = []
    for i, size in enumerate(sizes):
        low, high = interval(measured[:, i])
        points.append({"labels": size, "macro_f1": float(value[i]), "low": low, "high": high})
    extrapolated = []
    for j, n in enumerate(more):
        (low, high), (least, most) = interval(ahead[:, j]), interval(gain[:, j])
        extrapolated.append(
            {
                "more": n,
                "labels": labelled + n,
                "macro_f1": float(best[j]),
                "low": low,
                "high": high,
                "gain": float(best[j] - best[0]),
                "gain_low": least,
                "gain_high": most,
            }
        )
    return {"points": points, "ahead": extrapolated}


def power_law(sizes: np.ndarray, errors: np.ndarray, goals: np.ndarray) -> np.ndarray:
    """Errors at the sizes `goals`, of the curve c + a n^-b fitted to the errors at `sizes`.

    By least squares: b from a grid of exponents, a and c by non-negative least squares.
    """
    best, fitted = np.inf, np.full(len(goals), float(np.mean(errors)))
    scale = float(np.max(sizes))
    for b in _EXPONENTS:
        design = np.column_stack([np.ones(len(sizes)), (sizes / scale) ** -b])
        (c, a), residual = nnls(design, errors)
        if residual < best - 1e-12:
            best, fitted = residual, c + a * (goals / scale) ** -b
    errors_at: np.ndarray = np.clip(fitted, 0.0, 1.0)
    return errors_at


def learn_store(store: Store, model_id: str, progress: Progress = silent) -> dict[str, Any]:
    """Compute the learning curve of a model's settings on a store's current labels, and store it.

    Returns that of `learning_curve`, with `version` of the store, `seconds` it took and `made_at`.
    Raises `ModelError` if the model is missing or damaged, `NotEnoughLabels` for too few labels.
    """
    folder = registry.folder_of(store.models, model_id)
    # A curve over labels of people: those that nobody checked are no truth to test on.
    settings = replace(registry.load_settings(store.models, model_id), labels="gold")
    began = time.time()
    progress(0, 1, "reading features and texts")
    with store.snapshot() as snapshot:
        version = snapshot.version
        turns = training_turns(
            snapshot,
            settings.seed,
            unlabelled=UNLABELLED,
            context=settings.context,
            within=settings.devices_within,
        )
    with scratch("faultline-encoder-") as drafts:
        data, encoder = prepare(turns, settings, drafts)
        curve = learning_curve(data, settings, encoder, progress)
    curve |= {"version": version, "seconds": round(time.time() - began), "made_at": time.time()}
    with replacing(folder / registry.LEARNING) as draft:
        draft.write_text(json.dumps(curve, indent=1), "utf-8")
    return curve


def read(folder: Path) -> dict[str, Any] | None:
    """Read what `learn_store` wrote beside a model; None if there is no file.

    Raises `ModelError` if it is damaged.
    """
    return registry.read_result(
        folder / registry.LEARNING, ("labelled", "points", "ahead", "fixed")
    )


if __name__ == "__main__":
    sys.exit(
        run_reporting(lambda progress: learn_store(Store.open(sys.argv[1]), sys.argv[2], progress))
    )
