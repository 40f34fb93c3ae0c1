"""Opening the ticket of a slice once, and asking trackers what became of tickets."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from filelock import FileLock, Timeout

from data.errors import FaultlineError, StoreBusy, TicketError, TicketMissing, UsageError
from data.store import workspace
from data.store.store import Store
from tickets.tracker import Ticket, Tracker

# The setting that makes the markers of this store's tickets its own.
_STORE_ID = "ticket_store_id"
_LOCK = ".tickets.lock"
# A ticket takes a tracker some seconds.
_PATIENCE_S = 60.0
# Of a row of `data.store.workspace.tickets`, what is not the tracker's but the slice's decision.
_OF_DECISION = ("slice", "failure_point", "owner")


@dataclass(frozen=True, slots=True)
class Opened:
    """The ticket of a slice, and whether it is new; else it had been opened before."""

    ticket: Ticket
    new: bool


def open_ticket(
    store: Store, tracker: Tracker, slice_key: str, failure_point: str, title: str, body: str
) -> Opened:
    """Open a ticket about a slice, and make it that of the slice's decision.

    Opening is not repeatable, so an open ticket of the slice is looked for first, in the store and
    by its marker in the tracker: a second click, a retry after a lost answer, or two people at
    once make one ticket.

    Raises UsageError for a title or body that is empty or too long, `TicketError` where the tracker
    cannot be asked or refuses, `StoreBusy` while somebody else opens one.
    """
    title, body = " ".join(title.split()), body.strip()
    if not title or not body:
        raise UsageError("A ticket needs a title and a text; write both.")
    if len(body) > tracker.longest:
        raise UsageError(
            f"The text has {len(body):,} characters, and {tracker.title} takes at most "
            f"{tracker.longest:,}; shorten it."
        )
    with _alone(store):
        marker = _marker(store, slice_key)
        ticket = _open_one(store, tracker, slice_key) or tracker.find(marker)
        new = ticket is None
        if ticket is None:
            ticket = tracker.create(title, f"{body}\n\nOpened with Faultline: `{marker}`")
        try:
            workspace.link_ticket(store, slice_key, failure_point, ticket.row())
        except (FaultlineError, OSError) as error:
            reason = str(error).rstrip(".")
            raise TicketError(
                f"{ticket.key} is open at {ticket.url}, but was not recorded in the store "
                f"({reason}); try again, it is found and no second one is opened."
            ) from error
    return Opened(ticket, new)


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    lock = FileLock(store.path / _LOCK, timeout=_PATIENCE_S)
    try:
        lock.acquire()
    except Timeout as error:
        raise StoreBusy(
            "Somebody else is opening a ticket; nothing was opened, try again in a moment."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _open_one(store: Store, tracker: Tracker, slice_key: str) -> Ticket | None:
    """The slice's ticket in the store, if it is open: a search may not know it yet."""
    with store.snapshot(only=("triage", "tickets", "settings")) as snapshot:
        linked = workspace.tickets(snapshot).get(slice_key)
    key = tracker.key_of(linked["url"]) if linked else None
    if key is None:
        return None
    try:
        ticket = tracker.state(key)
    except TicketMissing:
        return None
    return ticket if ticket.state == "open" else None


def _marker(store: Store, slice_key: str) -> str:
    """A word that stands in the ticket of this slice of this store, and nowhere else."""
    with store.snapshot(only=("settings",)) as snapshot:
        store_id = workspace.setting(snapshot, _STORE_ID, None)
    if not isinstance(store_id, str):
        store_id = uuid.uuid4().hex
        workspace.put_setting(store, _STORE_ID, store_id)
    return "faultline" + hashlib.sha256(f"{store_id} {slice_key}".encode()).hexdigest()[:20]


@dataclass(frozen=True, slots=True)
class Synced:
    """What asking about tickets gave: those that were asked about, as rows of
    `data.store.workspace.tickets`; how many changed; and a sentence for each that failed."""

    rows: list[dict[str, Any]]
    changed: int
    problems: list[str]


def sync(
    store: Store, trackers: Sequence[Tracker], slices: Collection[str] | None = None
) -> Synced:
    """Ask the trackers about the tickets of slices (of all by default), and keep what they say.

    Also those that people linked by hand. After the first failure that is not about one ticket, a
    tracker is not asked again; what others said is kept.
    """
    with store.snapshot(only=("triage", "tickets", "settings")) as snapshot:
        linked = workspace.tickets(snapshot)
    asked: dict[str, Ticket] = {}
    problems: dict[str, str] = {}
    rows = []
    for slice_key, row in linked.items():
        if slices is not None and slice_key not in slices:
            continue
        match = _tracker_of(trackers, row["url"])
        if match is None or match[0].name in problems:
            continue
        tracker, key = match
        if row["url"] not in asked:
            try:
                asked[row["url"]] = tracker.state(key)
            except TicketMissing:
                asked[row["url"]] = Ticket(tracker.name, key, row["url"], "missing", "not found")
            except TicketError as error:
                problems[tracker.name] = str(error)
                continue
        rows.append({**row, **asked[row["url"]].row(), "url": row["url"]})
    # By its address as it is linked: a tracker may have moved the ticket.
    replaced = {row["url"]: row for row in rows}
    workspace.record_tickets(
        store,
        [
            {name: value for name, value in row.items() if name not in _OF_DECISION}
            for row in replaced.values()
        ],
    )
    changed = sum(
        (row["state"], row["status"])
        != (linked[row["slice"]]["state"], linked[row["slice"]]["status"])
        for row in rows
    )
    return Synced(rows, changed, list(problems.values()))


def _tracker_of(trackers: Sequence[Tracker], url: str) -> tuple[Tracker, str] | None:
    """The tracker that a ticket's address belongs to, and the ticket's key."""
    for tracker in trackers:
        if key := tracker.key_of(url):
            return tracker, key
    return None
