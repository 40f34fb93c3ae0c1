"""All benchmarks, as one table: `make bench`, or `python -m benchmarks [TURNS …]`.

Turns are resampled from the real corpora (dialogues with new ids and times; texts repeat as they do
in traffic). Every figure is one run on this machine, beside the alternatives.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import durability as durability_benchmark
from benchmarks import features as features_benchmark
from benchmarks import ingest as ingest_benchmark
from benchmarks.memory import peak_gib
from classifiers import registry
from classifiers.encoder import DEFAULT, Encoder, export, locate
from classifiers.scoring.score import score
from classifiers.settings import Settings
from classifiers.shap_values import Explainer
from classifiers.train import train
from classifiers.training_data import training_turns
from data.ingest.ingest import ingest
from data.store.store import Store
from features.matrix import open_frame, texts

_GOAL = {
    "ingest": 50_000,
    "features": 20_000,
    "encode distinct texts": 1_200,
    "predict": 30_000,
    "explain, batches": 3_000,
    "score, end to end": 1_500,
}
CORPORA = Path(__file__).parents[2] / "shared" / "corpora"


def main(sizes: list[int]) -> None:
    """Run everything at each number of turns and print the table."""
    if not CORPORA.is_dir():
        sys.exit(f"The benchmarks resample the real corpora, but {CORPORA} does not exist.")
    folder = Path(mkdtemp(prefix="faultline-bench-"))
    out = Console()
    rows: list[tuple[str, int, float, float | None, str]] = []

    def add(name: str, n: int, rate: float, note: str = "") -> None:
        rows.append((name, n, rate, _GOAL.get(name), note))
        out.print(f"{name}: {rate:,.0f}/s ({n:,}) {note}", style="dim")

    try:
        model_store = _trained(folder / "model")
        for n in sizes:
            _ingest_and_score(n, folder / str(n), model_store, add)
            shutil.rmtree(folder / str(n), ignore_errors=True)
        _commits(add)
        _texts(model_store, add)
        _explanations(model_store, add)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    table = Table("step", "turns", "per second", "goal", "", title=f"{os.cpu_count()} cores")
    for name, n, rate, goal, note in rows:
        reached = "" if goal is None else ("reached" if rate >= goal else "missed")
        table.add_row(
            name, f"{n:,}", f"{rate:,.0f}", f"{goal:,}" if goal else "", f"{reached} {note}"
        )
    out.print(table)


def _timed(run: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    result = run()
    return result, time.perf_counter() - began


def _trained(path: Path) -> Store:
    """A store of dstc2 with a promoted model: the corpus with the longest n-best lists."""
    store = Store.create(path)
    ingest(store, [CORPORA / "dstc2.jsonl.gz"])
    with store.snapshot() as snapshot:
        turns = training_turns(snapshot, seed=0)
    model, encoder = train(turns, Settings())
    store.promote(registry.save(model, encoder, store.models))
    shutil.rmtree(encoder, ignore_errors=True)
    return store


def _ingest_and_score(n: int, folder: Path, trained: Store, add: Callable[..., None]) -> None:
    folder.mkdir()
    log = folder / "log.jsonl"
    ingest_benchmark.write_log(log, n)
    store = Store.create(folder / "store")
    with peak_gib() as peak:
        _, seconds = _timed(lambda: ingest(store, [log]))
    megabytes = log.stat().st_size / 1e6
    add("ingest", n, n / seconds, f"{megabytes / seconds:.0f} MB/s, peak {peak():.2f} GiB")
    log.unlink()
    shutil.copytree(trained.models, store.models, dirs_exist_ok=True)
    with peak_gib() as peak:
        report, seconds = _timed(lambda: score(store, trained.head().model))
    add("score, end to end", n, report.scored / seconds, f"peak {peak():.2f} GiB")


def _commits(add: Callable[..., None]) -> None:
    """Commits of one row and of thirty files, with and without waiting for the disk."""
    for days, rows, name in ((1, 1, "commit one turn"), (30, 1_000, "commit 30 days of turns")):
        synced, unsynced = durability_benchmark.run(days, rows)
        turns = days * rows
        note = f"{synced * 1e3:.0f} ms; without syncs {unsynced * 1e3:.0f} ms"
        add(name, turns, turns / synced, note)


def _texts(store: Store, add: Callable[..., None]) -> None:
    """Encoding: distinct texts by Faultline, every turn's text by sentence-transformers."""
    from sentence_transformers import SentenceTransformer

    with store.snapshot() as snapshot:
        turns = snapshot.query("SELECT * FROM turns ORDER BY turn_id LIMIT 8000")
    with open_frame(turns, "hindsight") as con:
        column = texts(con, "hindsight")["heard"]
    folder = Path(mkdtemp(prefix="faultline-encoder-"))
    try:
        export(DEFAULT, folder)
        encoder = Encoder(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    encoder.encode(["warm up"])
    (vectors, _), seconds = _timed(lambda: encoder.encode_column(column))
    add("encode distinct texts", len(vectors), len(vectors) / seconds)
    add("encode, per turn", len(column), len(column) / seconds)
    plain = SentenceTransformer(locate(DEFAULT), device="cpu", local_files_only=True)
    sample = column.to_pylist()[:2000]
    plain.encode(sample[:32])
    _, seconds = _timed(lambda: plain.encode(sample, batch_size=64, show_progress_bar=False))
    add("sentence-transformers, per turn", len(sample), len(sample) / seconds, "for comparison")


def _explanations(store: Store, add: Callable[..., None]) -> None:
    """Features of all corpora; predictions and explanations of dstc2, in a batch of 40,000."""
    import shap

    model = registry.load(store.models, str(store.head().model))
    with store.snapshot() as snapshot:
        turns = snapshot.query("SELECT * FROM turns")
    result = features_benchmark.run(200_000)
    add("features", int(result["turns"]), result["turns_per_second"])
    _, x = model.matrix(turns)
    x = np.ascontiguousarray(np.tile(x, (3, 1))[:40_000])
    raw, seconds = _timed(lambda: np.asarray(model.booster.predict(x)))
    add("predict", len(x), len(x) / seconds)
    explainer = Explainer(model.booster, model.columns)
    chosen = raw.argmax(1)
    explainer.contributions(x[:1000], chosen[:1000])
    _, seconds = _timed(lambda: explainer.contributions(x, chosen))
    add("explain, batches", len(x), len(x) / seconds)
    tree = shap.TreeExplainer(model.booster)
    _, seconds = _timed(lambda: tree.shap_values(x[:300]))
    add("shap.TreeExplainer", 300, 300 / seconds, "for comparison")


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [200_000, 1_000_000])
