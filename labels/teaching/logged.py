"""What was taught in the logs: teaching dialogues of an assistant, heard again turn by turn.

An assistant that runs `labels.teaching.dialogue` logs the action `teach` on the turns that were for
it, and the act `offer_teaching` where it offered to learn what a request means.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.schema.requests import request_sql
from data.schema.trace import order_sql
from data.store.misdated import DATED
from labels.teaching.dialogue import IDLE, hear, offer
from labels.teaching.phrases import phrase_key
from labels.teaching.preferences import row_of, table_of, take_over
from labels.teaching.taught import Taught

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot
    from data.store.store import Store

ACTION, OFFER = "teach", "offer_teaching"
# Signal of NLU on turns that were read as what their user taught.
USED = "taught"

# A user of nothing but spaces is nobody, as where there is none.
_NAMED = r"regexp_matches(coalesce(user_id, ''), '[^\s\pZ\x0b\x1c-\x1f\x85]')"
_NOBODY = f"""
SELECT count(*) AS turns FROM turns
WHERE result.action = '{ACTION}' AND coalesce(user_id, '') <> '' AND NOT {_NAMED}
"""
_TURNS = f"""
WITH listed AS (
    SELECT turn_id, dialogue_id, started_at AS "at", assistant, user_id, turn_index, started_at,
        {request_sql()} AS request, coalesce(result.action = '{ACTION}', false) AS teaches,
        list_contains([a.act FOR a IN coalesce(result.acts, [])], '{OFFER}') AS offers
    FROM turns WHERE {DATED} AND {_NAMED}
)
SELECT * EXCLUDE (turn_index, started_at) FROM listed WHERE teaches OR offers
ORDER BY min("at") OVER (PARTITION BY dialogue_id), dialogue_id, {order_sql()}
"""
_USES = f"""
SELECT turn_id, user_id, assistant, started_at AS "at", device.type AS device,
    {request_sql()} AS request
FROM turns WHERE {DATED} AND {_NAMED} AND nlu.signals['{USED}'] > 0
ORDER BY "at", turn_id
"""


def nobodys(snapshot: Snapshot) -> int:
    """How many turns of teaching `from_logs` skips, as their user is nothing but spaces."""
    return int(snapshot.query(_NOBODY)["turns"][0].as_py())


def collect(store: Store) -> tuple[int, int]:
    """Take over into a store what its logs teach; how many things were taught, and forgotten.

    What was changed or forgotten in the store since stays as it is, see `take_over`. Turns of
    users without a name are skipped, see `nobodys`.
    """
    with store.snapshot() as snapshot:
        lessons, forgotten = from_logs(snapshot)
    return take_over(store, lessons.to_pylist(), forgotten)


def from_logs(snapshot: Snapshot) -> tuple[pa.Table, dict[tuple[str, str], datetime]]:
    """Rows of `PREFERENCES` for what was taught in the logs and not forgotten since.

    With the turns that it was taught in, and how often it was used. Taught again, it is replaced.
    Beside them, when something was last forgotten in the logs, by user and `phrase_key` of its
    name.
    """
    rows: dict[str, dict[str, Any]] = {}
    forgotten: dict[tuple[str, str], datetime] = {}
    state, dialogue = IDLE, None
    for turn in snapshot.query(_TURNS).to_pylist():
        if turn["dialogue_id"] != dialogue:
            state, dialogue = IDLE, turn["dialogue_id"]
        if turn["teaches"]:
            state, reply = hear(state, turn["request"], turn["at"], turn["turn_id"])
            if reply.lesson is not None and reply.did == "stored":
                row = row_of(reply.lesson, turn["user_id"], turn["at"], turn["assistant"])
                rows[row["preference_id"]] = row
            elif reply.lesson is not None:
                name = phrase_key(reply.lesson.name)
                forgotten[turn["user_id"], name] = turn["at"]
                rows = {
                    key: row
                    for key, row in rows.items()
                    if row["user_id"] != turn["user_id"] or phrase_key(row["name"]) != name
                }
        if turn["offers"]:
            state, _ = offer(turn["request"], turn["at"])
    taught = Taught(rows.values())
    for turn in snapshot.query(_USES).to_pylist():
        found = taught.meaning(
            turn["request"], turn["user_id"], turn["device"], turn["at"], turn["assistant"]
        )
        if found is not None:
            row = rows[found.preference_id]
            row["used"] += 1
            row["last_used_at"] = turn["at"]
    return table_of(rows.values()), forgotten
