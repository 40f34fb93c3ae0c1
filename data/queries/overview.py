"""Queries of the Overview page: rates over time from the roll-up, and the list of defect turns.

Rates are sums of calibrated probabilities divided by turns. Counts are turns by verdict, the class
with the largest weighted probability (the weights are chosen so that rare classes occur too). All
sums come from `rollup`, so they cost the same for ten thousand turns and for ten million.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from data.queries.daily_sums import floor_day, sums_sql
from data.queries.filters import (
    COLUMNS,
    EMPTY_TEXT,
    NOT_LOGGED,
    Filter,
)
from data.queries.turn_list import DEFECTS, order_sql
from data.schema.tables import DIMENSIONS
from data.schema.trace import FAILURE_POINTS, FAILURES, STAGES

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

Grain = Literal["day", "week", "month"]

_SUMS = ",\n  ".join(
    f"coalesce(sum(turns) FILTER (failure_point = '{name}'), 0)::BIGINT AS n_{name},\n"
    f"  coalesce(sum(sum_p_{name}), 0)::DOUBLE AS p_{name}"
    for name in FAILURE_POINTS
)

_TREND = """
SELECT date_trunc($grain, day)::DATE AS day,
  sum(turns)::BIGINT AS turns,
  {sums}
FROM ({sums_of}) AS sums
GROUP BY 1
ORDER BY 1
"""

# The sums of the roll-up over coarser groups, under the same names.
_COARSER = """
SELECT {by}, sum(turns)::BIGINT AS turns,
  {sums}
FROM ({sums_of}) AS sums
GROUP BY {by}
ORDER BY {order}
"""
_AGAIN = ",\n  ".join(
    f"coalesce(sum(sum_{kind}_{name}), 0)::DOUBLE AS sum_{kind}_{name}"
    for kind, names in (("p", FAILURE_POINTS), ("pp", (*FAILURE_POINTS, "defect")))
    for name in names
)

_BOUNDS = """
SELECT min(day) AS first_day, max(day) AS last_day, coalesce(sum(turns), 0)::BIGINT AS turns
FROM rollup
WHERE model_id = $model
"""

_MODELS = "SELECT model_id, sum(turns)::BIGINT AS turns FROM rollup GROUP BY 1 ORDER BY 2 DESC, 1"

_UNDATED_MODELS = "SELECT model_id FROM predictions GROUP BY 1 ORDER BY count(*) DESC, 1"

_OPTIONS = """
SELECT {columns}, sum(turns)::BIGINT AS turns,
  GROUPING_ID({columns}) AS grouping
FROM rollup
WHERE model_id = $model
GROUP BY GROUPING SETS ({sets})
ORDER BY turns DESC
"""

_DEFECTS = """
SELECT turn_id, dialogue_id, started_at, day, failure_point, p_defect,
  CASE failure_point {p} END AS p, assistant, locale, device_type, domain, intent
FROM predictions
WHERE model_id = $model AND {point} AND {clause}
ORDER BY {order}
LIMIT $rows OFFSET $skip
"""

_HEARD = """
SELECT turn_id, asr.hypotheses[1].text AS heard, coalesce(result.response, '') AS response
FROM turns
WHERE day IN ({days}) AND turn_id IN ({ids})
"""


@dataclass(frozen=True)
class Totals:
    """Totals of a set of turns: turns, counts by verdict, sums of probabilities by class."""

    turns: int
    counts: dict[str, int]
    sums: dict[str, float]

    @property
    def defects(self) -> int:
        """Number of turns whose verdict is a failure."""
        return sum(self.counts[name] for name in FAILURES)


def models(snapshot: Snapshot) -> list[str]:
    """Models that have scored turns, the one with the most turns first."""
    names = snapshot.query(_MODELS)["model_id"].to_pylist()
    if not names and snapshot.counts()["predictions"]:
        # Of all that was scored, no date is possible.
        names = snapshot.query(_UNDATED_MODELS)["model_id"].to_pylist()
    return [str(name) for name in names]


def bounds(snapshot: Snapshot, model: str) -> tuple[date, date, int] | None:
    """First and last day that the model has scored, and the number of turns; None if none.

    Of turns with a possible date, as are all figures of the roll-up.
    """
    row = snapshot.query(_BOUNDS, {"model": model}).to_pylist()[0]
    return (row["first_day"], row["last_day"], row["turns"]) if row["turns"] else None


_FACETS = """
SELECT 'status' AS key, coalesce(status, $none) AS value, count(*) AS turns
FROM predictions WHERE model_id = $model GROUP BY ALL
UNION ALL
SELECT 'slot', slot, count(*)
FROM (SELECT unnest(slots) AS slot FROM predictions WHERE model_id = $model) GROUP BY ALL
ORDER BY turns DESC
"""


def facets(snapshot: Snapshot, model: str, most: int = 200) -> dict[str, list[str]]:
    """The statuses and slot names that occur, the most frequent first, at most `most` of each."""
    by_key: dict[str, list[str]] = {"status": [], "slot": []}
    for row in snapshot.query(_FACETS, {"model": model, "none": NOT_LOGGED}).to_pylist():
        by_key[row["key"]].append(row["value"] or EMPTY_TEXT)
    return {key: values[:most] for key, values in by_key.items()}


def options(snapshot: Snapshot, model: str, most: int = 500) -> dict[str, list[str]]:
    """For each key of `Filter`, the values that occur, the most frequent first, at most `most`."""
    columns = [*COLUMNS.values(), *(f"version_{stage}" for stage in STAGES)]
    sql = _OPTIONS.format(columns=", ".join(columns), sets=", ".join(f"({c})" for c in columns))
    table = snapshot.query(sql, {"model": model})
    # GROUPING_ID sets a bit, the first column's the highest, for each column not grouped by.
    all_bits = (1 << len(columns)) - 1
    by_key: dict[str, list[str]] = {}
    for index, column in enumerate(columns):
        mask = all_bits ^ (1 << (len(columns) - 1 - index))
        values = table.filter(pc.field("grouping") == mask)[column].to_pylist()[:most]
        if column.startswith("version_"):
            stage = column.removeprefix("version_")
            by_key.setdefault("version", []).extend(f"{stage}:{v}" for v in values if v is not None)
        else:
            key = next(k for k, c in COLUMNS.items() if c == column)
            by_key[key] = [NOT_LOGGED if v is None else v or EMPTY_TEXT for v in values]
    return by_key


def grain(first: date, last: date) -> Grain:
    """The grain for charts of a period, so that they have at most about a hundred marks."""
    days = (last - first).days + 1
    return "day" if days <= 100 else "week" if days <= 700 else "month"


def trend(snapshot: Snapshot, model: str, chosen: Filter, by: Grain = "day") -> pa.Table:
    """Turns, counts `n_<class>` and sums `p_<class>` per `day`, the period's first day."""
    sums_of, params = sums_sql(chosen)
    sql = _TREND.format(sums=_SUMS, sums_of=sums_of)
    return snapshot.query(sql, {"grain": by, "model": model, **params})


def sums(
    snapshot: Snapshot,
    model: str,
    chosen: Filter,
    by: Sequence[str] = ("day",),
    most: int | None = None,
) -> pa.Table:
    """Sums of a filter's turns by some columns: `by`, turns, sum_p_<class>, sum_pp_<class>.

    Ordered by `by`; with `most`, only the `most` groups with the most turns.
    """
    sums_of, params = sums_sql(chosen, by)
    names = ", ".join(by)
    sql = _COARSER.format(
        by=names, sums=_AGAIN, sums_of=sums_of, order="turns DESC, 1 LIMIT $most" if most else names
    )
    return snapshot.query(sql, {"model": model, **params, **({"most": most} if most else {})})


def cells(snapshot: Snapshot, model: str, chosen: Filter) -> pa.Table:
    """`sums` by day and every dimension, in which change points and shifts are searched."""
    return sums(snapshot, model, chosen, ("day", *DIMENSIONS))


def totals(table: pa.Table) -> Totals:
    """The sums over all rows of a `trend`."""

    def add(column: str) -> Any:
        return pc.sum(table[column]).as_py() or 0

    return Totals(
        turns=int(add("turns")),
        counts={name: int(add(f"n_{name}")) for name in FAILURE_POINTS},
        sums={name: float(add(f"p_{name}")) for name in FAILURE_POINTS},
    )


def defects(
    snapshot: Snapshot,
    model: str,
    chosen: Filter,
    point: str | None = None,
    order: str = "newest",
    rows: int = 20,
    skip: int = 0,
) -> pa.Table:
    """One page of turns whose verdict is a failure (`point`, or any).

    `order` is as for `data.queries.turn_list.order_of`.

    Columns: turn_id, dialogue_id, started_at, day, failure_point, p_defect, p (probability of the
    failure point), the dimensions without versions, heard, response.
    """
    clause, params = chosen.where()
    bound = {"model": model, **params}
    where = "failure_point <> 'correct'"
    if point:
        where, bound["point"] = "failure_point = $point", point
    if order == "newest" and chosen.rollup:
        verdict = {"point": point} if point else {}
        floor = floor_day(snapshot, model, chosen, skip + rows, where, verdict)
        if floor:
            clause, bound["floor"] = f"{clause} AND day >= $floor", floor
    # Sorting by a stored column lets DuckDB read the other columns only for the rows it returns.
    sql = _DEFECTS.format(
        p=" ".join(f"WHEN '{name}' THEN p_{name}" for name in FAILURE_POINTS),
        point=where,
        clause=clause,
        order=order_sql(order, point or DEFECTS),
    )
    page = snapshot.query(sql, {**bound, "rows": rows, "skip": skip})
    # Texts are read only for the rows of the page, and only from their days.
    texts = {}
    if page.num_rows:
        days = {f"day_{i}": d for i, d in enumerate(page["day"].unique().to_pylist())}
        ids = {f"id_{i}": t for i, t in enumerate(page["turn_id"].to_pylist())}
        sql = _HEARD.format(
            days=", ".join("$" + name for name in days), ids=", ".join("$" + name for name in ids)
        )
        texts = {r["turn_id"]: r for r in snapshot.query(sql, {**days, **ids}).to_pylist()}
    for column in ("heard", "response"):
        values = [texts.get(t, {}).get(column) for t in page["turn_id"].to_pylist()]
        page = page.append_column(column, pa.array(values, pa.string()))
    return page
