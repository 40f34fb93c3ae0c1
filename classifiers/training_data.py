"""Which turns of a store a model is trained on."""

from __future__ import annotations

import pyarrow as pa

from classifiers.context_digest import digests_sql
from data.errors import NotEnoughLabels
from data.queries.annotations import SETTLED_SQL
from data.queries.sampling import until
from data.schema.trace import TURNS
from data.store.snapshot import Snapshot
from features.matrix import Context
from features.multi_device import (
    INSTANT,
    same_instant,
    several_devices,
)

# Labelled turns beyond this add little and cost memory; unlabelled ones only teach what is usual.
MAX_LABELLED = 120_000
MAX_UNLABELLED = 20_000

# What was settled in the dashboard goes before what came with the logs.
_SAID = {
    "failure_point": "said.failure_point",
    "annotator": "'dashboard'",
    **{name: f"coalesce(said.{name}, t.gold.{name})" for name in ("transcript", "intent", "slots")},
}
_FIELDS = [field.name for field in TURNS.field("gold").type]
_GOLD = ", ".join(f"{name}: {_SAID.get(name, f't.gold.{name}')}" for name in _FIELDS)

# Whole dialogues: those with gold first, then others, each in the order of a seeded hash, until the
# cap is reached. What other devices logged of the same requests comes along, so that training sees
# the pairs that scoring will see.
_SQL = f"""
WITH said AS (
    SELECT turn_id, failure_point, transcript, intent, slots FROM ({SETTLED_SQL})
    WHERE failure_point IS NOT NULL
), dialogues AS (
    SELECT dialogue_id, count(*) AS n, count(gold) + count(said.turn_id) > 0 AS labelled
    FROM turns LEFT JOIN said USING (turn_id) GROUP BY dialogue_id
), chosen AS (
    SELECT dialogue_id FROM dialogues
    QUALIFY {until("CASE WHEN labelled THEN $labelled ELSE $unlabelled END", "n", by="labelled")}
), instants AS (
    SELECT DISTINCT {INSTANT} FROM turns SEMI JOIN chosen USING (dialogue_id)
), at_once AS (
    SELECT t.dialogue_id FROM turns t SEMI JOIN instants i ON {same_instant("t", "i")}
    QUALIFY {several_devices(f"count(DISTINCT dialogue_id) OVER (PARTITION BY {INSTANT})")}
), wanted AS (FROM chosen UNION FROM at_once)
SELECT t.* REPLACE (CASE WHEN said.turn_id IS NULL THEN t.gold ELSE {{{{{_GOLD}}}}} END AS gold),
    d.context_digest
FROM turns t SEMI JOIN wanted USING (dialogue_id) LEFT JOIN ({{digests}}) d USING (turn_id)
    LEFT JOIN said USING (turn_id)
ORDER BY turn_id
"""


def training_turns(
    snapshot: Snapshot,
    seed: int,
    labelled: int = MAX_LABELLED,
    unlabelled: int = MAX_UNLABELLED,
    context: Context = "hindsight",
) -> pa.Table:
    """Dialogues with gold, and some without, at most so many turns of each; ordered by turn.

    Columns of `data.schema.trace.TURNS`, and `context_digest` as scoring in `context` will compute
    it.

    Raises `NotEnoughLabels` when the store is empty.
    """
    sql = _SQL.format(digests=digests_sql(context))
    turns = snapshot.query(sql, {"seed": seed, "labelled": labelled, "unlabelled": unlabelled})
    if turns.num_rows == 0:
        raise NotEnoughLabels(
            "The store holds no turns; ingest some with: faultline ingest PATH… --store DIR"
        )
    return turns
