"""Evidence about a slice: reasons of its predictions, and what each stage logged on its failures.

"Blamed" turns are those whose verdict is the slice's failure point; "inside" turns are those that
meet the conditions of the slice, "rest" the other turns of the filter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from data.queries.dimensions import condition_sql
from data.queries.filters import Filter
from data.queries.sampling import MOST_LOGGED, MOST_RECORDS, MOST_SCORED, TURN_ORDER
from data.schema.tables import EVIDENCE
from data.schema.trace import order_sql

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Inside:
    """A slice of a filter's turns, for one model and failure point (`defect`: any failure).

    `days` limits the days that are read; None for all.
    """

    model: str
    failure_point: str
    conditions: tuple[tuple[str, str], ...]
    chosen: Filter = field(default_factory=Filter)
    days: tuple[date, ...] | None = None

    def bind(self, sql: str, **more: str) -> tuple[str, dict[str, Any]]:
        """`sql` with {clause}, {inside} and {blamed} filled in, and its parameters."""
        clause, params = self.chosen.where()
        inside, values = condition_sql(self.conditions)
        if self.days is not None:
            clause = f"{clause} AND day IN ({_listed(self.days)})"
        text = sql.format(
            clause=f"model_id = $model AND {clause}",
            inside=f"coalesce({inside}, false)",
            blamed="failure_point <> 'correct'"
            if self.failure_point == "defect"
            else "failure_point = $point",
            p=f"p_{self.failure_point}",
            **more,
        )
        params = {**params, **values, "model": self.model, "point": self.failure_point}
        # DuckDB rejects parameters that the statement does not use.
        used = set(_NAMED.findall(text))
        return text, {name: value for name, value in params.items() if name in used}


def _listed(days: Iterable[date]) -> str:
    """Days as SQL literals: with bound parameters, DuckDB would open the files of all days."""
    return ", ".join(f"DATE '{day.isoformat()}'" for day in days) or "NULL"


_NAMED = re.compile(r"\$(\w+)")
_DAYS = """
SELECT day, count(*) AS turns, count(*) FILTER ({inside} AND {blamed}) AS blamed
FROM predictions WHERE {clause}
GROUP BY day ORDER BY day
"""


_TURNS = """
SELECT count(*) FILTER ({inside}) AS inside, count(*) FILTER (NOT {inside}) AS rest
FROM predictions WHERE {clause} AND {blamed}
"""

_REASONS = """
SELECT reason.feature AS feature, any_value(reason.stage) AS stage,
  {sums}
FROM (
  SELECT {inside} AS inside, unnest(reasons) AS reason
  FROM predictions WHERE {clause} AND {blamed}
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
FROM predictions WHERE {clause} AND {blamed}
GROUP BY 1
"""
_STAGE_MEANS = ", ".join(
    f"avg(evidence_{name})::DOUBLE AS mean_{name}, "
    f"coalesce(var_samp(evidence_{name}), 0)::DOUBLE AS variance_{name}"
    for name in EVIDENCE
)

# Twenty steps of 0.05; the last one includes 1.0.
_CONFIDENCE = """
SELECT least(floor(asr_confidence * 20), 19)::INT AS step,
  count(*) FILTER ({inside}) AS inside, count(*) FILTER (NOT {inside}) AS rest
FROM predictions WHERE {clause} AND asr_confidence IS NOT NULL
GROUP BY 1 ORDER BY 1
"""

_BY = """
SELECT {keys}, count(*) AS turns, sum({p}::DOUBLE) AS failures
FROM predictions WHERE {clause} AND {inside}
GROUP BY {numbers}
ORDER BY failures DESC, {numbers}
LIMIT 200
"""

# The records of a seeded sample of the blamed turns, newest first, each with the turn after it.
# The days of the sample are listed, so that DuckDB opens only their files, and each once.
_SAMPLED = """
SELECT turn_id, dialogue_id, turn_index, day
FROM predictions
WHERE {clause} AND {inside} AND {blamed}
ORDER BY {order}
LIMIT $most
"""
_RECORDS = f"""
WITH near AS MATERIALIZED (
  SELECT turn_id, dialogue_id, turn_index, day, started_at, asr.hypotheses AS heard,
    gold.transcript AS said,
    nlu.hypotheses[1].domain AS domain, nlu.hypotheses[1].intent AS intent,
    gold.domain AS gold_domain, gold.intent AS gold_intent, er.mentions AS mentions
  FROM turns SEMI JOIN sampled USING (dialogue_id)
  WHERE day IN ({{days}})
), following AS (
  SELECT turn_id, lead(heard[1].text) OVER later AS heard, lead(domain) OVER later AS domain,
    lead(intent) OVER later AS intent, lead(started_at) OVER later AS started_at
  FROM near
  WINDOW later AS (PARTITION BY dialogue_id ORDER BY {order_sql()})
)
SELECT t.turn_id, t.day, t.started_at, t.heard, t.said, t.domain, t.intent,
  t.gold_domain, t.gold_intent, t.mentions,
  n.heard AS next_heard, n.domain AS next_domain, n.intent AS next_intent,
  epoch(n.started_at - t.started_at) AS next_after_s
FROM near t
JOIN sampled s ON s.turn_id = t.turn_id AND s.day = t.day
LEFT JOIN following n ON n.turn_id = t.turn_id
ORDER BY t.started_at DESC, t.turn_id
"""

_WAKE = """
WITH picked AS (
  SELECT turn_id, day, {inside} AS inside
  FROM predictions WHERE {clause} AND {blamed}
  ORDER BY {order}
  LIMIT $most
)
SELECT least(floor(t.wake.score * 20), 19)::INT AS step,
  count(*) FILTER (inside) AS inside, count(*) FILTER (NOT inside) AS rest,
  count(*) FILTER (inside AND t.wake.score - t.wake.threshold < 0.1) AS close_inside,
  count(*) FILTER (NOT inside AND t.wake.score - t.wake.threshold < 0.1) AS close_rest,
  avg(t.wake.threshold) FILTER (inside) AS threshold
FROM turns t JOIN picked USING (turn_id, day)
WHERE t.wake.score BETWEEN 0 AND 1
GROUP BY 1 ORDER BY 1
"""


def within(snapshot: Snapshot, inside: Inside, most: int, seed: int = 0) -> Inside:
    """The slice, limited to a sample of days with at most about `most` turns; all days if fewer.

    Days are sampled with a seed, weighted by the turns blamed inside (Efraimidis & Spirakis 2006):
    a slice of a few bad days is read on those days, not on days without a turn in it.
    """
    days: list[dict[str, Any]] = snapshot.query(*inside.bind(_DAYS)).to_pylist()
    if sum(row["turns"] for row in days) <= most:
        return inside
    with_blame = [row for row in days if row["blamed"]]
    keys = np.random.default_rng(seed).exponential(size=len(with_blame))
    order = np.argsort(keys / np.array([row["blamed"] for row in with_blame]), kind="stable")
    sampled: list[date] = []
    read = 0
    for index in order:
        if sampled and read + with_blame[index]["turns"] > most:
            break
        sampled.append(with_blame[index]["day"])
        read += with_blame[index]["turns"]
    return replace(inside, days=tuple(sorted(sampled)))


def blamed(snapshot: Snapshot, inside: Inside) -> tuple[int, int]:
    """Number of blamed turns, inside and in the rest."""
    row = snapshot.query(*inside.bind(_TURNS)).to_pylist()[0]
    return int(row["inside"]), int(row["rest"])


def reasons(snapshot: Snapshot, inside: Inside) -> pa.Table:
    """Figures of each feature among the reasons of blamed turns.

    Columns: feature, stage, and for both sides (inside, rest) named_ (turns), sum_ and squares_ (of
    contributions, log-odds) and value_ (mean). Predictions store only their strongest reasons; a
    feature not among them adds nothing.
    """
    return snapshot.query(*inside.bind(_REASONS, sums=_REASON_SUMS))


def stages(snapshot: Snapshot, inside: Inside) -> pa.Table:
    """Mean and variance of each stage's evidence over blamed turns, inside and in the rest."""
    return snapshot.query(*inside.bind(_STAGES, means=_STAGE_MEANS))


def confidence_steps(snapshot: Snapshot, inside: Inside) -> pa.Table:
    """Turns of any verdict per step of 0.05 of ASR confidence, inside and rest."""
    return snapshot.query(*inside.bind(_CONFIDENCE))


def split_by(snapshot: Snapshot, inside: Inside, keys: Mapping[str, str]) -> pa.Table:
    """Turns and failures (summed probability) inside, by `keys` (name -> SQL), at most 200 rows."""
    return snapshot.query(
        *inside.bind(
            _BY,
            keys=", ".join(f"{sql} AS {name}" for name, sql in keys.items()),
            numbers=", ".join(str(number) for number in range(1, len(keys) + 1)),
        )
    )


def records(
    snapshot: Snapshot, inside: Inside, most: int = MOST_RECORDS, seed: int = 0
) -> pa.Table:
    """Logged records of blamed turns inside: a seeded sample of at most `most`, newest first.

    With much traffic, only a sample of the days is read (`within`), about `MOST_LOGGED` turns.

    Columns: turn_id, day, started_at, heard (hypotheses), said (gold transcript), domain, intent,
    gold_domain, gold_intent, mentions, and of the next turn next_heard, next_domain, next_intent,
    next_after_s (seconds).
    """
    read = within(snapshot, inside, MOST_LOGGED, seed)
    sql, params = read.bind(_SAMPLED, order=TURN_ORDER)
    sampled = snapshot.query(sql, {**params, "most": most, "seed": seed})
    sampled_days: list[Any] = sampled["day"].unique().to_pylist()
    days: set[date] = set(sampled_days)
    if read.days is None:
        # A dialogue may continue after midnight; for sampled days, reading twice is not worth it.
        days |= {day + timedelta(days=1) for day in sampled_days if day < date.max}
    sql = _RECORDS.format(days=_listed(sorted(days)))
    return snapshot.query(sql, None, {"sampled": sampled})


def wake_steps(
    snapshot: Snapshot, inside: Inside, most: int = MOST_RECORDS, seed: int = 0
) -> pa.Table:
    """Blamed turns per step of 0.05 of the wake score, from a seeded sample of at most `most`.

    Columns: step (0 to 19), inside, rest, close_inside and close_rest (less than 0.1 above the
    threshold), threshold (mean inside).
    """
    sql, params = within(snapshot, inside, MOST_SCORED, seed).bind(_WAKE, order=TURN_ORDER)
    return snapshot.query(sql, {**params, "most": most, "seed": seed})
