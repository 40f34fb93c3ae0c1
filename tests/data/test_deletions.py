"""The log of deletions: what went, from where and when, without saying whose it was."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from data.ingest.ingest import ingest
from data.store.deletions import NAME, concerns, deletions
from data.store.privacy import KEY, Choice, choose, fingerprint, privacy_of
from data.store.repair import repair
from data.store.retention import retain
from data.store.spools import remember
from data.store.store import Store
from data.store.turn_deletion import delete, delete_undone
from data.store.vacuum import vacuum
from tests.command import Run
from tests.logs import trace, write_lines

USER = "user-zzmark01"


@pytest.fixture
def filled(store: Store, tmp_path: Path) -> Store:
    rows = [
        trace(f"t{i}", dialogue_id=f"d{i}", user_id=USER if i < 2 else "other-user")
        for i in range(4)
    ]
    bad = trace("t9", user_id=USER, nlu=5)
    ingest(store, [write_lines(tmp_path / "log.jsonl", [*rows, bad])])
    return store


def test_a_deletion_is_proved_without_naming_anybody(filled: Store) -> None:
    before = filled.head().version
    delete(filled, user_ids=[USER, "nobody"], dialogue_ids=["d2"])
    (row,) = deletions(filled).rows
    assert row["rows"] == {"turns": 3, "quarantine": 1}
    assert (row["version_before"], row["version_after"]) == (before, filled.head().version)
    asked = [("user_id", USER), ("dialogue_id", "d2")]
    assert all(concerns(row, kind, [value]) for kind, value in asked)
    assert not any(
        concerns(row, kind, [other]) for kind, other in (("dialogue_id", USER), ("user_id", "d2"))
    )
    text = (filled.path / NAME).read_text()
    assert not [word for word in ("zzmark", '"d2"') if word in text]
    assert (filled.path / NAME).stat().st_mode & 0o077 == 0


def test_the_files_are_gone_once_a_vacuum_kept_no_version_with_them(filled: Store) -> None:
    delete(filled, user_ids=[USER])
    vacuum(filled, keep_hours=1)
    (row,) = deletions(filled).rows
    assert row["files_gone"] is None
    vacuum(filled, keep_hours=0)
    retain(filled, days=1)
    first, second = deletions(filled).rows
    assert first["files_gone"]
    assert (second["files_gone"], second["days"], second["rows"]["turns"]) == (None, 1, 2)


def test_a_store_without_deletions_has_no_log(filled: Store) -> None:
    vacuum(filled, keep_hours=0)
    assert not (filled.path / NAME).exists()
    assert deletions(filled).rows == []


@pytest.mark.parametrize("change", ["edited", "removed", "cut", "no JSON", "no object"])
def test_a_changed_log_is_noticed_and_goes_on(filled: Store, change: str, run: Run) -> None:
    for user in (USER, "other-user", "third-user"):
        delete(filled, user_ids=[user])
    path = filled.path / NAME
    lines = path.read_bytes().splitlines(keepends=True)
    if change == "edited":
        lines[1] = lines[1].replace(b'"turns": 2', b'"turns": 3')
    elif change == "removed":
        del lines[1]
    else:
        lines[-1] = {"cut": lines[-1][:-20], "no JSON": b"\xff\n", "no object": b"[]\n"}[change]
    path.write_bytes(b"".join(lines))
    assert "line" in str(deletions(filled).problem)
    ran = run("deletions", "--store", filled.path)
    assert ran.code == 1
    assert "not as it was written" in ran.err
    assert "Traceback" not in ran.err
    delete(filled, user_ids=["fourth-user"])
    assert concerns(deletions(filled).rows[-1], "user_id", ["fourth-user"])


def _delete_some(path: str, names: list[str]) -> None:
    for name in names:
        delete(Store.open(path), user_ids=[name])


@pytest.mark.long
def test_two_at_once(filled: Store) -> None:
    context = multiprocessing.get_context("spawn")
    users = [[f"user-{at}-{n}" for n in range(6)] for at in "ab"]
    both = [context.Process(target=_delete_some, args=(str(filled.path), each)) for each in users]
    for process in both:
        process.start()
    for process in both:
        process.join()
    records = deletions(filled)
    assert (records.problem, len(records.rows)) == (None, 12)


def test_the_commands(filled: Store, run: Run, tmp_path: Path) -> None:
    run("delete", "--store", filled.path, "--user", USER)
    ran = run("deletions", "--store", filled.path, "--user", USER)
    # Lines are wrapped at the width of the terminal.
    assert all(words in " ".join(ran.out.split()) for words in ("turns 2", "vacuum"))
    assert USER not in ran.out
    assert "No deletion" in run("deletions", "--store", filled.path, "--user", "other-user").out
    run("vacuum", "--keep-hours", "0", "--store", filled.path)
    shown = json.loads(run("deletions", "--store", filled.path, "--json").out)
    assert shown["deletions"][0]["files_gone"]
    assert shown["problem"] is None


def test_users_find_their_deletion_by_both_ids(
    store: Store, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "k" * 32
    monkeypatch.setenv(KEY, key)
    choose(store, Choice(fingerprint=fingerprint(key.encode())))
    privacy = privacy_of(store)
    assert privacy is not None
    first, second = (privacy.pseudonym(user) for user in ("first-user", "second-user"))
    delete(store, user_ids=["first-user"])
    delete(store, user_ids=[second])
    for ids in (("first-user", first), ("second-user", second)):
        told = [run("deletions", "--store", store.path, "--user", id).out for id in ids]
        assert told[0] == told[1]
        assert told[0].count("1 user (") == 1
    # Without the key, pseudonyms do.
    monkeypatch.delenv(KEY)
    assert "1 user (" in run("deletions", "--store", store.path, "--user", first).out
    assert "No deletion" in run("deletions", "--store", store.path, "--user", "second-user").out


def turn_ids(store: Store) -> list[str]:
    with store.snapshot() as snapshot:
        return sorted(map(str, snapshot.query("FROM turns")["turn_id"].to_pylist()))


def test_a_deletion_that_a_repair_has_undone_is_known_and_repeated(filled: Store, run: Run) -> None:
    delete(filled, user_ids=[USER])
    files = set((filled.path / "turns").rglob("*.parquet"))
    delete(filled, dialogue_ids=["d2"])
    assert turn_ids(filled) == ["t3"]
    # The file that the last deletion wrote is damaged: the repair goes back to one before it.
    (newest,) = set((filled.path / "turns").rglob("*.parquet")) - files
    newest.write_bytes(b"")
    told = run("doctor", "--repair", "--store", filled.path).out
    assert turn_ids(filled) == ["t2", "t3"]
    assert "delete --undone" in told
    first, second = deletions(filled).rows
    # The first deletion holds.
    assert (first["undone"], bool(second["undone"])) == (None, True)
    vacuum(filled, keep_hours=0)
    first, second = deletions(filled).rows
    assert (bool(first["files_gone"]), second["files_gone"]) == (True, None)
    assert "undone by the repair" in run("deletions", "--store", filled.path).out
    assert "1 turn" in run("delete", "--undone", "--store", filled.path).out
    assert turn_ids(filled) == ["t3"]
    _, second, third = deletions(filled).rows
    assert second["repeated"]
    assert third["rows"] == {"turns": 1}
    assert deletions(filled).problem is None
    assert delete_undone(filled) == (None, 0)
    assert repair(filled.path) is None


def test_what_waits_in_a_spool_is_named(filled: Store, tmp_path: Path) -> None:
    elsewhere = tmp_path / "spool"
    elsewhere.mkdir()
    remember(filled.path, elsewhere)
    remember(filled.path, elsewhere)
    inside = filled.path / ".spool" / "otlp"
    inside.mkdir(parents=True)
    assert delete(filled, user_ids=[USER]).unread == ()
    for folder in (elsewhere, inside):
        (folder / "1.spool").write_bytes(bytes(3_000_000))
    report = delete(filled, dialogue_ids=["d2"])
    assert [
        str(folder) in text for folder, text in zip((inside, elsewhere), report.unread, strict=True)
    ] == [True, True]
    assert "delete again" in str(report)
    left = deletions(filled).rows[-1]["left"]["files"]
    assert len([text for text in left if "3.0 MB" in text]) == 2
    runs = filled.path / ".spool" / "home-assistant"
    runs.mkdir()
    (runs / "recent.msgpack").write_bytes(b"runs")
    assert "stop its collector" in str(delete(filled, dialogue_ids=["d2"]))
    (runs / "recent.msgpack").unlink()
    # One that was removed is of no interest, nor is a list that somebody has damaged.
    (elsewhere / "1.spool").unlink()
    (filled.path / ".spool" / "elsewhere.json").write_text("[1, 2")
    assert len(delete(filled, dialogue_ids=["d3"]).unread) == 1
