"""Queries behind a slice: its reasons, and what each stage logged on the turns it is blamed for.

`where` is a condition over `predictions` with its named parameters, as of `Filter.sql` joined with
`data.slices.condition_sql`. A turn that a stage is blamed for is one with that verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.filters import Filter
from data.slices import condition_sql
from data.tables import EVIDENCE

if TYPE_CHECKING:
    from data.snapshot import Snapshot

# Turns of which the whole record is read.
MOST_TURNS = 4_000


@dataclass(frozen=True, slots=True)
class Inside:
    """A slice of what a filter selects, for one model and failure point.

    `source` is what to read the predictions from.
    """

    model: str
    failure_point: str
    conditions: tuple[tuple[str, str], ...]
    chosen: Filter = field(default_factory=Filter)
    source: str = "predictions"

    def bind(self, sql: str, **more: str) -> tuple[str, dict[str, Any]]:
        """`sql` with {source}, {clause} and {inside} filled in, and its parameters."""
        clause, params = self.chosen.sql()
        inside, values = condition_sql(self.conditions)
        text = sql.format(
            source=self.source,
            clause=f"model_id = $model AND {clause}",
            inside=f"coalesce({inside}, false)",
            p=f"p_{self.failure_point}",
            **more,
        )
        params = {**params, **values, "model": self.model, "point": self.failure_point}
        # DuckDB refuses parameters that the statement does not name.
        return text, {name: value for name, value in params.items() if f"${name}" in text}


_TURNS = """
SELECT count(*) FILTER ({inside}) AS inside, count(*) FILTER (NOT {inside}) AS rest
FROM {source} WHERE {clause} AND failure_point = $point
"""

_REASONS = """
SELECT reason.feature AS feature, any_value(reason.stage) AS stage,
  {sums}
FROM (
  SELECT {inside} AS inside, unnest(reasons) AS reason
  FROM {source} WHERE {clause} AND failure_point = $point
)
GROUP BY 1
ORDER BY 1
"""
_REASON_SUMS = ",\n  ".join(
    f"count(*) FILTER ({which}) AS named_{side},\n"
    f"  coalesce(sum(reason.contribution) FILTER ({which}), 0) AS sum_{side},\n"
    f"  coalesce(sum(reason.contribution ** 2) FILTER ({which}), 0) AS squares_{side},\n"
    f"  avg(reason.value) FILTER ({which}) AS value_{side}"
    for side, which in (("inside", "inside"), ("rest", "NOT inside"))
)

_STAGES = """
SELECT {inside} AS inside, count(*) AS turns, {means}
FROM {source} WHERE {clause} AND failure_point = $point
GROUP BY 1
"""
_STAGE_MEANS = ", ".join(
    f"avg(evidence_{name})::DOUBLE AS mean_{name}, "
    f"coalesce(var_samp(evidence_{name}), 0)::DOUBLE AS variance_{name}"
    for name in EVIDENCE
)

# Twenty steps of 0.05; the last one holds 1.0.
_CONFIDENCE = """
SELECT least(floor(asr_confidence * 20), 19)::INT AS step,
  count(*) FILTER ({inside}) AS inside, count(*) FILTER (NOT {inside}) AS rest
FROM {source} WHERE {clause} AND asr_confidence IS NOT NULL
GROUP BY 1 ORDER BY 1
"""

_BY = """
SELECT {keys}, count(*) AS turns, sum({p}::DOUBLE) AS failures
FROM {source} WHERE {clause} AND {inside}
GROUP BY {numbers}
ORDER BY failures DESC, {numbers}
LIMIT 200
"""

# The records of a seeded sample of the blamed turns, newest first, each with the turn after it.
# Days of the sample are named, so that DuckDB opens their files only.
_DRAWN = """
SELECT turn_id, dialogue_id, turn_index, day
FROM {source}
WHERE {clause} AND {inside} AND failure_point = $point
ORDER BY hash(turn_id, $seed), turn_id
LIMIT $most
"""
_RECORDS = """
SELECT t.turn_id, t.day, t.started_at, t.asr.hypotheses AS heard, t.gold.transcript AS said,
  t.nlu.hypotheses[1].domain AS domain, t.nlu.hypotheses[1].intent AS intent,
  t.gold.domain AS gold_domain, t.gold.intent AS gold_intent, t.er.mentions AS mentions,
  n.heard AS next_heard, n.domain AS next_domain, n.intent AS next_intent,
  epoch(n.started_at - t.started_at) AS next_after_s
FROM turns t
JOIN drawn USING (turn_id)
LEFT JOIN (
  SELECT dialogue_id, turn_index, any_value(asr.hypotheses[1].text) AS heard,
    any_value(nlu.hypotheses[1].domain) AS domain, any_value(nlu.hypotheses[1].intent) AS intent,
    min(started_at) AS started_at
  FROM turns SEMI JOIN drawn USING (dialogue_id)
  WHERE day IN ({days})
  GROUP BY ALL
) n ON n.dialogue_id = t.dialogue_id AND n.turn_index = t.turn_index + 1
WHERE t.day IN ({days})
ORDER BY t.started_at DESC, t.turn_id
"""

_WAKE = """
WITH picked AS (
  SELECT turn_id, day, {inside} AS inside
  FROM {source} WHERE {clause} AND failure_point = $point
  ORDER BY hash(turn_id, $seed), turn_id
  LIMIT $most
)
SELECT least(floor(t.wake.score * 20), 19)::INT AS step,
  count(*) FILTER (inside) AS inside, count(*) FILTER (NOT inside) AS rest,
  count(*) FILTER (inside AND t.wake.score - t.wake.threshold < 0.1) AS close_inside,
  count(*) FILTER (NOT inside AND t.wake.score - t.wake.threshold < 0.1) AS close_rest,
  avg(t.wake.threshold) FILTER (inside) AS threshold
FROM turns t JOIN picked USING (turn_id, day)
WHERE t.wake.score IS NOT NULL
GROUP BY 1 ORDER BY 1
"""


def blamed(snapshot: Snapshot, inside: Inside) -> tuple[int, int]:
    """Turns blamed on the failure point, inside and in the rest."""
    row = snapshot.query(*inside.bind(_TURNS)).to_pylist()[0]
    return int(row["inside"]), int(row["rest"])


def reasons(snapshot: Snapshot, inside: Inside) -> pa.Table:
    """Per feature among the reasons of blamed turns: stage, and for both sides named_, sum_,
    squares_ (of contributions, log-odds) and value_ (mean).

    A turn keeps its strongest reasons only; a feature that it does not name adds nothing.
    """
    return snapshot.query(*inside.bind(_REASONS, sums=_REASON_SUMS))


def stages(snapshot: Snapshot, inside: Inside) -> pa.Table:
    """Mean and variance of the evidence of each stage over blamed turns, inside and rest."""
    return snapshot.query(*inside.bind(_STAGES, means=_STAGE_MEANS))


def confidence_steps(snapshot: Snapshot, inside: Inside) -> pa.Table:
    """Turns per step of 0.05 of ASR confidence, inside and rest, whatever their verdict."""
    return snapshot.query(*inside.bind(_CONFIDENCE))


def split_by(snapshot: Snapshot, inside: Inside, keys: Mapping[str, str]) -> pa.Table:
    """Turns and failures (summed probability) inside, by up to 200 values; `keys`: name to SQL."""
    return snapshot.query(
        *inside.bind(
            _BY,
            keys=", ".join(f"{sql} AS {name}" for name, sql in keys.items()),
            numbers=", ".join(str(number) for number in range(1, len(keys) + 1)),
        )
    )


def records(snapshot: Snapshot, inside: Inside, most: int = MOST_TURNS, seed: int = 0) -> pa.Table:
    """What was logged on blamed turns inside: at most `most`, a seeded sample, newest first.

    Columns: turn_id, day, started_at, heard (hypotheses), said, domain, intent, gold_domain,
    gold_intent, mentions, and of the next turn next_heard, next_domain, next_intent, next_after_s.
    """
    sql, params = inside.bind(_DRAWN)
    drawn = snapshot.query(sql, {**params, "most": most, "seed": seed})
    first: list[Any] = drawn["day"].unique().to_pylist()
    # A dialogue may go on after midnight.
    days: set[date] = {*first, *(day + timedelta(days=1) for day in first)}
    named = {f"day_{i}": day for i, day in enumerate(sorted(days))}
    sql = _RECORDS.format(days=", ".join("$" + name for name in named) or "NULL")
    return snapshot.query(sql, named, {"drawn": drawn})


def wake_steps(
    snapshot: Snapshot, inside: Inside, most: int = MOST_TURNS, seed: int = 0
) -> pa.Table:
    """Blamed turns per step of 0.05 of the wake score, inside and rest, of at most `most` turns.

    close_: those less than 0.1 above the threshold; threshold: its mean inside.
    """
    sql, params = inside.bind(_WAKE)
    return snapshot.query(sql, {**params, "most": most, "seed": seed})
