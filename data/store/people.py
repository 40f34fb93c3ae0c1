"""Who may sign in to the dashboard with which role, and what is noted of what they do.

Both are tables of the store. Whoever can write the store's files can write these, so that the first
admin is made on the command line; what limits people is the dashboard.
"""

from __future__ import annotations

import atexit
import re
import threading
import unicodedata
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.errors import FaultlineError, UsageError
from data.schema.access import Access, role_named
from data.schema.layout import TABLES
from data.store.head import Head, LogChecksums
from data.store.rerun import rerun

if TYPE_CHECKING:
    from data.store.store import Store
    from data.store.transaction import Cycle

COMMAND_LINE = "command line"
EVENTS = ("sign-in", "sign-out", "export", "statement", "deletion", "role", "refused")
_LONGEST = 254
_ADDRESS = re.compile(r"[^@\s:;,<>()\[\]\\\"]+@[^@\s:;,<>()\[\]\\\"]+")
# Characters that are kept of what somebody wrote.
_KEPT = 2_000
# Seconds between two writes of what was noted; and how much waits while nothing can be written.
_PAUSE_S = 1.0
_WAITING = 10_000
# What tells one row of the audit from another; only of a row written twice all of it is the same.
_SAME = '(happened_at, who, what, "object", details)'


def address_of(text: object) -> str | None:
    """An e-mail address in the one form in which it is compared; None for anything else.

    Composed (NFC) and in lower case as far as it is ASCII: full case folding would make one address
    of two that a provider keeps apart. Addresses with characters that only look like ASCII once
    they are composed (the Kelvin sign), or that cannot be seen, are none.
    """
    if not isinstance(text, str) or len(text) > _LONGEST:
        return None
    composed = unicodedata.normalize("NFC", text.strip())
    plain = "".join(letter.lower() if letter.isascii() else letter for letter in composed)
    posing = any(
        not letter.isascii() and unicodedata.normalize("NFC", letter).isascii() for letter in text
    )
    if posing or not plain.isprintable() or not _ADDRESS.fullmatch(plain):
        return None
    return plain


@dataclass(frozen=True)
class User:
    """Somebody who may sign in."""

    address: str
    access: Access
    since: datetime
    by: str


def users(store: Store, head: Head | None = None) -> Mapping[str, User]:
    """Everybody who has a role, by address; read again only when the table has changed."""
    head = head or store.head()
    version = head.tables.get("users", 0)
    # The checksums tell another store of the same path and version.
    return _users(store.path, version, head.logs.get("users")) if version else {}


@lru_cache(maxsize=8)
def _users(path: Path, version: int, logs: LogChecksums | None) -> Mapping[str, User]:
    from data.store.store import Store

    with Store(path).snapshot(only=("users",)) as snapshot:
        rows = snapshot.query("FROM users ORDER BY address").to_pylist()
    return {row["address"]: _user(row) for row in rows}


def _user(row: Mapping[str, Any]) -> User:
    limits = (tuple(row[name] or ()) for name in ("assistants", "locales"))
    access = Access(role_named(str(row["role"])), *limits)
    return User(str(row["address"]), access, row["since"], str(row["given_by"]))


@rerun
def set_user(
    store: Store,
    address: str,
    role: str,
    assistants: Sequence[str] = (),
    locales: Sequence[str] = (),
    by: str = COMMAND_LINE,
) -> User:
    """Give an address a role, in place of the one that it had.

    Raises UsageError for what is no address or role, and for limits of an admin, who could lift
    them.
    """
    known = _address(address)
    access = Access(role_named(role), _limit("assistant", assistants), _limit("locale", locales))
    if access.role == "admin" and access.limited:
        raise UsageError(
            "An admin sees every assistant and locale; leave the limits out, or give the role "
            "analyst."
        )
    user = User(known, access, datetime.now(UTC), by)
    row = {
        "address": known,
        "role": access.role,
        "assistants": list(access.assistants),
        "locales": list(access.locales),
        "since": user.since,
        "given_by": by,
    }
    table = pa.Table.from_pylist([row], TABLES["users"].schema)
    with store.commit() as cycle:
        cycle.delete_rows("users", "address IN (SELECT address FROM given)", {"given": table})
        cycle.append("users", table)
        limits = "; ".join(
            f"{name} {', '.join(values)}"
            for name, values in (("assistants", access.assistants), ("locales", access.locales))
            if values
        )
        _append(cycle, [_row(by, "role", known, f"{access.role}{'; ' if limits else ''}{limits}")])
    return user


@rerun
def remove_user(store: Store, address: str, by: str = COMMAND_LINE) -> bool:
    """Take an address's role away; whether it had one. Raises UsageError for what is no address."""
    known = _address(address)
    with store.commit() as cycle:
        given = {"given": pa.table({"address": [known]})}
        removed = cycle.delete_rows("users", "address IN (SELECT address FROM given)", given)
        if removed:
            _append(cycle, [_row(by, "role", known, "removed")])
    return bool(removed)


def _address(text: str) -> str:
    if (known := address_of(text)) is None:
        raise UsageError(
            f"'{text[:80]}' is not an e-mail address that can be compared safely; give one such as "
            "ada@example.org."
        )
    return known


def _limit(what: str, values: Sequence[str]) -> tuple[str, ...]:
    kept = tuple(sorted({value.strip() for value in values}))
    if "" in kept:
        raise UsageError(f"The name of an {what} is empty; give it as it is logged, or no limit.")
    return kept


# -- the audit -------------------------------------------------------------------------------------


def audited(store: Store, most: int = 1_000) -> list[dict[str, Any]]:
    """The newest rows of the audit, the last first. Raises `NotPermitted` for all but admins."""
    store.access.require("people")
    with store.snapshot(only=("audit",)) as snapshot:
        return [
            dict(row)
            for row in snapshot.query(
                "FROM audit ORDER BY happened_at DESC LIMIT $most", {"most": most}
            ).to_pylist()
        ]


def _row(who: str, what: str, about: str, details: str) -> dict[str, Any]:
    if what not in EVENTS:
        raise ValueError(f"unknown event: {what}")
    at, texts = datetime.now(UTC), (who, about, details)
    who, about, details = (text[:_KEPT].encode(errors="replace").decode() for text in texts)
    return {"happened_at": at, "who": who, "what": what, "object": about, "details": details}


def _append(cycle: Cycle, rows: Sequence[Mapping[str, Any]]) -> None:
    cycle.append("audit", pa.Table.from_pylist([dict(row) for row in rows], TABLES["audit"].schema))


def note(store: Store, who: str, what: str, about: str = "", details: str = "") -> None:
    """Add a row to the audit now; takes the writers' lock."""
    _write(store, [_row(who, what, about, details)])


@rerun
def _write(
    store: Store,
    rows: Sequence[Mapping[str, Any]],
    patience: float | None = None,
    again: bool = False,
) -> None:
    """Add rows; `again`: in place of those that an attempt has added which seemed to fail."""
    with store.commit(patience) as cycle:
        if again:
            schema = TABLES["audit"].schema
            given = {"given": pa.Table.from_pylist([dict(row) for row in rows], schema)}
            cycle.delete_rows("audit", f"{_SAME} IN (SELECT {_SAME} FROM given)", given)
        _append(cycle, rows)


class Notes:
    """Rows of a store's audit on their way: written together, about a second after they came.

    A page does not wait for the writers' lock. What waits is written when the process ends; it is
    lost if the process is killed in that second.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: deque[dict[str, Any]] = deque(maxlen=_WAITING)
        self._changing = threading.Lock()
        self._failed = False
        self._came = threading.Event()
        self._writing = threading.Lock()
        threading.Thread(target=self._run, daemon=True, name="audit").start()
        atexit.register(self.flush)

    def add(self, who: str, what: str, about: str = "", details: str = "") -> None:
        """Note it; returns at once."""
        with self._changing:
            self._waiting.append(_row(who, what, about, details))
        self._came.set()

    def flush(self, patience: float = 5.0) -> None:
        """Write what waits; what cannot be written now goes on waiting."""
        with self._writing:
            with self._changing:
                rows = list(self._waiting)
            if not rows:
                return
            try:
                _write(self._store, rows, patience, again=self._failed)
            except (FaultlineError, OSError):
                # An object store that gave no answer may have written them.
                self._failed = True
                return
            self._failed = False
            written = {id(row) for row in rows}
            with self._changing:
                # Some of them may have had to make room for others meanwhile.
                left = [row for row in self._waiting if id(row) not in written]
                self._waiting.clear()
                self._waiting.extend(left)

    def _run(self) -> None:
        while True:
            self._came.wait()
            self._came.clear()
            threading.Event().wait(_PAUSE_S)
            self.flush()
            if self._waiting:
                self._came.set()
