"""Single turns: the complete record, its dialogue and prediction, search, and the newest turns."""

from __future__ import annotations

from contextlib import suppress
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.schema.trace import order_sql
from data.store.misdated import DATED

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

_TURN = "SELECT * FROM turns WHERE turn_id = $turn AND {day} LIMIT 1"

_DIALOGUE = f"""
WITH places AS (
  -- Of the whole dialogue, however many days it lasts.
  SELECT turn_id, row_number() OVER (ORDER BY {order_sql()}) AS place, count(*) OVER () AS turns
  FROM turns WHERE dialogue_id = $dialogue
)
SELECT t.turn_id, t.turn_index, places.place, places.turns, t.started_at, t.day,
  t.prompt.text AS prompt, t.asr.hypotheses[1].text AS heard, t.result.response AS response,
  p.failure_point, p.p_defect
FROM turns t JOIN places USING (turn_id)
LEFT JOIN (
  SELECT turn_id, failure_point, p_defect FROM predictions
  WHERE model_id = $model AND dialogue_id = $dialogue AND {{near}}
) p USING (turn_id)
WHERE t.dialogue_id = $dialogue AND {{near}}
ORDER BY {order_sql("t")}
"""

_PREDICTION = """
SELECT * FROM predictions
WHERE model_id = $model AND day = $day AND turn_id = $turn
LIMIT 1
"""

_SEARCH = f"""
SELECT turn_id, dialogue_id, started_at, day, asr.hypotheses[1].text AS heard, assistant, locale,
  device.type AS device_type
FROM turns
WHERE turn_id = $text OR dialogue_id = $text
  OR contains(lower(asr.hypotheses[1].text), lower($text))
ORDER BY (turn_id = $text) DESC, (dialogue_id = $text) DESC, {DATED} DESC, started_at DESC,
  {order_sql()}
LIMIT $rows
"""

_RECENT = f"""
SELECT turn_id, dialogue_id, started_at, day, asr.hypotheses[1].text AS heard, assistant, locale,
  device.type AS device_type
FROM turns
ORDER BY {DATED} DESC, started_at DESC, turn_id
LIMIT $rows
"""

# Days that are looked at one by one; of more, all are.
_MOST_DAYS = 100
_IN_DIALOGUE = "SELECT turn_id, day FROM misdated WHERE dialogue_id = $dialogue"

_OTHER = "SELECT 1 FROM turns WHERE NOT starts_with(dialogue_id, $prefix) LIMIT 1"


def turn(snapshot: Snapshot, turn_id: str, day: date | None = None) -> dict[str, Any] | None:
    """The record of one turn, nested as in `data.schema.trace.TURNS`; None if it is not stored.

    `day` is searched first, which opens one day's file instead of all; it need not be right.
    """
    conditions = [("day = $day", {"day": day})] if day else []
    for where, params in [*conditions, ("true", {})]:
        table = snapshot.query(_TURN.format(day=where), {"turn": turn_id, **params})
        if table.num_rows:
            return dict(table.to_pylist(maps_as_pydicts="lossy")[0])
    return None


def dialogue(snapshot: Snapshot, row: dict[str, Any], model: str | None) -> list[dict[str, Any]]:
    """The dialogue of a turn (a row of `turn`), in order, at most a day before and after it.

    Turns of the dialogue whose date is impossible are in it too, and all turns for one of those.

    Each row has turn_id, turn_index, place (in the whole dialogue, from 1, as the feature
    `dialogue.position` says it), turns (of the whole dialogue), started_at, day, prompt, heard,
    response, and, if the model has scored it, failure_point and p_defect.
    """
    params = {"dialogue": row["dialogue_id"], "model": model or ""}
    near, days = _near(snapshot, row)
    return list(snapshot.query(_DIALOGUE.format(near=near), {**params, **days}).to_pylist())


def _near(snapshot: Snapshot, row: dict[str, Any]) -> tuple[str, dict[str, date]]:
    """A condition for the days on which turns of the same dialogue are looked for.

    The days are bound one by one, so that DuckDB opens their files only.
    """
    misdated: list[dict[str, Any]] = []
    if snapshot.counts()["misdated"]:
        misdated = snapshot.query(_IN_DIALOGUE, {"dialogue": row["dialogue_id"]}).to_pylist()
    days = {other["day"] for other in misdated}
    if len(days) > _MOST_DAYS or any(other["turn_id"] == row["turn_id"] for other in misdated):
        return "true", {}
    with suppress(OverflowError):
        days |= {row["day"] + timedelta(days=distance) for distance in (-1, 0, 1)}
    bound = {f"day_{number}": day for number, day in enumerate(sorted(days | {row["day"]}))}
    return f"day IN ({', '.join('$' + name for name in bound)})", bound


def prediction(snapshot: Snapshot, row: dict[str, Any], model: str | None) -> dict[str, Any] | None:
    """The model's prediction for a turn (a row of `turn`); None if it has not scored it."""
    if model is None:
        return None
    params = {"turn": row["turn_id"], "day": row["day"], "model": model}
    rows = snapshot.query(_PREDICTION, params).to_pylist()
    return rows[0] if rows else None


def search(snapshot: Snapshot, text: str, rows: int = 20) -> pa.Table:
    """Turns with this turn id, dialogue id or text in the first hypothesis, in this order."""
    return snapshot.query(_SEARCH, {"text": text.strip(), "rows": rows})


def recent(snapshot: Snapshot, rows: int = 20) -> pa.Table:
    """The newest turns; those with an impossible date are the last."""
    return snapshot.query(_RECENT, {"rows": rows})


def has_other_dialogues(snapshot: Snapshot, prefix: str) -> bool:
    """Whether any turn is of a dialogue whose id does not start with `prefix`."""
    return snapshot.query(_OTHER, {"prefix": prefix}).num_rows > 0
