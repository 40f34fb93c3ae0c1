"""Predictions of the turns whose truth is known: from the logs' own gold, or from annotators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from data.annotations import SETTLED_SQL
from data.filters import Filter
from data.tables import DIMENSIONS
from data.trace import FAILURE_POINTS

if TYPE_CHECKING:
    from data.snapshot import Snapshot

# What people settled in the dashboard goes before what came with the logs.
KNOWN_SQL = f"""
SELECT turn_id, dialogue_id, day,
  CASE WHEN s.turn_id IS NULL THEN l.failure_point ELSE s.failure_point END AS truth,
  CASE WHEN s.turn_id IS NULL THEN l.source ELSE 'dashboard' END AS source
FROM labelled l FULL JOIN ({SETTLED_SQL}) s USING (turn_id, dialogue_id, day)
"""

_LABELLED = f"""
SELECT turn_id, dialogue_id, p.day, k.truth, k.source, p.failure_point,
  {", ".join(f"p.p_{name}" for name in (*FAILURE_POINTS, "defect"))},
  {", ".join(f"p.{name}" for name in DIMENSIONS)},
  p.asr_confidence, p.words, p.started_at
FROM (FROM predictions WHERE model_id = $model AND {{clause}}) p
JOIN (FROM ({KNOWN_SQL}) WHERE truth IS NOT NULL) k USING (turn_id, dialogue_id)
WHERE p.day = k.day
ORDER BY turn_id
"""

# Whom the logs' own gold has looked at was not chosen in the dashboard, so its turns stay a sample
# of the traffic whoever settled them later. Turns that only the dashboard's queue brought up, and
# those whose gold did not suffice, are no part of it.
_SAMPLED = f"""
SELECT p.dialogue_id, p.day, coalesce(s.failure_point, l.failure_point) AS truth,
  {", ".join(f"p.p_{name}" for name in FAILURE_POINTS)}
FROM labelled l
LEFT JOIN ({SETTLED_SQL}) s USING (turn_id, dialogue_id, day)
JOIN (FROM predictions WHERE model_id = $model AND {{clause}}) p USING (turn_id, dialogue_id, day)
WHERE l.failure_point IS NOT NULL
ORDER BY turn_id
"""


def labelled(snapshot: Snapshot, model: str, chosen: Filter | None = None) -> pa.Table:
    """One row per scored turn whose truth is known, ordered by turn.

    Columns: turn_id, dialogue_id, day, started_at, truth (a failure point), source ("annotated",
    "derived" or "dashboard"), failure_point (the verdict), p_<failure point>, p_defect,
    the dimensions, asr_confidence, words.
    """
    clause, params = (chosen or Filter()).sql()
    return snapshot.query(_LABELLED.format(clause=clause), {"model": model, **params})


def sampled(snapshot: Snapshot, model: str, chosen: Filter) -> pa.Table:
    """The turns that stand for all others in estimates: those that came with gold that suffices.

    Columns: dialogue_id, day, truth (what annotators settled in the dashboard, else the gold's
    failure point), p_<failure point>. Turns annotated in the dashboard alone are left out: a queue
    chose them, by what the model was unsure of.
    """
    clause, params = chosen.sql()
    return snapshot.query(_SAMPLED.format(clause=clause), {"model": model, **params})
