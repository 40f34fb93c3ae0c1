"""What people decide in the dashboard beside annotations: slices, targets, views, settings."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pyarrow as pa

from data.errors import UsageError
from data.schema.layout import TABLES
from data.schema.trace import FAILURE_POINTS

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot
    from data.store.store import Store

STATES = ("new", "looking", "fixed", "won't fix")
# Of a ticket's address; browsers take no longer ones for granted.
_LONGEST = 2_000


def _put(store: Store, table: str, key: str, row: dict[str, Any]) -> None:
    """Write one row in place of the one with the same key."""
    layout = TABLES[table]
    made = pa.Table.from_pylist([row], schema=layout.schema)
    with store.commit() as cycle:
        cycle.delete_rows(table, f"{key} IN (SELECT {key} FROM made)", {"made": made})
        cycle.append(table, made)


def _drop(store: Store, table: str, key: str, value: str) -> bool:
    named = pa.table({key: [value]})
    with store.commit() as cycle:
        return bool(
            cycle.delete_rows(table, f"{key} IN (SELECT {key} FROM named)", {"named": named})
        )


def set_triage(
    store: Store,
    slice_key: str,
    failure_point: str,
    *,
    owner: str | None = None,
    state: str = "new",
    version: str | None = None,
    note: str | None = None,
    link: str | None = None,
) -> None:
    """Record who looks after a slice and how far they are.

    Raises UsageError for an unknown state, a fix without a version, or a link that is no web
    address.
    """
    if state not in STATES:
        raise UsageError(f"'{state}' is no state; choose one of {', '.join(STATES)}.")
    if state == "fixed" and not (version or "").strip():
        raise UsageError("A slice is fixed in a version; say in which one.")
    if link and not _web_address(link):
        raise UsageError(
            f"'{link[:80]}' is no web address; give one that starts with https:// or http:// and "
            f"has at most {_LONGEST} characters."
        )
    row = {
        "slice": slice_key,
        "failure_point": failure_point,
        "owner": (owner or "").strip() or None,
        "state": state,
        "version": (version or "").strip() or None,
        "note": (note or "").strip() or None,
        "link": link or None,
        "updated_at": datetime.now(UTC),
    }
    _put(store, "triage", "slice", row)


def _web_address(link: str) -> bool:
    if (
        not link.startswith(("https://", "http://"))
        or len(link) > _LONGEST
        or len(link.split()) > 1
    ):
        return False
    try:
        return bool(urlsplit(link).hostname)
    except ValueError:
        return False


def triage(snapshot: Snapshot) -> dict[str, dict[str, Any]]:
    """What was decided, by slice."""
    return {str(row["slice"]): row for row in snapshot.query("FROM triage").to_pylist()}


def set_target(store: Store, failure_point: str, target: float | None) -> None:
    """Say which share of turns a failure point may cost (0 < target < 1); None takes it away."""
    if failure_point not in FAILURE_POINTS or failure_point == "correct":
        raise UsageError(f"'{failure_point}' is no failure point that a target can be set for.")
    if target is None:
        _drop(store, "targets", "failure_point", failure_point)
        return
    if not 0 < target < 1:
        raise UsageError(f"A target of {target:g} is no share; give one between 0 and 1.")
    row = {
        "failure_point": failure_point,
        "target": target,
        "updated_at": datetime.now(UTC),
    }
    _put(store, "targets", "failure_point", row)


def targets(snapshot: Snapshot) -> dict[str, float]:
    """Failure point -> largest share of turns it may cost, where a target is set."""
    found = snapshot.query("FROM targets").to_pylist()
    return {str(row["failure_point"]): float(row["target"]) for row in found}


def save_view(store: Store, name: str, page: str, query: str, note: str | None = None) -> None:
    """Keep a page's URL parameters under a name; an earlier view of that name is replaced."""
    if not name.strip() or len(name) > 100:
        raise UsageError("A view needs a name of at most 100 characters.")
    row = {
        "name": name.strip(),
        "page": page,
        "query": query,
        "note": (note or "").strip() or None,
        "created_at": datetime.now(UTC),
    }
    _put(store, "views", "name", row)


def drop_view(store: Store, name: str) -> bool:
    """Forget a view; False when there is none of that name."""
    return _drop(store, "views", "name", name)


def views(snapshot: Snapshot) -> list[dict[str, Any]]:
    """The saved views, by name."""
    return list(snapshot.query("FROM views ORDER BY lower(name)").to_pylist())


def put_setting(store: Store, name: str, value: Any) -> None:
    """Set something for everybody who uses the store; `value` is anything that JSON can hold."""
    row = {"name": name, "value": json.dumps(value), "updated_at": datetime.now(UTC)}
    _put(store, "settings", "name", row)


def setting(snapshot: Snapshot, name: str, otherwise: Any) -> Any:
    """What was set under a name, or `otherwise`."""
    sql = "SELECT value FROM settings WHERE name = $name"
    found = snapshot.query(sql, {"name": name})["value"].to_pylist()
    return json.loads(str(found[0])) if found else otherwise
