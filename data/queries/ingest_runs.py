"""Ingestion runs, freshness of the logs, and quarantined lines."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.queries.filters import BETWEEN
from data.store.misdated import DATED
from data.store.quarantine import FIELD_KIND, REASON_WORDS, reason_kind

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

_RUNS = """
SELECT file, format, turns, replaced, quarantined, unknown_fields, started_at, finished_at,
  conflicts, interim, misdated
FROM runs ORDER BY started_at DESC, run_id LIMIT $rows OFFSET $skip
"""
_TOTALS = """
SELECT count(*) AS runs, coalesce(sum(turns), 0)::BIGINT AS turns,
  coalesce(sum(quarantined), 0)::BIGINT AS quarantined, max(finished_at) AS newest,
  coalesce(sum(conflicts), 0)::BIGINT AS conflicts, coalesce(sum(interim), 0)::BIGINT AS interim
FROM runs
"""
# A run of another system's logs names its assistants; one whose turns have none is of no name.
# Turns in the trace format may be of any assistant.
_SOURCES = """
SELECT assistant, format, max(finished_at) AS newest, false AS traces FROM (
  SELECT unnest(CASE WHEN len(assistants) = 0 THEN [NULL] ELSE assistants END) AS assistant,
    format, finished_at
  FROM runs WHERE assistants IS NOT NULL AND turns > 0
) GROUP BY ALL
UNION ALL
SELECT NULL, format, max(finished_at), true FROM runs WHERE assistants IS NULL AND turns > 0
GROUP BY ALL
ORDER BY newest DESC, assistant, format
"""
_NEWEST = "SELECT max(finished_at) AS at FROM runs"
_FRESH = f"""
SELECT assistant, count(*) AS turns, max(started_at) AS newest, min(day) AS first_day,
  max(day) AS last_day, count(DISTINCT day) AS days
FROM turns WHERE {DATED} GROUP BY 1 ORDER BY turns DESC, 1
"""
_DAILY = f"""
SELECT day, assistant, count(*) AS turns FROM turns
WHERE {BETWEEN}
GROUP BY ALL ORDER BY ALL
"""
_MISDATED = """
WITH shown AS (
  FROM misdated ORDER BY arrived_at DESC, started_at, turn_id LIMIT $rows OFFSET $skip
)
SELECT turn_id, shown.dialogue_id, day, shown.started_at, arrived_at, assistant,
  device.id AS device_id, asr.hypotheses[1].text AS heard
FROM turns JOIN shown USING (turn_id, day)
ORDER BY arrived_at DESC, shown.started_at, turn_id
"""
_LEFT_OUT = """
SELECT file, field, cause, sum("values")::BIGINT AS "values" FROM left_out
GROUP BY ALL ORDER BY "values" DESC, file, field, cause LIMIT $rows
"""
_REASONS = f"""
SELECT {FIELD_KIND} AS place, {REASON_WORDS} AS words, count(*) AS lines,
  count(DISTINCT file) AS files, min(quarantined_at) AS first, max(quarantined_at) AS last
FROM quarantine GROUP BY place, {reason_kind()} ORDER BY lines DESC, place, words LIMIT 200
"""
_EXAMPLES = f"""
SELECT file, line, excerpt, quarantined_at FROM quarantine
WHERE {FIELD_KIND} = $field AND {reason_kind()} = {reason_kind("$reason")}
ORDER BY quarantined_at DESC, file, line LIMIT $rows OFFSET $skip
"""


def totals(snapshot: Snapshot) -> dict[str, Any]:
    """Number of runs, turns, quarantined lines, conflicts of ids and interim results that replaced
    nothing, and the end of the newest run (None if none)."""
    return dict(snapshot.query(_TOTALS).to_pylist()[0])


def newest(snapshot: Snapshot) -> datetime | None:
    """When the newest ingestion run finished; None if there is none."""
    at: datetime | None = snapshot.query(_NEWEST)["at"].to_pylist()[0]
    return at


def runs(snapshot: Snapshot, rows: int = 20, skip: int = 0) -> pa.Table:
    """Ingestion runs, one row per file, newest first."""
    return snapshot.query(_RUNS, {"rows": rows, "skip": skip})


def sources(snapshot: Snapshot) -> pa.Table:
    """Where turns came from, the latest first: one row per assistant and format of its logs.

    Columns: assistant, format, newest (when such a log was last read), traces (whether the format
    is Faultline's own: its rows have no assistant, and may be of any).
    """
    return snapshot.query(_SOURCES)


def freshness(snapshot: Snapshot) -> pa.Table:
    """Per assistant: turns, time of the newest turn, first and last day, number of days.

    Of turns with a possible date; an assistant without one is left out.
    """
    return snapshot.query(_FRESH)


def daily(snapshot: Snapshot, since: date | None = None, until: date | None = None) -> pa.Table:
    """Turns per day and assistant; `since` and `until` are included, None for an open end."""
    return snapshot.query(_DAILY, {"since": since, "until": until})


def misdated(snapshot: Snapshot, rows: int = 10, skip: int = 0) -> pa.Table:
    """Turns whose date cannot be right, the latest arrival first.

    Columns: turn_id, dialogue_id, day, started_at, arrived_at, assistant, device_id, heard.
    """
    return snapshot.query(_MISDATED, {"rows": rows, "skip": skip})


def left_out(snapshot: Snapshot, rows: int = 200) -> pa.Table:
    """Values that were left out of turns, the most frequent first.

    Columns: file, field, cause ("not a number", "out of range"), values (how many).
    """
    return snapshot.query(_LEFT_OUT, {"rows": rows})


def reasons(snapshot: Snapshot) -> pa.Table:
    """Quarantined lines by kind of reason, the most frequent first, at most 200 rows.

    Columns: field, reason, lines, files, first, last (times of quarantine).
    """
    return snapshot.query(_REASONS).rename_columns({"place": "field", "words": "reason"})


def examples(
    snapshot: Snapshot, field: str, reason: str, rows: int = 10, skip: int = 0
) -> pa.Table:
    """Quarantined lines of one kind, a row of `reasons`, newest first.

    Columns: file, line, excerpt, quarantined_at.
    """
    bound = {"field": field, "reason": reason, "rows": rows, "skip": skip}
    return snapshot.query(_EXAMPLES, bound)
