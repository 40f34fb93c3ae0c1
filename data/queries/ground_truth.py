"""Predictions with ground truth: from the gold in the logs, or from annotators.

An annotation that is hidden from others (`data.queries.visibility`) counts in none of these: with
filters that leave one turn, a count is a verdict. Training reads them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from data.queries.annotations import settled_sql
from data.queries.filters import Filter
from data.queries.sampling import MOST_LABELLED, every, one_in
from data.queries.visibility import Reader
from data.schema.trace import FAILURE_POINTS

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

# `shown` are the annotations that count, see `shown`.
_SETTLED = settled_sql("shown")
# A settled verdict from the dashboard takes precedence over gold from the logs.
KNOWN_SQL = f"""
SELECT turn_id, dialogue_id, day, failure_point AS truth, 'dashboard' AS source
FROM ({_SETTLED})
UNION ALL
SELECT turn_id, dialogue_id, day, failure_point, source
FROM labelled ANTI JOIN ({_SETTLED}) USING (turn_id, dialogue_id, day)
"""

_LABELLED = f"""
SELECT turn_id, dialogue_id, p.day, k.truth, k.source, p.failure_point,
  {", ".join(f"p.p_{name}" for name in FAILURE_POINTS)}
FROM (FROM predictions WHERE model_id = $model AND {{clause}}) p
JOIN (FROM ({KNOWN_SQL}) WHERE truth IS NOT NULL AND {{sampled}}) k USING (turn_id, dialogue_id)
WHERE p.day = k.day
ORDER BY turn_id
"""

# Turns with gold in the logs were not selected by the dashboard, so they remain a random sample of
# the traffic, whoever settles their verdict later. Turns that only the dashboard's queue selected,
# and turns with too little gold, are not part of the sample.
_SAMPLED = f"""
SELECT l.dialogue_id, l.day, coalesce(s.failure_point, l.failure_point) AS truth,
  {", ".join(f"p.p_{name}" for name in FAILURE_POINTS)}
FROM (FROM labelled WHERE {{sampled}}) l
LEFT JOIN ({_SETTLED}) s USING (turn_id, dialogue_id, day)
JOIN (FROM {{source}} WHERE model_id = $model AND {{clause}}) p ON p.turn_id = l.turn_id
WHERE p.day = l.day AND l.failure_point IS NOT NULL
ORDER BY l.turn_id
"""


_COUNT = "SELECT count(*) AS labels FROM labelled WHERE failure_point IS NOT NULL"
_BY_TRUTH = f"SELECT truth, count(*) AS n FROM ({KNOWN_SQL}) WHERE truth IS NOT NULL GROUP BY 1"
_GOLD = "SELECT * FROM turns WHERE gold IS NOT NULL"


def shown(snapshot: Snapshot) -> dict[str, pa.Table]:
    """The table that `KNOWN_SQL` reads besides those of the snapshot: what everybody may see."""
    return {"shown": Reader.of(snapshot).read(snapshot)}


def labelled(
    snapshot: Snapshot, model: str, chosen: Filter | None = None, most: int = MOST_LABELLED
) -> pa.Table:
    """One row per scored turn with ground truth, ordered by turn id.

    If there are many more than `most`, a sample of whole dialogues
    (`data.queries.sampling.one_in`).

    Columns: turn_id, dialogue_id, day, truth (a failure point), source ("annotated", "derived" or
    "dashboard"), failure_point (the model's verdict), p_<failure point>.
    """
    return _read(snapshot, model, chosen or Filter(), most, _LABELLED)


def sampled(
    snapshot: Snapshot, model: str, chosen: Filter, most: int = MOST_LABELLED
) -> pa.Table | None:
    """The turns that represent the traffic in estimates: those with sufficient gold in the logs.

    Columns: dialogue_id, day, truth (settled in the dashboard, else the gold's failure point),
    p_<failure point>. Turns annotated only in the dashboard are left out, because its queue selects
    turns that the model is unsure of. Sampled as in `labelled`. None for a filter on `source`:
    annotated turns are a random sample of all turns, but not of those that it keeps.
    """
    return None if chosen.source else _read(snapshot, model, chosen, most, _SAMPLED)


def _read(snapshot: Snapshot, model: str, chosen: Filter, most: int, sql: str) -> pa.Table:
    clause, params = chosen.where()
    part = one_in(snapshot, model, chosen, most)
    # A store of an earlier version has no such rows until it is scored again.
    source = "judged" if snapshot.counts()["judged"] else "predictions"
    sql = sql.format(clause=clause, sampled=every(part), source=source)
    return snapshot.query(sql, {"model": model, **params}, tables=shown(snapshot))


def labels_in_logs(snapshot: Snapshot) -> int:
    """The number of turns with a failure point in their gold, or with gold that implies one."""
    return int(snapshot.query(_COUNT)["labels"][0].as_py())


def label_counts(snapshot: Snapshot) -> dict[str, int]:
    """Labelled turns by failure point, in pipeline order: gold of the logs and settled annotations.

    Annotations that wait for a second opinion are not among them.
    """
    rows = snapshot.query(_BY_TRUTH, tables=shown(snapshot)).to_pylist()
    counts = {row["truth"]: int(row["n"]) for row in rows}
    return {name: counts[name] for name in FAILURE_POINTS if name in counts}


def turns_with_gold(snapshot: Snapshot) -> pa.Table:
    """All turns with gold in the logs, with the columns of `data.schema.trace.TURNS`."""
    return snapshot.query(_GOLD)
