"""Scoring: the turns of a store that need it → the table `predictions`, in bounded memory.

A plan says which turns are scored and in which part; `classifiers.scoring.worker` scores a part;
the results of all parts are committed in one step.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from classifiers import registry
from classifiers.context_digest import plan_sql
from classifiers.scoring.worker import Scorer, score_part
from data.errors import ModelError
from data.parallel import runner
from data.schema.trace import FAILURE_POINTS
from data.store.predictions import commit_predictions
from data.store.retention_policy import oldest_kept
from data.store.store import Store
from labels.rules import derived
from progress import Progress, silent

# Turns read at a time. Larger batches explain faster, smaller ones take less memory (about 25 kB a
# turn).
BATCH = 40_000
_MAX_WORKERS = 8


@dataclass(frozen=True, slots=True)
class ScoreReport:
    """What `score` did: model, number of turns, its verdicts, and the store's version after.

    `failed`: dialogues whose turns could not be scored, of which no verdict is new, and why.
    """

    model_id: str
    scored: int
    up_to_date: int
    verdicts: dict[str, int]
    version: str
    failed: Mapping[str, str] = field(default_factory=dict)


def score(
    store: Store,
    model_id: str | None = None,
    *,
    everything: bool = False,
    progress: Progress = silent,
    batch: int = BATCH,
    workers: int | None = None,
) -> ScoreReport:
    """Score the turns that are new, changed, or in a changed dialogue; commit them, rolled up too.

    Parameters
    ----------
    model_id: the promoted model if None. everything: score all turns again.
    batch: turns that a process holds at a time.
    workers: processes, one per core (at most 8) by default; a single batch is scored right here.

    Raises `ModelError` if there is no such model.
    """
    with store.snapshot() as snapshot, store.staging() as folder:
        model = model_id or snapshot.model
        if not model:
            raise ModelError(
                f"No model has been trained in {store.path}; train one with: faultline train"
            )
        settings = registry.load_settings(store.models, model)
        plan = folder / "plan.parquet"
        bound: dict[str, object] = {"model": model, "all": everything, "batch": batch}
        # Predictions that are kept for fewer days than turns would be removed again.
        oldest = oldest_kept(snapshot, "predictions")
        if oldest:
            bound["oldest"] = oldest
        sql = plan_sql(settings.context, settings.devices_within, since=oldest is not None)
        stale = _write(snapshot.batches(sql, bound), plan)
        turns = snapshot.counts()["turns"]
        verdicts = np.zeros(len(FAILURE_POINTS), np.int64)
        files: list[Path] = []
        failed: dict[str, str] = {}
        done = 0
        progress(0, stale, "scoring", 0)
        parts = _last_part(plan) + 1 if stale else 0
        processes = min(parts, workers or min(os.cpu_count() or 1, _MAX_WORKERS))
        if processes == 1:
            # In this process, with the open snapshot, on all cores.
            work = Scorer.of(snapshot, store.models, model).part
        else:
            work = partial(score_part, str(store.path), snapshot.version, model)
        arguments = (
            (str(plan), part, str(folder / f"scored-{part}.parquet")) for part in range(parts)
        )
        with runner(processes) as pool:
            for scored in pool.map(work, arguments):
                files.append(Path(scored.file))
                failed |= scored.failed
                done += sum(scored.verdicts)
                verdicts += np.array(scored.verdicts)
                progress(done, stale, "scoring", done)
        committed = commit_predictions(store, files, model) if files else 0
    derived.refresh(store)
    return ScoreReport(
        model,
        committed,
        turns - stale,
        {name: int(n) for name, n in zip(FAILURE_POINTS, verdicts, strict=True)},
        store.head().version,
        failed,
    )


def _write(batches: Iterator[pa.RecordBatch], path: Path) -> int:
    """Write a stream of rows to one Parquet file as they come; returns their number."""
    rows = 0
    writer: pq.ParquetWriter | None = None
    for batch in batches:
        writer = writer or pq.ParquetWriter(path, batch.schema, compression="zstd")
        writer.write_batch(batch)
        rows += batch.num_rows
    if writer:
        writer.close()
    return rows


def _last_part(plan: Path) -> int:
    """Number of the last part; rows are ordered by part."""
    with pq.ParquetFile(plan) as file:
        last = file.read_row_group(file.num_row_groups - 1, ["part"])["part"]
    return int(last.to_numpy()[-1])
