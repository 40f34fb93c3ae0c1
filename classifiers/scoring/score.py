"""Scoring: the turns of a store that need it → the table `predictions`, in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from classifiers import registry
from classifiers.context_digest import BATCH_SQL, plan_sql
from classifiers.model import Model
from classifiers.shap_values import (
    Explainer,
    evidence,
    reasons,
)
from data.errors import ModelError
from data.parallel import runner
from data.schema.tables import EVIDENCE, PREDICTIONS
from data.schema.trace import FAILURE_POINTS
from data.store.predictions import commit_predictions
from data.store.snapshot import Snapshot
from data.store.store import Store
from data.store.turn_columns import facts
from labels import derived

# Turns read at a time. Larger batches explain faster, smaller ones take less memory (about 25 kB a
# turn).
BATCH = 40_000
_MOST_WORKERS = 8
# DuckDB's share of a worker's memory; the features of a batch have their own.
_WORKER_MEMORY = "512MB"
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ScoreReport:
    """What `score` did: model, number of turns, its verdicts, and the store's version after."""

    model_id: str
    scored: int
    up_to_date: int
    verdicts: dict[str, int]
    version: str


def score(
    store: Store,
    model_id: str | None = None,
    *,
    everything: bool = False,
    progress: Progress | None = None,
    batch: int = BATCH,
    workers: int | None = None,
) -> ScoreReport:
    """Score the turns that are new, changed, or in a changed dialogue; commit them, rolled up too.

    Parameters
    ----------
    model_id: the promoted model if None. everything: score all turns again.
    progress: called with (turns done, turns to do).
    batch: turns that a process holds at a time.
    workers: processes, one per core (at most 8) by default; a single batch is scored right here.

    Raises `ModelError` if there is no such model.
    """
    with store.snapshot() as snapshot, store.staging() as folder:
        chosen = model_id or snapshot.model
        if not chosen:
            raise ModelError(
                f"No model has been trained in {store.path}; train one with: faultline train"
            )
        context = registry.load_settings(store.models, chosen).context
        plan = folder / "plan.parquet"
        wanted = {"model": chosen, "all": everything, "batch": batch}
        stale = _write(snapshot.batches(plan_sql(context), wanted), plan)
        total = snapshot.counts()["turns"]
        verdicts = np.zeros(len(FAILURE_POINTS), np.int64)
        files: list[Path] = []
        done = 0
        if progress:
            progress(0, stale)
        parts = _last_part(plan) + 1 if stale else 0
        processes = min(parts, workers or min(os.cpu_count() or 1, _MOST_WORKERS))
        if processes == 1:
            work = _Scorer.of(store, snapshot, chosen).part
        else:
            work = partial(_part_elsewhere, str(store.path), snapshot.version, chosen)
        with runner(processes) as pool:
            jobs = (
                (str(plan), part, str(folder / f"scored-{part}.parquet")) for part in range(parts)
            )
            for path, counts in pool.map(work, jobs):
                files.append(Path(path))
                done += sum(counts)
                verdicts += np.array(counts)
                if progress:
                    progress(done, stale)
        committed = commit_predictions(store, files, chosen) if files else 0
    derived.refresh(store)
    return ScoreReport(
        chosen,
        committed,
        total - stale,
        {name: int(n) for name, n in zip(FAILURE_POINTS, verdicts, strict=True)},
        store.head().version,
    )


@dataclass(frozen=True, slots=True)
class _Scorer:
    """What scores one part of the plan after another: one version of a store and one model."""

    snapshot: Snapshot
    model: Model
    explainer: Explainer

    @classmethod
    def of(cls, store: Store, snapshot: Snapshot, model_id: str, threads: int = 0) -> Self:
        model = registry.load(store.models, model_id, threads=threads)
        return cls(snapshot, model, Explainer(model.booster, model.columns))

    def part(self, plan: str, part: int, to: str) -> tuple[str, list[int]]:
        """Score one part of the plan into the file `to`; returns it and the turns per verdict."""
        wanted = pq.read_table(plan, filters=[("part", "=", part)])
        days = pc.min(wanted["first_day"]).as_py(), pc.max(wanted["last_day"]).as_py()
        turns = self.snapshot.query(
            BATCH_SQL,
            {"low": days[0], "high": days[1]},
            tables={
                "mine": wanted.select(["dialogue_id"]),
                "shared": wanted.filter(wanted["shared"]).select(["turn_id"]),
            },
        )
        digests = wanted.select(["turn_id", "context_digest"])
        table = predict(self.model, self.explainer, turns, digests)
        pq.write_table(table, to, compression="zstd")
        return to, [_count(table["failure_point"], name) for name in FAILURE_POINTS]


@lru_cache(maxsize=1)
def _opened(path: str, version: str, model_id: str) -> _Scorer:
    """Opened once per worker process: loading takes a second."""
    # The processes are the parallelism; libraries that start threads besides only wait.
    threadpool_limits(1)
    store = Store.open(path, memory=_WORKER_MEMORY)
    return _Scorer.of(store, store.snapshot(version), model_id, threads=1)


def _part_elsewhere(
    path: str, version: str, model_id: str, plan: str, part: int, to: str
) -> tuple[str, list[int]]:
    """`_Scorer.part` in a worker process."""
    return _opened(path, version, model_id).part(plan, part, to)


def _write(batches: Iterator[pa.RecordBatch], path: Path) -> int:
    """Write a stream of rows to one Parquet file as they come; returns their number."""
    rows = 0
    writer: pq.ParquetWriter | None = None
    for found in batches:
        writer = writer or pq.ParquetWriter(path, found.schema, compression="zstd")
        writer.write_batch(found)
        rows += found.num_rows
    if writer:
        writer.close()
    return rows


def _last_part(plan: Path) -> int:
    """Number of the last part; rows are ordered by part."""
    with pq.ParquetFile(plan) as file:
        last = file.read_row_group(file.num_row_groups - 1, ["part"])["part"]
    return int(last.to_numpy()[-1])


def predict(
    model: Model, explainer: Explainer, turns: pa.Table, wanted: pa.Table | None = None
) -> pa.Table:
    """Predictions with evidence and reasons, in the shape of `data.schema.tables.PREDICTIONS`.

    Parameters
    ----------
    turns: whole dialogues.
    wanted: `turn_id` and `context_digest` of the turns to return; all of them, undigested, by
        default.
    """
    wanted = wanted.sort_by("turn_id") if wanted is not None else None
    scores = model.score(turns, wanted)
    repeated = facts(turns).take(scores.rows)
    n = len(scores.verdict)
    position = {FAILURE_POINTS.index(name): i for i, name in enumerate(model.classes)}
    chosen = np.array([position[v] for v in scores.verdict], np.int64)
    contributions = explainer.contributions(scores.x, chosen)
    per_stage = evidence(contributions, model.columns)
    made: dict[str, Any] = {
        **{name: repeated[name] for name in repeated.column_names},
        "model_id": pa.array([model.id] * n, pa.string()),
        "failure_point": pa.array(list(FAILURE_POINTS)).take(pa.array(scores.verdict)),
        **{f"p_{name}": scores.probability[:, i] for i, name in enumerate(FAILURE_POINTS)},
        "p_defect": 1 - scores.probability[:, FAILURE_POINTS.index("correct")],
        "base_value": explainer.base[chosen],
        **{f"evidence_{name}": per_stage[name] for name in EVIDENCE},
        "reasons": reasons(scores.x, contributions, model.columns),
        "context_digest": wanted["context_digest"]
        if wanted is not None
        else pa.nulls(n, pa.int64()),
    }
    return pa.table([made[f.name] for f in PREDICTIONS], names=PREDICTIONS.names).cast(PREDICTIONS)


def _count(column: pa.ChunkedArray[Any], name: str) -> int:
    hits: Any = pc.equal(column, pa.scalar(name))
    return int(pc.sum(hits).as_py() or 0)
