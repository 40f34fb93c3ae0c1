"""Stores in an object store, against a real S3 server: what counts is what HEAD.json there says."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from data.errors import (
    HeadMoved,
    ObjectStoreError,
    StoreDamaged,
    StoreError,
    StoreMissing,
    UsageError,
)
from data.ingest.ingest import ingest
from data.store.backup import backup
from data.store.compaction import compact
from data.store.deletions import deletions
from data.store.model_folders import model_damage, model_ids, settle, trained_at
from data.store.predictions import commit_predictions
from data.store.remote import mirror as mirrors
from data.store.remote.objects import Objects, Tag
from data.store.restoration import restore
from data.store.store import Store
from data.store.turn_deletion import delete
from data.store.vacuum import vacuum
from data.store.workspace import put_setting, setting
from labels.generated.store import SETTING, current, remove_unused
from labels.rules.derived import refresh
from tests.command import Run, must_fail
from tests.data.remote.writer import COUNTER, add_one
from tests.logs import trace, write_lines
from tests.s3_server import S3, delayed, environment, s3_server
from tests.scored import predictions_table, records

Machine = Callable[[str], Store]


@pytest.fixture
def address(s3: S3, monkeypatch: pytest.MonkeyPatch) -> str:
    """An address with nothing below it."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return s3.address()


@pytest.fixture
def machine(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The store as a machine of this name sees it, which has a cache of its own."""
    monkeypatch.setattr(mirrors, "FRESH_S", 0.0)

    def at(name: str) -> Store:
        monkeypatch.setenv("FAULTLINE_CACHE", str(tmp_path / name))
        return Store.ensure(address)

    return at


def _ids(store: Store) -> list[str]:
    with store.snapshot() as snapshot:
        rows = snapshot.query("SELECT turn_id FROM turns ORDER BY turn_id")
    return [str(row["turn_id"]) for row in rows.to_pylist()]


def _ingest(store: Store, folder: Path, *ids: str, **fields: str) -> None:
    records = [trace(id, dialogue_id=f"d-{id}", **fields) for id in ids]
    ingest(store, [write_lines(folder / "logs.jsonl", records)], workers=1)


def _count(store: Store) -> int:
    with store.snapshot(only=("settings",)) as snapshot:
        return int(setting(snapshot, COUNTER, 0))


def _objects(store: Store) -> dict[str, int]:
    assert store.mirror is not None
    return store.mirror.objects.sizes()


def _writer(address: str, cache: Path, *what: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.data.remote.writer", address, *what],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "FAULTLINE_CACHE": str(cache)},
    )


def test_each_machine_sees_what_the_other_has_written(machine: Machine, tmp_path: Path) -> None:
    one = machine("one")
    _ingest(one, tmp_path, "a", "b")
    two = machine("two")
    assert two.path != one.path
    _ingest(two, tmp_path, "b", "c")
    assert _ids(one) == _ids(two) == _ids(machine("three")) == ["a", "b", "c"]
    with one.snapshot() as snapshot:
        version = snapshot.version
    _ingest(two, tmp_path, "d")
    with machine("four").snapshot(version) as snapshot:
        assert snapshot.query("SELECT count(*) AS n FROM turns")["n"].to_pylist() == [3]


def test_what_has_moved_meanwhile_is_read_again(machine: Machine, tmp_path: Path) -> None:
    one, two = machine("one"), machine("two")
    put_setting(one, "first", 0)

    def write() -> None:
        with one.commit() as cycle:
            put_setting(two, "theirs", 1)
            cycle.delete_rows("settings", "true")

    with pytest.raises(HeadMoved, match=one.address):
        write()
    put_setting(one, "mine", 2)
    for store in (one, two, machine("three")):
        with store.snapshot() as snapshot:
            assert (setting(snapshot, "theirs", 0), setting(snapshot, "mine", 0)) == (1, 2)
    kept = {key for key in _objects(one) if key.startswith("settings/part")}
    assert len(kept) == 3, "what came to nothing is taken away"


@pytest.mark.long
def test_two_writers_at_once_lose_and_double_nothing(machine: Machine, tmp_path: Path) -> None:
    store = machine("here")
    counts = [_writer(store.address, tmp_path / f"c{n}", "count", str(n), "12") for n in range(2)]
    logs = [_writer(store.address, tmp_path / f"l{n}", "ingest", f"w{n}", "4") for n in range(2)]
    for process in (*counts, *logs):
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        assert out.split()
    assert _count(store) == 24
    own = [f"w{w}-{n}-{i}" for w in range(2) for n in range(4) for i in range(5)]
    shared = [f"shared-{n}-{i}" for n in range(4) for i in range(5)]
    assert _ids(store) == sorted(own + shared)
    with machine("fresh").snapshot() as snapshot:
        for name in snapshot.counts():
            rows = snapshot.query(f'SELECT count(*) AS n FROM "{name}"')["n"].to_pylist()
            assert rows == [snapshot.counts()[name]], name
        for writer in range(2):
            assert [setting(snapshot, f"w{writer}-{n}", None) for n in range(4)] == [0, 1, 2, 3]


@pytest.mark.long
def test_a_killed_writer_is_in_nobodys_way(machine: Machine, tmp_path: Path) -> None:
    store = machine("here")
    least, moments = 0, random.Random(4)
    for attempt in range(10):
        # Of the same machine, or of one that has been in use before.
        process = _writer(store.address, tmp_path / f"k{attempt % 2}", "count", "k", "100")
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(moments.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        least += 1 + len(rest.split())
        now = _count(store)
        assert least <= now <= least + 1, "one commit may have been made and not be told of"
        assert add_one(store) == now + 1
        least = now + 1
    assert _count(machine("fresh")) == least
    vacuum(store, keep_hours=0)
    assert _count(machine("fresh too")) == least


def test_deleted_turns_leave_the_bucket_and_every_cache(machine: Machine, tmp_path: Path) -> None:
    one = machine("one")
    _ingest(one, tmp_path, "a", "b", user_id="user-zzmark01")
    _ingest(one, tmp_path, "c")
    two = machine("two")
    assert _ids(two) == ["a", "b", "c"]
    # What a writer that was killed has left holds the turns as well.
    assert one.mirror is not None
    data = [key for key in _objects(one) if key.startswith("turns/day")]
    found = one.mirror.objects.get(data[0])
    assert found is not None
    left = "turns/day=2024-05-01/part-left.parquet"
    one.mirror.objects.put(left, found.content)
    delete(one, user_ids=["user-zzmark01"])
    compact(one)
    assert left in _objects(one)
    vacuum(one, keep_hours=0)
    two.head()
    (row,) = deletions(two).rows
    assert row["files_gone"]
    assert _ids(one) == _ids(two) == ["c"]
    for folder in (tmp_path / "one", tmp_path / "two"):
        for path in folder.rglob("*"):
            assert not path.is_file() or b"user-zzmark01" not in path.read_bytes(), path
    kept = [key for key in _objects(one) if key.startswith("turns/day")]
    assert len(kept) == 1
    for key in _objects(one):
        content = one.mirror.objects.get(key)
        assert content is not None
        assert b"user-zzmark01" not in content.content, key


def test_a_vacuum_makes_writers_of_other_machines_begin_anew(
    machine: Machine, tmp_path: Path
) -> None:
    one, two = machine("one"), machine("two")
    _ingest(one, tmp_path, "a")

    def write() -> None:
        with one.commit() as cycle:
            vacuum(two, keep_hours=0)
            cycle.delete_rows("turns", "true")

    with pytest.raises(HeadMoved):
        write()
    assert _ids(one) == _ids(machine("three")) == ["a"]


def test_a_damaged_cache_is_fetched_again(machine: Machine, tmp_path: Path) -> None:
    store = machine("one")
    _ingest(store, tmp_path, "a", "b")
    for pattern in (
        "turns/day*/*.parquet",
        "turns/_delta_log/*1.json",
        "HEAD.json",
        "../seen.json",
    ):
        (path,) = store.path.glob(pattern)
        whole = path.read_bytes()
        path.write_bytes(whole[:-20] + b"x" * 20)
        again = Store.whole(store.address)
        assert _ids(again) == ["a", "b"], pattern
    shutil.rmtree(store.path / "turns")
    assert _ids(store) == ["a", "b"]
    shutil.rmtree(store.path.parent)
    assert _ids(Store.whole(store.address)) == ["a", "b"]


def test_a_damaged_object_is_one_sentence(machine: Machine, tmp_path: Path) -> None:
    store = machine("one")
    _ingest(store, tmp_path, "a")
    assert store.mirror is not None
    (key,) = [key for key in _objects(store) if key.startswith("turns/day")]
    store.mirror.objects.put(key, b"PAR1 something else PAR1")
    with pytest.raises(StoreDamaged, match=f"{store.address}/{key} has changed"):
        _ids(machine("two"))
    store.mirror.objects.put("HEAD.json", b'{"format": 1}')
    with pytest.raises(StoreDamaged, match=r"HEAD\.json is damaged"):
        machine("three")


def test_a_machine_without_a_cache_knows_how_old_a_model_is(
    machine: Machine, tmp_path: Path
) -> None:
    one = machine("one")
    for name in ("m-old", "m-new"):
        (draft := tmp_path / name).mkdir()
        (draft / "model.json").write_text(f'{{"name": "{name}"}}')
        settle(draft, one.models, name, model_damage)
    (one.models / "m-old" / "trained.json").write_text('{"at": "2024-05-01T09:30:00+00:00"}')
    one.files_written()
    two = machine("two")
    assert two.model_ids() == ["m-new", "m-old"]
    assert vacuum(two).models == ("m-old",)
    # Trained again, it is young again, everywhere.
    (again := tmp_path / "m-new").mkdir()
    (again / "model.json").write_text('{"name": "m-new"}')
    (one.models / "m-new" / "trained.json").write_text("damaged")
    settle(again, one.models, "m-new", model_damage)
    one.files_written()
    three = machine("three")
    assert three.model_ids() == ["m-new"]
    assert trained_at(three.models / "m-new") == trained_at(one.models / "m-new")
    assert vacuum(three).models == ()


def test_the_label_model_that_is_used_stays_whoever_has_trained_it(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    for store, name in ((one, "l-one"), (two, "l-two")):
        (store.label_models / name).mkdir(parents=True)
        (store.label_models / name / "metrics.json").write_text(f'{{"name": "{name}"}}')
        put_setting(store, SETTING, name)
    # The first training ends after the second has.
    remove_unused(one)
    three = machine("three")
    assert model_ids(three.label_models) == [current(three)] == ["l-two"]


def test_a_cache_smaller_than_the_store(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = machine("one")
    for day in range(1, 6):
        _ingest(store, tmp_path, f"t{day}", started_at=f"2024-05-0{day}T09:30:00Z")
    monkeypatch.setenv("FAULTLINE_CACHE_SIZE", "1K")
    two = machine("two")
    with two.snapshot() as snapshot:
        assert snapshot.query("SELECT count(*) AS n FROM turns")["n"].to_pylist() == [5]
        assert len(list(two.path.glob("turns/day*/*.parquet"))) == 5
        # Other files are fetched, and those of an open snapshot stay.
        assert snapshot.query("SELECT count(*) AS n FROM runs")["n"].to_pylist() == [5]
        assert snapshot.query("SELECT count(*) AS n FROM turns")["n"].to_pylist() == [5]
    with two.snapshot() as snapshot:
        snapshot.query("FROM runs")
        for path in two.path.glob("runs/*.parquet"):
            path.unlink()
        snapshot.query("FROM runs")
        assert not list(two.path.glob("turns/day*/*.parquet")), "there was no room for both"
        assert snapshot.query("SELECT count(*) AS n FROM turns")["n"].to_pylist() == [5]

    # Some of the turns are there, and are not given up for the others.
    def lose_two() -> None:
        assert len(_ids(two)) == 5
        present = list(two.path.glob("turns/day*/*.parquet"))
        assert len(present) == 5
        for path in present[:2]:
            path.unlink()

    lose_two()
    backup(two, tmp_path / "backup")
    assert len(list((tmp_path / "backup" / "store" / "turns").rglob("part-*.parquet"))) == 5
    lose_two()
    _ingest(two, tmp_path, "t6", started_at="2024-05-06T09:30:00Z")
    assert _ids(machine("four")) == [f"t{day}" for day in range(1, 7)]
    monkeypatch.setenv("FAULTLINE_CACHE_SIZE", "much")
    with pytest.raises(UsageError, match="FAULTLINE_CACHE_SIZE is 'much'"):
        _ids(machine("three"))


def test_a_machine_without_the_labels_scores_and_moves_scored_turns(
    machine: Machine, tmp_path: Path
) -> None:
    """What was judged is looked up in labels that another machine has derived."""
    one = machine("one")
    logs = json.loads(json.dumps(records(20), default=datetime.isoformat))
    ingest(one, [write_lines(tmp_path / "logs.jsonl", logs)], workers=1)
    refresh(one)
    with one.snapshot() as snapshot:
        predicted = predictions_table(snapshot.query("FROM turns"))
        labelled = snapshot.counts()["labelled"]
    assert commit_predictions(machine("two"), predicted, "model-a")
    with machine("three").snapshot() as snapshot:
        assert snapshot.counts()["judged"] == labelled
    # Their labels go from one day to another, as files that are live no longer say.
    gold = next(record for record in logs if "gold" in record)
    moved = {**gold, "started_at": "2024-06-01T09:30:00Z"}
    ingest(machine("four"), [write_lines(tmp_path / "moved.jsonl", [moved])], workers=1)
    vacuum(machine("five"), keep_hours=0, keep_models=[])
    with machine("six").snapshot() as snapshot:
        assert snapshot.counts()["predictions"] == snapshot.counts()["judged"] == 0


def test_a_slow_network_only_takes_longer(
    s3: S3, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = machine("one")
    _ingest(store, tmp_path, "a")
    with delayed(s3.port, 0.05) as port:
        for name, value in environment(port).items():
            monkeypatch.setenv(name, value)
        far = machine("far")
        began = time.monotonic()
        _ingest(far, tmp_path, "b")
        assert time.monotonic() - began > 0.2
        assert _ids(far) == ["a", "b"]
    assert _ids(store) == ["a", "b"]


@pytest.mark.parametrize(
    ("variables", "path", "error", "words"),
    [
        ({}, "s3://nowhere/store", ObjectStoreError, "no bucket 'nowhere'"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, None, ObjectStoreError, "cannot be reached"),
        ({"AWS_ENDPOINT_URL": "no address"}, None, UsageError, "AWS_ENDPOINT_URL"),
        ({}, None, StoreMissing, "faultline ingest"),
    ],
)
def test_what_cannot_be_reached_is_one_sentence(
    address: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    path: str | None,
    error: type[Exception],
    words: str,
) -> None:
    monkeypatch.setenv("FAULTLINE_CACHE", str(tmp_path))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    began = time.monotonic()
    with pytest.raises(error, match=words) as caught:
        Store.open(path or address)
    assert str(tmp_path) not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 20


def test_a_server_that_dies_leaves_the_store_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULTLINE_CACHE", str(tmp_path))
    with s3_server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        store = Store.create(server.address())
        put_setting(store, "a", 1)

        def write() -> None:
            with store.commit() as cycle:
                cycle.delete_rows("settings", "true")
                server.process.kill()

        began = time.monotonic()
        with pytest.raises(ObjectStoreError, match=r"cannot be reached|no longer answers"):
            write()
        assert time.monotonic() - began < 30


def test_a_server_without_conditions_is_refused(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clone of S3 that ignores the conditions, which would lose one of two writers."""
    monkeypatch.setenv("FAULTLINE_CACHE", str(tmp_path))
    put_if = Objects.put_if

    def careless(self: Objects, key: str, content: bytes, tag: Tag | None) -> Tag:
        self.put(key, content)
        found = self.get(key)
        assert found is not None
        return found.tag

    monkeypatch.setattr(Objects, "put_if", careless)
    with pytest.raises(ObjectStoreError, match="ignores conditions"):
        Store.create(address)
    monkeypatch.setattr(Objects, "put_if", put_if)
    assert Store.create(address).head().tables


def test_a_backup_becomes_a_store_at_an_address(machine: Machine, tmp_path: Path) -> None:
    store = machine("one")
    _ingest(store, tmp_path, "a", "b")
    (store.models / "m-1").mkdir()
    (store.models / "m-1" / "model.json").write_text("{}")
    store.files_written()
    assert (machine("two").models / "m-1" / "model.json").read_text() == "{}"
    backup(machine("two"), tmp_path / "copy")
    elsewhere = store.address + "-copy"
    restore(tmp_path / "copy", elsewhere)
    restored = Store.open(elsewhere)
    assert _ids(restored) == ["a", "b"]
    _ingest(restored, tmp_path, "c")
    assert (_ids(restored), _ids(store)) == (["a", "b", "c"], ["a", "b"])
    with pytest.raises(StoreError, match="already is a store"):
        restore(tmp_path / "copy", elsewhere)


@pytest.mark.long
def test_the_commands_work_at_an_address(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setenv("FAULTLINE_CACHE", str(tmp_path / "one"))
    logs = [json.dumps(record, default=datetime.isoformat) + "\n" for record in records()]
    (tmp_path / "logs.jsonl").write_text("".join(logs))
    at = ("--store", address)
    for command in (
        ("ingest", str(tmp_path / "logs.jsonl")),
        ("score",),
        ("info",),
        ("redact", "--kinds", "email"),
        ("report", "--to", str(tmp_path / "report.html")),
        ("export", "turns", "--to", str(tmp_path / "turns.parquet")),
        ("compact",),
        ("delete", "--dialogue", records()[0]["dialogue_id"]),
        ("vacuum", "--keep-hours", "0"),
    ):
        ran = run(*command, *at)
        assert ran.code == 0, (command, ran)
        assert str(tmp_path / "one") not in ran.out + ran.err
    monkeypatch.setenv("FAULTLINE_CACHE", str(tmp_path / "two"))
    info = json.loads(run("info", "--json", *at).out)
    gone = [row for row in records() if row["dialogue_id"] == records()[0]["dialogue_id"]]
    assert info["path"] == address
    assert info["turns"] == info["predictions"] == len(records()) - len(gone)
    assert json.loads(run("deletions", "--json", *at).out)["deletions"][0]["files_gone"]
    must_fail(run("doctor", *at), address, "faultline backup")
    assert (Store.open(address).models / info["model"] / "model.json").exists()
