"""Daily sums of the predictions: what the charts over time read instead of every turn."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from data.schema.layout import TABLES
from data.schema.tables import DIMENSIONS
from data.schema.trace import FAILURE_POINTS
from data.store.snapshot import scan
from data.store.transaction import Cycle

# Appended files of one model are merged when there are this many.
_MANY_FILES = 24

_KEYS = ", ".join(("day", "model_id", *DIMENSIONS, "failure_point"))
# Of a group of predictions: the sums of the probabilities and of their squares, by class.
SUMS = ", ".join(
    [
        *(f"sum(p_{name}::DOUBLE) AS sum_p_{name}" for name in FAILURE_POINTS),
        *(
            f"sum(p_{name}::DOUBLE * p_{name}) AS sum_pp_{name}"
            for name in (*FAILURE_POINTS, "defect")
        ),
    ]
)


def rollup_sql(predictions: str) -> str:
    """SQL for the rollup of a SELECT of predictions."""
    return f"SELECT {_KEYS}, count(*) AS turns, {SUMS} FROM ({predictions}) GROUP BY {_KEYS}"


def recompute(cycle: Cycle, days: Iterable[str], model_id: str) -> None:
    """Replace the rollup of some days (ISO dates) and one model by sums over its predictions."""
    wanted = sorted(set(days))
    if not wanted:
        return
    mine = cycle.matching("rollup", {"model_id": [model_id]})
    listed = pa.table({"day": pa.array(wanted).cast(pa.date32())})
    cycle.delete_rows("rollup", "day IN (SELECT day FROM wanted)", {"wanted": listed}, mine)
    files = cycle.matching("predictions", {"day": wanted, "model_id": [model_id]})
    if files:
        paths = [cycle.root / "predictions" / path for path in files]
        cycle.append_query("rollup", rollup_sql(scan(TABLES["predictions"], paths)))
    mine = cycle.matching("rollup", {"model_id": [model_id]})
    if len(mine) >= _MANY_FILES:
        cycle.rewrite("rollup", mine)
