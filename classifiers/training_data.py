"""Which turns of a store a model is trained on, and the gold of these."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from classifiers.context_digest import digests_sql
from data.errors import NotEnoughLabels
from data.queries.annotations import SETTLED_SQL, gold_sql
from data.queries.sampling import until
from data.store.misdated import DATED
from data.store.snapshot import Snapshot
from features.matrix import Context
from features.multi_device import WITHIN_S, neighbours_sql
from labels.rules.failure_point import labels

# More labelled turns add little and cost memory; unlabelled ones only show what is usual.
MAX_LABELLED = 120_000
MAX_UNLABELLED = 20_000

# Labels settled in the dashboard take precedence over gold from the logs. Braces are doubled for
# the formatting to come.
_GOLD = gold_sql("t.gold", "settled").replace("{", "{{").replace("}", "}}")

# Whole dialogues: those with gold first, then others, each in the order of a seeded hash, until the
# cap is reached. What other devices logged of the same requests is included, so that training sees
# the pairs that scoring will see.
_SQL = f"""
WITH settled AS (
    SELECT turn_id, failure_point, transcript, intent, slots FROM ({SETTLED_SQL})
    WHERE failure_point IS NOT NULL
), dialogues AS (
    SELECT dialogue_id, count(*) AS n, count(gold) + count(settled.turn_id) > 0
        OR dialogue_id IN (
            SELECT dialogue_id FROM judge_verdicts
            WHERE annotator = $judge AND failure_point IS NOT NULL
        ) AS labelled
    FROM turns LEFT JOIN settled USING (turn_id) GROUP BY dialogue_id
), sampled AS (
    SELECT dialogue_id FROM dialogues
    QUALIFY {until("CASE WHEN labelled THEN $labelled ELSE $unlabelled END", "n", by="labelled")}
), digests AS MATERIALIZED ({{digests}}
), asked AS MATERIALIZED (
    SELECT turn_id, capture_us FROM digests SEMI JOIN sampled USING (dialogue_id)
), included AS (
    FROM sampled UNION SELECT other_dialogue FROM ({neighbours_sql("asked", "turns")})
)
SELECT t.* REPLACE (CASE WHEN settled.turn_id IS NULL THEN t.gold ELSE {_GOLD} END AS gold),
    d.capture_us, d.context_digest, {DATED} AS dated
FROM turns t SEMI JOIN included USING (dialogue_id) LEFT JOIN digests d USING (turn_id)
    LEFT JOIN settled USING (turn_id)
ORDER BY turn_id
"""


def training_turns(
    snapshot: Snapshot,
    seed: int,
    labelled: int = MAX_LABELLED,
    unlabelled: int = MAX_UNLABELLED,
    context: Context = "hindsight",
    within: float = WITHIN_S,
    judge: str | None = None,
) -> pa.Table:
    """Turns of whole dialogues with gold and of some without, ordered by turn.

    Columns of `data.schema.trace.TURNS`, `dated` (whether the date is possible), and `capture_us`
    and `context_digest` as scoring in `context`, with `within` as the window for several devices,
    will compute them. `labelled` and `unlabelled` limit the number of turns in dialogues with and
    without gold; `seed` decides which are sampled. `judge`: an outside judge whose verdicts count
    as gold for this choice alone.

    Raises `NotEnoughLabels` if the store is empty.
    """
    sql = _SQL.format(digests=digests_sql(context, within))
    params = {"seed": seed, "labelled": labelled, "unlabelled": unlabelled, "judge": judge}
    turns = snapshot.query(sql, params)
    if turns.num_rows == 0:
        raise NotEnoughLabels(
            "The store holds no turns; ingest some with: faultline ingest PATH… --store DIR"
        )
    return turns


def gold_of(turns: pa.Table) -> np.ndarray:
    """The failure point of each turn (n,), ordered by id, of an annotator or by rule; or None."""
    return np.array(labels(turns).sort_by("turn_id")["failure_point"].to_pylist(), object)
