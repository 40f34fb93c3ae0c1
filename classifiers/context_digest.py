"""Which turns a model must score again, and which other turns it has to read for that.

A turn's features depend on its dialogue and on what other devices logged of the same request. The
fingerprints of all of these, combined, are stored with its prediction (`context_digest`); where
they no longer agree, something that the verdict rests on has changed.
"""

from __future__ import annotations

from features.matrix import Context
from features.multi_device import (
    INSTANT,
    MOST_DEVICES,
    same_instant,
    several_devices,
)

# XOR of fingerprints does not depend on order, and a removed turn changes it as an added one does.
# In live mode only the turns up to this one count.
_DIGESTS = f"""
SELECT t.turn_id, t.dialogue_id, t.day, i.dialogues IS NOT NULL AS shared,
    -- Delta Lake has no unsigned integers: one bit is dropped to fit a signed one.
    (xor(
        bit_xor(hash(t.turn_id, t.turn_index, t.digest)) OVER ({{dialogue}}),
        CASE WHEN {several_devices("i.dialogues")} THEN i.digest ELSE 0 END
    ) >> 1)::BIGINT AS context_digest
FROM turns t LEFT JOIN (
    SELECT {INSTANT}, count(DISTINCT dialogue_id) AS dialogues,
        bit_xor(hash(turn_id, digest, 'instant')) AS digest
    FROM turns GROUP BY ALL HAVING count(*) > 1 AND dialogues > 1
) i ON {same_instant("t", "i")}
"""

_DIALOGUE = {
    "hindsight": "PARTITION BY t.dialogue_id",
    "live": "PARTITION BY t.dialogue_id ORDER BY t.turn_index, t.turn_id",
}

# The whole dialogues of the table `batch`, which lie between the days $low and $high. At every
# instant of a turn in the table `shared`, also the first turn of a few other dialogues: enough to
# see whether there are too many for one request. Gold is not read. `near`, all turns of these days,
# is used three times and must not be materialised.
BATCH_SQL = f"""
WITH near AS NOT MATERIALIZED (SELECT * EXCLUDE (gold) FROM turns WHERE day BETWEEN $low AND $high),
own AS (SELECT n.* FROM near n SEMI JOIN batch USING (dialogue_id)),
instants AS (
    SELECT DISTINCT {INSTANT} FROM own SEMI JOIN shared USING (turn_id)
), others AS (
    SELECT n.* FROM near n ANTI JOIN batch USING (dialogue_id)
    SEMI JOIN instants i ON {same_instant("n", "i")}
    QUALIFY row_number() OVER (
        PARTITION BY {INSTANT}, dialogue_id ORDER BY turn_index, turn_id) = 1
)
FROM own
UNION ALL BY NAME
SELECT * FROM others QUALIFY row_number() OVER (
    PARTITION BY {INSTANT} ORDER BY dialogue_id) <= {MOST_DEVICES + 1}
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


# Days between the first and the last turn of a dialogue; few last longer.
_LONG = 30


def plan_sql(context: Context) -> str:
    """Query over `turns` and `predictions`: `stale_sql`, split into parts of whole dialogues.

    Adds `part`, a number from 0, and `first_day` and `last_day` of the turn's dialogue. A part
    holds dialogues of about $batch turns that follow each other in time, so that reading it touches
    few files and row groups; rows are ordered by part. Dialogues of more than `_LONG` days, of
    which a clock was wrong, come last: each part that has one reads all of the days between.
    """
    return f"""
    WITH stale AS MATERIALIZED ({stale_sql(context)}),
    sizes AS (
        SELECT dialogue_id, count(*) AS turns, min(day) AS first_day, max(day) AS last_day
        FROM turns SEMI JOIN stale USING (dialogue_id)
        GROUP BY dialogue_id
    ), summed AS (
        SELECT *, sum(turns) OVER (ORDER BY last_day - first_day > {_LONG}, first_day, dialogue_id)
            - turns AS before,
            sum(turns) OVER () AS total
        FROM sizes
    )
    -- Dense numbers: a dialogue larger than a batch must not leave an empty part.
    SELECT turn_id, dialogue_id, context_digest, shared, first_day, last_day,
        (dense_rank() OVER (ORDER BY before * ceil(total / $batch)::BIGINT // total) - 1)::INTEGER
            AS part
    FROM stale JOIN summed USING (dialogue_id)
    ORDER BY part, turn_id
    """
