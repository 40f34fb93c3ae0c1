"""What more annotations would buy: macro-F1 against the number of labelled turns.

    python -m classifiers.evaluation.learning_curve STORE MODEL

Cross-validated fits on shares of the labelled dialogues, and a power law through them (Hestness et
al. 2017; Viering & Loog 2023 for its limits). The outcome is kept beside the model, as
``learning.json``.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
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
from classifiers.train import TrainingSet, fit, only_learnable, prepare, rescore
from classifiers.training_data import training_turns
from data.errors import ModelError, NotEnoughLabels
from data.store.store import Store
from data.store.temporary import scratch
from progress import Progress, run_reporting, silent

# Share of the labelled dialogues, and how often it is drawn: small draws differ more.
SHARES = ((0.25, 2), (0.4, 2), (0.6, 1), (0.8, 1), (1.0, 1))
FOLDS = 4
MORE = (0, 250, 500, 1000)
# Dialogues without labels teach the heads what is usual; more of them would only take time.
UNLABELLED = 2_000
_DRAWS = 400
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
    """Out-of-fold macro-F1 after learning from shares of the labelled dialogues, and what follows.

    In each of `n` parts the model is fitted on a share of the labelled dialogues of the others;
    the rest of them stay in as turns without labels. All shares are tested on the same turns.

    Returns
    -------
    A dict for JSON: `labelled`, `points` (share, labels, macro_f1, low, high), `ahead` (more,
    labels, macro_f1, low, high, gain, gain_low, gain_high), `fixed`, `seed`.
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
    kept: list[tuple[float, float]] = []
    for share, draw in runs:
        verdict = np.full(len(data.target), -1)
        sizes = []
        for train, held_out in split:
            progress(done, total, f"{share:.0%} of the labelled dialogues")
            done += 1
            part = _thinned(data.take(train), share, settings.seed + draw)
            sizes.append(int((part.target != None).sum()))  # noqa: E711
            try:
                model = fit(part, settings, encoder, minimum=2)
            except NotEnoughLabels:
                break
            position = np.array([number[name] for name in model.classes])
            said = decide(rescore(model, data.take(held_out)), model.weights)
            verdict[held_out] = position[said]
        else:
            kept.append((share, float(np.mean(sizes))))
            tables.append(_tables(truth, verdict[labelled], group, len(classes)))
    progress(total, total, f"{runs[-1][0]:.0%} of the labelled dialogues")
    if len({size for _, size in kept}) < 3:
        raise NotEnoughLabels(
            f"A learning curve needs more labelled turns than {len(labelled)}: parts of them do "
            "not suffice to train on; annotate some more."
        )
    curve = extrapolate([size for _, size in kept], np.array(tables), len(labelled), settings.seed)
    for point, (share, _) in zip(curve["points"], kept, strict=True):
        point["share"] = share
    return {"labelled": len(labelled), **curve, "fixed": FIXED, "seed": settings.seed}


def _thinned(data: TrainingSet, share: float, seed: int) -> TrainingSet:
    """The same turns, labels left on a share of the labelled groups only."""
    labelled = data.target != None  # noqa: E711  # element-wise
    found = np.unique(data.group[labelled])
    drawn = np.random.default_rng(seed).permutation(found)[: max(round(share * len(found)), 2)]
    target = data.target.copy()
    target[~np.isin(data.group, drawn)] = None
    return replace(data, target=target)


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
    """Points of the curve and what lies ahead, with 95 % intervals from a cluster bootstrap.

    Parameters
    ----------
    sizes: labelled turns learned from in each of r runs. tables: confusion tables per run and
    group of turns tested on, (r, groups, k * k). labelled: how many there are now.
    """
    runs, groups, cells = tables.shape
    k = int(np.sqrt(cells))
    generator = np.random.default_rng(seed)
    goals = np.array([labelled + n for n in more], float)
    every = np.ones(groups)
    value = np.array([macro_f1((every @ table).reshape(k, k)) for table in tables])
    drawn = np.empty((_DRAWS, runs))
    ahead = np.empty((_DRAWS, len(goals)))
    at = np.asarray(sizes, float)
    for i in range(_DRAWS):
        times = np.bincount(generator.integers(0, groups, groups), minlength=groups)
        drawn[i] = [macro_f1((times @ table).reshape(k, k)) for table in tables]
        # Which dialogues were learned from is chance as well: runs are drawn too, until they are
        # of three sizes at least, or no curve could be laid through them.
        chosen = generator.integers(0, runs, runs)
        while len(set(at[chosen])) < 3:
            chosen = generator.integers(0, runs, runs)
        ahead[i] = 1 - power_law(at[chosen], 1 - drawn[i, chosen], goals)
    best = 1 - power_law(at, 1 - value, goals)
    gain = ahead - ahead[:, :1]

    def span(values: np.ndarray) -> tuple[float, float]:
        low, high = np.percentile(values, [2.5, 97.5])
        return float(low), float(high)

    points = []
    for i, size in enumerate(sizes):
        low, high = span(drawn[:, i])
        points.append({"labels": size, "macro_f1": float(value[i]), "low": low, "high": high})
    found = []
    for j, n in enumerate(more):
        (low, high), (least, most) = span(ahead[:, j]), span(gain[:, j])
        found.append(
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
    return {"points": points, "ahead": found}


def power_law(sizes: np.ndarray, errors: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Errors at the sizes `at` of the curve c + a n^-b, a and c not negative, that fits best.

    Least squares: b from a grid of exponents, a and c by non-negative least squares.
    """
    best, found = np.inf, np.full(len(at), float(np.mean(errors)))
    scale = float(np.max(sizes))
    for b in _EXPONENTS:
        design = np.column_stack([np.ones(len(sizes)), (sizes / scale) ** -b])
        (c, a), residual = nnls(design, errors)
        if residual < best - 1e-12:
            best, found = residual, c + a * (at / scale) ** -b
    errors_at: np.ndarray = np.clip(found, 0.0, 1.0)
    return errors_at


def learn_store(store: Store, model_id: str, progress: Progress = silent) -> dict[str, Any]:
    """The learning curve of a model's settings on what a store's annotators know now; kept."""
    folder = registry.folder_of(store.models, model_id)
    settings = registry.load_settings(store.models, model_id)
    began = time.time()
    progress(0, 1, "reading features and texts")
    with store.snapshot() as snapshot:
        version = snapshot.version
        turns = training_turns(
            snapshot, settings.seed, unlabelled=UNLABELLED, context=settings.context
        )
    with scratch("faultline-encoder-") as drafts:
        data, encoder = prepare(turns, settings, drafts)
        made = learning_curve(data, settings, encoder, progress)
    made |= {"version": version, "seconds": round(time.time() - began), "made_at": time.time()}
    with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".learning-", delete=False) as file:
        json.dump(made, file, indent=1)
    os.chmod(file.name, 0o644)
    os.replace(file.name, folder / registry.LEARNING)
    return made


def read(folder: Path) -> dict[str, Any] | None:
    """What `learn_store` kept beside a model; None if there is none; `ModelError` if damaged."""
    path = folder / registry.LEARNING
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        for key in ("labelled", "points", "ahead", "fixed"):
            found[key]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"The file {path} is damaged ({error}); delete it.") from error
    return found


if __name__ == "__main__":
    sys.exit(
        run_reporting(lambda progress: learn_store(Store.open(sys.argv[1]), sys.argv[2], progress))
    )
