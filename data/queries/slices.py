"""What a slice is made of, day by day and turn by turn; which releases came when."""

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

# Slices of which the days are added up in one pass.
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

_REQUESTS = """
SELECT heard FROM predictions
WHERE {clause} AND {inside} AND {blamed} AND heard <> ''
ORDER BY {order}
LIMIT $most
"""


def daily(
    snapshot: Snapshot, model: str, point: str, chosen: Filter, slices: Sequence[Conditions]
) -> list[pa.Table]:
    """Of each slice, one row a day on which the filter has turns.

    Columns: day, turns, total (summed probability of `point`; of any failure for ``defect``) and
    squares of the slice, all_turns and all_total of everything that the filter lets through.
    """
    found: list[pa.Table] = []
    for start in range(0, len(slices), _MOST):
        found += _daily(snapshot, model, point, chosen, slices[start : start + _MOST])
    return found


def _daily(
    snapshot: Snapshot, model: str, point: str, chosen: Filter, slices: Sequence[Conditions]
) -> list[pa.Table]:
    clause, params = chosen.sql()
    names = {name for conditions in slices for name, _ in conditions}
    source = "rollup" if chosen.rollup and names <= set(DIMENSIONS) else "predictions"
    parts = []
    for place, conditions in enumerate(slices):
        inside, values = condition_sql(conditions, f"s{place}")
        params = {**params, **values}
        parts.append(_sums(source, point, f" FILTER ({inside})", f"_{place}"))
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
    every = ["turns_all", "total_all"]
    return [
        table.select(["day", f"turns_{at}", f"total_{at}", f"squares_{at}", *every]).rename_columns(
            ["day", "turns", "total", "squares", "all_turns", "all_total"]
        )
        for at in range(len(slices))
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
    """Versions of a stage and the day each was first seen, in that order; `stage` of `STAGES`."""
    assert stage in STAGES
    rows = snapshot.query(_SEEN.format(column=f"version_{stage}"), {"model": model}).to_pylist()
    return {str(row["version"]): row["first_day"] for row in rows}


def find_release(snapshot: Snapshot, model: str, point: str, said: str) -> tuple[str, str]:
    """Stage and version that somebody means by `asr-4.3`, `asr:4.3` or `4.3`.

    A version that the logs hold, of the blamed stage if it has it; else `said` as it is, taken to
    be the blamed stage's.
    """
    stage, colon, rest = said.partition(":")
    own = [stage] if colon and stage in STAGES else []
    text = (rest if own else said).strip()
    blamed = stage_of(point)
    tried = own or sorted(STAGES, key=lambda name: (name != blamed, STAGES.index(name)))
    for stage in tried:
        seen = releases(snapshot, model, stage)
        for name in (text, f"{stage}-{text}"):
            if name in seen:
                return stage, name
    return (own[0] if own else blamed if blamed in STAGES else STAGES[0]), text


def before_and_on(
    snapshot: Snapshot,
    model: str,
    point: str,
    chosen: Filter,
    conditions: Conditions,
    release: tuple[str, str],
) -> tuple[pa.Table, pa.Table]:
    """Days of a slice before a release (stage, version) appeared, and of its turns on the release.

    Both as of `daily`. A condition on the stage's own version holds before only: turns that left
    the slice by getting the release are those that the release is to be judged by. Dates of the
    filter are left out, for a fix lies in the future of what it mends.
    """
    stage, version = release
    column = f"version_{stage}"
    anytime = replace(chosen, since=None, until=None)
    rest = tuple(one for one in conditions if one[0] != column)
    old, new = daily(snapshot, model, point, anytime, [conditions, (*rest, (column, version))])
    first = releases(snapshot, model, stage).get(version)
    days: list[Any] = old["day"].to_pylist()
    turns: list[Any] = new["turns"].to_pylist()
    before = pa.array([first is None or day < first for day in days], pa.bool_())
    return old.filter(before), new.filter(pa.array([n > 0 for n in turns], pa.bool_()))


def examples(snapshot: Snapshot, inside: Inside, rows: int = 10) -> pa.Table:
    """The surest of the blamed turns inside, in the columns of `data.queries.overview.defects`."""
    sql, params = inside.bind(_EXAMPLES)
    return snapshot.query(sql, {**params, "rows": rows})


def requests(snapshot: Snapshot, inside: Inside, most: int = 4_000, seed: int = 0) -> list[str]:
    """What was heard on blamed turns inside, empty texts left out: a seeded sample."""
    sql, params = within(snapshot, inside, 5 * MOST_LOGGED, seed).bind(_REQUESTS, order=TURN_ORDER)
    return [
        str(text)
        for text in snapshot.query(sql, {**params, "most": most, "seed": seed})["heard"].to_pylist()
    ]


def narrowed(chosen: Filter, conditions: Conditions) -> Filter | None:
    """The filter with the slice's conditions added; None where no filter says the same."""
    found = chosen
    for name, value in conditions:
        if name in BANDS:
            key, band = name, BANDS[name]
            if value == NOT_LOGGED:
                return None
            at = band.labels.index(value)
            last = len(band.labels) - 1
            # The outermost bands hold whatever lies beyond them, but for the hours of the day.
            low = band.edges[at] if at or name == "hour" else None
            high = band.edges[at + 1] if at < last or name == "hour" else None
            held: Range | None = getattr(found, key)
            if held:
                low = max((end for end in (low, held.low) if end is not None), default=None)
                high = min((end for end in (high, held.high) if end is not None), default=None)
                if low is not None and high is not None and low > high:
                    return None
            bounds: dict[str, Any] = {key: Range(low, high)}
            found = replace(found, **bounds)
        elif name.startswith("version_"):
            stage = name.removeprefix("version_")
            others = tuple(v for v in found.version if not v.startswith(f"{stage}:"))
            found = replace(found, version=(*others, f"{stage}:{value}"))
        else:
            key = name.removesuffix("_type")
            if key == "slot" and found.slot:
                # Slots are alternatives in a filter: two of them at once cannot be said.
                return None
            held_values: Any = getattr(found, key)
            if held_values and value not in held_values:
                return None
            one: dict[str, Any] = {key: (value,)}
            found = replace(found, **one)
    return found
