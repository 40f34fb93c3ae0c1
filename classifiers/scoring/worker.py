"""The work of scoring: one version of a store, one model, one part of a plan → one Parquet file.

Nothing here commits, starts processes or reports progress. `score_part` takes only names and
numbers, so it can run in any process that can read the store.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Self

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from classifiers import registry
from classifiers.context_digest import BATCH_SQL, with_captures
from classifiers.model import Model
from classifiers.shap_values import Explainer, evidence, reasons
from data.errors import FaultlineError
from data.schema.tables import EVIDENCE, PREDICTIONS
from data.schema.trace import FAILURE_POINTS
from data.store.part_files import kept_part, write_part
from data.store.snapshot import Snapshot
from data.store.store import Store
from data.store.turn_columns import facts

# DuckDB's share of a worker's memory; the features of a batch have their own.
_MEMORY = "512MB"


# Dialogues of a part that are given up one by one; with more, it is not they that are at fault.
_MOST_FAILED = 16
_LONGEST_REASON = 200
# In the metadata of a file of predictions: the dialogues that failed, and why, as JSON.
_FAILED = b"faultline.failed"
# What a smaller batch would not mend.
_NOT_OF_THE_TURNS = (
    FaultlineError, MemoryError, OSError, duckdb.OutOfMemoryException, duckdb.IOException,
)  # fmt: skip


class ScoredPart(NamedTuple):
    """A file of predictions (`data.schema.tables.PREDICTIONS`), and its turns per verdict in the
    order of `FAILURE_POINTS`; the dialogues whose turns could not be scored, and why."""

    file: str
    verdicts: tuple[int, ...]
    failed: dict[str, str]

    @classmethod
    def read(cls, file: Path) -> Self | None:
        """The part that was scored into `file`; None if it has not been, or not to its end."""
        table = kept_part(file)
        if table is None:
            return None
        return cls.of(str(file), table["failure_point"], json.loads(table.schema.metadata[_FAILED]))

    @classmethod
    def of(cls, file: str, verdicts: pa.ChunkedArray[Any], failed: dict[str, str]) -> Self:
        return cls(file, tuple(_count(verdicts, name) for name in FAILURE_POINTS), failed)


def score_part(
    store: str, version: str, model_id: str, plan: str, part: int, to: str
) -> ScoredPart:
    """Score one part of a plan on one core.

    Parameters
    ----------
    store, version: path and version of the store whose turns are scored.
    model_id: a model of that store.
    plan: Parquet file with the columns of `classifiers.context_digest.plan_sql`.
    part: number of the part in the plan's column `part`.
    to: the Parquet file to write; it is there as soon as it is complete.

    Raises `ModelError` for a missing or damaged model, `VersionGone` for a vacuumed version.
    """
    # The processes are the parallelism; libraries that start threads besides only wait.
    with threadpool_limits(1):
        return _scorer(store, version, model_id).part(plan, part, to)


@lru_cache(maxsize=1)
def _scorer(store: str, version: str, model_id: str) -> Scorer:
    """The scorer of a process, opened once: loading a model takes a second."""
    opened = Store.open(store, memory=_MEMORY)
    return Scorer.of(opened.snapshot(version), opened.models, model_id, threads=1)


@dataclass(frozen=True, slots=True)
class Scorer:
    """One version of a store and one model, both open: scores one part of a plan after another."""

    snapshot: Snapshot
    model: Model
    explainer: Explainer

    @classmethod
    def of(cls, snapshot: Snapshot, models: Path, model_id: str, threads: int = 0) -> Self:
        """The model `model_id` in the folder `models`, on so many threads (0: one per core)."""
        model = registry.load(models, model_id, threads=threads)
        return cls(snapshot, model, Explainer(model.booster, model.columns))

    def part(self, plan: str, part: int, to: str) -> ScoredPart:
        """`score_part` with the open store and model."""
        # The last bit of a product of matrices depends on how many threads share it; these are too
        # small to gain from more than one.
        with threadpool_limits(1, user_api="blas"):
            return self._part(plan, part, to)

    def _part(self, plan: str, part: int, to: str) -> ScoredPart:
        to_score = pq.read_table(plan, filters=[("part", "=", part)])
        low, high = pc.min(to_score["first_day"]).as_py(), pc.max(to_score["last_day"]).as_py()
        turns = self.snapshot.query(
            BATCH_SQL,
            {"low": low, "high": high},
            tables={
                "batch": to_score.select(["dialogue_id"]),
                "shared": to_score.filter(to_score["shared"]).select(["turn_id", "capture_us"]),
            },
        )
        turns = with_captures(turns, to_score)
        failed: dict[str, str] = {}
        try:
            table = self._predictions(turns, to_score)
        except _NOT_OF_THE_TURNS:
            raise
        except Exception:
            # One dialogue must not keep all others from being scored.
            failed = self._failing(turns, to_score, {})
            if not failed or len(failed) > _MOST_FAILED:
                raise
            rest = _without(to_score, list(failed))
            table = (
                self._predictions(_without(turns, list(failed)), rest)
                if rest.num_rows
                else PREDICTIONS.empty_table()
            )
        table = table.replace_schema_metadata({_FAILED: json.dumps(failed)})
        write_part(table, Path(to))
        return ScoredPart.of(to, table["failure_point"], failed)

    def _predictions(self, turns: pa.Table, to_score: pa.Table) -> pa.Table:
        digests = to_score.select(["turn_id", "context_digest"])
        return predictions(self.model, self.explainer, turns, digests)

    def _failing(
        self, turns: pa.Table, to_score: pa.Table, found: dict[str, str]
    ) -> dict[str, str]:
        """The dialogues that cannot be scored and why, found by halving and added to `found`."""
        try:
            self._predictions(turns, to_score)
        except _NOT_OF_THE_TURNS:
            raise
        except Exception as error:
            dialogues: list[Any] = pc.unique(to_score["dialogue_id"]).to_pylist()
            if len(dialogues) == 1:
                reason = " ".join(f"{type(error).__name__}: {error}".split())
                return {**found, dialogues[0]: reason[:_LONGEST_REASON]}
            half = len(dialogues) // 2
            for part in (dialogues[:half], dialogues[half:]):
                if len(found) <= _MOST_FAILED:
                    rest = [name for name in dialogues if name not in set(part)]
                    found = self._failing(_without(turns, rest), _without(to_score, rest), found)
        return found


def predictions(
    model: Model, explainer: Explainer, turns: pa.Table, to_score: pa.Table | None = None
) -> pa.Table:
    """Predictions with evidence and reasons, in the shape of `data.schema.tables.PREDICTIONS`.

    Parameters
    ----------
    turns: whole dialogues.
    to_score: `turn_id` and `context_digest` of the turns to return; by default all of them, with
        a null digest.
    """
    to_score = to_score.sort_by("turn_id") if to_score is not None else None
    scores = model.score(turns, to_score)
    repeated = facts(turns).take(scores.rows)
    n = len(scores.verdict)
    position = {FAILURE_POINTS.index(name): i for i, name in enumerate(model.classes)}
    verdict = np.array([position[v] for v in scores.verdict], np.int64)
    contributions = explainer.contributions(scores.x, verdict)
    per_stage = evidence(contributions, model.columns)
    digests = to_score["context_digest"] if to_score is not None else pa.nulls(n, pa.int64())
    columns: dict[str, Any] = {
        **{name: repeated[name] for name in repeated.column_names},
        "model_id": pa.array([model.id] * n, pa.string()),
        "failure_point": pa.array(list(FAILURE_POINTS)).take(pa.array(scores.verdict)),
        **{f"p_{name}": scores.probability[:, i] for i, name in enumerate(FAILURE_POINTS)},
        "p_defect": 1 - scores.probability[:, FAILURE_POINTS.index("correct")],
        "base_value": explainer.base[verdict],
        **{f"evidence_{name}": per_stage[name] for name in EVIDENCE},
        "reasons": reasons(scores.x, contributions, model.columns),
        "context_digest": digests,
    }
    table = pa.table([columns[field.name] for field in PREDICTIONS], names=PREDICTIONS.names)
    return table.cast(PREDICTIONS)


def _without(rows: pa.Table, dialogues: list[str]) -> pa.Table:
    given_up: Any = pc.is_in(rows["dialogue_id"], value_set=pa.array(dialogues, pa.string()))
    return rows.filter(pc.invert(given_up))


def _count(column: pa.ChunkedArray[Any], name: str) -> int:
    matches: Any = pc.equal(column, pa.scalar(name))
    return int(pc.sum(matches).as_py() or 0)
