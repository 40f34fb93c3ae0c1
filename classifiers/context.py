"""Which turns a model must score again, and which others it has to read for that.

A turn's features look at its dialogue and at what other devices logged of the same request. The
fingerprints of all of these, combined, are kept with its prediction (`context_digest`); when they no
longer agree, something the verdict rests on has changed.
"""

from __future__ import annotations

from features.build import Context

# XOR of fingerprints does not depend on order, and a turn taken away changes it as surely as one
# added. In live mode only the turns up to this one count. Two to four dialogues at one instant may be
# one request heard by several devices; more are traffic (`features.frame`).
_DIGESTS = """
SELECT t.turn_id, t.dialogue_id, t.day, i.dialogues IS NOT NULL AS shared,
    -- Delta Lake has no unsigned integers: one bit is dropped to fit a signed one.
    (xor(
        bit_xor(hash(t.turn_id, t.turn_index, t.digest)) OVER ({dialogue}),
        CASE WHEN i.dialogues <= 4 THEN i.digest ELSE 0 END
    ) >> 1)::BIGINT AS context_digest
FROM turns t LEFT JOIN (
    SELECT started_at, assistant, user_id, count(DISTINCT dialogue_id) AS dialogues,
        bit_xor(hash(turn_id, digest, 'instant')) AS digest
    FROM turns GROUP BY ALL HAVING count(*) > 1 AND dialogues > 1
) i
    ON t.started_at = i.started_at
    AND t.assistant IS NOT DISTINCT FROM i.assistant
    AND t.user_id IS NOT DISTINCT FROM i.user_id
"""

_DIALOGUE = {
    "hindsight": "PARTITION BY t.dialogue_id",
    "live": "PARTITION BY t.dialogue_id ORDER BY t.turn_index, t.turn_id",
}

# Dialogues in order of time, so that a batch touches few files and row groups.
PLAN_SQL = """
SELECT dialogue_id, count(*) AS turns, min(day) AS first_day
FROM turns SEMI JOIN stale USING (dialogue_id)
GROUP BY dialogue_id
ORDER BY first_day, dialogue_id
"""

# The whole dialogues named in `mine`, and of every instant that they share with other dialogues the
# turns of five of these: enough to know that there are more than four.
BATCH_SQL = """
WITH instants AS (
    SELECT DISTINCT t.started_at, t.assistant, t.user_id, t.day
    FROM turns t SEMI JOIN mine USING (dialogue_id)
    WHERE t.turn_id IN (SELECT turn_id FROM shared)
)
SELECT t.* FROM turns t SEMI JOIN mine USING (dialogue_id)
UNION ALL BY NAME
SELECT t.* FROM turns t ANTI JOIN mine USING (dialogue_id)
SEMI JOIN instants i
    ON t.day = i.day AND t.started_at = i.started_at
    AND t.assistant IS NOT DISTINCT FROM i.assistant
    AND t.user_id IS NOT DISTINCT FROM i.user_id
QUALIFY row_number() OVER (
    PARTITION BY t.started_at, t.assistant, t.user_id ORDER BY t.dialogue_id, t.turn_id) <= 5
"""


def digests_sql(context: Context) -> str:
    """Query over the view `turns`: turn_id, dialogue_id, day, shared, context_digest.

    `shared` is true if turns of other dialogues began at the same instant.
    """
    return _DIGESTS.format(dialogue=_DIALOGUE[context])


def stale_sql(context: Context) -> str:
    """Query over `turns` and `predictions`: the digests of turns without an up-to-date prediction.

    Binds $model, the model's id, and $all, true to take every turn.
    """
    return f"""
    SELECT d.*
    FROM ({digests_sql(context)}) d
    LEFT JOIN (SELECT turn_id, context_digest FROM predictions WHERE model_id = $model) p
        USING (turn_id)
    WHERE $all OR p.context_digest IS DISTINCT FROM d.context_digest
    """
