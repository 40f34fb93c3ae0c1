"""People, their roles and the audit: kept in the store, several at once, and never in a version."""

from __future__ import annotations

import shutil
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from data.errors import ObjectStoreError, UsageError
from data.schema.access import Access
from data.store.people import Notes, audited, note, remove_user, set_user, users
from data.store.store import Store
from data.store.transaction import Cycle
from tests.command import Run, must_fail


def test_a_role_is_set_changed_and_taken_away(own_store: Store) -> None:
    version = own_store.head().version
    set_user(own_store, " Ada@Example.org", "admin")
    set_user(own_store, "bo@example.org", "viewer")
    set_user(own_store, "BO@example.org", "analyst", ["kitchen"], ["en-GB", "en-US"])
    known = users(own_store)
    assert {name: user.access for name, user in known.items()} == {
        "ada@example.org": Access("admin"),
        "bo@example.org": Access("analyst", ("kitchen",), ("en-GB", "en-US")),
    }
    assert remove_user(own_store, "bo@example.org")
    assert not remove_user(own_store, "bo@example.org")
    assert list(users(own_store)) == ["ada@example.org"]
    details = [(row["object"], row["details"]) for row in audited(own_store)]
    assert details == [
        ("bo@example.org", "removed"),
        ("bo@example.org", "analyst; assistants kitchen; locales en-GB, en-US"),
        ("bo@example.org", "viewer"),
        ("ada@example.org", "admin"),
    ]
    # Pages pinned to a version are not outdated by it, and links to versions show nothing of it.
    assert own_store.head().version == version
    with own_store.snapshot(version) as snapshot:
        assert snapshot.counts()["users"] == snapshot.counts()["audit"] == 0


def test_another_store_at_the_same_path_has_its_own_people(own_store: Store) -> None:
    empty = shutil.copytree(own_store.path, own_store.path.with_name("copy"))
    set_user(own_store, "ada@example.org", "admin")
    assert users(own_store)
    shutil.rmtree(own_store.path)
    shutil.copytree(empty, own_store.path)
    set_user(Store.open(own_store.path), "eve@example.org", "viewer")
    assert list(users(Store.open(own_store.path))) == ["eve@example.org"]


def test_notes_of_many_are_all_written(own_store: Store) -> None:
    notes = Notes(own_store)

    def write(who: int) -> None:
        for number in range(20):
            notes.add(f"p{who}@example.org", "export", str(number))
        note(own_store, f"p{who}@example.org", "sign-out")

    threads = [threading.Thread(target=write, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    notes.flush()
    rows = audited(own_store)
    assert sum(row["what"] == "export" for row in rows) == 80
    assert sum(row["what"] == "sign-out" for row in rows) == 4


def test_notes_whose_writing_seemed_to_fail_are_written_once(
    own_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.store.people._PAUSE_S", 600.0)
    monkeypatch.setattr("data.store.people._WAITING", 3)
    commit = Store.commit

    @contextmanager
    def unanswered(self: Store, patience: float | None = None) -> Iterator[Cycle]:
        with commit(self, patience) as cycle:
            yield cycle
        # Meanwhile others come, for which the oldest have to make room.
        notes.add("ada@example.org", "export", "3")
        if not notes_failed.is_set():
            notes_failed.set()
            raise ObjectStoreError("It no longer answers.")

    notes, notes_failed = Notes(own_store), threading.Event()
    for number in range(3):
        notes.add("ada@example.org", "export", str(number))
    monkeypatch.setattr(Store, "commit", unanswered)
    notes.flush()
    assert notes_failed.is_set()
    notes.flush()
    monkeypatch.setattr(Store, "commit", commit)
    notes.flush()
    written = [row["object"] for row in audited(own_store) if row["what"] == "export"]
    assert sorted(written) == ["0", "1", "2", "3", "3"]


def test_odd_texts_are_noted_and_cut(own_store: Store) -> None:
    note(own_store, "ada@example.org", "statement", "SQL", "\ud800\x00" + "x" * 10_000)
    assert len(audited(own_store)[0]["details"]) == 2_000
    with pytest.raises(ValueError, match="unknown event"):
        note(own_store, "ada@example.org", "dance")


@pytest.mark.parametrize("address", ["", "ada", "a@b@c.org", "ada\u200b@example.org", "a b@c.org"])
def test_what_is_no_address_is_refused(own_store: Store, address: str) -> None:
    with pytest.raises(UsageError, match="e-mail address"):
        set_user(own_store, address, "viewer")


def test_the_commands(run: Run, own_store: Store) -> None:
    store = ("--store", own_store.path)
    assert "Nobody has a role" in run("users", "list", *store).out
    assert "admin" in run("users", "set", "ada@example.org", "admin", *store).out
    must_fail(run("users", "set", "bo@example.org", "king", *store), "viewer", code=2)
    admin = run("users", "set", "bo@example.org", "admin", "--assistant", "car", *store)
    must_fail(admin, "limits", code=2)
    limited = run("users", "set", "bo@example.org", "triager", "--locale", "en-GB", *store)
    assert "in en-GB alone" in limited.out
    assert "bo@example.org" in run("users", "list", *store).out
    assert run("users", "remove", "bo@example.org", *store).code == 0
    must_fail(run("users", "remove", "bo@example.org", *store), "no role", code=2)
    assert "removed" in run("users", "audit", *store).out
    assert run("delete", "--dialogue", "d003", *store).code == 0
    assert "deletion" in run("users", "audit", "--json", *store).out


def test_an_erased_person_has_no_role_and_no_name(run: Run, own_store: Store) -> None:
    set_user(own_store, "erased@example.org", "analyst")
    note(own_store, "erased@example.org", "statement", "SQL editor", "FROM turns")
    note(own_store, "ada@example.org", "statement", "SQL", "WHERE user_id = 'erased@example.org'")
    run("delete", "--user", "erased@example.org", "--store", own_store.path)
    assert "erased@example.org" not in users(own_store)
    assert "erased@example.org" not in str(audited(own_store))
    assert any(row["what"] == "statement" for row in audited(own_store))


def test_a_store_without_the_tables_gets_them(tmp_path: Path) -> None:
    with tarfile.open(Path(__file__).parent / "earlier" / "store.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    store = Store.open(tmp_path / "store")
    assert users(store) == {}
    assert audited(store) == []
    set_user(store, "ada@example.org", "admin")
    assert list(users(store)) == ["ada@example.org"]
    assert [row["what"] for row in audited(store)] == ["role"]
