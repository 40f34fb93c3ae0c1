"""The table of the Explore page: one page of sorted predictions, with texts truncated in SQL."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from data.queries.daily_sums import floor_day
from data.queries.filters import ANNOTATED, Filter
from data.queries.turn_list import NAMED, order_sql
from data.schema.tables import PREDICTIONS

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

# The columns that can be shown: all columns of a prediction except its reasons and fingerprint.
COLUMNS = tuple(name for name in PREDICTIONS.names if name not in ("reasons", "context_digest"))
SHOWN = (
    "started_at", "heard", "failure_point", "p_defect", "domain", "intent", "locale", "device_type"
)  # fmt: skip
ORDERS = tuple(NAMED)
# Rows that can be reached by paging; every page sorts all rows before it. Beyond, users narrow the
# filter or export.
REACH = 10_000
_LONGEST = 160

_PAGE = """
SELECT turn_id, day, {columns} FROM (
  SELECT * FROM predictions
  WHERE model_id = $model AND {clause}
  ORDER BY {order}
  LIMIT $rows OFFSET $skip
)
ORDER BY {order}
"""


def listing(
    snapshot: Snapshot,
    model: str,
    chosen: Filter,
    columns: tuple[str, ...] = SHOWN,
    order: str = "newest",
    rows: int = 50,
    skip: int = 0,
) -> pa.Table:
    """Rows `skip` to `skip + rows` of the filter's turns: turn_id, day, and the given `columns`.

    `order` is as for `data.queries.turn_list.order_of`. Texts are truncated to 160 characters.
    """
    clause, params = chosen.where()
    bound = {"model": model, **params}
    if order == "newest" and chosen.rollup:
        floor = floor_day(snapshot, model, chosen, skip + rows)
        if floor:
            clause, bound["floor"] = f"{clause} AND day >= $floor", floor
    names = [name for name in columns if name in COLUMNS and name not in ("turn_id", "day")]
    parts = [
        f'left("{name}", {_LONGEST}) AS "{name}"'
        if pa.types.is_string(PREDICTIONS.field(name).type)
        else f'"{name}"'
        for name in names
    ] or ["started_at"]
    inner = order_sql(order)
    sql = _PAGE.format(columns=", ".join(parts), clause=clause, order=inner)
    return snapshot.query(sql, {**bound, "rows": rows, "skip": skip})


_ANNOTATED = f"""
SELECT count(*) AS n FROM (FROM predictions WHERE model_id = $model AND {{clause}})
WHERE {ANNOTATED}
"""

# On days that the model has scored completely, labels alone suffice: none is of a turn that was not
# scored, or whose date is impossible.
_SCORED = """
SELECT day, sum(turns)::BIGINT AS turns FROM rollup WHERE model_id = $model GROUP BY day
"""
_JUDGED = "SELECT turn_id, day FROM labelled WHERE failure_point IS NOT NULL"
_ANNOTATED_DAYS = f"""
SELECT (SELECT count(*) FROM ({_JUDGED}) WHERE {{clause}})
  + (SELECT count(DISTINCT turn_id) FROM annotations ANTI JOIN ({_JUDGED}) USING (turn_id)
     WHERE {{clause}}) AS n
"""


def annotated(snapshot: Snapshot, model: str, chosen: Filter) -> int:
    """The number of turns of the filter that annotators have judged, in logs or dashboard."""
    counts = snapshot.counts()
    if not any(counts[name] for name in ("labelled", "annotations")):
        return 0
    days_only, params = chosen.sql()
    clause, _ = chosen.where()
    sql = _ANNOTATED.format(clause=clause)
    if replace(chosen, since=None, until=None):
        return int(snapshot.query(sql, {"model": model, **params})["n"][0].as_py())
    rows = snapshot.query(_SCORED, {"model": model}).to_pylist()
    scored = {row["day"]: row["turns"] for row in rows}
    incomplete = [day for day, n in snapshot.rows_by_day("turns").items() if scored.get(day) != n]
    days = {f"day_{i}": day for i, day in enumerate(incomplete)}
    in_incomplete = f"day IN ({', '.join('$' + name for name in days)})" if days else "false"
    easy = _ANNOTATED_DAYS.format(clause=f"{days_only} AND NOT {in_incomplete}")
    count = int(snapshot.query(easy, {**params, **days})["n"][0].as_py())
    if days:
        hard = _ANNOTATED.format(clause=f"{clause} AND {in_incomplete}")
        count += int(snapshot.query(hard, {"model": model, **params, **days})["n"][0].as_py())
    return count
