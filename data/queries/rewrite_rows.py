"""Rows of the table `rewrites` with what became of them: for the command line and the export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.errors import UsageError

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

# Outcomes are summed over days and sources.
WITH_OUTCOMES = """
WITH became AS (
    SELECT rewrite_id, sum(wins) AS wins, sum(losses) AS losses, sum(no_help) AS no_help,
        sum(turns_with) AS turns_with, sum(good_with) AS good_with,
        sum(turns_without) AS turns_without, sum(good_without) AS good_without
    FROM rewrite_outcomes GROUP BY 1
)
SELECT w.*, coalesce(b.wins, 0)::BIGINT AS wins, coalesce(b.losses, 0)::BIGINT AS losses,
    coalesce(b.no_help, 0)::BIGINT AS no_help,
    coalesce(b.turns_with, 0)::BIGINT AS turns_with, coalesce(b.good_with, 0) AS good_with,
    coalesce(b.turns_without, 0)::BIGINT AS turns_without,
    coalesce(b.good_without, 0) AS good_without
FROM rewrites w LEFT JOIN became b USING (rewrite_id)
"""

# What would be mended: failing turns, by how much likelier success becomes.
_LISTED = f"""
SELECT *, count(*) OVER () AS total FROM ({WITH_OUTCOMES})
WHERE (len($states) = 0 OR list_contains($states, state)) AND request <> rewrite
ORDER BY failing * (p_after - p_before) DESC, turns DESC, rewrite_id
LIMIT $most
"""

_IN_STATES = f"""
WITH became AS ({WITH_OUTCOMES}), chosen AS (
    FROM became WHERE list_contains($states, state) AND request <> rewrite
), keeping AS (
    SELECT k.* FROM became k WHERE k.request = k.rewrite AND k.state <> 'rejected'
        AND EXISTS (FROM chosen c WHERE c.assistant = k.assistant AND c.request = k.request
            AND c.user_id IS NULL)
)
FROM (FROM chosen UNION ALL FROM keeping)
QUALIFY row_number() OVER (PARTITION BY assistant, request, user_id
    ORDER BY score DESC, rewrite) = 1
ORDER BY assistant, request, user_id NULLS FIRST
"""

_EXAMPLES = """
WITH named AS (
    SELECT unnest(examples) AS turn_id, generate_subscripts(examples, 1) AS place
    FROM rewrites WHERE rewrite_id = $id
), said AS (
    SELECT turn_id, dialogue_id, day, started_at, coalesce(assistant, '') AS assistant,
        coalesce('u' || nullif(user_id, ''), 'd' || dialogue_id) AS speaker,
        coalesce(asr.hypotheses[1].text, '') AS text
    FROM turns
)
SELECT s.turn_id, s.dialogue_id, s.day, s.text, s.started_at,
    coalesce((
        SELECT arg_min(a.text, a.started_at) FROM said a
        WHERE a.day BETWEEN s.day AND s.day + 1 AND a.speaker = s.speaker
            AND a.assistant = s.assistant AND a.started_at > s.started_at
            AND epoch(a.started_at) - epoch(s.started_at) <= $pause_s
    ), '') AS after
FROM said s JOIN named n USING (turn_id) ORDER BY n.place
"""


def listed(snapshot: Snapshot, states: Sequence[str] = (), most: int = 20) -> pa.Table:
    """Rewrites in some states (all by default), those first that would mend most.

    Columns: those of the table; wins, losses and no_help on later sessions; turns_with and
    turns_without of its use, with their expected successes good_with and good_without; and total,
    the rewrites in these states. Rows by which a user keeps a request as it is are left out.
    """
    return snapshot.query(_LISTED, {"states": list(states), "most": most})


def in_states(snapshot: Snapshot, states: Sequence[str]) -> pa.Table:
    """The rewrites in some states, one for each request and user: the one with the highest score.

    A row by which a user keeps a request as it is comes with the rewrite that it excepts them from.
    Columns as of `listed`.
    """
    return snapshot.query(_IN_STATES, {"states": list(states)})


def one(snapshot: Snapshot, rewrite_id: str) -> dict[str, Any]:
    """One rewrite, see `listed`; raises UsageError if there is none with this id."""
    rows = snapshot.query(f"{WITH_OUTCOMES} WHERE rewrite_id = $id", {"id": rewrite_id})
    if not rows.num_rows:
        raise UsageError(
            f"There is no rewrite '{rewrite_id}' in the store; list them with: faultline rewrites "
            "list"
        )
    row: dict[str, Any] = rows.to_pylist()[0]
    return row


def example_turns(snapshot: Snapshot, rewrite_id: str, pause_s: float = 45.0) -> pa.Table:
    """The turns that a rewrite was mined from, and what was said within `pause_s` after each.

    Columns: turn_id, dialogue_id, day, text, started_at, after.
    """
    return snapshot.query(_EXAMPLES, {"id": rewrite_id, "pause_s": pause_s})
