"""Decisions made in the dashboard, besides annotations: triage, targets, views, settings."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pyarrow as pa

from data.errors import UsageError
from data.schema.layout import TABLES
from data.schema.trace import FAILURES

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot
    from data.store.store import Store

STATES = ("new", "looking", "fixed", "won't fix")
# Characters of a ticket's address; longer ones do not work in every browser.
_LONGEST = 2_000


def _put(store: Store, table: str, key: str, row: dict[str, Any]) -> None:
    """Write one row, replacing the one with the same key."""
    layout = TABLES[table]
    replacement = pa.Table.from_pylist([row], schema=layout.schema)
    with store.commit() as cycle:
        condition = f"{key} IN (SELECT {key} FROM replacement)"
        cycle.delete_rows(table, condition, {"replacement": replacement})
        cycle.append(table, replacement)


def _drop(store: Store, table: str, key: str, value: str) -> bool:
    keys = pa.table({key: [value]})
    with store.commit() as cycle:
        return bool(cycle.delete_rows(table, f"{key} IN (SELECT {key} FROM keys)", {"keys": keys}))


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
    """Record the owner and state of a slice.

    Raises UsageError for an unknown state, a fix without a version, or a link that is not a web
    address.
    """
    if state not in STATES:
        raise UsageError(f"Unknown state '{state}'; choose one of {', '.join(STATES)}.")
    if state == "fixed" and not (version or "").strip():
        raise UsageError("A fixed slice needs the version that contains the fix; give it.")
    if link and not web_address(link):
        raise UsageError(
            f"'{link[:80]}' is not a web address; give one that starts with https:// or http:// "
            f"and has at most {_LONGEST} characters."
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


def web_address(link: str | None) -> bool:
    """Whether a ticket's link is one that a browser opens as a page, not as a script."""
    if (
        not link
        or not link.startswith(("https://", "http://"))
        or len(link) > _LONGEST
        or len(link.split()) > 1
    ):
        return False
    try:
        return bool(urlsplit(link).hostname)
    except ValueError:
        return False


def triage(snapshot: Snapshot) -> dict[str, dict[str, Any]]:
    """The rows of the table `triage`, by slice."""
    return {str(row["slice"]): row for row in snapshot.query("FROM triage").to_pylist()}


def set_target(store: Store, failure_point: str, target: float | None) -> None:
    """Set the share of turns that a failure point may cost (0 < target < 1); None removes it.

    Raises UsageError for an unknown failure point, for `correct`, or for another target.
    """
    if failure_point not in FAILURES:
        raise UsageError(
            f"No target can be set for '{failure_point}'; choose one of {', '.join(FAILURES)}."
        )
    if target is None:
        _drop(store, "targets", "failure_point", failure_point)
        return
    if not 0 < target < 1:
        raise UsageError(f"Invalid target {target:g}; give a share between 0 and 1.")
    row = {
        "failure_point": failure_point,
        "target": target,
        "updated_at": datetime.now(UTC),
    }
    _put(store, "targets", "failure_point", row)


def targets(snapshot: Snapshot) -> dict[str, float]:
    """Failure point -> largest share of turns that it may cost, where a target is set."""
    rows = snapshot.query("FROM targets").to_pylist()
    return {str(row["failure_point"]): float(row["target"]) for row in rows}


def save_view(store: Store, name: str, page: str, query: str, note: str | None = None) -> None:
    """Save a page's URL parameters under a name, replacing an earlier view of that name.

    Raises UsageError for an empty name or one of more than 100 characters.
    """
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
    """Delete a saved view; returns False if there is none of that name."""
    return _drop(store, "views", "name", name)


def views(snapshot: Snapshot) -> list[dict[str, Any]]:
    """The saved views, by name."""
    return list(snapshot.query("FROM views ORDER BY lower(name)").to_pylist())


def put_setting(store: Store, name: str, value: Any) -> None:
    """Save a setting for all users of the store; `value` is anything that JSON can represent."""
    row = {"name": name, "value": json.dumps(value), "updated_at": datetime.now(UTC)}
    _put(store, "settings", "name", row)


def setting(snapshot: Snapshot, name: str, otherwise: Any) -> Any:
    """The value of a setting, or `otherwise` if it was never set."""
    sql = "SELECT value FROM settings WHERE name = $name"
    values = snapshot.query(sql, {"name": name})["value"].to_pylist()
    return json.loads(str(values[0])) if values else otherwise
