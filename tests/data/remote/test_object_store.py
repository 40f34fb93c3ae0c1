"""Stores in an object store, against a real S3 server: what counts is what HEAD.json there says."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from data.errors import HeadMoved, ObjectStoreError, StoreMissing, UsageError, VersionGone
from data.ingest.ingest import ingest
from data.store.deletions import deletions
from data.store.maintenance import compact, delete, vacuum
from data.store.remote import mirror as mirrors
from data.store.store import Store
from data.store.workspace import put_setting, setting
from tests.data.remote.writer import COUNTER, add_one
from tests.logs import trace, write_lines
from tests.s3_server import S3, delayed, environment, s3_server

Machine = Callable[[str], Store]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with s3_server() as server:
        yield server


@pytest.fixture
def address(s3: S3, monkeypatch: pytest.MonkeyPatch) -> str:
    """An address with nothing below it."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return s3.address()


@pytest.fixture
def machine(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Machine]:
    """The store as a machine of this name sees it, which has a cache of its own."""
    monkeypatch.setattr(mirrors, "FRESH_S", 0.0)

    def at(name: str) -> Store:
        monkeypatch.setenv("FAULTLINE_CACHE", str(tmp_path / name))
        return Store.ensure(address)

    yield at


def _ids(store: Store) -> list[str]:
    with store.snapshot() as snapshot:
        return snapshot.query("SELECT turn_id FROM turns ORDER BY turn_id")["turn_id"].to_pylist()


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
    with pytest.raises(HeadMoved, match=one.address), one.commit() as cycle:
        put_setting(two, "theirs", 1)
        cycle.delete_rows("settings", "true")
        with cycle.snapshot("settings") as snapshot:
            row = {"name": ["mine"], "value": ["1"], "updated_at": [None]}
            cycle.append("settings", _settings(row))
            snapshot.close()
    put_setting(one, "mine", 2)
    for store in (one, two, machine("three")):
        with store.snapshot() as snapshot:
            assert (setting(snapshot, "theirs", 0), setting(snapshot, "mine", 0)) == (1, 2)
    kept = {key for key in _objects(one) if key.startswith("settings/part")}
    assert len(kept) == 2, "what came to nothing is taken away"


def _settings(columns: dict[str, list[object]]) -> object:
    import pyarrow as pa

    from data.schema.layout import TABLES

    return pa.table(columns).cast(TABLES["settings"].schema)


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
