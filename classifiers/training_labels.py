"""Which failure point each turn is learned from as, and how sure that is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from classifiers.settings import Labels, Settings
from classifiers.starter.evidence import Evidence
from classifiers.starter.labels import LEAST_TURNS, derive
from classifiers.starter.pooling import FADED, MIN_POOLED
from classifiers.training_data import gold_of
from data.counted import counted
from data.errors import NotEnoughLabels
from data.queries.judges import judge_labels
from data.schema.trace import FAILURE_POINTS
from data.store.snapshot import Snapshot
from labels.feedback.table import feedback
from labels.rules.failure_point import MIN_PER_CLASS

# Labels of people below which derived ones are learned from as well, unless asked otherwise.
FEW_GOLD = 500
# Only gold is certain.
_SUREST = 0.999
_GENERATED = """
SELECT turn_id, failure_point, p_failure_point AS weight FROM generated_labels
WHERE failure_point IS NOT NULL
"""


def resolved(turns: pa.Table) -> Labels:
    """What "auto" stands for on these turns: gold alone from `FEW_GOLD` labels on, else derived
    labels as well. Raises `NotEnoughLabels` if too few have gold for any model."""
    target = gold_of(turns)
    check_labels(target)
    few = int((target != None).sum()) < FEW_GOLD  # noqa: E711  # element-wise
    return "behaviour" if few and turns.num_rows >= LEAST_TURNS else "gold"


def unchecked(snapshot: Snapshot, turns: pa.Table, settings: Settings) -> pa.Table | None:
    """What a store says of failures beside gold, as `classifiers.training_set.prepare` takes it;
    None where `settings` learn from gold alone."""
    if settings.labels == "behaviour":
        # Before the slow step of reading what users did.
        check_turns(turns)
        sampled = turns["turn_id"].combine_chunks()
        return feedback(snapshot, turns=sampled)[0].select(["turn_id", "p_defect"])
    if settings.judge:
        return judge_labels(snapshot, settings.judge)
    return snapshot.query(_GENERATED) if settings.labels != "gold" else None


def targets(
    turns: pa.Table, kind: Labels, generated: pa.Table | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """The failure point of each of `turns` (n, sorted by id) or None, and the probability that it
    is right, None where all is gold.

    `generated`: ``turn_id``, ``failure_point`` and ``weight``, that probability. Raises
    `NotEnoughLabels` where `kind` asks for generated labels and there are none.
    """
    gold = gold_of(turns)
    if kind == "gold":
        return gold, None
    if generated is None or not generated.num_rows:
        raise NotEnoughLabels(
            f"There are no generated failure points to train on, which --labels {kind} asks for. "
            "They are made by 'faultline labels train', then 'faultline labels generate', from "
            "what the label model knows of defects and of what was meant; where it knows neither, "
            "there are none. Give it feedback or gold of defects or of intents and slots, or train "
            "with --labels gold."
        )
    columns = (generated[name].to_pylist() for name in ("turn_id", "failure_point", "weight"))
    known = {turn: (point, weight) for turn, point, weight in zip(*columns, strict=True) if point}
    labels = [known.get(turn, (None, 0.0)) for turn in turns["turn_id"].to_pylist()]
    target = np.array([point for point, _ in labels], object)
    sure = np.array([weight for _, weight in labels], float).clip(0.0, _SUREST)
    if kind == "both":
        _let_gold_decide(target, sure, gold)
    return target, sure


def derived(
    evidence: Evidence, ids: pa.ChunkedArray[Any], told: pa.Table | None, seed: int
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """As `targets`, of turns that need no annotation, and what the labels rest on; gold decides
    where there is some.

    `ids`: of the n turns. `told`: ``turn_id`` and ``p_defect`` by feedback.
    """
    p = np.full(len(ids), np.nan)
    if told is not None and told.num_rows:
        place: Any = pc.index_in(ids.combine_chunks(), value_set=told["turn_id"].combine_chunks())
        p = told["p_defect"].take(place).to_numpy().astype(np.float64)
    labels = derive(evidence.columns(seed), evidence.source, p, MIN_PER_CLASS)
    target, sure = labels.failure_point.astype(object), labels.sure.clip(0.0, _SUREST)
    gold = _let_gold_decide(target, sure, evidence.gold)
    return target, sure, {**labels.about, "gold": gold, "turns": len(target)}


def _let_gold_decide(target: np.ndarray, sure: np.ndarray, gold: np.ndarray) -> int:
    """Put gold, where there is some, into `target` and `sure`; returns of how many turns."""
    known = gold != None  # noqa: E711  # element-wise
    target[known], sure[known] = gold[known], 1.0
    return int(known.sum())


def check_turns(turns: pa.Table) -> None:
    """Raise `NotEnoughLabels` if there are too few turns to derive labels from."""
    if turns.num_rows < LEAST_TURNS:
        raise NotEnoughLabels(
            f"{counted(turns.num_rows, 'turn')} in the store: too few to train on without "
            f"annotations, which takes {LEAST_TURNS}; ingest more."
        )


def check_labels(target: np.ndarray, minimum: int = MIN_PER_CLASS) -> tuple[str, ...]:
    """The classes with at least `minimum` labels; `NotEnoughLabels` if there are fewer than two."""
    counts = {name: int((target == name).sum()) for name in FAILURE_POINTS}
    present = tuple(name for name, n in counts.items() if n >= minimum)
    if len(present) < 2:
        if sum(map(bool, counts.values())) == 1:
            ((name, n),) = ((name, n) for name, n in counts.items() if n)
            raise NotEnoughLabels(
                f"Training needs a second kind of turn: all {n} labelled turns are called "
                f"{name}; annotate turns that are not, at least {minimum} of each kind."
            )
        per_class = ", ".join(f"{n} {name}" for name, n in counts.items() if n) or "none"
        raise NotEnoughLabels(
            f"Training needs at least two failure points with {minimum} labelled turns each; "
            f"found {per_class}. Ingest traces with gold fields, or annotate more turns; without "
            "annotations, 'faultline score' trains a first model, as 'faultline train --labels "
            "behaviour' does."
        )
    return present


def least_labels(settings: Settings, target: np.ndarray, minimum: int = MIN_PER_CLASS) -> int:
    """Labels that a failure point needs to be learned: fewer where pooled turns show more of it."""
    pools = settings.warm_start and settings.labels == "gold"
    few = int((target != None).sum()) < FADED  # noqa: E711  # element-wise
    return min(minimum, MIN_POOLED) if pools and few else minimum
