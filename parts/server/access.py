"""Who looks at a page, and what they may do there: the one place where the dashboard asks.

Without sign-in everybody may do everything: the server then listens on this machine alone, unless
`--insecure` said otherwise. With it, a role is looked up at each run of the script and before each
change, so that one taken away counts at once. A run reads with the access that it began with; if
that has changed since, it may change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from data.errors import FaultlineError, NotPermitted, StoreMissing
from data.schema.access import EVERYTHING, Access
from data.store.people import Notes, users
from data.store.signed_out import ended, sign_in_of
from data.store.store import Store
from data.store.transaction import Cycle
from parts.server import sign_in

T = TypeVar("T")
# The access that this run of the script reads with.
_PRESENT = "access-of-this-run"
# Whoever a download is made for, as there is no run of the script then.
_ACTING: ContextVar[Visitor | None] = ContextVar("acting", default=None)
# Sign-ins that were noted, and those that were refused: a browser opens many sessions with one.
_NOTED: set[tuple[str, str, bool]] = set()
# Sign-ins that were ended here: other tabs, and copies of the cookie, would go on with them. The
# store's audit has them as well, for other processes and after a restart.
_ENDED: set[tuple[str | None, str]] = set()
# Seconds that a sign-out waits for the store.
_SIGN_OUT_S = 2.0


@dataclass(frozen=True)
class Visitor:
    """Somebody who may see the store at `path`; `address` is None without sign-in.

    `issued`: when the provider said who they are, as it says.
    """

    path: str
    address: str | None
    access: Access
    issued: str = ""

    def still(self) -> None:
        """Raise `NotPermitted` unless they may do now what they might when this was made."""
        if self.address is None and sign_in.settings() is None:
            return
        if _ended(self.path, self.address, self.issued):
            raise NotPermitted("You have signed out; load the page again.")
        now, refusal = _looked_up(self.path, self.address)
        if now is None:
            raise NotPermitted(f"You may not do this any more: {refusal}.")
        if now != self.access:
            raise NotPermitted("Your role has changed meanwhile; load the page again.")

    def note(self, what: str, about: str = "", details: str = "") -> None:
        """Add to the store's audit; without sign-in nobody is known, and nothing is noted."""
        if self.address is None:
            return
        try:
            _notes(Store.open(self.path).path).add(self.address, what, about, details)
        except FaultlineError:
            # The page says what is wrong with the store.
            return

    def store(self, path: str) -> Store:
        """The store, limited to what they may see and change."""
        return _Own.opened(path, self)


class _Own(Store):
    """A store in the hands of one visitor, whose deletions and refused changes are noted."""

    visitor: Visitor

    @classmethod
    def opened(cls, path: str, visitor: Visitor) -> _Own:
        store = cls(Store.open(path).path, access=visitor.access)
        store.visitor = visitor
        return store

    def promote(self, model_id: str) -> None:
        self.visitor.still()
        super().promote(model_id)

    @contextmanager
    def commit(self, patience: float | None = None) -> Iterator[Cycle]:
        self.visitor.still()
        try:
            with super().commit(patience) as cycle:
                yield cycle
        except NotPermitted as error:
            self.visitor.note("refused", "a change of the store", str(error))
            raise
        if removed := cycle.removed_rows():
            tables = ", ".join(f"{name} {rows}" for name, rows in removed.items())
            self.visitor.note("deletion", tables)


def _write_notes(path: str) -> None:
    """Have what was noted in the store now, where the server's other processes see it."""
    with suppress(FaultlineError):
        _notes(Store.open(path).path).flush(_SIGN_OUT_S)


@lru_cache(maxsize=8)
def _notes(path: Path) -> Notes:
    return Notes(Store(path))


def begin(path: str) -> str | None:
    """Called by `app.py` before everything else: None if the visitor is let in, else why not.

    The answer is empty for somebody who has not signed in yet.
    """
    before = st.session_state.get(_PRESENT)
    settings = sign_in.settings()
    if settings is None:
        st.session_state[_PRESENT] = Visitor(path, None, EVERYTHING)
        return None
    address = sign_in.address_in(st.user.to_dict())
    if not st.user.get("is_logged_in"):
        _forget_all()
        return ""
    signed_in = (address or "", str(st.user.get("iat", "")))
    if _ended(path, *signed_in):
        _forget_all()
        return "this sign-in was ended by signing out"
    found, refusal = _looked_up(path, address)
    if isinstance(before, Visitor) and (before.address, before.access) != (address, found):
        # What a session keeps, such as answers of statements, was for somebody who sees more.
        _forget_all()
    new = (*signed_in, found is None) not in _NOTED
    _NOTED.add((*signed_in, found is None))
    if found is None or address is None:
        if new:
            stranger = Visitor(path, address or "nobody", EVERYTHING)
            stranger.note("refused", "the dashboard", refusal)
        return refusal
    visitor = Visitor(path, address, found, signed_in[1])
    st.session_state[_PRESENT] = visitor
    if new:
        visitor.note("sign-in", details=found.role)
    return None


def _forget_all() -> None:
    """Empty the session. Whose it was goes last: Streamlit may begin another run in between, which
    then has to empty it as well.
    """
    for name in st.session_state:
        if name != _PRESENT:
            st.session_state.pop(name, None)
    st.session_state.pop(_PRESENT, None)


def _ended(path: str, address: str | None, issued: str) -> bool:
    """Whether a sign-in was ended by signing out, here or in another process of the server."""
    if (address, issued) in _ENDED:
        return True
    try:
        return (address, issued) in ended(Store.open(path))
    except FaultlineError:
        # Nor can anybody's role be read then.
        return False


def _looked_up(path: str, address: str | None) -> tuple[Access | None, str]:
    """What somebody may do, by the store and the sign-in file; without anything, why."""
    settings = sign_in.settings()
    if settings is None or address is None:
        return None, "the provider names no verified address"
    if not settings.admits(address):
        return None, "the sign-in file does not let this address in"
    try:
        store = Store.open(path)
        known = users(store).get(address)
    except StoreMissing:
        known = None
    except FaultlineError:
        return None, "the store cannot be read, and so nobody's role"
    if known is not None:
        return known.access, ""
    if settings.role is not None:
        return Access(settings.role), ""
    return None, "this address has no role; an admin gives one with: faultline users set"


def visitor() -> Visitor:
    """Whoever this run of the script is for; raises `NotPermitted` for nobody."""
    if (acting := _ACTING.get()) is not None:
        return acting
    if get_script_run_ctx(suppress_warning=True) is not None:
        present = st.session_state.get(_PRESENT)
        if isinstance(present, Visitor):
            return present
    if sign_in.settings() is None:
        return Visitor("", None, EVERYTHING)
    raise NotPermitted("Nobody has signed in here; load the page again.")


def access() -> Access:
    """What this run of the script reads with."""
    return visitor().access


def may(action: str) -> bool:
    """Whether to offer an action (`data.schema.access.ACTIONS`)."""
    return access().may(action)


def require(action: str, about: str = "") -> None:
    """Raise `NotPermitted` unless the visitor may do it now; what they may not is noted."""
    present = visitor()
    try:
        present.still()
        present.access.require(action)
    except NotPermitted as error:
        present.note("refused", about or action, str(error))
        raise


def open_store(path: str) -> Store:
    """The store as the visitor may see and change it."""
    return visitor().store(path)


def signed_in_as() -> str | None:
    """The visitor's address, which nobody can choose; None without sign-in."""
    return visitor().address


def leave() -> None:
    """Callback: sign out."""
    address = sign_in.address_in(st.user.to_dict())
    if address is not None:
        present = st.session_state.get(_PRESENT)
        issued = str(st.user.get("iat") or "")
        if issued:
            _ENDED.add((address, issued))
        if isinstance(present, Visitor):
            present.note("sign-out", details=sign_in_of(issued) if issued else "")
            _write_notes(present.path)
    _forget_all()
    st.logout()


def download(action: str, about: str, make: Callable[[], T]) -> Callable[[], T]:
    """What a download's button calls: `make`, if the visitor may still do it; noted as an export.

    Streamlit calls it outside of a run of the script, perhaps long after the page was drawn.
    """
    present = visitor()

    def made() -> T:
        try:
            present.still()
            present.access.require(action)
        except NotPermitted as error:
            present.note("refused", about, str(error))
            raise
        token = _ACTING.set(present)
        try:
            content = make()
        finally:
            _ACTING.reset(token)
        size = f"{len(content):,} bytes" if isinstance(content, bytes) else ""
        present.note("export", about, size)
        return content

    return made
