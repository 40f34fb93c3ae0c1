"""What a model looks at, over a sample of turns: SHAP values of every class, and interactions.

    python -m classifiers.shap_sample STORE MODEL

Training stores them beside the model, as ``shap.npz``; the command above computes them for a model
without that file. They are not part of the model's id, because scoring does not read them. The size
of the file is bounded: it has the mean absolute value for every feature, single values only for the
strongest features.
"""

from __future__ import annotations

import sys
from datetime import timedelta

import numpy as np
import pandas as pd

from classifiers import registry
from classifiers.context_digest import BATCH_SQL, with_captures
from classifiers.model import Model
from classifiers.shap_archive import Explained
from classifiers.shap_values import Explainer, evidence
from data.errors import ModelError
from data.queries.sampling import some_days, some_turns
from data.schema.tables import EVIDENCE
from data.store.snapshot import Snapshot
from data.store.store import Store
from features.multi_device import PLACED, shared_sql
from progress import Progress, portion, run_reporting, silent

SAMPLE = 2_000
# Turns from which interactions are computed: the work grows with the square of the features.
INTERACTION_TURNS = 200
MAX_FEATURES = 80
MAX_PAIRS = 12
_DAYS = 12
_WHAT = "explaining a sample of turns"
_NEAR = f"(SELECT {', '.join(PLACED)} FROM turns WHERE day BETWEEN $low AND $high)"


def explain(
    model: Model, turn_ids: np.ndarray, x: np.ndarray, progress: Progress = silent
) -> Explained:
    """SHAP values of each class for n turns with the feature matrix `x` (n, d); n is at least 1."""
    explainer = Explainer(model.booster, model.columns)
    k, d = len(model.classes), len(model.columns)
    strength, stages = np.zeros((k, d)), np.zeros((k, len(EVIDENCE)))
    contributions = np.zeros((k, *x.shape), np.float16)
    pairs = np.zeros((k, MAX_PAIRS, 2), np.int32)
    pair_strength = np.zeros((k, MAX_PAIRS))
    paired = min(INTERACTION_TURNS, len(x))
    for i in range(k):
        progress(i, k, _WHAT)
        values = explainer.by_woodelf(x, i)
        contributions[i] = values
        strength[i] = np.abs(values).mean(0)
        summed = evidence(values, model.columns)
        stages[i] = [np.abs(summed[stage]).mean() for stage in EVIDENCE]
        strong, size = interactions(explainer, x[:paired], i)
        pairs[i, : len(strong)], pair_strength[i, : len(size)] = strong, size
    progress(k, k, _WHAT)
    # The strongest feature of each class, then the second strongest, …: every class has some.
    ranked = np.argsort(-strength, axis=1, kind="stable").T.ravel()
    candidates = dict.fromkeys(int(j) for j in [*pairs[pair_strength > 0].ravel(), *ranked])
    strongest = list(candidates)[:MAX_FEATURES]
    return Explained(
        np.asarray(turn_ids, str),
        model.classes,
        model.columns,
        strength,
        stages,
        tuple(model.columns[j] for j in strongest),
        x[:, strongest],
        contributions[:, :, strongest],
        pairs,
        pair_strength,
        paired,
    )


def interactions(
    explainer: Explainer, x: np.ndarray, k: int, most: int = MAX_PAIRS
) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of features with the strongest interactions on class `k`.

    SHAP interaction values (Lundberg et al. 2020, eq. 2) by WOODELF. A pair's value is split
    equally between (a, b) and (b, a), so its whole is twice that of one of them.

    Returns
    -------
    Numbers of columns (p, 2), strongest pair first, and mean absolute values (p,) in log-odds; p is
    at most `most`.
    """
    # In double precision: see `Explainer.by_woodelf`.
    frame = pd.DataFrame(x.astype(np.float64), columns=[f"Column_{i}" for i in range(x.shape[1])])
    values = explainer.prepared(k).shap_interaction_values(
        frame,
        include_interaction_with_itself=False,
        as_df=True,
        exclude_zero_contribution_features=True,
        verbose=False,
    )
    number = [tuple(int(name.removeprefix("Column_")) for name in pair) for pair in values.columns]
    size = 2 * np.abs(values.to_numpy(np.float64)).mean(0)
    sizes = {pair: float(s) for pair, s in zip(number, size, strict=True) if pair[0] < pair[1]}
    best = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:most]
    return (
        np.array([pair for pair, _ in best], np.int32).reshape(-1, 2),
        np.array([s for _, s in best]),
    )


def sample(snapshot: Snapshot, model: Model, turns: int = SAMPLE) -> tuple[np.ndarray, np.ndarray]:
    """Ids and feature matrix (n, d) of about `turns` scored turns, from some days, by a hash.

    Raises `ModelError` if the model has scored none.
    """
    days = some_days(snapshot, model.id, _DAYS)
    if not days:
        raise ModelError(
            f"The model {model.id} has scored no turn to explain; score some with: faultline score"
        )
    ids: list[np.ndarray] = []
    rows: list[np.ndarray] = []
    for day in days:
        sampled = some_turns(snapshot, model.id, day, -(-turns // len(days)))
        one_day = timedelta(days=1)
        days_around = {"low": day - one_day, "high": day + one_day}
        judged = snapshot.query(
            f"SELECT turn_id, capture_us FROM ({shared_sql(_NEAR, model.settings.devices_within)})"
            " WHERE capture_us IS NOT NULL AND turn_id IN (SELECT turn_id FROM sampled)",
            days_around,
            tables={"sampled": sampled},
        )
        dialogues = snapshot.query(
            BATCH_SQL,
            days_around,
            tables={"batch": sampled.select(["dialogue_id"]), "shared": judged},
        )
        turn_ids, matrix = model.matrix(with_captures(dialogues, judged))
        keep = np.isin(turn_ids.to_numpy().astype(str), sampled["turn_id"].to_numpy().astype(str))
        ids.append(turn_ids.to_numpy()[keep])
        rows.append(matrix[keep])
    names, x = np.concatenate(ids).astype(str), np.concatenate(rows)
    # In random order, so that the first few are a sample of all.
    order = np.random.default_rng(0).permutation(len(names))[:turns]
    return names[order], x[order]


def explain_store(store: Store, model_id: str, progress: Progress) -> Explained:
    """Explain a sample of the turns that `model_id` has scored, and store it beside the model.

    Raises `ModelError` if the model is missing or damaged, or has scored no turn.
    """
    with store.snapshot() as snapshot:
        model = registry.load(store.models, model_id)
        progress(0, 1, "reading turns")
        ids, x = sample(snapshot, model)
    explained = explain(model, ids, x, portion(progress, 0.2, 1))
    explained.write(store.models / model_id / registry.EXPLAINED)
    store.files_written()
    return explained


if __name__ == "__main__":
    sys.exit(
        run_reporting(
            lambda progress: explain_store(Store.open(sys.argv[1]), sys.argv[2], progress)
        )
    )
