"""Scoring: the turns of a store that need it → the table `predictions`, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from classifiers import registry
from classifiers.context import BATCH_SQL, PLAN_SQL, stale_sql
from classifiers.explain import Explainer, evidence, reasons
from classifiers.model import Model
from data.errors import ModelError
from data.scores import commit_predictions
from data.snapshot import Snapshot
from data.store import Store
from data.tables import DIMENSIONS, EVIDENCE, PREDICTIONS
from data.trace import FAILURE_POINTS, STAGES

# Turns read at a time. Larger batches explain faster, smaller ones take less memory (about 25 kB a
# turn).
BATCH = 40_000
Progress = Callable[[int, int], None]

_DIMENSION_SQL = {
    "assistant": "assistant",
    "locale": "locale",
    "device_type": "device.type",
    "domain": "nlu.hypotheses[1].domain",
    "intent": "nlu.hypotheses[1].intent",
    **{f"version_{stage}": f"versions['{stage}']" for stage in STAGES},
}


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
) -> ScoreReport:
    """Score the turns that are new, changed, or in a changed dialogue; commit them, rolled up too.

    Parameters
    ----------
    model_id: the promoted model if None. everything: score all turns again.
    progress: called with (turns done, turns to do).

    Raises `ModelError` if there is no such model.
    """
    with store.snapshot() as snapshot, store.staging() as folder:
        chosen = model_id or snapshot.model
        if not chosen:
            raise ModelError(
                f"No model has been trained in {store.path}; train one with: faultline train"
            )
        model = registry.load(store.models, chosen)
        stale = snapshot.query(
            stale_sql(model.settings.context), {"model": chosen, "all": everything}
        )
        total = snapshot.counts()["turns"]
        verdicts = np.zeros(len(FAILURE_POINTS), np.int64)
        files: list[Path] = []
        done = 0
        if progress:
            progress(0, stale.num_rows)
        explainer = Explainer(model.booster, model.columns)
        for turns, wanted in _batches(snapshot, stale, batch):
            table = predict(model, explainer, turns, wanted)
            path = folder / f"scored-{len(files)}.parquet"
            pq.write_table(table, path, compression="zstd")
            files.append(path)
            done += table.num_rows
            verdicts += np.array([_count(table["failure_point"], name) for name in FAILURE_POINTS])
            if progress:
                progress(done, stale.num_rows)
        committed = commit_predictions(store, files, chosen) if files else 0
    return ScoreReport(
        chosen,
        committed,
        total - stale.num_rows,
        {name: int(n) for name, n in zip(FAILURE_POINTS, verdicts, strict=True)},
        store.head().version,
    )


def predict(
    model: Model, explainer: Explainer, turns: pa.Table, wanted: pa.Table | None = None
) -> pa.Table:
    """Predictions with evidence and reasons, in the shape of `data.tables.PREDICTIONS`.

    Parameters
    ----------
    turns: whole dialogues.
    wanted: `turn_id` and `context_digest` of the turns to return; all of them, undigested, by
        default.
    """
    scores = model.score(turns)
    rows = np.arange(len(scores.verdict))
    facts = _facts(turns)
    if wanted is not None:
        wanted = wanted.sort_by("turn_id")
        rows = pc.index_in(
            wanted["turn_id"].combine_chunks(), value_set=scores.turn_ids.combine_chunks()
        ).to_numpy()
        facts = facts.take(rows)
    verdict, probability, x = scores.verdict[rows], scores.probability[rows], scores.x[rows]
    position = {FAILURE_POINTS.index(name): i for i, name in enumerate(model.classes)}
    chosen = np.array([position[v] for v in verdict], np.int64)
    contributions = explainer.contributions(x, chosen)
    per_stage = evidence(contributions, model.columns)
    made: dict[str, Any] = {
        **{name: facts[name] for name in facts.column_names},
        "model_id": pa.array([model.id] * len(rows), pa.string()),
        "failure_point": pa.array(list(FAILURE_POINTS)).take(pa.array(verdict)),
        **{f"p_{name}": probability[:, i] for i, name in enumerate(FAILURE_POINTS)},
        "p_defect": 1 - probability[:, FAILURE_POINTS.index("correct")],
        "base_value": explainer.base[chosen],
        **{f"evidence_{name}": per_stage[name] for name in EVIDENCE},
        "reasons": reasons(x, contributions, model.columns),
        "context_digest": wanted["context_digest"]
        if wanted is not None
        else pa.nulls(len(rows), pa.int64()),
    }
    return pa.table([made[f.name] for f in PREDICTIONS], names=PREDICTIONS.names).cast(PREDICTIONS)


def _facts(turns: pa.Table) -> pa.Table:
    """What a prediction repeats of its turn, so that pages need not join; ordered by turn."""
    import duckdb

    dimensions = ", ".join(f"{_DIMENSION_SQL[name]} AS {name}" for name in DIMENSIONS)
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        con.register("turns", turns)
        facts: pa.Table = con.sql(
            f"SELECT turn_id, dialogue_id, turn_index, started_at, {dimensions}, day FROM turns"
            " ORDER BY turn_id"
        ).to_arrow_table()
    return facts


def _count(column: pa.ChunkedArray[Any], name: str) -> int:
    hits: Any = pc.equal(column, pa.scalar(name))
    return int(pc.sum(hits).as_py() or 0)


def _batches(
    snapshot: Snapshot, stale: pa.Table, batch: int
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Pairs of (turns to read, stale turns among them), about `batch` turns each."""
    if stale.num_rows == 0:
        return
    plan = snapshot.query(PLAN_SQL, tables={"stale": stale})
    sizes = plan["turns"].to_numpy()
    parts = math.ceil(int(sizes.sum()) / batch)
    part = _deal(sizes, parts)
    for number in range(parts):
        chosen = plan.filter(pa.array(part == number))
        mine = chosen.select(["dialogue_id"])
        wanted = snapshot.query(
            "SELECT turn_id, context_digest, shared FROM stale SEMI JOIN mine USING (dialogue_id)",
            tables={"stale": stale, "mine": mine},
        )
        if wanted.num_rows:
            shared = wanted.filter(wanted["shared"]).select(["turn_id"])
            days = {
                "low": pc.min(chosen["first_day"]).as_py(),
                "high": pc.max(chosen["last_day"]).as_py(),
            }
            tables = {"mine": mine, "shared": shared}
            yield snapshot.query(BATCH_SQL, days, tables=tables), wanted


def _deal(sizes: np.ndarray, parts: int) -> np.ndarray:
    """Number of the part per dialogue: consecutive, each part about as many turns."""
    edges = np.cumsum(sizes) - sizes
    part: np.ndarray = np.minimum(edges * parts // max(int(sizes.sum()), 1), parts - 1)
    return part
