"""Rewrites in the store: what was mined replaces what was only proposed; decisions stay."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from data.errors import UsageError
from data.schema.layout import TABLES
from data.schema.requests import request_sql
from data.store.annotations import PATIENCE_S
from data.store.rerun import rerun

if TYPE_CHECKING:
    from data.store.store import Store
    from data.store.transaction import Cycle

# proposed → approved → live → retired; or rejected, with a reason.
PROPOSED, APPROVED, LIVE, RETIRED, REJECTED = STATES = (
    *("proposed", "approved", "live", "retired", "rejected"),
)
# What may follow each state. A rewrite goes live when a logged turn was executed by it.
NEXT = {
    PROPOSED: (APPROVED, REJECTED),
    APPROVED: (PROPOSED, LIVE, RETIRED, REJECTED),
    LIVE: (RETIRED, REJECTED),
    RETIRED: (APPROVED, REJECTED),
    REJECTED: (PROPOSED, APPROVED),
}
# Characters of a reason that are kept.
_LONGEST_REASON = 1_000

_DECISION = ("state", "reason", "decided_by", "decided_at")


def rewrite_id(assistant: str, request: str, rewrite: str, user_id: str | None) -> str:
    """The id of a rewrite: the same for the same texts, assistant and user, at every mining."""
    key = "\x1f".join((assistant, request, rewrite, user_id or ""))
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


@rerun
def replace_proposed(
    store: Store,
    mined: pa.Table,
    outcomes: pa.Table,
    states: Mapping[str, tuple[str, str]] | None = None,
) -> int:
    """Record what was mined (`REWRITES`) and what became of it (`REWRITE_OUTCOMES`), in one commit.

    Rewrites that somebody decided on keep their state, also those that were not mined again; the
    other earlier ones go. `states` (id → state and reason) follow from outcomes; those that cannot
    follow the present state, as somebody has decided meanwhile, are left out. Returns the number of
    rewrites then in the store.
    """
    schema = TABLES["rewrites"].schema
    with store.commit(PATIENCE_S) as cycle:
        with cycle.snapshot("rewrites") as snapshot:
            kept = snapshot.query(
                "SELECT * FROM rewrites WHERE state <> $proposed ORDER BY rewrite_id",
                {"proposed": PROPOSED},
            )
            marks = ", ".join(f"coalesce(k.{name}, m.{name}) AS {name}" for name in _DECISION)
            rows = snapshot.query(
                f"SELECT m.* REPLACE ({marks}) FROM mined m LEFT JOIN kept k USING (rewrite_id) "
                "UNION ALL BY NAME SELECT * FROM kept ANTI JOIN mined USING (rewrite_id) "
                "ORDER BY rewrite_id",
                tables={"mined": mined, "kept": kept},
            )
        cycle.delete_rows("rewrites", "true")
        cycle.append("rewrites", _followed(rows.select(schema.names).cast(schema), states or {}))
        cycle.delete_rows("rewrite_outcomes", "true")
        cycle.append("rewrite_outcomes", outcomes)
        # Somebody may have deleted turns since they were read.
        return rows.num_rows - tidy(cycle)


def _followed(rows: pa.Table, states: Mapping[str, tuple[str, str]]) -> pa.Table:
    """The rows in the states that their outcomes lead to."""
    if not states:
        return rows
    records = rows.to_pylist()
    for record in records:
        state, reason = states.get(record["rewrite_id"], (None, None))
        if state in NEXT[record["state"]]:
            # Who approved it stays on record.
            record |= {"state": state, "reason": reason, "decided_at": datetime.now(UTC)}
    return pa.Table.from_pylist(records, rows.schema)


@rerun
def decide(
    store: Store,
    rewrite_ids: Sequence[str],
    state: str,
    *,
    by: str | None = None,
    reason: str | None = None,
) -> int:
    """Set the state of rewrites in one commit; returns how many changed.

    Raises UsageError for an unknown id or state, a state that cannot follow the present one, and
    for a rejection without a reason; then nothing changes.
    """
    if state not in STATES:
        raise UsageError(f"Unknown state '{state}'; choose one of {', '.join(STATES)}.")
    reason = (reason or "").strip()[:_LONGEST_REASON] or None
    if state == REJECTED and not reason:
        raise UsageError("A rejected rewrite needs a reason; give one.")
    ids = pa.table({"id": pa.array(list(dict.fromkeys(rewrite_ids)), pa.string())})
    chosen = "rewrite_id IN (SELECT id FROM ids)"
    with store.commit(PATIENCE_S) as cycle:
        with cycle.snapshot("rewrites") as snapshot:
            rows = snapshot.query(f"SELECT * FROM rewrites WHERE {chosen}", tables={"ids": ids})
        known = set(rows["rewrite_id"].to_pylist())
        for name in rewrite_ids:
            if name not in known:
                raise unknown(name)
        changed = [row for row in rows.to_pylist() if row["state"] != state]
        for row in changed:
            if state not in NEXT[row["state"]]:
                following = " or ".join(NEXT[row["state"]])
                raise UsageError(
                    f"Rewrite {row['rewrite_id']} is {row['state']} and cannot become {state}; "
                    f"it can become {following}."
                )
            row |= {
                "state": state,
                "reason": reason,
                "decided_by": (by or "").strip() or None,
                "decided_at": datetime.now(UTC),
            }
        if changed:
            _put(cycle, pa.Table.from_pylist(changed, TABLES["rewrites"].schema))
        return len(changed)


def tidy(cycle: Cycle) -> int:
    """Remove what turns that the store no longer has have left in rewrites; returns rows removed.

    Rewrites go whose user has no turn, whose request or rewrite nobody says any more, or of whose
    examples none is left; of the others the examples that are gone, and a chain that names what
    nobody says. Outcomes go with their rewrites.
    """
    with cycle.snapshot("rewrites", "turns") as snapshot:
        if not (before := snapshot.counts()["rewrites"]):
            return 0
        rows = snapshot.query(_LEFT)
        changed = snapshot.query(_CHANGED, tables={"left_over": rows})["n"][0].as_py()
    gone = before - rows.num_rows
    if gone or changed:
        cycle.delete_rows("rewrites", "true")
        cycle.append("rewrites", rows.cast(TABLES["rewrites"].schema))
    ids = rows.select(["rewrite_id"])
    cycle.delete_rows(
        "rewrite_outcomes", "rewrite_id NOT IN (SELECT rewrite_id FROM ids)", {"ids": ids}
    )
    return gone


_LEFT = f"""
WITH said AS (
    SELECT DISTINCT coalesce(assistant, '') AS assistant, {request_sql()} AS text FROM turns
), speakers AS (
    SELECT DISTINCT user_id FROM turns WHERE user_id <> ''
), named AS (
    SELECT rewrite_id, unnest(examples) AS turn_id, generate_subscripts(examples, 1) AS place
    FROM rewrites
), kept AS (
    SELECT rewrite_id, list(turn_id ORDER BY place) AS examples
    FROM named SEMI JOIN turns USING (turn_id) GROUP BY rewrite_id
), drawn AS (
    SELECT rewrite_id, assistant,
        unnest(json_extract_string(chain, '$.nodes[*].text')) AS text
    FROM rewrites WHERE chain IS NOT NULL
), stale AS (
    SELECT DISTINCT rewrite_id FROM drawn ANTI JOIN said USING (assistant, text)
)
SELECT w.* REPLACE (
    coalesce(k.examples, []) AS examples,
    CASE WHEN s.rewrite_id IS NULL THEN w.chain END AS chain)
FROM rewrites w
    SEMI JOIN said a ON a.assistant = w.assistant AND a.text = w.request
    SEMI JOIN said b ON b.assistant = w.assistant AND b.text = w.rewrite
    LEFT JOIN kept k USING (rewrite_id)
    LEFT JOIN stale s USING (rewrite_id)
WHERE (w.user_id IS NULL OR w.user_id IN (FROM speakers))
    AND (k.examples IS NOT NULL OR coalesce(len(w.examples), 0) = 0)
ORDER BY w.rewrite_id
"""
_CHANGED = """
SELECT count(*) AS n FROM left_over l JOIN rewrites w USING (rewrite_id)
WHERE len(l.examples) < coalesce(len(w.examples), 0) OR (l.chain IS NULL AND w.chain IS NOT NULL)
"""


def _put(cycle: Cycle, rows: pa.Table) -> None:
    """Write rows of the table `rewrites`, in place of those with the same ids."""
    cycle.delete_rows("rewrites", "rewrite_id IN (SELECT rewrite_id FROM rows)", {"rows": rows})
    cycle.append("rewrites", rows)


def unknown(rewrite_id: str) -> UsageError:
    """The error for an id that no rewrite of the store has."""
    return UsageError(
        f"There is no rewrite '{rewrite_id}' in the store; list them with: faultline rewrites list"
    )
