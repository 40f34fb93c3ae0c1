"""Pivot tables: turns and expected failures of every cell of two dimensions.

From the daily sums if they suffice, else from the predictions of the filter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from data.intervals import wilson
from data.queries.daily_sums import sums_sql
from data.queries.filters import BANDS, NOT_LOGGED, Filter
from data.schema.trace import FAILURE_POINTS, FAILURES, STAGES
from data.schema.vocabulary import STAGE_TITLES

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

ANY = "any"
MEASURES = ("rate", "failures", "turns", "share")
Measure = Literal["rate", "failures", "turns", "share"]
OTHERS = "(others)"
# Cells with fewer turns are shown as unreliable.
FEW = 30
# As a double, as the bounds of a filter are: 0.7 as a float differs from 0.7 as a double.
_NUMBERS = {"confidence": "asr_confidence::DOUBLE", "words": "words", "hour": "hour(started_at)"}


@dataclass(frozen=True)
class Dimension:
    """A dimension of a pivot table.

    Attributes
    ----------
    sql: expression over `predictions`, and over `rollup` if `summed`. key: the filter key for which
    a value is a condition; None if there is none. order: the values in their order; () for the
    most frequent first, None to sort by value.
    """

    label: str
    sql: str
    key: str | None
    summed: bool = True
    order: tuple[str, ...] | None = ()


def _band(key: str) -> str:
    cases = []
    for band in BANDS[key]:
        high = band.partition("..")[2]
        cases.append(f"WHEN {_NUMBERS[key]} < {high} THEN '{band}'" if high else f"ELSE '{band}'")
    return f"CASE WHEN {_NUMBERS[key]} IS NULL THEN NULL {' '.join(cases)} END"


DIMENSIONS = {
    "domain": Dimension("Domain", "domain", "domain"),
    "intent": Dimension("Intent", "intent", "intent"),
    "slot": Dimension("Slot", "slot", "slot", summed=False),
    "locale": Dimension("Locale", "locale", "locale"),
    "device": Dimension("Device", "device_type", "device"),
    "assistant": Dimension("Assistant", "assistant", "assistant"),
    **{
        f"version_{stage}": Dimension(
            f"{STAGE_TITLES[stage]} version", f"version_{stage}", "version"
        )
        for stage in STAGES
    },
    "confidence": Dimension(
        "ASR confidence", _band("confidence"), "confidence", False, BANDS["confidence"]
    ),
    "words": Dimension("Words", _band("words"), "words", False, BANDS["words"]),
    "hour": Dimension("Hour, UTC", _band("hour"), "hour", False, BANDS["hour"]),
    "status": Dimension("Status", "status", "status", summed=False),
    "action": Dimension("Action", "action", None, summed=False),
    "verdict": Dimension(
        "Predicted failure point", "failure_point", "failure_point", order=FAILURE_POINTS
    ),
    "day": Dimension("Day", "day::VARCHAR", "day", order=None),
    "week": Dimension("Week", "date_trunc('week', day)::DATE::VARCHAR", "week", order=None),
}


# Values beyond the first `down` or `across` are combined, which keeps the number of cells small.
_ALL = 1_000_000
_PIVOT = """
WITH cells AS (
  SELECT {down} AS r, {across} AS c, sum(turns)::BIGINT AS turns, sum({failed})::DOUBLE AS failures
  FROM ({source}) AS sums
  GROUP BY ALL
),
downs AS (
  SELECT r, sum(turns) AS n FROM cells GROUP BY ALL ORDER BY {first_r} LIMIT $down
),
acrosses AS (
  SELECT c, sum(turns) AS n FROM cells GROUP BY ALL ORDER BY {first_c} LIMIT $across
)
SELECT
  CASE WHEN d.n IS NULL THEN $others ELSE coalesce(cells.r, $none) END AS r,
  CASE WHEN a.n IS NULL THEN $others ELSE coalesce(cells.c, $none) END AS c,
  sum(turns)::BIGINT AS turns, sum(failures)::DOUBLE AS failures
FROM cells
LEFT JOIN downs d ON d.r IS NOT DISTINCT FROM cells.r
LEFT JOIN acrosses a ON a.c IS NOT DISTINCT FROM cells.c
GROUP BY 1, 2
"""


@dataclass(frozen=True)
class Cell:
    """Number of turns, and expected number of failures: the sum of the model's probabilities."""

    turns: int
    failures: float

    @property
    def rate(self) -> float:
        return self.failures / self.turns if self.turns else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the rate, as if turns were independent."""
        return wilson(self.failures, self.turns)


@dataclass(frozen=True)
class Pivot:
    """Rows and columns in their order; `cells` contains only cells with turns, by (row, column).

    With the slot as a dimension, a turn counts in each of its slots.
    """

    down: str
    across: str | None
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: dict[tuple[str, str], Cell]
    # Whether the figures come from the daily sums.
    summed: bool
    # Totals that are not the sums of their cells: over slots, by (row, column), None for all.
    margins: Mapping[tuple[str | None, str | None], Cell] = field(default_factory=dict)

    def total(self, row: str | None = None, column: str | None = None) -> Cell:
        """The turns of a row, of a column, or of all, each turn counted once."""
        if (row, column) in self.margins:
            return self.margins[row, column]
        cells = [
            cell for (r, c), cell in self.cells.items() if row in (None, r) and column in (None, c)
        ]
        return Cell(sum(c.turns for c in cells), sum(c.failures for c in cells))


def pivot(
    snapshot: Snapshot,
    model: str,
    chosen: Filter,
    down: str,
    across: str | None = None,
    failure: str = ANY,
    rows: int = 30,
    columns: int = 12,
    scale: Mapping[str, float] | None = None,
) -> Pivot:
    """A pivot table of the filter's turns by one or two of `DIMENSIONS`.

    It has at most `rows` rows and `columns` columns: the most frequent values, for days and weeks
    the latest. All other values are combined in the row or column `(others)`. `scale` multiplies
    the model's sums of failure points, so that they add up to corrected rates; no cell has more
    failures than turns.
    """
    factors = {name: (scale or {}).get(name, 1.0) for name in FAILURES}
    counted = FAILURES if failure == ANY else (failure,)
    row_dimension, column_dimension = DIMENSIONS[down], DIMENSIONS[across] if across else None
    dimensions = [row_dimension, *([column_dimension] if column_dimension else [])]
    summed = chosen.rollup and all(d.summed for d in dimensions)
    source, params = _source(chosen, [down, *([across] if across else [])], summed)
    sql = _PIVOT.format(
        down=row_dimension.sql if summed else "r",
        across=("''" if column_dimension is None else column_dimension.sql) if summed else "c",
        failed=" + ".join(f"sum_p_{name} * $scale_{name}" for name in counted),
        source=source,
        first_r="r DESC" if row_dimension.order is None else "n DESC, r",
        first_c="c DESC" if column_dimension and column_dimension.order is None else "n DESC, c",
    )
    bound = {
        **{"model": model, "down": rows, "across": columns, "others": OTHERS, "none": NOT_LOGGED},
        **{f"scale_{name}": factors[name] for name in counted},
    }
    sums = snapshot.query(sql, {**params, **bound}).to_pylist()
    cells = {
        (r["r"], r["c"]): Cell(int(r["turns"]), min(float(r["failures"]), float(r["turns"])))
        for r in sums
    }
    ordered = (
        _ordered(row_dimension, cells, 0),
        _ordered(column_dimension, cells, 1) if column_dimension else ("",) if cells else (),
    )
    margins: dict[tuple[str | None, str | None], Cell] = {}
    if "slot" in (down, across):
        margins = _margins(snapshot, model, chosen, down, across, failure, ordered, factors)
    return Pivot(down, across, *ordered, cells, summed, margins)


def _margins(
    snapshot: Snapshot,
    model: str,
    chosen: Filter,
    down: str,
    across: str | None,
    failure: str,
    ordered: tuple[tuple[str, ...], tuple[str, ...]],
    scale: Mapping[str, float],
) -> dict[tuple[str | None, str | None], Cell]:
    """Totals over slots: a turn counts under each of its slots, but once in a total."""
    other = across if down == "slot" else down
    # Without another dimension, one that has the same number of turns in all.
    table = pivot(
        snapshot, model, chosen, other or "assistant", None, failure, rows=_ALL, scale=scale
    )
    totals: dict[tuple[str | None, str | None], Cell] = {(None, None): table.total()}
    if other is None:
        return totals
    axis = 1 if down == "slot" else 0
    named = set(ordered[axis]) - {OTHERS}
    for value in ordered[axis]:
        rows = [value] if value != OTHERS else [row for row in table.rows if row not in named]
        cells = [table.total(row) for row in rows]
        cell = Cell(sum(c.turns for c in cells), sum(c.failures for c in cells))
        totals[(None, value) if axis else (value, None)] = cell
    return totals


def _source(chosen: Filter, names: list[str], summed: bool) -> tuple[str, dict[str, Any]]:
    if summed:
        return sums_sql(chosen, ("day", "failure_point", *_columns(names)))
    clause, params = chosen.where()
    # The probabilities of a turn are named as the daily sums are.
    sums = ", ".join(f"p_{name}::DOUBLE AS sum_p_{name}" for name in FAILURES)
    values = [DIMENSIONS[name].sql for name in names]
    if "slot" in names:
        # A turn without slots is kept: its slot is null.
        slots = (
            "unnest(CASE WHEN coalesce(len(slots), 0) = 0 THEN [NULL] "
            "ELSE list_distinct(slots) END) AS slot"
        )
        rows = f"SELECT *, {slots} FROM predictions WHERE model_id = $model AND {clause}"
    else:
        rows = f"SELECT * FROM predictions WHERE model_id = $model AND {clause}"
    second = values[1] if len(values) > 1 else "''"
    return f"SELECT {values[0]} AS r, {second} AS c, 1 AS turns, {sums} FROM ({rows})", params


def _columns(names: list[str]) -> list[str]:
    return [DIMENSIONS[name].sql for name in names if name not in ("day", "week", "verdict")]


def _ordered(
    dimension: Dimension, cells: dict[tuple[str, str], Cell], axis: int
) -> tuple[str, ...]:
    turns: dict[str, int] = {}
    for key, cell in cells.items():
        turns[key[axis]] = turns.get(key[axis], 0) + cell.turns
    unnamed = (NOT_LOGGED, OTHERS)
    named = [value for value in turns if value not in unnamed]
    if dimension.order is None:
        named.sort()
    elif dimension.order:
        named.sort(key=dimension.order.index)
    else:
        named.sort(key=lambda value: (-turns[value], value))
    return (*named, *(value for value in unnamed if value in turns))


def condition(name: str, value: str) -> list[tuple[str, str]]:
    """The filter conditions (key, value) for a row or column; empty if no filter expresses it.

    A week gives its first and last day. There is no condition for `(others)`, for a dimension
    without a filter key, and for a number or version that was not logged.
    """
    key = DIMENSIONS[name].key
    if key is None or value == OTHERS:
        return []
    if key == "day":
        return [("since", value), ("until", value)]
    if key == "week":
        return [("since", value), ("until", str(date.fromisoformat(value) + timedelta(days=6)))]
    if value == NOT_LOGGED and key in (*BANDS, "version"):
        return []
    if key == "version":
        return [("version", f"{name.removeprefix('version_')}:{value}")]
    return [(key, value)]


# What to cut by next, once a dimension is narrowed to one value; then the first that is left.
_DEEPER = {
    "domain": ("intent", "slot"),
    "intent": ("slot", "status"),
    "locale": ("device",),
    "week": ("day",),
    "day": ("hour",),
    "slot": ("status", "action"),
    "verdict": ("domain", "intent"),
}
_USUAL = ("domain", "intent", "device", "locale", "version_asr", "confidence", "words", "day")


def deeper(name: str, fixed: Iterable[str], taken: str | None = None) -> str:
    """The dimension to cut by instead of one whose filter leaves a single value.

    `fixed`: dimensions that the filters leave a single value of. `taken`: the one of the other
    axis. The same dimension if there is no better one.
    """
    closed = {name, taken, *fixed}
    # All intents of one domain say more than the domain of one intent.
    if "intent" in closed:
        closed.add("domain")
    return next((d for d in (*_DEEPER.get(name, ()), *_USUAL) if d not in closed), name)


def narrowed(conditions: Iterable[tuple[str, str]]) -> set[str]:
    """The dimensions that conditions (key, value) leave a single value of."""
    dimensions: set[str] = set()
    pairs = list(conditions)
    days = {key: value for key, value in pairs if key in ("since", "until")}
    if days.get("since") and days.get("since") == days.get("until"):
        dimensions |= {"day", "week"}
    elif len(days) == 2 and _one_week(days["since"], days["until"]):
        dimensions.add("week")
    keys = [key for key, _ in pairs]
    for name, dimension in DIMENSIONS.items():
        if dimension.key == "version":
            stage = name.removeprefix("version_")
            values = [value for key, value in pairs if key == "version"]
            if sum(value.startswith(f"{stage}:") for value in values) == 1:
                dimensions.add(name)
        elif dimension.key and keys.count(dimension.key) == 1:
            dimensions.add(name)
    return dimensions


def _one_week(since: str, until: str) -> bool:
    first, last = date.fromisoformat(since), date.fromisoformat(until)
    return first <= last and first - timedelta(days=first.weekday()) == last - timedelta(
        days=last.weekday()
    )


def long(table: Pivot) -> pa.Table:
    """The pivot in long format: row, column, turns, failures, rate and its interval (low, high)."""
    rows = [
        {
            "row": r,
            "column": c,
            "turns": cell.turns,
            "failures": cell.failures,
            "rate": cell.rate,
            "low": cell.interval[0],
            "high": cell.interval[1],
        }
        for r in table.rows
        for c in table.columns
        if (cell := table.cells.get((r, c)))
    ]
    return pa.Table.from_pylist(rows) if rows else pa.table({"row": [], "column": [], "turns": []})
