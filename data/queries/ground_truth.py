"""Predictions of the turns whose truth is known: from the logs' own gold, or from annotators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from data.queries.annotations import SETTLED_SQL
from data.queries.filters import Filter
from data.queries.sampling import MOST_LABELLED, every, one_in
from data.schema.trace import FAILURE_POINTS

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

# What people settled in the dashboard goes before what came with the logs.
KNOWN_SQL = f"""
SELECT turn_id, dialogue_id, day, failure_point AS truth, 'dashboard' AS source
FROM ({SETTLED_SQL})
UNION ALL
SELECT turn_id, dialogue_id, day, failure_point, source
FROM labelled ANTI JOIN ({SETTLED_SQL}) USING (turn_id, dialogue_id, day)
"""

_LABELLED = f"""
SELECT turn_id, dialogue_id, p.day, k.truth, k.source, p.failure_point,
  {", ".join(f"p.p_{name}" for name in FAILURE_POINTS)}
FROM (FROM predictions WHERE model_id = $model AND {{clause}}) p
JOIN (FROM ({KNOWN_SQL}) WHERE truth IS NOT NULL AND {{sampled}}) k USING (turn_id, dialogue_id)
WHERE p.day = k.day
ORDER BY turn_id
"""

# Whom the logs' own gold has looked at was not chosen in the dashboard, so its turns stay a sample
# of the traffic whoever settled them later. Turns that only the dashboard's queue brought up, and
# those whose gold did not suffice, are no part of it.
_SAMPLED = f"""
SELECT l.dialogue_id, l.day, coalesce(s.failure_point, l.failure_point) AS truth,
  {", ".join(f"p.p_{name}" for name in FAILURE_POINTS)}
FROM (FROM labelled WHERE {{sampled}}) l
LEFT JOIN ({SETTLED_SQL}) s USING (turn_id, dialogue_id, day)
JOIN (FROM predictions WHERE model_id = $model AND {{clause}}) p ON p.turn_id = l.turn_id
WHERE p.day = l.day AND l.failure_point IS NOT NULL
ORDER BY l.turn_id
"""


_COUNT = "SELECT count(*) AS labels FROM labelled WHERE failure_point IS NOT NULL"
_GOLD = "SELECT * FROM turns WHERE gold IS NOT NULL"


def labelled(
    snapshot: Snapshot, model: str, chosen: Filter | None = None, most: int = MOST_LABELLED
) -> pa.Table:
    """One row per scored turn whose truth is known, ordered by turn.

    Of very many, whole dialogues are read (`data.queries.sampling.one_in`).

    Columns: turn_id, dialogue_id, day, truth (a failure point), source ("annotated", "derived" or
    "dashboard"), failure_point (the verdict), p_<failure point>.
    """
    return _read(snapshot, model, chosen or Filter(), most, _LABELLED)


def sampled(snapshot: Snapshot, model: str, chosen: Filter, most: int = MOST_LABELLED) -> pa.Table:
    """The turns that stand for all others in estimates: those that came with gold that suffices.

    Columns: dialogue_id, day, truth (what annotators settled in the dashboard, else the gold's
    failure point), p_<failure point>. Turns annotated in the dashboard alone are left out: a queue
    chose them, by what the model was unsure of. Of very many, whole dialogues are read, as of
    `labelled`.
    """
    return _read(snapshot, model, chosen, most, _SAMPLED)


def _read(snapshot: Snapshot, model: str, chosen: Filter, most: int, sql: str) -> pa.Table:
    clause, params = chosen.sql()
    part = one_in(snapshot, model, chosen, most)
    sql = sql.format(clause=clause, sampled=every(part))
    return snapshot.query(sql, {"model": model, **params})


def labels_in_logs(snapshot: Snapshot) -> int:
    """How many turns came with a label, or with gold that a label follows from."""
    return int(snapshot.query(_COUNT)["labels"][0].as_py())


def turns_with_gold(snapshot: Snapshot) -> pa.Table:
    """Turns (columns of `data.schema.trace.TURNS`) that came with gold, whatever it says."""
    return snapshot.query(_GOLD)
