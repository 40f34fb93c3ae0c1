"""Queries behind the Model page: how many turns a threshold flags, and what turns were about."""

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
# What a threshold can be set on: one class, or any failure.
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
SEMI JOIN wanted USING (turn_id, day)
WHERE model_id = $model AND day IN (SELECT day FROM wanted)
"""


def flagged(snapshot: Snapshot, model: str, chosen: Filter, target: str) -> list[int]:
    """Turns whose probability of `target` is at least i / `STEPS`, for i from 0 to `STEPS`.

    `target` is a failure point or "defect"; raises UsageError for anything else.
    """
    if target not in TARGETS:
        raise UsageError(f"'{target}' has no probability; choose one of {', '.join(TARGETS)}.")
    clause, params = chosen.sql()
    sql = _HISTOGRAM.format(target=target, clause=clause)
    found = snapshot.query(sql, {"model": model, **params}).to_pylist()
    counts = [0] * (STEPS + 1)
    for row in found:
        if row["bin"] is not None:
            counts[row["bin"]] += row["turns"]
    for i in range(STEPS - 1, -1, -1):
        counts[i] += counts[i + 1]
    return counts


def heard(snapshot: Snapshot, model: str, turns: Sequence[tuple[str, object]]) -> dict[str, str]:
    """What was heard in some turns, given by id and day."""
    if not turns:
        return {}
    wanted = pa.table(
        {
            "turn_id": pa.array([turn for turn, _ in turns], pa.string()),
            "day": pa.array([day for _, day in turns], pa.date32()),
        }
    )
    rows = snapshot.query(_HEARD, {"model": model}, tables={"wanted": wanted}).to_pylist()
    return {row["turn_id"]: row["heard"] or "" for row in rows}
