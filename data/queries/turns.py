"""Single turns: one with everything logged, its dialogue and prediction, search, the newest."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

_TURN = "SELECT * FROM turns WHERE turn_id = $turn AND {day} LIMIT 1"

_DIALOGUE = """
SELECT t.turn_id, t.turn_index, t.started_at, t.day, t.prompt.text AS prompt,
  t.asr.hypotheses[1].text AS heard, t.result.response AS response,
  p.failure_point, p.p_defect
FROM turns t
LEFT JOIN (
  SELECT turn_id, failure_point, p_defect FROM predictions
  WHERE model_id = $model AND dialogue_id = $dialogue AND day BETWEEN $first AND $last
) p USING (turn_id)
WHERE t.dialogue_id = $dialogue AND t.day BETWEEN $first AND $last
ORDER BY t.turn_index, t.started_at, t.turn_id
"""

_PREDICTION = """
SELECT * FROM predictions
WHERE model_id = $model AND day = $day AND turn_id = $turn
LIMIT 1
"""

_SEARCH = """
SELECT turn_id, dialogue_id, started_at, day, asr.hypotheses[1].text AS heard, assistant, locale,
  device.type AS device_type
FROM turns
WHERE turn_id = $text OR dialogue_id = $text
  OR contains(lower(asr.hypotheses[1].text), lower($text))
ORDER BY (turn_id = $text) DESC, (dialogue_id = $text) DESC, started_at DESC, turn_index
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
    """Everything logged about one turn, nested as in `data.schema.trace.TURNS`; None when unknown.

    `day` is where to look first: one day's file instead of all. It need not be right.
    """
    places = [("day = $day", {"day": day})] if day else []
    for where, params in [*places, ("true", {})]:
        found = snapshot.query(_TURN.format(day=where), {"turn": turn_id, **params})
        if found.num_rows:
            return dict(found.to_pylist(maps_as_pydicts="lossy")[0])
    return None


def dialogue(snapshot: Snapshot, row: dict[str, Any], model: str | None) -> list[dict[str, Any]]:
    """The dialogue around a turn (a row of `turn`), in order, at most a day before and after it.

    Each turn says what was prompted, heard and answered, and where it failed.
    """
    params = {
        "dialogue": row["dialogue_id"],
        "model": model or "",
        "first": row["day"] - timedelta(days=1),
        "last": row["day"] + timedelta(days=1),
    }
    return list(snapshot.query(_DIALOGUE, params).to_pylist())


def prediction(snapshot: Snapshot, row: dict[str, Any], model: str | None) -> dict[str, Any] | None:
    """What the model says about a turn (a row of `turn`); None when it has not scored it."""
    if model is None:
        return None
    params = {"turn": row["turn_id"], "day": row["day"], "model": model}
    found = snapshot.query(_PREDICTION, params).to_pylist()
    return found[0] if found else None


def search(snapshot: Snapshot, text: str, rows: int = 20) -> pa.Table:
    """Turns with this turn id or dialogue id, or in which these words were heard, newest first."""
    return snapshot.query(_SEARCH, {"text": text.strip(), "rows": rows})


def recent(snapshot: Snapshot, rows: int = 20) -> pa.Table:
    """The newest turns."""
    return snapshot.query(_RECENT, {"rows": rows})


def has_other_dialogues(snapshot: Snapshot, prefix: str) -> bool:
    """Whether there is a turn of a dialogue whose id does not start with `prefix`."""
    return snapshot.query(_OTHER, {"prefix": prefix}).num_rows > 0
