"""Daily sums of the predictions, which the charts over time read instead of every turn.

Turns whose date cannot be right (`data.store.misdated`) belong to no day and are not in them.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from data.schema.layout import TABLES
from data.schema.tables import DIMENSIONS
from data.schema.trace import FAILURE_POINTS
from data.store.misdated import without
from data.store.snapshot import scan
from data.store.transaction import Cycle

# The files of one model are merged when there are this many.
_MANY_FILES = 24

_KEYS = ", ".join(("day", "model_id", *DIMENSIONS, "failure_point"))
# For a group of predictions: the sums of the probabilities and of their squares, per class.
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
    """SQL that sums up a SELECT of predictions into rows of the rollup."""
    return f"SELECT {_KEYS}, count(*) AS turns, {SUMS} FROM ({predictions}) GROUP BY {_KEYS}"


def recompute(cycle: Cycle, days: Iterable[str], model_id: str) -> None:
    """Replace the rollup of some days (ISO dates) and one model by sums over its predictions."""
    dated = f"FROM ({{predictions}}) WHERE {without(cycle, 'turn_id')}"
    replace_days(cycle, "rollup", days, model_id, rollup_sql(dated))


def replace_days(cycle: Cycle, name: str, days: Iterable[str], model_id: str, sql: str) -> None:
    """Replace the rows of some days (ISO dates) and one model in a table derived from predictions.

    `sql` makes the table's rows of those that `{predictions}` in it stands for.
    """
    dates = sorted(set(days))
    if not dates:
        return
    of_model = {"model_id": [model_id]}
    table = pa.table({"day": pa.array(dates).cast(pa.date32())})
    condition = "day IN (SELECT day FROM dates)"
    cycle.delete_rows(name, condition, {"dates": table}, cycle.matching(name, of_model))
    files = cycle.matching("predictions", {"day": dates, **of_model})
    if files:
        paths = cycle.paths("predictions", files)
        cycle.append_query(name, sql.format(predictions=scan(TABLES["predictions"], paths)))
    derived = cycle.matching(name, of_model)
    if len(derived) >= _MANY_FILES:
        cycle.rewrite(name, derived)
