"""Slices: their daily sums, examples and filters, and when releases first appeared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.queries.dimensions import BANDS, condition_sql
from data.queries.filters import (
    NOT_LOGGED,
    Filter,
    Range,
)
from data.queries.sampling import MOST_LOGGED, TURN_ORDER
from data.queries.slice_evidence import (
    Inside,
    within,
)
from data.schema.tables import DIMENSIONS
from data.schema.trace import STAGES
from data.schema.vocabulary import stage_of

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

Conditions = tuple[tuple[str, str], ...]

# Slices whose daily sums are computed in one query.
_MOST = 60

_DAYS = """
SELECT day, {everything}, {slices}
FROM {source} WHERE model_id = $model AND {clause}
GROUP BY day ORDER BY day
"""

_SEEN = """
SELECT {column} AS version, min(day) AS first_day
FROM rollup WHERE model_id = $model AND {column} IS NOT NULL
GROUP BY 1 ORDER BY 2, 1
"""

_EXAMPLES = """
SELECT turn_id, dialogue_id, started_at, day, failure_point, p_defect, {p} AS p,
  assistant, locale, device_type, domain, intent, heard
FROM predictions WHERE {clause} AND {inside} AND {blamed}
ORDER BY {p} DESC, turn_id
LIMIT $rows
"""

# Whole dialogues are the sampling unit: `spread` is the variance of the difference of the two
# rates, from what each dialogue adds to it (linearised).
_COMPARED = """
WITH marked AS (
  SELECT dialogue_id, p_{point}::DOUBLE AS p,
    coalesce({this}, false) AS this, coalesce({other}, false) AS other
  FROM predictions WHERE model_id = $model AND {clause}
), whole AS (
  SELECT count(*) FILTER (this) AS turns, sum(p) FILTER (this) AS failures,
    count(*) FILTER (other) AS other_turns, sum(p) FILTER (other) AS other_failures,
    count(*) FILTER (this AND other) AS shared, sum(p) FILTER (this AND other) AS shared_failures
  FROM marked
), dialogues AS (
  SELECT sum(CASE WHEN this THEN (p - failures / turns) / turns ELSE 0 END
      - CASE WHEN other THEN (p - other_failures / other_turns) / other_turns ELSE 0 END) AS part
  FROM marked, whole WHERE this OR other
  GROUP BY dialogue_id
)
SELECT turns, coalesce(failures, 0) AS failures, other_turns,
  coalesce(other_failures, 0) AS other_failures, shared,
  coalesce(shared_failures, 0) AS shared_failures,
  coalesce((SELECT sum(part * part) FROM dialogues), 0) AS spread
FROM whole
"""

_SHARED = """
SELECT {sums} FROM predictions WHERE model_id = $model AND {clause} AND ({any_of})
"""

_REQUESTS = """
SELECT heard FROM predictions
WHERE {clause} AND {inside} AND {blamed} AND heard <> ''
ORDER BY {order}
LIMIT $most
"""


def daily(
    snapshot: Snapshot, model: str, point: str, chosen: Filter, slices: Sequence[Conditions]
) -> list[pa.Table]:
    """For each slice, a table with one row per day on which the filter has turns.

    Columns: day; turns, total (summed probability of `point`; of any failure for ``defect``) and
    squares (summed squares of it) of the slice; all_turns and all_total of all the filter's turns.
    """
    tables: list[pa.Table] = []
    for start in range(0, len(slices), _MOST):
        tables += _daily(snapshot, model, point, chosen, slices[start : start + _MOST])
    return tables


def _daily(
    snapshot: Snapshot, model: str, point: str, chosen: Filter, slices: Sequence[Conditions]
) -> list[pa.Table]:
    names = {name for conditions in slices for name, _ in conditions}
    source = "rollup" if chosen.rollup and names <= set(DIMENSIONS) else "predictions"
    clause, params = chosen.sql() if source == "rollup" else chosen.where()
    parts = []
    for index, conditions in enumerate(slices):
        inside, values = condition_sql(conditions, f"s{index}")
        params = {**params, **values}
        parts.append(_sums(source, point, f" FILTER ({inside})", f"_{index}"))
    if not parts:
        return []
    table = snapshot.query(
        _DAYS.format(
            everything=_sums(source, point, "", "_all"),
            slices=",\n  ".join(parts),
            source=source,
            clause=clause,
        ),
        {"model": model, **params},
    )
    everything = ["turns_all", "total_all"]
    return [
        table.select(
            ["day", f"turns_{index}", f"total_{index}", f"squares_{index}", *everything]
        ).rename_columns(["day", "turns", "total", "squares", "all_turns", "all_total"])
        for index in range(len(slices))
    ]


def _sums(source: str, point: str, which: str, name: str) -> str:
    if source == "rollup":
        # A turn that did not fail was correct: the sums of both are the turns.
        total = "turns - sum_p_correct" if point == "defect" else f"sum_p_{point}"
        turns, squares = f"sum(turns){which}", f"sum_pp_{point}"
    else:
        turns, total = f"count(*){which}", f"p_{point}::DOUBLE"
        squares = f"{total} * {total}"
    return (
        f"coalesce({turns}, 0)::BIGINT AS turns{name}, "
        f"coalesce(sum({total}){which}, 0)::DOUBLE AS total{name}, "
        f"coalesce(sum({squares}){which}, 0)::DOUBLE AS squares{name}"
    )


def releases(snapshot: Snapshot, model: str, stage: str) -> dict[str, date]:
    """Versions of a stage (one of `STAGES`) -> the day each was first seen, ordered by that day."""
    assert stage in STAGES
    rows = snapshot.query(_SEEN.format(column=f"version_{stage}"), {"model": model}).to_pylist()
    return {str(row["version"]): row["first_day"] for row in rows}


def find_release(snapshot: Snapshot, model: str, point: str, release: str) -> tuple[str, str]:
    """Stage and version for a release written as `asr-4.3`, `asr:4.3` or `4.3`.

    A version in the logs, preferably of the blamed stage; if there is none, the text as it is, as a
    version of the blamed stage.
    """
    stage, colon, rest = release.partition(":")
    named = [stage] if colon and stage in STAGES else []
    text = (rest if named else release).strip()
    blamed = stage_of(point)
    stages = named or sorted(STAGES, key=lambda name: (name != blamed, STAGES.index(name)))
    for stage in stages:
        first_days = releases(snapshot, model, stage)
        for name in (text, f"{stage}-{text}"):
            if name in first_days:
                return stage, name
    return (named[0] if named else blamed if blamed in STAGES else STAGES[0]), text


def before_and_on(
    snapshot: Snapshot,
    model: str,
    point: str,
    chosen: Filter,
    conditions: Conditions,
    release: tuple[str, str],
) -> tuple[pa.Table, pa.Table]:
    """Daily sums of a slice before a release (stage, version), and of its turns on the release.

    Both tables as from `daily`. A condition on the version of the same stage applies only before:
    turns that left the slice by getting the release are those by which it is judged. The dates of
    the filter are ignored, because a fix comes later than the failures that it fixes.
    """
    stage, version = release
    column = f"version_{stage}"
    undated = replace(chosen, since=None, until=None)
    rest = tuple(condition for condition in conditions if condition[0] != column)
    old, new = daily(snapshot, model, point, undated, [conditions, (*rest, (column, version))])
    first = releases(snapshot, model, stage).get(version)
    days: list[Any] = old["day"].to_pylist()
    turns: list[Any] = new["turns"].to_pylist()
    before = pa.array([first is None or day < first for day in days], pa.bool_())
    return old.filter(before), new.filter(pa.array([n > 0 for n in turns], pa.bool_()))


def compared(
    snapshot: Snapshot,
    model: str,
    point: str,
    chosen: Filter,
    this: Conditions,
    other: Conditions,
) -> dict[str, Any]:
    """Sums over the turns of two slices, and over those that are in both.

    Keys: turns, failures (summed probability of `point`; of any failure for ``defect``),
    other_turns, other_failures, shared, shared_failures, and spread (the variance of the difference
    of the two rates; dialogues are the sampling unit).
    """
    clause, params = chosen.where()
    this_sql, this_values = condition_sql(this, "this")
    other_sql, other_values = condition_sql(other, "other")
    sql = _COMPARED.format(point=point, this=this_sql, other=other_sql, clause=clause)
    bound = {"model": model, **params, **this_values, **other_values}
    return dict(snapshot.query(sql, bound).to_pylist()[0])


def shared_turns(
    snapshot: Snapshot,
    model: str,
    point: str,
    chosen: Filter,
    this: Conditions,
    others: Sequence[Conditions],
) -> list[tuple[int, float, int]]:
    """For each of some slices: its turns, failures, and the turns that it shares with `this`."""
    clause, params = chosen.where()
    inside, values = condition_sql(this, "this")
    bound: dict[str, Any] = {"model": model, **params, **values}
    sums, every = [], []
    for index, conditions in enumerate(others):
        condition, more = condition_sql(conditions, f"s{index}")
        bound |= more
        every.append(f"coalesce({condition}, false)")
        sums += [
            f"count(*) FILTER ({condition}) AS turns_{index}",
            f"coalesce(sum(p_{point}::DOUBLE) FILTER ({condition}), 0) AS failures_{index}",
            f"count(*) FILTER ({condition} AND {inside}) AS shared_{index}",
        ]
    if not sums:
        return []
    sql = _SHARED.format(sums=", ".join(sums), clause=clause, any_of=" OR ".join(every))
    (row,) = snapshot.query(sql, bound).to_pylist()
    return [
        (int(row[f"turns_{i}"]), float(row[f"failures_{i}"]), int(row[f"shared_{i}"]))
        for i in range(len(others))
    ]


def examples(snapshot: Snapshot, inside: Inside, rows: int = 10) -> pa.Table:
    """The most certain blamed turns inside, with the columns of `data.queries.overview.defects`
    except `response`."""
    sql, params = inside.bind(_EXAMPLES)
    return snapshot.query(sql, {**params, "rows": rows})


def requests(snapshot: Snapshot, inside: Inside, most: int = 4_000, seed: int = 0) -> list[str]:
    """The first hypotheses of blamed turns inside, without empty ones: a seeded sample."""
    sql, params = within(snapshot, inside, 5 * MOST_LOGGED, seed).bind(_REQUESTS, order=TURN_ORDER)
    return [
        str(text)
        for text in snapshot.query(sql, {**params, "most": most, "seed": seed})["heard"].to_pylist()
    ]


def narrowed(chosen: Filter, conditions: Conditions) -> Filter | None:
    """The filter with the slice's conditions added; None if no filter expresses both."""
    result = chosen
    for name, value in conditions:
        if name in BANDS:
            key, band = name, BANDS[name]
            if value == NOT_LOGGED:
                return None
            index = band.labels.index(value)
            last = len(band.labels) - 1
            # The outermost bands are open-ended, except for the hours of the day.
            low = band.edges[index] if index or name == "hour" else None
            high = band.edges[index + 1] if index < last or name == "hour" else None
            current: Range | None = getattr(result, key)
            if current:
                low = max((end for end in (low, current.low) if end is not None), default=None)
                high = min((end for end in (high, current.high) if end is not None), default=None)
                if low is not None and high is not None and low > high:
                    return None
            bounds: dict[str, Any] = {key: Range(low, high)}
            result = replace(result, **bounds)
        elif name.startswith("version_"):
            stage = name.removeprefix("version_")
            others = tuple(v for v in result.version if not v.startswith(f"{stage}:"))
            result = replace(result, version=(*others, f"{stage}:{value}"))
        else:
            key = name.removesuffix("_type")
            if key == "slot" and result.slot:
                # Slots are alternatives in a filter, which cannot require two of them at once.
                return None
            current_values: Any = getattr(result, key)
            if current_values and value not in current_values:
                return None
            only: dict[str, Any] = {key: (value,)}
            result = replace(result, **only)
    return result
