"""Queries of the Model page: turns that a threshold flags, and the first hypothesis of turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from data.errors import UsageError
from data.queries.filters import Filter
from data.schema.trace import FAILURE_POINTS

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

STEPS = 100
# Probabilities that a threshold can apply to: of any failure, or of one class.
TARGETS = ("defect", *FAILURE_POINTS)

_HISTOGRAM = f"""
SELECT least(floor(p_{{target}}::DOUBLE * {STEPS})::INTEGER, {STEPS}) AS bin, count(*) AS turns
FROM predictions
WHERE model_id = $model AND {{clause}}
GROUP BY ALL
"""

_HEARD = """
SELECT turn_id, heard, started_at
FROM predictions
SEMI JOIN requested USING (turn_id, day)
WHERE model_id = $model AND day IN (SELECT day FROM requested)
"""


def flagged(snapshot: Snapshot, model: str, chosen: Filter, target: str) -> list[int]:
    """Number of turns whose probability of `target` is at least i / `STEPS`, for i in 0..`STEPS`.

    `target` is a failure point or "defect"; raises UsageError for anything else.
    """
    if target not in TARGETS:
        raise UsageError(f"Unknown target '{target}'; choose one of {', '.join(TARGETS)}.")
    clause, params = chosen.where()
    sql = _HISTOGRAM.format(target=target, clause=clause)
    rows = snapshot.query(sql, {"model": model, **params}).to_pylist()
    counts = [0] * (STEPS + 1)
    for row in rows:
        if row["bin"] is not None:
            counts[row["bin"]] += row["turns"]
    for i in range(STEPS - 1, -1, -1):
        counts[i] += counts[i + 1]
    return counts


def heard(snapshot: Snapshot, model: str, turns: Sequence[tuple[str, object]]) -> dict[str, str]:
    """The recogniser's first hypothesis ("" if none), by turn id, of turns given by id and day."""
    if not turns:
        return {}
    requested = pa.table(
        {
            "turn_id": pa.array([turn for turn, _ in turns], pa.string()),
            "day": pa.array([day for _, day in turns], pa.date32()),
        }
    )
    rows = snapshot.query(_HEARD, {"model": model}, tables={"requested": requested}).to_pylist()
    return {row["turn_id"]: row["heard"] or "" for row in rows}
