"""Scoring: the turns of a store that need it → the table `predictions`, in bounded memory.

A plan says which turns are scored and in which part; `classifiers.scoring.worker` scores a part, in
this process or wherever an engine runs it; the results of all parts are committed in one step. What
a killed scoring finished is kept, and taken as it is by the next one whose plan has the same part:
predictions depend on the plan alone, not on who scores, how often, or how many at a time.
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
from classifiers.scoring.worker import ScoredPart, Scorer, score_part
from data.errors import ModelError
from data.parallel import Engine, in_order, local
from data.schema.trace import FAILURE_POINTS
from data.software import work_id
from data.store.model_folders import SCORING, content_id
from data.store.parquet import workbench
from data.store.part_files import keep_only
from data.store.predictions import commit_predictions
from data.store.retention_policy import oldest_kept
from data.store.snapshot import Snapshot, literal
from data.store.store import Store
from labels.rules import derived
from progress import Progress, silent

# Turns of a part. Larger parts are explained no faster, and leave workers idle at the end; turns
# take about 25 kB of memory each.
BATCH = 10_000
# So many parts are scored before further processes have loaded their models.
_FEW_PARTS = 4
_MAX_WORKERS = 8
_PLANNED = "plan.parquet"
# A checksum of each part of a plan. It does not depend on the order of rows.
_PARTS = """
WITH rows AS (
    SELECT part, hash(turn_id, dialogue_id, context_digest, shared, capture_us, first_day, last_day)
        AS h
    FROM read_parquet({plan})
)
SELECT part, count(*), bit_xor(h), sum(h) FROM rows GROUP BY part ORDER BY part
"""


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
    engine: Engine | None = None,
) -> ScoreReport:
    """Score the turns that are new, changed, or in a changed dialogue; commit them, rolled up too.

    Parameters
    ----------
    model_id: the promoted model if None. everything: score all turns again.
    batch: turns that a process holds at a time; predictions may differ by it in their last bit.
    workers: processes, by default one per core (at most 8), or this one alone for a few parts.
    engine: where the parts are scored, instead of such processes.

    Raises `ModelError` if there is no such model.
    """
    with store.snapshot() as snapshot:
        model = model_id or snapshot.model
        if not model:
            raise ModelError(
                f"No model has been trained in {store.path}; train one with: faultline train"
            )
        settings = registry.load_settings(store.models, model)
        with store.unfinished(f"scoring-{model}") as folder:
            plan = folder / _PLANNED
            bound: dict[str, object] = {"model": model, "all": everything, "batch": batch}
            # Predictions that are kept for fewer days than turns would be removed again.
            oldest = oldest_kept(snapshot, "predictions")
            if oldest:
                bound["oldest"] = oldest
            sql = plan_sql(settings.context, settings.devices_within, since=oldest is not None)
            stale = _write(snapshot.batches(sql, bound), plan)
            turns = snapshot.counts()["turns"]
            progress(0, stale, "scoring", 0)
            scored = []
            for part in _scored(store, snapshot, model, plan if stale else None, workers, engine):
                scored.append(part)
                done = sum(sum(part.verdicts) for part in scored)
                progress(done, stale, "scoring", done)
            files = [Path(part.file) for part in scored]
            committed = commit_predictions(store, files, model) if files else 0
    verdicts = np.zeros(len(FAILURE_POINTS), np.int64)
    failed: dict[str, str] = {}
    for part in scored:
        verdicts += np.array(part.verdicts)
        failed |= part.failed
    derived.refresh(store)
    return ScoreReport(
        model,
        committed,
        turns - stale,
        {name: int(n) for name, n in zip(FAILURE_POINTS, verdicts, strict=True)},
        store.head().version,
        failed,
    )


def _scored(
    store: Store,
    snapshot: Snapshot,
    model: str,
    plan: Path | None,
    workers: int | None,
    engine: Engine | None,
) -> Iterator[ScoredPart]:
    """The parts of a plan, in order: those that are finished already, and those scored now."""
    if plan is None:
        return
    folder = store.models / model
    files = _parts(plan, content_id(folder))
    finished = _finished_before(plan, files)
    left = [part for part in files if part not in finished]

    def arguments(part: int) -> tuple[str, int, str]:
        return str(plan), part, str(files[part])

    usual = 1 if len(left) <= _FEW_PARTS else min(os.cpu_count() or 1, _MAX_WORKERS)
    processes = min(len(left), workers or usual)
    if engine is None and processes < 2:
        # In this process, with the open snapshot, on all cores.
        here = Scorer.of(snapshot, store.models, model) if left else None
        for part in files:
            if (scored := finished.get(part)) is None:
                assert here is not None
                scored = here.part(*arguments(part))
            yield scored
        return
    work = partial(score_part, str(store.path), snapshot.version, model)
    read = [plan, *(path for name in SCORING if (path := folder / name).exists())]
    yield from in_order(engine or local(processes), [*files], finished, work, arguments, read)


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


def _parts(plan: Path, model: str) -> dict[int, Path]:
    """The parts of a plan, in order, and the file beside it that each is scored into.

    Its name says what the predictions depend on: the rows of the part, the model's files (`model`
    is their checksum), and the software.
    """
    with workbench(spill=plan.with_name("spill")) as con:
        rows = con.execute(_PARTS.format(plan=literal(plan))).fetchall()
    files = {}
    for part, *checksum in rows:
        files[part] = plan.with_name(f"scored-{work_id(model, checksum)}.parquet")
    return files


def _finished_before(plan: Path, parts: dict[int, Path]) -> dict[int, ScoredPart]:
    """The parts that a killed scoring has finished; whatever else it left is removed."""
    keep_only(plan.parent, [plan, *parts.values()])
    found = {part: ScoredPart.read(file) for part, file in parts.items() if file.exists()}
    return {part: scored for part, scored in found.items() if scored}
