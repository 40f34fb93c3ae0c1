"""What goes wrong between a mirror and its object store, or within a mirror: nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from data.errors import ObjectStoreError
from data.store.remote import mirror as mirrors
from data.store.remote.objects import Found, Moved, Objects, Unanswered
from data.store.store import Store
from data.store.workspace import put_setting, setting
from tests.s3_server import S3, s3_server

Machine = Callable[[str], Store]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with s3_server() as server:
        yield server


@pytest.fixture
def machine(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A store as a machine of this name sees it, which has a cache of its own."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(mirrors, "FRESH_S", 0.0)
    address = s3.address()

    def at(name: str) -> Store:
        monkeypatch.setenv("FAULTLINE_CACHE", str(tmp_path / name))
        return Store.ensure(address)

    return at


def _setting(store: Store, name: str) -> object:
    with store.snapshot(only=("settings",)) as snapshot:
        return setting(snapshot, name, None)


def test_what_a_commit_of_unknown_outcome_wrote_stays(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The put of HEAD.json is done, but its answer is lost; the second try is refused."""
    store = machine("one")
    put_if, get = Objects.put_if, Objects.get

    def refused(self: Objects, key: str, content: bytes, tag: str | None) -> str:
        put_if(self, key, content, tag)
        monkeypatch.setattr(Objects, "get", unanswered)
        raise Moved(key)

    def unanswered(self: Objects, key: str, tag: str | None = None) -> Found | None:
        raise Unanswered(f"{key} cannot be reached.")

    put_setting(store, "before", 1)
    with monkeypatch.context() as patched:
        patched.setattr(Objects, "put_if", refused)
        with pytest.raises(ObjectStoreError, match="not known whether the last change"):
            put_setting(store, "unknown", 2)
    monkeypatch.setattr(Objects, "get", get)
    for name in ("one", "two"):
        assert (_setting(machine(name), "before"), _setting(machine(name), "unknown")) == (1, 2)
