"""Annotations: the latest of each annotator, the settled verdict of each turn, and progress."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from data.schema.trace import TURNS
from data.store.snapshot import literal

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot


# The annotator of gold that was settled in the dashboard, where logs name their own.
DASHBOARD = "dashboard"


def latest_sql(table: str) -> str:
    """The latest annotation of each annotator of a turn, of those in `table`."""
    return f"""
FROM {table}
QUALIFY row_number() OVER (
  PARTITION BY turn_id, annotator, adjudicated ORDER BY created_at DESC, annotation_id
) = 1
"""


def settled_sql(table: str) -> str:
    """One row per turn with its verdict, from the annotations in `table`.

    `goal_start` and `goal_reached` are settled as the verdict is, among those who said either;
    `defect` is whether the verdict is a failure.

    Only the latest annotation of each annotator counts. The verdict is the adjudicator's, else that
    of more than half of the annotators; without such a majority a turn has no verdict.
    """
    return f"""
SELECT *, failure_point <> 'correct' AS defect FROM (
SELECT turn_id, any_value(dialogue_id) AS dialogue_id, any_value(day) AS day,
  coalesce(
    arg_max(failure_point, created_at) FILTER (adjudicated),
    CASE WHEN max(votes) * 2 > count(*) FILTER (NOT adjudicated)
      THEN arg_max(failure_point, votes) FILTER (NOT adjudicated) END
  ) AS failure_point,
  arg_max(transcript, created_at) AS transcript,
  arg_max(intent, created_at) AS intent,
  arg_max(slots, created_at) AS slots,
  {_majority("goal_start")} AS goal_start,
  {_majority("goal_reached")} AS goal_reached,
  count(DISTINCT annotator) FILTER (NOT adjudicated) AS annotators,
  count(DISTINCT failure_point) FILTER (NOT adjudicated) > 1 AS differ,
  bool_or(adjudicated) AS adjudicated
FROM (
  SELECT *, count(*) FILTER (NOT adjudicated) OVER (PARTITION BY turn_id, failure_point) AS votes
  FROM ({latest_sql(table)})
)
GROUP BY turn_id
)
"""


def _majority(column: str) -> str:
    """A yes or no: the adjudicator's, else that of more than half of those who gave one."""
    of_annotators = f"FILTER (NOT adjudicated AND {column} IS NOT NULL)"
    return (
        f"coalesce(arg_max({column}, created_at) FILTER (adjudicated), "
        f"CASE WHEN avg({column}::INT) {of_annotators} > 0.5 THEN true "
        f"WHEN avg({column}::INT) {of_annotators} < 0.5 THEN false END)"
    )


def gold_sql(gold: str, settled: str, **more: str) -> str:
    """The gold of a turn with what was settled in the dashboard in the place of the logs'.

    `gold` and `settled` are SQL for the struct and for a row of `SETTLED_SQL`; `more` gives SQL for
    further fields of the gold.
    """
    own = {
        "failure_point": f"coalesce({settled}.failure_point, {gold}.failure_point)",
        "annotator": literal(DASHBOARD),
        **{n: f"coalesce({settled}.{n}, {gold}.{n})" for n in ("transcript", "intent", "slots")},
        **more,
    }
    names = [field.name for field in TURNS.field("gold").type]
    return "{" + ", ".join(f"{name}: {own.get(name, f'{gold}.{name}')}" for name in names) + "}"


LATEST_SQL = latest_sql("annotations")
# Whoever may see them: for training. What people read is settled from what everybody may see.
SETTLED_SQL = settled_sql("annotations")

_PROGRESS = f"""
SELECT annotator, failure_point, count(*) AS turns,
  count(*) FILTER (created_at >= $today) AS today
FROM ({LATEST_SQL})
WHERE NOT adjudicated
GROUP BY ALL
ORDER BY ALL
"""


def latest(snapshot: Snapshot) -> pa.Table:
    """The latest annotation of each annotator and adjudicator per turn, ordered by turn."""
    return snapshot.query(
        f"SELECT * FROM ({LATEST_SQL}) ORDER BY turn_id, created_at, annotation_id"
    )


def progress(snapshot: Snapshot, today: datetime) -> pa.Table:
    """How many turns each annotator has judged, by verdict.

    Columns: annotator, failure_point, turns, today (turns since `today`, a time with a time zone).
    """
    return snapshot.query(_PROGRESS, {"today": today})


def without_sql(hidden: Sequence[str]) -> str | None:
    """A condition over `annotations` that excludes those with the ids `hidden`; None for no ids.

    It also excludes other annotations of the same turn by the same annotator.
    """
    if not hidden:
        return None
    ids = ", ".join(literal(annotation_id) for annotation_id in hidden)
    return (
        "(turn_id, annotator) NOT IN (SELECT (turn_id, annotator) FROM annotations "
        f"WHERE annotation_id IN ({ids}))"
    )
