"""Rewrites in the store: what was mined replaces what was only proposed; decisions stay."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.errors import UsageError
from data.schema.layout import TABLES
from data.store.annotations import PATIENCE_S

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

_BOTH = "rewrites", "rewrite_outcomes"
_DECISION = ("state", "reason", "decided_by", "decided_at")


def rewrite_id(assistant: str, request: str, rewrite: str, user_id: str | None) -> str:
    """The id of a rewrite: the same for the same texts, assistant and user, at every mining."""
    key = "\x1f".join((assistant, request, rewrite, user_id or ""))
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


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
        return rows.num_rows


def _followed(rows: pa.Table, states: Mapping[str, tuple[str, str]]) -> pa.Table:
    """The rows in the states that their outcomes lead to."""
    if not states:
        return rows
    records = rows.to_pylist()
    for record in records:
        state, reason = states.get(record["rewrite_id"], (None, None))
        if state in NEXT[record["state"]]:
            record |= {"state": state, "reason": reason, "decided_by": None}
            record["decided_at"] = datetime.now(UTC)
    return pa.Table.from_pylist(records, rows.schema)


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
        _must_be_known(ids["id"].to_pylist(), rows["rewrite_id"].to_pylist())
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


def forget(cycle: Cycle, deleted: pa.Table, user_ids: Iterable[str]) -> int:
    """Remove the rewrites of users, and those that only deleted turns (`turn_id`) are examples of.

    Deleted turns leave the examples of the others. Returns the number of rewrites removed.
    """
    users = pa.table({"id": pa.array(list(user_ids), pa.string())})
    tables = {"deleted": deleted, "users": users}
    with cycle.snapshot("rewrites") as snapshot:
        if not snapshot.counts()["rewrites"]:
            return 0
        rows = snapshot.query(
            _LEFT,
            tables=tables,
        )
        gone = snapshot.query(
            "SELECT rewrite_id AS id FROM rewrites ANTI JOIN rows USING (rewrite_id)",
            tables={"rows": rows},
        )
        touched = snapshot.query(
            "SELECT r.* FROM rows r JOIN rewrites w USING (rewrite_id) "
            "WHERE len(r.examples) < len(w.examples)",
            tables={"rows": rows},
        )
    if touched.num_rows:
        _put(cycle, touched.cast(TABLES["rewrites"].schema))
    for name in _BOTH if gone.num_rows else ():
        cycle.delete_rows(name, "rewrite_id IN (SELECT id FROM gone)", {"gone": gone})
    return gone.num_rows


# Rewrites that stay, without deleted turns among their examples.
_LEFT = """
WITH kept AS (
    SELECT rewrite_id, list(example ORDER BY place) AS examples
    FROM (SELECT rewrite_id, unnest(examples) AS example, generate_subscripts(examples, 1) AS place
        FROM rewrites)
    ANTI JOIN deleted ON example = turn_id
    GROUP BY rewrite_id
)
SELECT w.* REPLACE (coalesce(k.examples, []) AS examples)
FROM rewrites w LEFT JOIN kept k USING (rewrite_id)
WHERE coalesce(user_id, '') NOT IN (SELECT id FROM users)
    AND (k.examples IS NOT NULL OR coalesce(len(w.examples), 0) = 0)
"""


def _put(cycle: Cycle, rows: pa.Table) -> None:
    """Write rows of the table `rewrites`, in place of those with the same ids."""
    cycle.delete_rows("rewrites", "rewrite_id IN (SELECT rewrite_id FROM rows)", {"rows": rows})
    cycle.append("rewrites", rows)


def _must_be_known(given: Sequence[Any], known: Sequence[Any]) -> None:
    unknown = [value for value in given if value not in set(known)]
    if unknown:
        raise UsageError(
            f"There is no rewrite '{unknown[0]}' in the store; list them with: faultline rewrites "
            "list"
        )
