"""The same rows of the same model, explained by Faultline, `shap` and explainerdashboard."""

from __future__ import annotations

import json
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pyarrow as pa

from benchmarks.memory import peak_gib
from benchmarks.peers.environments import Peer
from classifiers import registry
from classifiers.model import Model
from classifiers.shap_values import Explainer
from data.store.store import Store

# Rows that a dashboard of explanations can hold in reasonable time, and those of a whole batch.
ROWS = 1_000
BATCH = 40_000


def _matrix(model: Model, turns: pa.Table, rows: int) -> np.ndarray:
    _, x = model.matrix(turns)
    return np.ascontiguousarray(np.tile(x, (-(-rows // len(x)), 1))[:rows])


def table(peer: Peer, store: Store) -> str:
    """The comparison as Markdown; all values are log-odds of every class, by the trees alone."""
    import shap

    model = registry.load(store.models, str(store.head().model))
    with store.snapshot() as snapshot:
        turns = snapshot.query("FROM turns ORDER BY turn_id LIMIT 8000")
    x = _matrix(model, turns, BATCH)
    explainer = Explainer(model.booster, model.columns)
    few = x[:ROWS]
    classes = len(model.classes)

    def all_classes(rows: np.ndarray) -> np.ndarray:
        return np.stack(
            [explainer.contributions(rows, np.full(len(rows), k)) for k in range(classes)], 2
        )

    began = time.perf_counter()
    for k in range(classes):
        explainer.prepared(k)
    prepared = time.perf_counter() - began
    with peak_gib() as peak:
        began = time.perf_counter()
        own = all_classes(few)
        own_few = time.perf_counter() - began
        began = time.perf_counter()
        explainer.contributions(x, np.asarray(model.booster.predict(x)).argmax(1))
        own_batch = time.perf_counter() - began
    own_peak = peak()
    tree = shap.TreeExplainer(model.booster)
    began = time.perf_counter()
    plain = np.asarray(tree.shap_values(few))
    plain_few = time.perf_counter() - began
    began = time.perf_counter()
    tree.shap_values(x)
    plain_batch = time.perf_counter() - began
    apart = float(np.abs(own - plain).max())
    others = _explainerdashboard(peer, model.booster, few, model)
    return "\n".join(
        [
            f"A model of {model.booster.num_trees()} trees, {len(model.columns)} columns, "
            f"{classes} classes; the values of Faultline and `shap` differ by {apart:.0e} at most:",
            "",
            "| | seconds | rows/s | peak memory |",
            "|---|---:|---:|---:|",
            f"| Faultline, preparing the trees, once per model | {prepared:.2f} | | |",
            f"| Faultline, {ROWS:,} rows, every class | {own_few:.2f} | {ROWS / own_few:,.0f} | |",
            f"| Faultline, {BATCH:,} rows, the predicted class (what scoring keeps) | "
            f"{own_batch:.2f} | {BATCH / own_batch:,.0f} | {own_peak:.1f} GiB |",
            f"| `shap.TreeExplainer` {version('shap')}, {ROWS:,} rows, every class | "
            f"{plain_few:.2f} | {ROWS / plain_few:,.0f} | |",
            f"| the same, {BATCH:,} rows | {plain_batch:.2f} | {BATCH / plain_batch:,.0f} | |",
            f"| explainerdashboard {peer.version}, {ROWS:,} rows, every class | "
            f"{others['explain_s']:.2f} | {ROWS / others['explain_s']:,.0f} | "
            f"{others['peak_gib']:.1f} GiB |",
            f"| explainerdashboard, building its pages after that | {others['build_s']:.2f} | | |",
        ]
    )


def _explainerdashboard(
    peer: Peer, booster: lgb.Booster, rows: np.ndarray, model: Model
) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        booster.save_model(folder / "model.txt")
        np.save(folder / "rows.npy", rows)
        np.save(folder / "labels.npy", np.asarray(booster.predict(rows)).argmax(1))
        printed = peer.run(
            "explainer_dashboard",
            folder / "model.txt",
            folder / "rows.npy",
            folder / "labels.npy",
            ",".join(model.classes),
        )
    measured: dict[str, float] = json.loads(printed.splitlines()[-1])
    return measured
