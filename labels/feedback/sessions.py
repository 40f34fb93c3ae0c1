"""Sessions: consecutive turns of one user of one assistant, and the friction logged on each turn.

A session is the dialogue here: its turns pass through the frame of `features.frame`, so what
follows a turn is read by the expressions of `features.context_after`, across dialogues too.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.schema.requests import PAUSE_S, SPEAKER, frame_sql, request_sql
from data.schema.trace import TURNS
from data.store.misdated import DATED
from features import context_after, result
from features.matrix import open_frame

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

GAP_S = PAUSE_S
# Signal of NLU on turns for which there was a rewrite: 1 where it was executed, 0 where it was held
# back, to compare.
REWRITTEN = "rewritten"
# Turns whose features are computed at once.
BATCH = 50_000

# A pause as long as the setting still belongs to the session.
SESSIONS_SQL = f"""
WITH spoken AS (
    SELECT turn_id, day, started_at, turn_index, dialogue_id,
        coalesce(assistant, '') AS assistant,
        {SPEAKER} AS speaker
    FROM turns WHERE {DATED}
), paused AS (
    SELECT *, coalesce(epoch_us(started_at) - epoch_us(lag(started_at) OVER said) > $gap_us, true)
        AS opens
    FROM spoken
    WINDOW said AS (PARTITION BY assistant, speaker
        ORDER BY started_at, dialogue_id, turn_index, turn_id)
), numbered AS (
    SELECT *, sum(opens::INT) OVER (PARTITION BY assistant, speaker
        ORDER BY started_at, dialogue_id, turn_index, turn_id) AS number
    FROM paused
)
SELECT turn_id, day,
    first_value(turn_id) OVER session AS session,
    first_value(day) OVER session AS session_day,
    row_number() OVER session - 1 AS position
FROM numbered
WINDOW session AS (PARTITION BY assistant, speaker, number
    ORDER BY started_at, dialogue_id, turn_index, turn_id)
"""

_CHOSEN = f"""
SELECT * FROM ({SESSIONS_SQL})
WHERE ($since::DATE IS NULL OR session_day >= $since)
    AND ($until::DATE IS NULL OR session_day <= $until)
ORDER BY session_day, session, position
"""

# Only what the evidence below reads: the rest of a turn would be carried through the frame.
_READ = ("prompt", "asr", "nlu", "result", "feedback")
_KEPT = ("turn_id", "started_at", "assistant", "user_id", "locale", *_READ)
_TURNS = f"""
SELECT {", ".join(f"t.{name}" for name in _KEPT)}, t.day, t.nlu.signals['{REWRITTEN}'] AS rewritten,
    b.session_day, b.session AS dialogue_id, b.position::INT AS turn_index, p.p_defect
FROM batch b JOIN turns t ON t.turn_id = b.turn_id AND t.day = b.day
LEFT JOIN (SELECT turn_id, day, p_defect FROM predictions
    WHERE model_id = $model AND day BETWEEN $low AND $high) p
    ON p.turn_id = b.turn_id AND p.day = b.day
WHERE t.day BETWEEN $low AND $high
"""

_AFTER = {feature.name: feature.sql for feature in (*context_after.FEATURES, *result.FEATURES)}

_EVIDENCE = f"""
WITH heard AS (
    SELECT row, dialogue, turn_id, coalesce(assistant, '') AS assistant,
        nullif(user_id, '') AS user_id, locale,
        {request_sql("raw_text")} AS text,
        {frame_sql("domain", "intent", "slots")} AS frame,
        ({_AFTER["dialogue.gap_after"]})::DOUBLE AS gap,
        coalesce(greatest({_AFTER["dialogue.sim_after"]}, {_AFTER["dialogue.words_after"]},
            {_AFTER["dialogue.nbest_after"]}), 0)::DOUBLE AS alike,
        coalesce({_AFTER["dialogue.same_intent_after"]}, 0) = 1 AS same_intent,
        coalesce({_AFTER["dialogue.barge_in"]}, 0) = 1 AS barge_in,
        coalesce({_AFTER["dialogue.terminated"]}, 0) = 1 AS terminated,
        coalesce(feedback.explicit, '') AS explicit,
        coalesce({_AFTER["dialogue.rejected_after"]}, 0) = 1 AS rejected,
        coalesce({_AFTER["dialogue.prompt_apology_after"]}, 0) = 1
            OR coalesce({_AFTER["result.apology"]}, 0) = 1 AS apology,
        {_AFTER["result.failed"]} AS failed
    FROM frame
)
SELECT * FROM heard ORDER BY row
"""


def sessions(
    snapshot: Snapshot,
    *,
    gap_s: float = GAP_S,
    since: date | None = None,
    until: date | None = None,
) -> pa.Table:
    """The sessions that begin on the days `since` to `until`, one row per turn, in order.

    Columns: turn_id, day, session (the id of its first turn), session_day (the day on which it
    begins), position (from 0). A session belongs to one day, so days partition the sessions.
    """
    params = {"gap_us": round(gap_s * 1_000_000), "since": since, "until": until}
    return snapshot.query(_CHOSEN, params)


def friction(
    snapshot: Snapshot,
    *,
    gap_s: float = GAP_S,
    since: date | None = None,
    until: date | None = None,
    model: str | None = None,
) -> Iterator[pa.Table]:
    """What was heard, understood and logged on each turn of the sessions, in tables of sessions.

    `model`: whose predictions are read; the snapshot's own by default. Columns: turn_id, session,
    assistant, user_id (null where none was logged), locale, text (what was heard, lower case,
    single spaces), frame (domain|intent|slot=value…, sorted; null where no intent was logged), gap
    (s until the next turn of the session, null at its end), alike (0 to 1: similarity to the next
    request), same_intent, barge_in, terminated, explicit ('', 'yes', 'no'), rejected, apology,
    failed (null where no status was logged), p_defect (null where the turn is not scored),
    session_day, rewritten (the signal `REWRITTEN`, null where it was not
    logged).
    """
    placed = sessions(snapshot, gap_s=gap_s, since=since, until=until)
    for batch in batches(placed):
        yield friction_of(snapshot, batch, model or snapshot.model)


def friction_of(snapshot: Snapshot, placed: pa.Table, model: str | None) -> pa.Table:
    """The table of `friction` of some whole `sessions`."""
    days: list[Any] = placed["day"].to_pylist()
    turns = snapshot.query(
        _TURNS,
        {"model": model, "low": min(days), "high": max(days)},
        tables={"batch": placed},
    )
    beside = turns.select(["turn_id", "p_defect", "rewritten", "session_day", "dialogue_id"])
    beside = beside.rename_columns([*beside.column_names[:-1], "session"])
    with open_frame(as_turns(turns), "hindsight") as con:
        con.register("beside", beside)
        table: pa.Table = con.sql(
            f"SELECT e.* EXCLUDE (row, dialogue), b.* EXCLUDE (turn_id) FROM ({_EVIDENCE}) e"
            " JOIN beside b USING (turn_id) ORDER BY row"
        ).to_arrow_table()
    return table


def batches(placed: pa.Table) -> Iterator[pa.Table]:
    """Whole sessions, about `BATCH` turns at a time; `placed` has the position of each turn."""
    start, rows = 0, placed.num_rows
    positions = placed["position"].to_numpy()
    while start < rows:
        end = min(start + BATCH, rows)
        while end < rows and positions[end]:
            end += 1
        yield placed.slice(start, end - start)
        start = end


def as_turns(turns: pa.Table) -> pa.Table:
    """The turns in the shape of `TURNS`, with nulls for what was not read."""
    columns = [
        turns[field.name].cast(field.type)
        if field.name in turns.column_names
        else pa.nulls(turns.num_rows, field.type)
        for field in TURNS
    ]
    return pa.Table.from_arrays(columns, schema=TURNS)
