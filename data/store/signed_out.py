"""Sign-ins that somebody ended by signing out, for all processes and machines that serve a store.

The audit has them, so that they are as lasting as what else was noted. A copy of the cookie, or
another tab, cannot go on with one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from data.store.head import LogChecksums
from data.store.store import Store

# Streamlit's cookie is valid for 30 days.
_KEPT = timedelta(days=31)
_SIGN_OUTS = """
SELECT DISTINCT who, details FROM audit
WHERE what = 'sign-out' AND details <> '' AND happened_at > $since
"""


def sign_in_of(issued: str) -> str:
    """The details of a sign-out: which sign-in it ended, by when the provider issued it."""
    return f"ended the sign-in of {issued}"


def ended(store: Store) -> Ended:
    """The sign-ins that have ended; read again only when the audit has changed."""
    head = store.head()
    version = head.tables.get("audit", 0)
    return _ended(store.path, version, head.logs.get("audit")) if version else Ended(frozenset())


class Ended:
    """Sign-ins, each an address and when it was issued."""

    def __init__(self, rows: frozenset[tuple[str, str]]) -> None:
        self._rows = rows

    def __contains__(self, sign_in: tuple[str | None, str]) -> bool:
        address, issued = sign_in
        return address is not None and (address, sign_in_of(issued)) in self._rows


@lru_cache(maxsize=8)
def _ended(path: Path, version: int, logs: LogChecksums | None) -> Ended:
    since = datetime.now(UTC) - _KEPT
    with Store(path).snapshot(only=("audit",)) as snapshot:
        rows = snapshot.query(_SIGN_OUTS, {"since": since}).to_pylist()
    return Ended(frozenset((row["who"], row["details"]) for row in rows))
