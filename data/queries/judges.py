"""Outside judges (`data.store.judges`): what they are shown, and their verdicts beside the gold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from data.errors import UsageError
from data.queries.filters import Filter
from data.queries.ground_truth import KNOWN_SQL, shown
from data.queries.sampling import TURN_ORDER
from data.schema.trace import FAILURE_POINTS, order_sql
from data.store.judges import REFUSED, UNREADABLE, VERDICT, annotator_of
from data.store.misdated import DATED

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

_KNOWN = f"SELECT turn_id FROM ({KNOWN_SQL}) WHERE truth IS NOT NULL"


def _records_sql(which: str) -> str:
    """What the record says of a turn, in the order of the pipeline, and the request that follows.

    Neither gold nor who spoke, nor any model's verdict.
    """
    return f"""
WITH picked AS MATERIALIZED (
  SELECT turn_id, dialogue_id FROM turns WHERE {which} AND {DATED}
  ORDER BY {TURN_ORDER} LIMIT $most
), around AS (
  SELECT *, lead(asr.hypotheses[1].text) OVER w AS next_heard, lead(started_at) OVER w AS next_at
  FROM turns SEMI JOIN picked USING (dialogue_id)
  WINDOW w AS (PARTITION BY dialogue_id ORDER BY {order_sql()})
)
SELECT turn_id, digest::VARCHAR AS digest, locale,
  {{type: device.type, has_screen: device.has_screen}} AS device, prompt,
  {{score: wake.score, threshold: wake.threshold, phrase: wake.phrase}} AS wake,
  asr.hypotheses AS heard, nlu.hypotheses AS understood, er.mentions AS resolved,
  {{action: result.action, status: result.status, response: result.response, acts: result.acts,
    items: result.items}} AS result,
  feedback,
  {{heard: next_heard, after_s: date_diff('millisecond', started_at, next_at) / 1000}}
    AS next_request
FROM around SEMI JOIN picked USING (turn_id)
ORDER BY {TURN_ORDER}
"""


_JUDGES = f"""
SELECT annotator, count(*) AS turns,
  count(*) FILTER (answer = '{VERDICT}') AS verdicts,
  count(*) FILTER (answer = '{REFUSED}') AS refused,
  count(*) FILTER (answer = '{UNREADABLE}') AS unreadable,
  -- Costs in several currencies have no mean.
  CASE WHEN count(DISTINCT coalesce(currency, '')) = 1 THEN 1000 * avg(cost) END AS cost_per_1000,
  CASE WHEN count(DISTINCT coalesce(currency, '')) = 1 THEN any_value(currency) END AS currency,
  max(created_at) AS created_at
FROM judge_verdicts GROUP BY annotator ORDER BY annotator
"""

# `truth` is null where it is not known, the model's columns where it has not scored the turn.
_COMPARED = f"""
SELECT turn_id, t.dialogue_id, t.day, k.truth, j.answer, j.failure_point AS judged,
  {", ".join(f"j.p_{name} AS judge_{name}" for name in FAILURE_POINTS)},
  j.confidence, j.reason, j.cost, j.currency, t.digest IS DISTINCT FROM j.digest AS changed,
  p.failure_point AS predicted, {", ".join(f"p.p_{name}" for name in FAILURE_POINTS)},
  p.context_digest, p.heard
FROM judge_verdicts j
JOIN turns t USING (turn_id)
LEFT JOIN (FROM ({KNOWN_SQL}) WHERE truth IS NOT NULL) k USING (turn_id)
{{join}} JOIN (FROM predictions WHERE model_id = $model AND {{clause}}) p USING (turn_id)
WHERE j.annotator = $annotator
ORDER BY turn_id
"""

_LABELS = """
SELECT turn_id, failure_point,
  coalesce(confidence, {p}, $share) AS weight
FROM judge_verdicts j JOIN (SELECT turn_id, digest FROM turns) t USING (turn_id, digest)
WHERE annotator = $annotator AND failure_point IS NOT NULL
ORDER BY turn_id
"""
_OWN_P = "CASE failure_point {} END".format(
    " ".join(f"WHEN '{name}' THEN p_{name}" for name in FAILURE_POINTS)
)
_RIGHT = f"""
SELECT (1 + count(*) FILTER (j.failure_point = k.truth)) / (2 + count(*)) AS share
FROM judge_verdicts j JOIN (SELECT turn_id, digest FROM turns) t USING (turn_id, digest)
JOIN (FROM ({KNOWN_SQL}) WHERE truth IS NOT NULL) k USING (turn_id)
WHERE j.annotator = $annotator AND j.failure_point IS NOT NULL
"""


def judge_records(
    snapshot: Snapshot, most: int, seed: int, *, known: bool = True
) -> Iterator[pa.RecordBatch]:
    """What a judge is shown of up to `most` turns in random order, by a seeded hash of their ids.

    `known`: only turns whose truth is known, by gold or by people. Columns: turn_id, digest (text),
    locale, device, prompt, wake, heard (hypotheses of the ASR), understood (frames), resolved
    (mentions), result, feedback, next_request (what was heard next in the dialogue, and after how
    many seconds). Turns with an impossible date are left out.
    """
    sql = _records_sql(f"turn_id IN ({_KNOWN})" if known else "true")
    tables = shown(snapshot) if known else None
    yield from snapshot.batches(sql, {"most": most, "seed": seed}, tables=tables)


def judges(snapshot: Snapshot) -> pa.Table:
    """One row per judge: annotator, turns, verdicts, refused, unreadable, cost_per_1000 (mean over
    the turns whose cost is known) and currency (both null where there are several), created_at."""
    return snapshot.query(_JUDGES)


def known_judge(snapshot: Snapshot, name: str) -> str:
    """The annotator of the judge `name`; raises UsageError if the store has no verdict of it."""
    annotator = annotator_of(name)
    names = [str(judge) for judge in judges(snapshot)["annotator"].to_pylist()]
    if annotator not in names:
        there = f"there are {', '.join(names)}" if names else "there is none yet"
        raise UsageError(
            f"The store has no verdicts of {annotator}: {there}. Import some with: faultline judge "
            "import FILE --name NAME"
        )
    return annotator


def verdicts(
    snapshot: Snapshot, annotator: str, model: str, chosen: Filter | None = None
) -> pa.Table:
    """All answers of a judge, with the truth and a model's predictions, ordered by turn id.

    Columns: turn_id, dialogue_id, day, truth (null where it is not known), answer, judged (its
    failure point), judge_<failure point> (its probabilities), confidence, reason, cost, currency,
    changed (whether the turn is no longer the one that was judged); of the model, null where it has
    not scored the turn: predicted, p_<failure point>, context_digest, heard. With a filter, only
    turns that it keeps.
    """
    clause, params = (chosen or Filter()).where()
    # Without a filter, turns that the model has not scored, or whose date is impossible, count too.
    sql = _COMPARED.format(clause=clause, join="INNER" if chosen else "LEFT")
    bound = {"annotator": annotator, "model": model, **params}
    return snapshot.query(sql, bound, tables=shown(snapshot))


def judge_labels(snapshot: Snapshot, name: str) -> pa.Table:
    """A judge's verdicts as labels: turn_id, failure_point, weight (the probability that it is
    right: the judge's own, else the share of its verdicts on turns of known truth that are).
    Those on turns that have changed since are left out.

    Raises UsageError as `known_judge` does.
    """
    annotator = known_judge(snapshot, name)
    share = snapshot.query(_RIGHT, {"annotator": annotator}, tables=shown(snapshot))["share"][0]
    sql = _LABELS.format(p=_OWN_P)
    return snapshot.query(sql, {"annotator": annotator, "share": share.as_py()})
