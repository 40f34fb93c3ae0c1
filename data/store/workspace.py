"""Decisions made in the dashboard, besides annotations: triage, alerts, targets, views and more."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pyarrow as pa

from data.errors import NotPermitted, UsageError
from data.schema.layout import TABLES
from data.schema.trace import FAILURES
from data.store.rerun import rerun

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot
    from data.store.store import Store
    from data.store.transaction import Cycle

STATES = ("new", "looking", "fixed", "won't fix")
# Characters of a ticket's address; longer ones do not work in every browser.
_LONGEST = 2_000
# The setting with what an address starts with, before the key of a ticket.
TICKETS = "ticket_prefix"
_TICKET_KEY = re.compile(r"#?[A-Za-z0-9](?:[A-Za-z0-9_.#/-]{0,58}[A-Za-z0-9])?")
# What a row of the table `triage` starts with if it is about one turn, not a slice. Slices start
# with a failure point.
_TURN = "turn:"


@rerun
def _put(store: Store, table: str, key: str, row: dict[str, Any]) -> None:
    """Write one row, replacing the one with the same key."""
    with store.commit() as cycle:
        _replace(cycle, table, key, [row])


def _replace(cycle: Cycle, table: str, key: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows, replacing those with the same keys."""
    replacement = pa.Table.from_pylist([dict(row) for row in rows], schema=TABLES[table].schema)
    condition = f"{key} IN (SELECT {key} FROM replacement)"
    cycle.delete_rows(table, condition, {"replacement": replacement})
    cycle.append(table, replacement)


@rerun
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

    `link` is the ticket: a web address, or a short key where the store has a prefix for keys.

    Raises UsageError for an unknown state, a fix without a version, or another link.
    """
    _must_be_theirs(store, slice_key)
    if state not in STATES:
        raise UsageError(f"Unknown state '{state}'; choose one of {', '.join(STATES)}.")
    if state == "fixed" and not (version or "").strip():
        raise UsageError("A fixed slice needs the version that contains the fix; give it.")
    if link:
        with store.snapshot(only=("settings",)) as snapshot:
            link = _ticket(link.strip(), ticket_prefix(snapshot))
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


def _must_be_theirs(store: Store, slice_key: str) -> None:
    """Raise `NotPermitted` for a slice with turns that whoever opened the store may not see."""
    if not store.access.decides(slice_key):
        raise NotPermitted(
            f"The slice {slice_key[:200]} has turns that you may not see, so the decision on it is "
            "for somebody who sees all of them; choose one of your assistants or locales."
        )


def _ticket(link: str, prefix: str) -> str:
    """A ticket as it is stored: its key, where `prefix` leads to it, else its address."""
    key = link.removeprefix(prefix) if prefix else link
    if prefix and _TICKET_KEY.fullmatch(key):
        return key
    if web_address(link):
        return link
    if not _TICKET_KEY.fullmatch(link):
        raise UsageError(
            f"'{link[:80]}' is not a web address; give one that starts with https:// or http:// "
            f"and has at most {_LONGEST} characters, or the key of a ticket."
        )
    raise UsageError(
        f"'{link}' is not a web address, and this store has no ticket prefix that would make one "
        "of it; give the whole address, or set the prefix once."
    )


def ticket_prefix(snapshot: Snapshot) -> str:
    """What the address of a ticket starts with, before its key; empty if it was never set."""
    prefix = setting(snapshot, TICKETS, "")
    return prefix if isinstance(prefix, str) and web_address(prefix) else ""


def set_ticket_prefix(store: Store, prefix: str) -> None:
    """Set what the address of a ticket starts with, for all users; an empty text removes it.

    Raises UsageError for what is not the start of a web address.
    """
    prefix = prefix.strip()
    # Without a path, a key would become part of the host's name.
    if prefix and not (web_address(prefix) and urlsplit(prefix).path):
        raise UsageError(
            f"'{prefix[:80]}' is not the start of a web address; give what stands before a "
            "ticket's key, for example https://tickets.example.org/browse/."
        )
    put_setting(store, TICKETS, prefix)


def ticket_address(link: str | None, prefix: str) -> str | None:
    """The address of a stored ticket; None if there is none, or no prefix for its key."""
    if not link:
        return None
    if _TICKET_KEY.fullmatch(link) and "://" not in link:
        # People write #12 for the ticket whose address ends in 12.
        address = prefix + link.removeprefix("#") if prefix else ""
        return address if web_address(address) else None
    return link if web_address(link) else None


def ticket_words(link: str) -> str:
    """A ticket as it is called: its key, or the last part of its address."""
    return link.rstrip("/").rpartition("/")[2] or link if "://" in link else link


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


@rerun
def link_ticket(
    store: Store, slice_key: str, failure_point: str, ticket: Mapping[str, Any]
) -> None:
    """Make a ticket (a row of the table `tickets`) that of a slice; its other decisions stay."""
    _must_be_theirs(store, slice_key)
    with store.commit() as cycle:
        with cycle.snapshot("triage", "settings") as snapshot:
            rows = snapshot.query("FROM triage WHERE slice = $key", {"key": slice_key}).to_pylist()
            prefix = ticket_prefix(snapshot)
        blank = {"slice": slice_key, "failure_point": failure_point, "state": "new"}
        decision = {
            **(rows[0] if rows else blank),
            "link": _ticket(ticket["url"], prefix),
            "updated_at": datetime.now(UTC),
        }
        _replace(cycle, "triage", "slice", [decision])
        _replace(cycle, "tickets", "url", [ticket])


@rerun
def record_tickets(store: Store, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep what trackers said of some tickets (rows of the table `tickets`)."""
    if rows:
        with store.commit() as cycle:
            _replace(cycle, "tickets", "url", rows)


def tickets(snapshot: Snapshot) -> dict[str, dict[str, Any]]:
    """Slice -> its ticket: slice, failure_point, owner, url, tracker, key, state, status, closed_at
    and checked_at. `tracker` and what follows are None where no tracker was ever asked."""
    prefix = ticket_prefix(snapshot)
    known = {str(row["url"]): row for row in snapshot.query("FROM tickets").to_pylist()}
    unknown = dict.fromkeys(TABLES["tickets"].columns)
    linked = {}
    for key, decision in triage(snapshot).items():
        if address := ticket_address(decision["link"], prefix):
            about = {name: decision[name] for name in ("slice", "failure_point", "owner")}
            linked[key] = {**about, **known.get(address, {**unknown, "url": address})}
    return linked


def decisions(snapshot: Snapshot) -> dict[str, dict[str, Any]]:
    """The decisions on slices, by slice, each with its `ticket`: a row of `tickets`, or None."""
    linked = tickets(snapshot)
    return {key: {**row, "ticket": linked.get(key)} for key, row in triage(snapshot).items()}


def alerts(snapshot: Snapshot) -> list[dict[str, Any]]:
    """The alerts (rows of the table `alerts`), the oldest first."""
    return list(snapshot.query("FROM alerts ORDER BY created_at, alert_id").to_pylist())


@rerun
def change_alerts(
    store: Store,
    change: Callable[[dict[str, dict[str, Any]]], Mapping[str, Mapping[str, Any] | None]],
) -> None:
    """Change alerts, in one commit in which nobody else can change them.

    `change` gets the rows by id, and returns those to write by id, None for one to delete. An
    exception in it leaves the store as it is.
    """
    with store.commit() as cycle:
        with cycle.snapshot("alerts") as snapshot:
            changed = change({str(row["alert_id"]): row for row in alerts(snapshot)})
        if gone := [key for key, row in changed.items() if row is None]:
            keys = pa.table({"alert_id": gone})
            condition = "alert_id IN (SELECT alert_id FROM keys)"
            cycle.delete_rows("alerts", condition, {"keys": keys})
        if rows := [row for row in changed.values() if row is not None]:
            _replace(cycle, "alerts", "alert_id", rows)


def triage(snapshot: Snapshot) -> dict[str, dict[str, Any]]:
    """The decisions on slices, by slice."""
    return {
        str(row["slice"]): row
        for row in snapshot.query("FROM triage").to_pylist()
        if not str(row["slice"]).startswith(_TURN)
    }


@rerun
def assign_turns(
    store: Store, turns: Iterable[Mapping[str, Any]], failure_point: str, owner: str
) -> int:
    """Give turns (`turn_id`, `day`) to an owner, in one commit; without a name, to nobody.

    Returns how many turns. A turn has one owner, the last one.
    """
    owner = owner.strip()
    rows = {
        key: {
            "slice": key,
            "failure_point": failure_point,
            "owner": owner,
            "state": "new",
            "updated_at": datetime.now(UTC),
        }
        for key in map(_turn_key, turns)
    }
    if not rows:
        return 0
    schema = TABLES["triage"].schema
    replacement = pa.Table.from_pylist(list(rows.values()), schema=schema)
    with store.commit() as cycle:
        condition = "slice IN (SELECT slice FROM replacement)"
        cycle.delete_rows("triage", condition, {"replacement": replacement})
        if owner:
            cycle.append("triage", replacement)
    return len(rows)


def _turn_key(turn: Mapping[str, Any]) -> str:
    # As JSON, in which erasure finds an id whatever its characters are.
    return _TURN + json.dumps({"day": turn["day"].isoformat(), "turn": str(turn["turn_id"])})


def assigned(snapshot: Snapshot) -> list[dict[str, Any]]:
    """The turns that have an owner, the last assigned first: turn_id, day (ISO) and the decision's
    failure_point, owner and updated_at."""
    sql = "FROM triage WHERE starts_with(slice, $turn) ORDER BY updated_at DESC, slice"
    turns = []
    for row in snapshot.query(sql, {"turn": _TURN}).to_pylist():
        key = json.loads(str(row["slice"]).removeprefix(_TURN))
        decision = {name: row[name] for name in ("failure_point", "owner", "updated_at")}
        turns.append({"turn_id": str(key["turn"]), "day": str(key["day"]), **decision})
    return turns


def owner_of(snapshot: Snapshot, turn: Mapping[str, Any]) -> str | None:
    """Who a turn (`turn_id`, `day`) is assigned to; None if nobody."""
    sql = "SELECT owner FROM triage WHERE slice = $key"
    owners = snapshot.query(sql, {"key": _turn_key(turn)})["owner"].to_pylist()
    return str(owners[0]) if owners else None


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


@rerun
def put_setting(store: Store, name: str, value: Any) -> None:
    """Save a setting for all users of the store; `value` is anything that JSON can represent."""
    with store.commit() as cycle:
        change_setting(cycle, name, value)


def change_setting(cycle: Cycle, name: str, value: Any) -> None:
    """`put_setting` in a cycle, which may have read the value that is replaced."""
    row = {"name": name, "value": json.dumps(value), "updated_at": datetime.now(UTC)}
    _replace(cycle, "settings", "name", [row])


def setting(snapshot: Snapshot, name: str, otherwise: Any) -> Any:
    """The value of a setting, or `otherwise` if it was never set."""
    sql = "SELECT value FROM settings WHERE name = $name"
    values = snapshot.query(sql, {"name": name})["value"].to_pylist()
    return json.loads(str(values[0])) if values else otherwise
