"""Conversations: what a user says next, where logs end a dialogue with every request, too.

A conversation is a dialogue with those that follow it by the same user of the same assistant after
a pause of at most `PAUSE_S`. Unlike a session (`labels.feedback.sessions`) it keeps a dialogue
whole, however long its pauses: in many logs the times are made up, and only the order is real.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa

from data.schema.requests import PAUSE_S, SPEAKER
from data.schema.trace import order_sql
from data.store.misdated import DATED
from features.multi_device import WITHIN_S, microseconds

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

# Another device of the user that heard the same request is no answer to the first: its dialogue
# stands alone.
_PLACED = f"""
WITH spoken AS (
    SELECT turn_id, dialogue_id, turn_index, started_at, day,
        coalesce(assistant, '') AS assistant, {SPEAKER} AS speaker
    FROM turns WHERE {DATED}
), dialogues AS (
    SELECT dialogue_id, arg_min(assistant, ({order_sql()})) AS assistant,
        arg_min(speaker, ({order_sql()})) AS speaker,
        min(epoch_us(started_at)) AS began, max(epoch_us(started_at)) AS ended
    FROM spoken GROUP BY dialogue_id
), heard AS (
    SELECT *, coalesce(began - lag(began) OVER said <= $within, false) AS captured
    FROM dialogues
    WINDOW said AS (PARTITION BY assistant, speaker ORDER BY began, dialogue_id)
), paused AS (
    SELECT *, captured OR coalesce(began - max(ended) OVER (PARTITION BY assistant, speaker,
        captured ORDER BY began, dialogue_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
        > $pause, true) AS opens
    FROM heard
), numbered AS (
    SELECT *, sum(opens::INT) OVER (PARTITION BY assistant, speaker, captured
        ORDER BY began, dialogue_id) AS number
    FROM paused
), named AS (
    SELECT *, first_value(dialogue_id) OVER (PARTITION BY assistant, speaker, captured, number
        ORDER BY began, dialogue_id) AS conversation
    FROM numbered
), placed AS (
    SELECT s.turn_id, s.dialogue_id, s.day, d.assistant, d.speaker, d.conversation,
        row_number() OVER turns - 1 AS position, min(s.day) OVER whole AS conversation_day
    FROM spoken s JOIN named d USING (dialogue_id)
    WINDOW turns AS (PARTITION BY d.conversation ORDER BY d.began, s.dialogue_id,
            {order_sql("s")}),
        whole AS (PARTITION BY d.conversation)
)
SELECT * FROM placed
WHERE ($since::DATE IS NULL OR conversation_day >= $since)
    AND ($until::DATE IS NULL OR conversation_day <= $until)
ORDER BY conversation_day, conversation, position
"""


def conversations(
    snapshot: Snapshot, *, since: date | None = None, until: date | None = None
) -> pa.Table:
    """The conversations that begin on the days `since` to `until`, one row per turn, in order.

    Columns: turn_id, dialogue_id, day, assistant, speaker, conversation (the id of its first
    dialogue), position (from 0), conversation_day.
    """
    params = {
        "pause": microseconds(PAUSE_S),
        "within": microseconds(WITHIN_S),
        "since": since,
        "until": until,
    }
    return snapshot.query(_PLACED, params)
