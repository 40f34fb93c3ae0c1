"""Daily sums of the turns a filter selects, and the first day of the newest n turns.

All sums come from `rollup` if it can answer the filter, so they cost the same for ten thousand
turns and for ten million.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING, Any

from data.queries.filters import Filter
from data.store.rollup import SUMS

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

_FLOOR = """
SELECT max(day) AS day FROM (
  SELECT day, sum(sum(turns)) OVER (ORDER BY day DESC) AS so_far
  FROM ({sums}) AS sums
  WHERE {verdict}
  GROUP BY day
)
WHERE so_far >= $enough
"""


def sums_sql(
    chosen: Filter, by: Iterable[str] = ("day", "failure_point")
) -> tuple[str, dict[str, Any]]:
    """SQL for sums over the turns of a filter and the model `$model`, and its other parameters.

    The columns are those of `rollup`, with rows at least as fine as `by` (names of its columns). If
    the daily sums cannot answer the filter, the predictions are summed.
    """
    clause, params = chosen.sql() if chosen.rollup else chosen.where()
    where = f"WHERE model_id = $model AND {clause}"
    if chosen.rollup:
        return f"FROM rollup {where}", params
    keys = ", ".join(by)
    return f"SELECT {keys}, count(*) AS turns, {SUMS} FROM predictions {where} GROUP BY {keys}", (
        params
    )


def floor_day(
    snapshot: Snapshot,
    model: str,
    chosen: Filter,
    enough: int,
    verdict: str = "true",
    params: dict[str, Any] | None = None,
) -> date | None:
    """The latest day such that there are at least `enough` turns from it on.

    With it, DuckDB opens only the files of these days. `verdict` is a condition over
    `failure_point`, with its named `params`. None if every day has to be read: there are fewer
    turns, or the filter is for turns whose dates mean nothing.
    """
    if chosen.dates:
        return None
    sums, values = sums_sql(chosen)
    bound = {"model": model, "enough": enough, **values, **(params or {})}
    rows = snapshot.query(_FLOOR.format(sums=sums, verdict=verdict), bound)["day"].to_pylist()
    day: date | None = rows[0]
    return day
