"""What a model looks at, over a sample of turns: SHAP values of every class, and interactions.

    python -m classifiers.shap_sample STORE MODEL

Training keeps the sample beside the model, as ``shap.npz``; the command above makes it for a model
that has none. It is no part of the model's id, because scoring does not read it. Its size is
bounded: mean sizes are kept of every feature, values of the strongest ones only.
"""

from __future__ import annotations

import sys
from datetime import timedelta

import numpy as np
import pandas as pd

from classifiers import registry
from classifiers.context_digest import BATCH_SQL
from classifiers.model import Model
from classifiers.shap_archive import Explained
from classifiers.shap_values import Explainer, evidence
from data.errors import ModelError
from data.queries.sampling import some_days, some_turns
from data.schema.tables import EVIDENCE
from data.store.snapshot import Snapshot
from data.store.store import Store
from progress import Progress, portion, run_reporting, silent

SAMPLE = 2_000
PAIRED = 200  # turns whose interactions are worked out: their number grows with the square
KEPT = 80
PAIRS = 12
_DAYS = 12
_WHAT = "explaining a sample of turns"


def explained(
    model: Model, turn_ids: np.ndarray, x: np.ndarray, progress: Progress = silent
) -> Explained:
    """Explain each class for turns with the feature matrix `x` (n, d); n may be small, not 0."""
    explainer = Explainer(model.booster, model.columns)
    k, d = len(model.classes), len(model.columns)
    strength, stages = np.zeros((k, d)), np.zeros((k, len(EVIDENCE)))
    every = np.zeros((k, *x.shape), np.float16)
    pairs = np.zeros((k, PAIRS, 2), np.int32)
    pair_strength = np.zeros((k, PAIRS))
    few = min(PAIRED, len(x))
    for i in range(k):
        progress(i, k, _WHAT)
        values = explainer.many(x, i)
        every[i] = values
        strength[i] = np.abs(values).mean(0)
        summed = evidence(values, model.columns)
        stages[i] = [np.abs(summed[stage]).mean() for stage in EVIDENCE]
        found, size = interactions(explainer, x[:few], i)
        pairs[i, : len(found)], pair_strength[i, : len(size)] = found, size
    progress(k, k, _WHAT)
    # The strongest of each class in turn, so that no class is left without its own.
    ranked = np.argsort(-strength, axis=1, kind="stable").T.ravel()
    kept = list(dict.fromkeys(int(j) for j in [*pairs[pair_strength > 0].ravel(), *ranked]))[:KEPT]
    return Explained(
        np.asarray(turn_ids, str),
        model.classes,
        model.columns,
        strength,
        stages,
        tuple(model.columns[j] for j in kept),
        x[:, kept],
        every[:, :, kept],
        pairs,
        pair_strength,
        few,
    )


def interactions(
    explainer: Explainer, x: np.ndarray, k: int, most: int = PAIRS
) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of features that act together most on class `k`: (p, 2) columns, (p,) mean sizes.

    SHAP interaction values (Lundberg et al. 2020, eq. 2) by WOODELF; a pair's value is shared
    between its two orders, so the size of both together is twice that of one.
    """
    # In double: see `Explainer.many`.
    frame = pd.DataFrame(x.astype(np.float64), columns=[f"Column_{i}" for i in range(x.shape[1])])
    found = explainer.prepared(k).shap_interaction_values(
        frame,
        include_interaction_with_itself=False,
        as_df=True,
        exclude_zero_contribution_features=True,
        verbose=False,
    )
    number = [tuple(int(name.removeprefix("Column_")) for name in pair) for pair in found.columns]
    size = 2 * np.abs(found.to_numpy(np.float64)).mean(0)
    sizes = {pair: float(s) for pair, s in zip(number, size, strict=True) if pair[0] < pair[1]}
    best = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:most]
    return (
        np.array([pair for pair, _ in best], np.int32).reshape(-1, 2),
        np.array([s for _, s in best]),
    )


def sample(snapshot: Snapshot, model: Model, turns: int = SAMPLE) -> tuple[np.ndarray, np.ndarray]:
    """Ids and features of about so many scored turns: whole dialogues of some days, by a hash."""
    days = some_days(snapshot, model.id, _DAYS)
    if not days:
        raise ModelError(
            f"The model {model.id} has scored no turn to explain; score some with: faultline score"
        )
    ids: list[np.ndarray] = []
    rows: list[np.ndarray] = []
    for day in days:
        wanted = some_turns(snapshot, model.id, day, -(-turns // len(days)))
        night = timedelta(days=1)
        found = snapshot.query(
            BATCH_SQL,
            {"low": day - night, "high": day + night},
            tables={
                "mine": wanted.select(["dialogue_id"]),
                "shared": wanted.select(["turn_id"]),
            },
        )
        read, matrix = model.matrix(found)
        mine = np.isin(read.to_numpy().astype(str), wanted["turn_id"].to_numpy().astype(str))
        ids.append(read.to_numpy()[mine])
        rows.append(matrix[mine])
    names, x = np.concatenate(ids).astype(str), np.concatenate(rows)
    # In random order, so that the first few stand for all.
    drawn = np.random.default_rng(0).permutation(len(names))[:turns]
    return names[drawn], x[drawn]


def explain_store(store: Store, model_id: str, progress: Progress) -> Explained:
    """Explain a sample of what `model_id` has scored, and keep it beside the model."""
    with store.snapshot() as snapshot:
        model = registry.load(store.models, model_id)
        progress(0, 1, "reading turns")
        ids, x = sample(snapshot, model)
    made = explained(model, ids, x, portion(progress, 0.2, 1))
    made.write(store.models / model_id / registry.EXPLAINED)
    return made


if __name__ == "__main__":
    sys.exit(
        run_reporting(
            lambda progress: explain_store(Store.open(sys.argv[1]), sys.argv[2], progress)
        )
    )
