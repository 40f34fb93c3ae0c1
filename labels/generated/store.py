"""The label model of a store: trained on its turns, kept in it, and used to label all of them.

    <store>/label_models/<model_id>/     see `labels.generated.storage`

The setting `label_model` names the one that is used. A training removes the one before.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from threadpoolctl import threadpool_limits

from data.errors import ModelError, NotEnoughLabels, StoreBusy, UsageError
from data.parallel import Engine, in_order
from data.queries.annotations import SETTLED_SQL, gold_sql
from data.queries.sampling import until
from data.schema.tables import EVEN, GENERATED_LABELS, GOALS
from data.schema.trace import order_sql
from data.software import work_id
from data.store.durability import tree
from data.store.learned import replace_learned
from data.store.model_folders import model_ids
from data.store.part_files import (
    Parts,
    keep_only,
    keeping,
    kept_part,
    read_part,
    write_part,
    write_plan,
)
from data.store.rerun import rerun
from data.store.workspace import put_setting, setting
from features.arrow import pc
from labels.feedback.table import feedback
from labels.generated import storage
from labels.generated.blame import blamed, confidence_of
from labels.generated.model import LabelModel
from labels.generated.settings import Settings
from labels.generated.targets import FOUND, VERDICTS
from labels.generated.train import train
from progress import Progress, silent

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot
    from data.store.store import Store

SETTING = "label_model"
# Turns of dialogues with gold, and of others, that a training reads: more add little.
MOST_ANNOTATED = 60_000
MOST_OTHERS = 20_000
# Turns that are labelled at once.
BATCH = 20_000
# DuckDB's share of a worker's memory.
_MEMORY = "512MB"

# Verdicts of the dashboard are gold as well. Whether a goal was reached was judged of the goal that
# the turn had then: its extent is the label model's, and teaches nothing about where goals begin.
_GOLD = gold_sql(
    "t.gold",
    "s",
    defect="coalesce(s.defect, t.gold.defect)",
    goal_id=f"coalesce(t.gold.goal_id, '{FOUND}' || j.goal_id)",
    goal_reached="coalesce(j.reached, t.gold.goal_reached)",
    ratings="""CASE WHEN s.goal_start IS NULL THEN t.gold.ratings ELSE list_append(
        coalesce(t.gold.ratings, []),
        {annotator: 'dashboard', of: 'boundary', value: s.goal_start::INT::DOUBLE}) END""",
)
_SAMPLE = f"""
WITH settled AS (
    SELECT * FROM ({SETTLED_SQL})
), judged AS (
    -- The goal that a turn with a verdict serves: the logs', else the generated one.
    SELECT t.dialogue_id, t.gold.goal_id AS logged,
        CASE WHEN t.gold.goal_id IS NULL THEN g.goal_id END AS goal_id,
        bool_and(s.goal_reached) AS reached
    FROM settled s JOIN turns t USING (turn_id) LEFT JOIN generated_labels g USING (turn_id)
    WHERE s.goal_reached IS NOT NULL AND coalesce(t.gold.goal_id, g.goal_id) IS NOT NULL
    GROUP BY ALL
), dialogues AS (
    SELECT t.dialogue_id, count(*) AS n, count(t.gold) + count(s.turn_id) > 0 AS annotated
    FROM turns t LEFT JOIN settled s USING (turn_id) GROUP BY t.dialogue_id
), sampled AS (
    SELECT dialogue_id FROM dialogues
    QUALIFY {until("CASE WHEN annotated THEN $annotated ELSE $others END", "n", by="annotated")}
)
SELECT t.* REPLACE (
    CASE WHEN s.turn_id IS NULL AND j.dialogue_id IS NULL THEN t.gold ELSE {_GOLD} END AS gold)
FROM turns t SEMI JOIN sampled USING (dialogue_id)
    LEFT JOIN settled s ON s.turn_id = t.turn_id
    LEFT JOIN generated_labels g ON g.turn_id = t.turn_id
    LEFT JOIN judged j ON j.dialogue_id = t.dialogue_id
        AND coalesce(j.logged = t.gold.goal_id, j.goal_id = g.goal_id)
ORDER BY t.dialogue_id, {order_sql("t")}
"""
_DIALOGUES = """
SELECT dialogue_id, min(day) AS first, max(day) AS last, count(*) AS n
FROM turns GROUP BY dialogue_id ORDER BY first, dialogue_id
"""
_TURNS = f"""
SELECT t.* FROM turns t SEMI JOIN batch USING (dialogue_id)
WHERE t.day BETWEEN $low AND $high ORDER BY t.dialogue_id, {order_sql("t")}
"""


@dataclass(frozen=True, slots=True)
class Generated:
    """What was labelled: turns, their goals, the share of these that was probably reached (None
    where the model cannot say), turns with feedback, the model, and the data version afterwards."""

    turns: int
    goals: int
    reached: float | None
    feedback: int
    model_id: str
    version: str


def train_store(
    store: Store,
    settings: Settings | None = None,
    *,
    progress: Progress = silent,
) -> LabelModel:
    """Train a label model on the turns of a store, keep it there, and use it from now on.

    A training that was killed goes on where it was when it is started again with the same settings
    on the same turns. Raises NotEnoughLabels for an empty store, StoreBusy while another training
    runs on it.
    """
    models = store.label_models
    scratch = models / ".training"
    with _alone(store):
        model, encoder = _train(store, settings, scratch, progress)
        storage.save(model, encoder, models)
        put_setting(store, SETTING, model.id)
        remove_unused(store)
        shutil.rmtree(scratch, ignore_errors=True)
    return model


@rerun
def remove_unused(store: Store) -> None:
    """Remove the label models that are not used: another machine may have trained one meanwhile."""
    with store.writing_files():
        used = current(store)
        for name in model_ids(store.label_models):
            if used is not None and name != used:
                shutil.rmtree(store.label_models / name, ignore_errors=True)


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    """Holds the lock of trainings: all of a store use one folder for their checkpoints.

    The operating system releases it however a training ends.
    """
    lock = FileLock(store.path / ".label-training.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise StoreBusy(
            f"Another training of labels is running on {store.path}; let it end, or stop it, and "
            "try again."
        ) from error
    try:
        yield
    finally:
        lock.release()


def evaluate_store(
    store: Store,
    settings: Settings | None = None,
    *,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Figures of a label model on the store's own gold, out of fold; keeps nothing."""
    with store.staging() as scratch:
        model, _ = _train(store, settings, scratch, progress)
    return model.metrics


def _train(
    store: Store,
    settings: Settings | None,
    scratch: Path,
    progress: Progress,
) -> tuple[LabelModel, Path]:
    settings = settings or Settings()
    with store.snapshot() as snapshot:
        turns = training_turns(snapshot, settings.seed)
        if not turns.num_rows:
            raise NotEnoughLabels(
                "The store holds no turns; ingest some with: faultline ingest PATH… --store "
                f"{store.path}"
            )
        told, _ = feedback(snapshot)
    model, encoder = train(turns, settings, told.select(["turn_id", "p_defect"]), progress, scratch)
    model.confidence = confidence_of(model, turns, told)
    missing = model.metrics.get("frames", {})
    meant = model.frames.metrics if model.frames else dict.fromkeys(("intent", "slots"), missing)
    model.metrics["tasks"] = {**{name: model.metrics[name] for name in VERDICTS}, **meant}
    return model, encoder


def training_turns(
    snapshot: Snapshot, seed: int, annotated: int = MOST_ANNOTATED, others: int = MOST_OTHERS
) -> pa.Table:
    """Whole dialogues with gold, and some without, in their order: columns of `TURNS`.

    What was settled in the dashboard is in `gold`, before what the logs say.
    """
    return snapshot.query(_SAMPLE, {"seed": seed, "annotated": annotated, "others": others})


def current(store: Store) -> str | None:
    """The id of the label model that is used; None before the first training."""
    with store.snapshot(only=("settings",)) as snapshot:
        name = setting(snapshot, SETTING, None)
    return str(name) if name and (store.label_models / str(name)).is_dir() else None


def load(store: Store) -> LabelModel:
    """The label model that is used; ModelError if there is none, or it cannot be read."""
    name = current(store)
    if name is None:
        raise ModelError(
            "The store has no label model; train one with: faultline labels train --store "
            f"{store.path}"
        )
    return storage.load(store.label_models, name)


def generate_store(
    store: Store,
    model: LabelModel | None = None,
    *,
    progress: Progress = silent,
    engine: Engine | None = None,
) -> Generated:
    """Label all turns of a store, in place of what was generated before, in one commit.

    Writes the tables `feedback`, `goals` and `generated_labels`. `engine`: where turns are
    labelled, with the store's own label model, instead of this process. Raises ModelError without a
    label model, UsageError for an empty store.
    """
    model = model or load(store)
    # Until the commit: what was labelled is kept if that fails.
    with keeping(store, "labels", engine) as kept, store.snapshot() as snapshot:
        if not snapshot.counts()["turns"]:
            raise UsageError("The store holds no turns to label; ingest some first.")
        progress(0.0, 1.0, "reading feedback")
        told, _ = feedback(snapshot)
        rows, goals = [GENERATED_LABELS.empty_table()], [GOALS.empty_table()]
        total, done = snapshot.counts()["turns"], 0
        for made in _labelled(kept, store, snapshot, told, model):
            rows.append(made.labels)
            goals.append(made.goals)
            done += made.labels.num_rows
            progress(0.1 + 0.9 * done / total, 1.0, "labelling turns", done)
        found = pa.concat_tables(goals)
        written = replace_learned(
            store,
            {"feedback": told, "generated_labels": pa.concat_tables(rows), "goals": found},
        )
    return Generated(
        written["generated_labels"],
        written["goals"],
        pc.mean(found["p_reached"]).as_py(),
        written["feedback"],
        model.id,
        store.head().version,
    )


class Labelled(NamedTuple):
    """Rows of `GENERATED_LABELS` and of `GOALS`."""

    labels: pa.Table
    goals: pa.Table


def label(model: LabelModel, snapshot: Snapshot, told: pa.Table, dialogues: pa.Table) -> Labelled:
    """Labels and goals of the turns of some dialogues (rows of `_DIALOGUES`).

    `told`: rows of `FEEDBACK`, at least those of the turns.
    """
    days: dict[str, Any] = {
        "low": pc.min(dialogues["first"]).as_py(),
        "high": pc.max(dialogues["last"]).as_py(),
    }
    batch = dialogues.select(["dialogue_id"])
    turns = snapshot.query(_TURNS, days, tables={"batch": batch})
    generated = model.generate(turns, told.select(["turn_id", "p_defect"]))
    made = blamed(generated, turns, model.confidence)
    return Labelled(_labels(made, turns, told, model.id), _goals(made, turns, model.id))


def _labelled(
    kept: Parts | None,
    store: Store,
    snapshot: Snapshot,
    told: pa.Table,
    model: LabelModel,
) -> Iterator[Labelled]:
    """What `label` makes of all turns, by this process or an engine, in their order.

    An engine's parts that are kept already are not labelled again, as long as the turns are the
    same; others are removed.
    """
    dialogues = snapshot.query(_DIALOGUES)
    parts = list(_parts(dialogues))
    if kept is None:
        for part in parts:
            yield label(model, snapshot, told, part)
        return
    # Feedback comes of the turns alone, and labels of both.
    of = work_id(snapshot.fingerprint("turns", "misdated"), model.id)
    files = [
        (
            kept.folder / f"labels-{of}-{number}.parquet",
            kept.folder / f"goals-{of}-{number}.parquet",
        )
        for number in range(len(parts))
    ]
    keep_only(kept.folder, [file for pair in files for file in pair])
    plan, heard = kept.folder / "plan.parquet", kept.folder / "feedback.parquet"
    write_plan(parts, plan)
    # The feedback on the turns of each part: sorted by part once, then cut.
    ends = np.cumsum([part.num_rows for part in parts])
    position = pc.index_in(told["dialogue_id"], dialogues["dialogue_id"].combine_chunks())
    of_part = np.searchsorted(ends, position.to_numpy(), side="right")
    order: Any = pa.array(np.argsort(of_part, kind="stable"))
    told = told.take(order)
    cuts = np.cumsum(np.bincount(of_part, minlength=len(parts)))
    starts = np.append(0, cuts[:-1])
    write_plan([told.slice(a, b - a) for a, b in zip(starts, cuts, strict=True)], heard)
    finished = {
        number: (str(labels), str(goals))
        for number, (labels, goals) in enumerate(files)
        if kept_part(labels) is not None and kept_part(goals) is not None
    }
    work = partial(label_part, str(store.path), snapshot.version, model.id, str(plan), str(heard))
    shared = [plan, heard, *(p for p in tree(store.label_models / model.id) if p.is_file())]
    for labels, goals in in_order(
        kept.engine, range(len(parts)), finished, work, lambda n: (n, *map(str, files[n])), shared
    ):
        yield Labelled(read_part(labels), read_part(goals))


def label_part(
    store: str,
    version: str,
    model_id: str,
    plan: str,
    told: str,
    part: int,
    labels: str,
    goals: str,
) -> tuple[str, str]:
    """Label one part of a plan, on one core; returns the files of its labels and of its goals.

    Parameters
    ----------
    store, version: path and version of the store. model_id: a label model of that store.
    plan, told: Parquet files with a row group per part: dialogues, and the feedback on their turns.
    labels, goals: the files to write to.
    """
    snapshot, model = _opened(store, version, model_id)
    dialogues = pq.ParquetFile(plan).read_row_group(part)
    with threadpool_limits(1):
        made = label(model, snapshot, pq.ParquetFile(told).read_row_group(part), dialogues)
    write_part(made.labels, Path(labels))
    write_part(made.goals, Path(goals))
    return labels, goals


@lru_cache(maxsize=1)
def _opened(store: str, version: str, model_id: str) -> tuple[Snapshot, LabelModel]:
    """What a process needs for all of its parts: loading a label model takes seconds."""
    # Only here: opening a store is the caller's business everywhere else.
    from data.store.store import Store

    opened = Store.open(store, memory=_MEMORY)
    return opened.snapshot(version), storage.load(opened.label_models, model_id, threads=1)


def _parts(dialogues: pa.Table) -> Iterator[pa.Table]:
    """Rows of `_DIALOGUES`, about `BATCH` turns at a time."""
    ends = np.cumsum(dialogues["n"].to_numpy())
    start = 0
    while start < dialogues.num_rows:
        before = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, before + BATCH, side="right")), start + 1)
        yield dialogues.slice(start, stop - start)
        start = stop


def _labels(made: pa.Table, turns: pa.Table, told: pa.Table, model_id: str) -> pa.Table:
    """Rows of `GENERATED_LABELS`; what the model does not say is null."""
    columns: dict[str, Any] = {name: made[name] for name in made.column_names}
    for name in ("dialogue_id", "turn_index", "day", "digest"):
        columns[name] = turns[name]
    columns["model_id"] = pa.repeat(pa.scalar(model_id), turns.num_rows)
    parts = {name: made[name].to_numpy(zero_copy_only=False) for name in _PARTS}
    sure = [np.maximum(p, 1 - p) if name in VERDICTS else p for name, p in parts.items()]
    # Parts that the model does not say are nobody's doubt.
    least = np.fmin.reduce([np.asarray(p, float) for p in sure])
    columns["confidence"] = pa.array(least, pa.float32(), from_pandas=True)
    index = pc.index_in(turns["turn_id"], value_set=told["turn_id"])
    columns["signals"] = told["signals"].take(index)
    return _complete(columns, GENERATED_LABELS, turns.num_rows)


_PARTS = (*VERDICTS, "p_intent", "p_slots")


def _goals(made: pa.Table, turns: pa.Table, model_id: str) -> pa.Table:
    """Rows of `GOALS`: the turns of a dialogue with one goal id, in their order."""
    both = made.select(["goal_id", "goal_reached"])
    for name in ("turn_id", "dialogue_id", "day", "assistant", "user_id"):
        both = both.append_column(name, turns[name])
    grouped: Any = both.group_by(["dialogue_id", "goal_id"], use_threads=False)
    firsts = [(name, "first") for name in ("day", "assistant", "user_id", "goal_reached")]
    rows = grouped.aggregate(
        [*firsts, ("turn_id", "first"), ("turn_id", "last"), ("turn_id", "count")]
    )
    columns: dict[str, Any] = {
        "dialogue_id": rows["dialogue_id"],
        "goal_id": rows["goal_id"],
        "day": rows["day_first"],
        "assistant": rows["assistant_first"],
        "user_id": rows["user_id_first"],
        "first_turn": rows["turn_id_first"],
        "last_turn": rows["turn_id_last"],
        "turns": rows["turn_id_count"],
        "p_reached": rows["goal_reached_first"],
        "reached": pc.greater_equal(rows["goal_reached_first"], pa.scalar(EVEN, pa.float32())),
        "model_id": pa.repeat(pa.scalar(model_id), rows.num_rows),
    }
    return _complete(columns, GOALS, rows.num_rows)


def _complete(columns: dict[str, Any], schema: pa.Schema, rows: int) -> pa.Table:
    return pa.table(
        {
            field.name: columns[field.name].cast(field.type)
            if field.name in columns
            else pa.nulls(rows, field.type)
            for field in schema
        },
        schema=schema,
    )
