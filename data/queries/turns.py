"""Single turns: the complete record, its dialogue and prediction, search, and the newest turns."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.schema.trace import order_sql

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
  WHERE model_id = $model AND dialogue_id = $dialogue AND day BETWEEN $first AND $last
) p USING (turn_id)
WHERE t.dialogue_id = $dialogue AND t.day BETWEEN $first AND $last
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
ORDER BY (turn_id = $text) DESC, (dialogue_id = $text) DESC, started_at DESC, {order_sql()}
LIMIT $rows
"""

_RECENT = """
SELECT turn_id, dialogue_id, started_at, day, asr.hypotheses[1].text AS heard, assistant, locale,
  device.type AS device_type
FROM turns
ORDER BY started_at DESC, turn_id
LIMIT $rows
"""

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

    Each row has turn_id, turn_index, place (in the whole dialogue, from 1, as the feature
    `dialogue.position` says it), turns (of the whole dialogue), started_at, day, prompt, heard,
    response, and, if the model has scored it, failure_point and p_defect.
    """
    params = {
        "dialogue": row["dialogue_id"],
        "model": model or "",
        "first": row["day"] - timedelta(days=1),
        "last": row["day"] + timedelta(days=1),
    }
    return list(snapshot.query(_DIALOGUE, params).to_pylist())


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
    """The newest turns."""
    return snapshot.query(_RECENT, {"rows": rows})


def has_other_dialogues(snapshot: Snapshot, prefix: str) -> bool:
    """Whether any turn is of a dialogue whose id does not start with `prefix`."""
    return snapshot.query(_OTHER, {"prefix": prefix}).num_rows > 0
