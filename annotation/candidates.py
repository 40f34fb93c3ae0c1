"""Turns that could be annotated next, with the signals by which `annotation.queue` ranks them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.queries.filters import Filter
from data.queries.sampling import DIALOGUE_ORDER, MOST_CANDIDATES, about
from data.schema.trace import FAILURE_POINTS, order_sql
from data.store.misdated import DATED

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

# Statuses of the result that show by themselves that something went wrong.
FAILED = ("error", "no_match", "unsupported")

_SHOWN = "turn_id, dialogue_id, day, started_at, heard, domain, intent, status"
_SORTED = f"list_sort([{', '.join(f'p_{name}' for name in FAILURE_POINTS)}], 'DESC')"

# `differs`: another model has another verdict. `odd`: the verdict is "correct", the status is not.
_CANDIDATES = f"""
WITH seen AS (
  SELECT {_SHOWN}, failure_point, p_defect, {_SORTED} AS p
  FROM predictions
  WHERE model_id = $model AND {{clause}} AND {{sampled}}
), frames AS (
  SELECT domain, intent, count(*) AS frame_turns,
    sum(p_defect) - count(*) * (SELECT avg(p_defect) FROM seen) AS frame_excess
  FROM seen GROUP BY ALL
), taught AS (
  SELECT p.domain, p.intent, count(*) AS frame_labelled
  FROM predictions p
  SEMI JOIN (
    SELECT turn_id FROM labelled WHERE failure_point IS NOT NULL
    UNION ALL SELECT turn_id FROM annotations
  ) USING (turn_id)
  WHERE p.model_id = $model AND {DATED}
  GROUP BY ALL
), open AS (
  SELECT s.* EXCLUDE (p), (s.p[1] - s.p[2])::DOUBLE AS margin,
    count(*) OVER (PARTITION BY lower(heard)) AS asked,
    o.failure_point AS other,
    coalesce(o.failure_point <> s.failure_point, false) AS differs,
    s.failure_point = 'correct' AND coalesce(s.status IN ({{failed}}), false) AS odd
  FROM seen s
  LEFT JOIN (SELECT turn_id, failure_point FROM predictions WHERE model_id = $other) o
    USING (turn_id)
), unlabelled AS (
  SELECT o.*, f.frame_turns, f.frame_excess, coalesce(t.frame_labelled, 0) AS frame_labelled
  FROM open o
  JOIN frames f ON o.domain IS NOT DISTINCT FROM f.domain
    AND o.intent IS NOT DISTINCT FROM f.intent
  LEFT JOIN taught t ON o.domain IS NOT DISTINCT FROM t.domain
    AND o.intent IS NOT DISTINCT FROM t.intent
  ANTI JOIN (SELECT turn_id FROM labelled WHERE failure_point IS NOT NULL) l
    ON o.turn_id = l.turn_id
)
{{each}}
ORDER BY turn_id
"""
# The best of each kind, so that no kind is crowded out before the ranking.
_EACH = (
    "margin",
    "(differs OR odd) DESC, margin",
    "frame_labelled, frame_turns, margin",
    "frame_excess * p_defect DESC",
    "(heard IS NOT NULL) DESC, asked * p_defect DESC",
)

_RANDOM = f"""
SELECT {_SHOWN}, failure_point, p_defect
FROM predictions
ANTI JOIN (SELECT turn_id FROM labelled WHERE failure_point IS NOT NULL) USING (turn_id)
WHERE model_id = $model AND {{clause}}
ORDER BY {DIALOGUE_ORDER}, {order_sql()}
LIMIT $most
"""


_UNSCORED = f"""
SELECT turn_id, dialogue_id, day
FROM turns
ANTI JOIN (SELECT turn_id FROM labelled WHERE failure_point IS NOT NULL) USING (turn_id)
WHERE {DATED}
ORDER BY {DIALOGUE_ORDER}, {order_sql()}
LIMIT $most
"""


def candidates(
    snapshot: Snapshot, model: str, chosen: Filter, other: str | None = None, most: int = 300
) -> pa.Table:
    """The most informative turns without a label in the logs: up to `most` of each kind.

    Returns a table in the order of `turn_id` with the columns turn_id, dialogue_id, day,
    started_at, heard, domain, intent, status, failure_point and p_defect (of the model), margin
    (between its two largest probabilities), asked (turns with the same words), other (verdict of
    the model `other`), differs (whether it is another verdict), odd (verdict "correct" although the
    status shows a failure), and for the turn's domain and intent: frame_turns, frame_excess
    (failures above those at the overall rate) and frame_labelled (labelled turns). With more than
    `MOST_CANDIDATES` turns, the counts are those of a sample of whole dialogues.
    """
    clause, params = chosen.where()
    sample = about(snapshot, model, chosen, MOST_CANDIDATES)
    bound: dict[str, Any] = {"model": model, **params, **sample.params}
    failed = {f"failed_{i}": status for i, status in enumerate(FAILED)}
    sql = _CANDIDATES.format(
        clause=clause,
        sampled=sample.condition,
        failed=", ".join("$" + name for name in failed),
        each="\nUNION\n".join(
            f"(FROM unlabelled ORDER BY {order}, turn_id LIMIT $most)" for order in _EACH
        ),
    )
    return snapshot.query(sql, {**bound, **failed, "other": other or "", "most": most})


def at_random(
    snapshot: Snapshot, model: str, chosen: Filter, most: int = 500, seed: int = 0
) -> pa.Table:
    """Up to `most` turns of dialogues in random order, by a seeded hash; columns up to p_defect.

    Unlike those of `candidates`, they are a random sample of all turns of the filter.
    """
    clause, params = chosen.where()
    bound = {"model": model, **params, "seed": seed, "most": most}
    return snapshot.query(_RANDOM.format(clause=clause), bound)


def unscored_at_random(snapshot: Snapshot, most: int = 500, seed: int = 0) -> pa.Table:
    """The same for a store without predictions: turn_id, dialogue_id and day of turns with a
    possible date."""
    return snapshot.query(_UNSCORED, {"seed": seed, "most": most})
