"""What users taught, beside the turns that it is about: how often it is used, what it changed.

A concept is about the requests that are its phrase, with courtesies around it or without; a
preference is about those with its slot. Both are about their user's only, and on the device that
they are limited to.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.queries.filters import Filter
from data.schema.requests import COURTESIES, request_sql
from data.store.misdated import DATED

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

KINDS = ("concept", "preference")

_WITHIN = """
coalesce(p.created_at::DATE >= $since, true) AND coalesce(p.created_at::DATE <= $until, true)
AND (len($assistants) = 0 OR p.assistant IS NULL OR list_contains($assistants, p.assistant))
"""
_LISTED = f"""
SELECT p.*, coalesce(p.expires_at <= $now, false) AS expired, count(*) OVER ()::BIGINT AS total
FROM preferences p
WHERE {_WITHIN} AND ($kind IS NULL OR p.kind = $kind)
  AND ($find = '' OR p.user_id = $find OR contains(lower(p.name), lower($find))
    OR contains(lower(p.value), lower($find)))
ORDER BY p.used DESC NULLS LAST, p.created_at DESC, p.preference_id LIMIT $rows OFFSET $skip
"""
_TOTALS = f"""
SELECT count(*)::BIGINT AS taught, count(DISTINCT p.user_id)::BIGINT AS users,
  coalesce(sum(p.used), 0)::BIGINT AS used,
  count(*) FILTER (p.created_at > $week)::BIGINT AS lately,
  count(*) FILTER (p.kind = 'concept')::BIGINT AS concepts
FROM preferences p WHERE {_WITHIN}
"""
_ONE = """
SELECT *, coalesce(expires_at <= $now, false) AS expired FROM preferences
WHERE preference_id = $id
"""

# What a preference is about: its topic, or a topic that ends with the slot, as "radio station" is
# about `station`.
_ABOUT = """
CASE p.kind WHEN 'concept'
  THEN t.phrase = lower(p.name) OR t.request = lower(p.name)
  ELSE len([s for s in t.slots if lower(p.name) = replace(lower(s), '_', ' ')
    OR ends_with(lower(p.name), ' ' || replace(lower(s), '_', ' '))]) > 0 END
"""
_MATCHED = f"""
WITH taught AS (
  SELECT p.* FROM preferences p WHERE {_WITHIN} AND ($only IS NULL OR p.preference_id = $only)
), said AS (
  SELECT turn_id, day, started_at, user_id, assistant, device.type AS device_type,
    {request_sql()} AS request,
    trim(regexp_replace({request_sql()}, $courtesies, '', 'g')) AS phrase,
    [s.name for s in coalesce(nlu.hypotheses[1].slots, [])] AS slots
  FROM turns WHERE user_id IN (SELECT user_id FROM taught) AND {DATED}
)
SELECT p.preference_id, p.user_id, t.turn_id, t.day, t.started_at,
  t.started_at >= p.created_at AS after, d.p_defect
FROM taught p JOIN said t ON t.user_id = p.user_id
JOIN (SELECT turn_id, day, p_defect FROM predictions WHERE model_id = $model) d
  ON d.turn_id = t.turn_id AND d.day = t.day
WHERE {_ABOUT} AND (p.assistant IS NULL OR t.assistant IS NULL OR p.assistant = t.assistant)
  AND (p.scope = 'user' OR p.scope = t.device_type)
  AND (p.expires_at IS NULL OR t.started_at < p.expires_at)
  AND NOT list_contains(coalesce(p.turn_ids, []), t.turn_id)
"""
_CHANGED = f"""
SELECT preference_id, any_value(user_id) AS user_id,
  count(*) FILTER (NOT after)::BIGINT AS before_turns,
  coalesce(sum(p_defect) FILTER (NOT after), 0)::DOUBLE AS before_failing,
  count(*) FILTER (after)::BIGINT AS after_turns,
  coalesce(sum(p_defect) FILTER (after), 0)::DOUBLE AS after_failing
FROM ({_MATCHED}) GROUP BY preference_id ORDER BY preference_id
"""
_LATEST = f"""
SELECT m.turn_id, m.day, m.started_at, m.after, m.p_defect, t.asr.hypotheses[1].text AS heard
FROM ({_MATCHED} ORDER BY started_at DESC, turn_id LIMIT $rows) m
JOIN turns t ON t.turn_id = m.turn_id AND t.day = m.day
ORDER BY m.started_at DESC, m.turn_id
"""
_TAUGHT_IN = """
SELECT turn_id, dialogue_id, day, started_at, asr.hypotheses[1].text AS heard,
  result.response AS response
FROM turns WHERE list_contains($turns, turn_id) ORDER BY started_at, turn_index, turn_id
"""


def _params(chosen: Filter) -> dict[str, Any]:
    return {
        "since": chosen.since,
        "until": chosen.until,
        "assistants": list(chosen.assistant),
    }


def listed(
    snapshot: Snapshot,
    chosen: Filter,
    now: datetime,
    kind: str | None = None,
    find: str = "",
    rows: int = 20,
    skip: int = 0,
) -> pa.Table:
    """What users taught, what is used most first; of a filter, its days and assistants count.

    `find` is a user, or a part of a name or of a value; `now` decides what has expired. Columns:
    those of the table, expired, total (of all rows).
    """
    params = {"now": now, "kind": kind, "find": find, "rows": rows, "skip": skip}
    return snapshot.query(_LISTED, {**_params(chosen), **params})


def totals(snapshot: Snapshot, chosen: Filter, week: datetime) -> dict[str, int]:
    """Numbers of what was taught: taught, users, used, lately (since `week`), concepts."""
    return dict(snapshot.query(_TOTALS, {**_params(chosen), "week": week}).to_pylist()[0])


def one(snapshot: Snapshot, preference_id: str, now: datetime) -> dict[str, Any] | None:
    """One row of the table, with `expired`; None if there is none with this id."""
    rows = snapshot.query(_ONE, {"id": preference_id, "now": now}).to_pylist()
    return dict(rows[0]) if rows else None


def changed(snapshot: Snapshot, model: str, chosen: Filter, only: str | None = None) -> pa.Table:
    """How the turns that something taught is about went before it was taught, and since.

    The dialogue that taught it is left out, and turns after it expired. `only` is one id.

    Columns: preference_id, user_id, before_turns and after_turns, before_failing and after_failing
    (summed probabilities of a defect). Rows without such turns are missing.
    """
    params = {"model": model, "only": only, "courtesies": COURTESIES}
    return snapshot.query(_CHANGED, {**_params(chosen), **params})


def latest(snapshot: Snapshot, model: str, preference_id: str, rows: int = 10) -> pa.Table:
    """The newest turns that something taught is about.

    Columns: turn_id, day, started_at, after (since it was taught), p_defect, heard.
    """
    params = {"model": model, "only": preference_id, "courtesies": COURTESIES, "rows": rows}
    return snapshot.query(_LATEST, {**_params(Filter()), **params})


def taught_in(snapshot: Snapshot, turn_ids: list[str]) -> list[dict[str, Any]]:
    """The turns that something was taught in, as far as they are in the store, in order."""
    return list(snapshot.query(_TAUGHT_IN, {"turns": turn_ids}).to_pylist())
