"""Which turns a model must score again, and which other turns it has to read for that.

A turn's features depend on its dialogue and on what other devices logged of the same request. The
fingerprints of all of these, combined, are stored with its prediction (`context_digest`); where
they no longer agree, something that the verdict rests on has changed.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from data.schema.trace import order_sql
from features.matrix import Context
from features.multi_device import (
    MOST_DEVICES,
    WITHIN_S,
    neighbours_sql,
    shared_sql,
)

# XOR of fingerprints does not depend on order, and a removed turn changes it as an added one does.
# In live mode only the turns up to this one count.
_DIGESTS = """
SELECT t.turn_id, t.dialogue_id, t.day, coalesce(s.shared, false) AS shared, s.capture_us,
    -- Delta Lake has no unsigned integers: one bit is dropped to fit a signed one.
    (xor(
        bit_xor(hash(t.turn_id, t.turn_index, t.digest)) OVER ({dialogue}),
        coalesce(s.others_digest, 0)
    ) >> 1)::BIGINT AS context_digest
FROM turns t LEFT JOIN ({shared}) s USING (turn_id)
"""

_DIALOGUE = {
    "hindsight": "PARTITION BY t.dialogue_id",
    "live": f"PARTITION BY t.dialogue_id ORDER BY {order_sql('t')}",
}

# The whole dialogues of the table `batch`, which lie between the days $low and $high. Around each
# turn in the table `shared` (turn_id, capture_us), also the turns of a few other dialogues: enough
# to see whether there are too many for one request. Gold is not read. `near`, all turns of these
# days, is used several times and must not be materialised.
BATCH_SQL = f"""
WITH near AS NOT MATERIALIZED (SELECT * EXCLUDE (gold) FROM turns WHERE day BETWEEN $low AND $high),
own AS (SELECT n.* FROM near n SEMI JOIN batch USING (dialogue_id)),
asked AS MATERIALIZED (
    -- Without a column `capture_us`, what began at the same instant.
    SELECT turn_id, coalesce(capture_us, 0) AS capture_us FROM (
        SELECT ''::VARCHAR AS turn_id, 0::BIGINT AS capture_us WHERE false
        UNION ALL BY NAME FROM shared
    ) SEMI JOIN own USING (turn_id)
), nearest AS (
    SELECT turn_id, other, other_dialogue, min(apart) OVER (PARTITION BY turn_id, other_dialogue)
        AS apart
    FROM ({neighbours_sql("asked", "near")})
), others AS (
    SELECT DISTINCT other AS turn_id FROM (
        FROM nearest ANTI JOIN (SELECT dialogue_id AS other_dialogue FROM batch)
            USING (other_dialogue)
    )
    QUALIFY dense_rank() OVER (PARTITION BY turn_id ORDER BY apart, other_dialogue)
        <= {MOST_DEVICES + 1}
)
FROM own
UNION ALL BY NAME
SELECT n.* FROM near n SEMI JOIN others USING (turn_id)
"""


def with_captures(turns: pa.Table, judged: pa.Table) -> pa.Table:
    """`turns` with the column `capture_us` of `judged` (turn_id, capture_us); null elsewhere."""
    index = pc.index_in(
        turns["turn_id"].combine_chunks(), value_set=judged["turn_id"].combine_chunks()
    )
    return turns.append_column("capture_us", judged["capture_us"].combine_chunks().take(index))


def digests_sql(context: Context, within: float = WITHIN_S) -> str:
    """Query over the view `turns`: turn_id, dialogue_id, day, shared, capture_us, context_digest.

    `shared` is true if turns of other dialogues began close to it; `capture_us` says how far from
    it they may be captures of the same request (see `features.multi_device.shared_sql`), with
    `within` as the window in seconds.
    """
    return _DIGESTS.format(dialogue=_DIALOGUE[context], shared=shared_sql("turns", within))


def stale_sql(context: Context, within: float = WITHIN_S) -> str:
    """Query over `turns` and `predictions`: the digests of turns without an up-to-date prediction.

    Binds $model, the model's id, and $all, true to take every turn.
    """
    return f"""
    SELECT d.*
    FROM ({digests_sql(context, within)}) d
    LEFT JOIN (SELECT turn_id, context_digest FROM predictions WHERE model_id = $model) p
        USING (turn_id)
    WHERE $all OR p.context_digest IS DISTINCT FROM d.context_digest
    """


# Days between the first and the last turn of a dialogue; few last longer.
_LONG = 30


def plan_sql(context: Context, within: float = WITHIN_S, since: bool = False) -> str:
    """Query over `turns` and `predictions`: `stale_sql`, split into parts of whole dialogues.

    With `since`, turns before the day $oldest are left out, but for those of no possible date.

    Adds `part`, a number from 0, and `first_day` and `last_day` of the turn's dialogue. A part
    holds dialogues of about $batch turns that follow each other in time, so that reading it touches
    few files and row groups; rows are ordered by part. Dialogues of more than `_LONG` days, of
    which a clock was wrong, come last: each part that has one reads all of the days between.
    """
    only = (
        "SEMI JOIN (SELECT turn_id FROM turns WHERE day >= $oldest "
        "UNION ALL SELECT turn_id FROM misdated) USING (turn_id)"
        if since
        else ""
    )
    return f"""
    WITH stale AS MATERIALIZED (SELECT * FROM ({stale_sql(context, within)}) {only}),
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
    SELECT turn_id, dialogue_id, context_digest, shared, capture_us, first_day, last_day,
        (dense_rank() OVER (ORDER BY before * ceil(total / $batch)::BIGINT // total) - 1)::INTEGER
            AS part
    FROM stale JOIN summed USING (dialogue_id)
    ORDER BY part, turn_id
    """
