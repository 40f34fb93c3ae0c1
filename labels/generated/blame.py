"""Failure points of generated labels, and how sure they are."""

from __future__ import annotations

import pyarrow as pa

from features.arrow import pc
from labels.generated import failure_points
from labels.generated.failure_points import Confidence
from labels.generated.model import LabelModel
from labels.rules.failure_point import labels


def confidence_of(model: LabelModel, turns: pa.Table, told: pa.Table) -> Confidence | None:
    """How sure generated failure points are, by those of turns with gold, out of fold.

    Parameters
    ----------
    turns: those that `model` was trained on. told: turn_id and p_defect, from feedback.

    None where too few turns have gold.
    """
    if model.held_out is None:
        return None
    known = model.held_out.table
    rows = pc.index_in(known["turn_id"], value_set=told["turn_id"].combine_chunks())
    defects = known.select(["turn_id"]).append_column(
        "p_defect",
        pc.coalesce(
            pc.if_else(
                pc.is_finite(known["turn_defect"]),
                known["turn_defect"],
                pa.scalar(None, pa.float32()),
            ),
            told["p_defect"].take(rows).cast(pa.float32()),
        ),
    )
    meant = known.filter(pc.or_(pc.is_valid(known["intent"]), pc.is_valid(known["slots"])))
    points = failure_points.generate(turns, meant if meant.num_rows else None, defects)
    gold = labels(turns)
    place = pc.index_in(points["turn_id"], value_set=gold["turn_id"].combine_chunks())
    return Confidence.fit(
        points["failure_point"].to_pylist(),
        points["weight"].to_numpy(),
        gold["failure_point"].take(place).to_pylist(),
    )


def blamed(made: pa.Table, turns: pa.Table, confidence: Confidence | None) -> pa.Table:
    """Labels (`labels.generated.model.LABELS`) of `turns` with the words that were meant, and the
    failure point that follows by rule.

    Adds the columns transcript, p_transcript, failure_point and p_failure_point.
    """
    defects = made.select(["turn_id", "turn_defect"]).rename_columns(["turn_id", "p_defect"])
    meant = made.filter(pc.or_(pc.is_valid(made["intent"]), pc.is_valid(made["slots"])))
    points = failure_points.generate(turns, meant if meant.num_rows else None, defects, confidence)
    for name, column in (
        ("transcript", "transcript"),
        ("p_transcript", "p_transcript"),
        ("failure_point", "failure_point"),
        ("p_failure_point", "weight"),
    ):
        made = made.append_column(name, points[column])
    return made
