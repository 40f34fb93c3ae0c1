"""Backups: whole at any moment of a writer, refused when damaged, and restored to the same."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import faultline
from classifiers.scoring.score import score
from data.errors import BackupDamaged, StoreDamaged, StoreError, StoreMissing, UsageError
from data.queries.filters import Filter
from data.queries.overview import bounds, trend
from data.store.backup import MANIFEST, backup, digest
from data.store.compaction import compact
from data.store.deletions import NAME as DELETIONS
from data.store.deletions import deletions
from data.store.privacy import NAME as PRIVACY
from data.store.privacy import Choice, choose, chosen
from data.store.restoration import restore
from data.store.snapshot import Snapshot
from data.store.store import Store
from data.store.turn_deletion import delete
from data.store.vacuum import vacuum
from data.store.workspace import save_view, set_target, set_triage
from tests.command import Run, must_fail

ROOT = Path(__file__).parents[2]
_WRITER = """
import itertools, sys
from pathlib import Path
from data.ingest.ingest import ingest
from data.store.compaction import compact
from data.store.store import Store
from tests.logs import trace, write_lines
store, folder = Store.open(sys.argv[1]), Path(sys.argv[2])
for number in itertools.count():
    lines = [trace(f"w{number}-{i}", dialogue_id=f"w{number}") for i in range(20)]
    ingest(store, [write_lines(folder / "written.jsonl", lines)], workers=1)
    if number % 3 == 2:
        compact(store)
"""


def rows_of(snapshot: Snapshot) -> dict[str, list[str]]:
    """Every row of every table."""
    return {
        name: sorted(map(repr, snapshot.query(f'FROM "{name}"').to_pylist()))
        for name in snapshot.files
    }


def contents(store: Store, at: str | None = None) -> dict[str, list[str]]:
    with store.snapshot(at) as snapshot:
        return rows_of(snapshot)


@pytest.mark.long
@pytest.mark.parametrize("name", ["folder", "file.tar"])
def test_a_backup_beside_a_writer_restores_to_the_same_figures(
    own_six: Store, tmp_path: Path, run: Run, name: str
) -> None:
    set_triage(own_six, "asr|locale=en", "asr", owner="ann", note="noisy rooms")
    set_target(own_six, "asr", 0.2)
    save_view(own_six, "mine", "overview", "locale=en")
    command = [sys.executable, "-c", _WRITER, str(own_six.path), str(tmp_path)]
    writer = subprocess.Popen(command, cwd=ROOT)
    try:
        first = own_six.head().version
        end = time.monotonic() + 120
        while own_six.head().version == first:
            assert writer.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        ran = run("backup", "--to", tmp_path / name, "--json", "--store", own_six.path)
        assert ran.code == 0, ran.err
        # It went on meanwhile, and goes on.
        version = json.loads(ran.out)["version"]
        while own_six.head().version == version:
            assert writer.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
    finally:
        writer.kill()
        writer.wait()
    expected = contents(own_six, version)
    filters = Filter.from_query({})
    with own_six.snapshot(version) as snapshot:
        model = snapshot.model or ""
        days = bounds(snapshot, model)
        of_days = trend(snapshot, model, filters)
    shutil.rmtree(own_six.path)

    elsewhere = tmp_path / "elsewhere" / "store"
    ran = run("restore", tmp_path / name, "--store", elsewhere)
    assert ran.code == 0, ran.err
    assert version in ran.out
    ran = run("doctor", "--store", elsewhere)
    assert ran.code == 0, ran.out
    restored = Store.open(elsewhere)
    assert restored.head().version == version
    assert contents(restored) == expected
    assert expected["annotations"]
    assert expected["predictions"]
    assert expected["triage"]
    with restored.snapshot() as snapshot:
        assert bounds(snapshot, model) == days
        assert trend(snapshot, model, filters).equals(of_days)
    assert len(faultline.rates(store=restored)) > 0
    # The model came along, and what was scored stays as it is.
    report = score(restored)
    assert report.model_id == model
    again = contents(restored)["predictions"]
    assert set(expected["predictions"]) <= set(again)
    delete(restored, dialogue_ids=["w0"])
    compact(restored)
    vacuum(restored, keep_hours=0)
    assert run("doctor", "--store", elsewhere).code == 0


def test_what_is_removed_while_it_is_copied_is_in_the_backup(
    own_store: Store, tmp_path: Path
) -> None:
    delete(own_store, user_ids=["nobody"])
    expected = contents(own_store)
    happened: list[str] = []

    def meanwhile(done: float, total: float | None, what: str, turns: int | None = None) -> None:
        if not happened:
            happened.append(what)
            with own_store.snapshot() as snapshot:
                (row,) = snapshot.query("SELECT dialogue_id FROM turns LIMIT 1").to_pylist()
            delete(own_store, dialogue_ids=[row["dialogue_id"]])
            compact(own_store)
            vacuum(own_store, keep_hours=0)

    backup(own_store, tmp_path / "backup", meanwhile)
    assert happened == ["copying"]
    assert contents(own_store) != expected
    restore(tmp_path / "backup", tmp_path / "restored")
    restored = Store.open(tmp_path / "restored")
    assert contents(restored) == expected
    # What is there again is not said to be deleted.
    assert len(deletions(own_store).rows) == 2
    assert len(deletions(restored).rows) == 1
    assert not list((own_store.path / ".staging").iterdir())


@pytest.mark.parametrize("name", ["folder", "file.tar"])
def test_what_its_owner_alone_may_read_stays_so(store: Store, tmp_path: Path, name: str) -> None:
    choose(store, Choice(("name",), ("Zzmary Smith",)))
    delete(store, user_ids=["nobody"])
    backup(store, tmp_path / name)
    for path in tmp_path.glob("folder/store/*"):
        path.chmod(0o755)
    restore(tmp_path / name, tmp_path / "restored")
    restored = Store.open(tmp_path / "restored")
    assert chosen(restored) == chosen(store)
    for private in (PRIVACY, DELETIONS):
        assert (restored.path / private).stat().st_mode & 0o077 == 0


def test_commits_that_never_counted_stay_out(own_store: Store, tmp_path: Path) -> None:
    """A writer that was killed before HEAD.json, a model that is being written, a spool."""
    expected = contents(own_store)
    head = (own_store.path / "HEAD.json").read_bytes()
    set_target(own_store, "asr", 0.2)
    (own_store.path / "HEAD.json").write_bytes(head)
    (own_store.models / ".draft-x").mkdir()
    (own_store.models / ".draft-x" / "model.json").write_text("{")
    spool = own_store.path / ".spool" / "otlp"
    spool.mkdir(parents=True)
    (spool / f"{1:020d}.spool").write_bytes(b"what was acknowledged")
    (spool / ".lock").touch()
    backup(own_store, tmp_path / "b.tar")
    restored = tmp_path / "restored"
    restore(tmp_path / "b.tar", restored)
    assert contents(Store.open(restored)) == expected
    assert Store.open(restored).model_ids() == own_store.model_ids()
    assert [path.name for path in (restored / ".spool" / "otlp").iterdir()] == [f"{1:020d}.spool"]
    set_target(Store.open(restored), "asr", 0.3)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _rename(path: Path, to: str) -> None:
    content = json.loads(path.read_text())
    content.pop("sha256")
    content["contents"][0]["path"] = to
    content["sha256"] = digest(content)
    path.write_text(json.dumps(content))


_DAMAGE: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "changed": ("store/turns/*/*.parquet", _flip, "has changed"),
    "cut short": ("store/turns/*/*.parquet", lambda p: p.write_bytes(p.read_bytes()[:-1]), "cut"),
    "grown": ("store/HEAD.json", lambda p: p.write_text(p.read_text() + "\n"), "has changed"),
    "missing": ("store/turns/_delta_log/*.json", Path.unlink, "is missing"),
    "manifest changed": (MANIFEST, _flip, "damaged"),
    "manifest empty": (MANIFEST, lambda p: p.write_bytes(b""), "damaged"),
    "manifest of no backup": (MANIFEST, lambda p: p.write_text("[1]"), "damaged"),
    "leads out": (MANIFEST, lambda p: _rename(p, "../outside"), "damaged"),
    "absolute": (MANIFEST, lambda p: _rename(p, "/tmp/outside"), "damaged"),
}


@pytest.mark.parametrize("kind", _DAMAGE)
@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_backup_is_refused_and_the_file_named(
    scored_store: Store, tmp_path: Path, kind: str, packed: bool
) -> None:
    pattern, change, sentence = _DAMAGE[kind]
    made = tmp_path / "backup"
    backup(scored_store, made)
    path = sorted(made.glob(pattern))[0]
    change(path)
    source = made
    if packed:
        source = tmp_path / "backup.tar"
        with tarfile.open(source, "w") as tar:
            tar.add(made, "")
    with pytest.raises(BackupDamaged) as caught:
        restore(source, tmp_path / "restored")
    assert sentence in str(caught.value)
    assert path.name in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted({"backup", source.name})


def test_a_file_that_is_cut_off_is_refused(scored_store: Store, tmp_path: Path) -> None:
    made = tmp_path / "b.tar"
    backup(scored_store, made)
    data = made.read_bytes()
    for size in (0, 100, 10_000, len(data) // 2, len(data) - 20_000):
        made.write_bytes(data[:size])
        with pytest.raises((BackupDamaged, UsageError)):
            restore(made, tmp_path / "restored")
    assert [path.name for path in tmp_path.iterdir()] == ["b.tar"]


def test_nothing_is_overwritten(
    scored_store: Store, own_store: Store, tmp_path: Path, run: Run
) -> None:
    made = tmp_path / "backup"
    backup(scored_store, made)
    before = contents(own_store)
    for place in (own_store.path, made, ROOT):
        with pytest.raises(StoreError):
            restore(made, place)
    assert contents(own_store) == before
    for place in (made, own_store.path / "inside", own_store.path, tmp_path / "new.tar.gz"):
        with pytest.raises(UsageError):
            backup(own_store, place)
    must_fail(run("restore", tmp_path / "none", "--store", tmp_path / "x"), "none", code=2)
    (tmp_path / "notes.txt").write_text("not a backup")
    for source in (tmp_path / "notes.txt", own_store.path):
        ran = run("restore", source, "--store", tmp_path / "x")
        must_fail(ran, "not a backup of a store", code=2)
    must_fail(run("backup", "--to", made, "--store", own_store.path), "already", code=2)


def test_damage_of_the_store_does_not_go_into_a_backup(own_store: Store, tmp_path: Path) -> None:
    with own_store.snapshot() as snapshot:
        path = max(snapshot.files["turns"], key=lambda path: path.stat().st_size)
    _flip(path)
    with pytest.raises(StoreDamaged, match=path.name):
        backup(own_store, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


def test_a_store_that_is_gone_is_not_made_anew_by_its_lock(own_store: Store) -> None:
    shutil.rmtree(own_store.path)
    with pytest.raises(StoreMissing), own_store.commit():
        pass
    assert not own_store.path.exists()


def test_an_empty_store_can_be_backed_up(store: Store, tmp_path: Path) -> None:
    made = backup(store, tmp_path / "deep" / "b.tar")
    assert (made.version, made.rows["turns"]) == ("t0", 0)
    (tmp_path / "empty").mkdir()
    restore(tmp_path / "deep" / "b.tar", tmp_path / "empty")
    assert contents(Store.open(tmp_path / "empty")) == contents(store)
