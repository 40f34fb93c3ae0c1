"""After a kill, an error or another writer at any time, the store is as before or complete."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from data.errors import DiskFull
from data.ingest.ingest import ingest
from data.store.store import Store
from tests.logs import trace, write_lines

ROOT = Path(__file__).parents[2]
INGEST = (
    "import sys; from data.store.store import Store; from data.ingest.ingest import ingest; "
    "store = Store.ensure(sys.argv[1]); print('ready', flush=True); ingest(store, sys.argv[2:])"
)


def start(store: Path, *files: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", INGEST, str(store), *map(str, files)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def log(path: Path, first: int, count: int) -> Path:
    records = [
        trace(f"t{n:06}", dialogue_id=f"d{n // 5}", started_at=f"2024-05-{1 + n % 28:02}T09:00:00Z")
        for n in range(first, first + count)
    ]
    return write_lines(path, [*records, b"{bad"])


STEPS = [
    "data.ingest.upsert.write_day",
    "data.ingest.ingest.plan",
    "data.ingest.ingest._quarantine",
    "data.ingest.ingest._record",
    "data.store.transaction.Cycle.adopt",
    "data.store.transaction.Cycle._commit_table",
    "data.store.store._write_head",
]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_at_any_step_changes_nothing_and_can_be_repeated(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    ingest(store, [log(tmp_path / "old.jsonl", 0, 3)])
    before = store.head()
    new = log(tmp_path / "new.jsonl", 2, 3)

    def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(step, fail)
        with pytest.raises(DiskFull if isinstance(error, OSError) else KeyboardInterrupt):
            ingest(store, [new])
    assert store.head() == before
    assert store.snapshot().counts()["turns"] == 3
    assert [path for path in (store.path / ".staging").iterdir() if path.name != "spill"] == []
    ingest(store, [new])
    counts = store.snapshot().counts()
    assert (counts["turns"], counts["quarantine"], counts["runs"]) == (5, 2, 2)


@pytest.mark.long
def test_a_kill_at_any_time_leaves_the_store_as_before_or_complete(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    count = 4_000
    file = log(tmp_path / "log.jsonl", 0, count)
    chance = random.Random(7)
    killed = 0
    for _ in range(5):
        process = start(store.path, file)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0.05, 0.9))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            killed += 1
        process.communicate()
        turns = store.snapshot().counts()
        assert turns["turns"] in (0, count)
        assert turns["quarantine"] == (1 if turns["turns"] else 0)
        assert (turns["runs"] > 0) == (turns["turns"] > 0)
    assert killed
    assert ingest(store, [file]).turns == count
    assert store.snapshot().counts()["turns"] == count
    assert [path.name for path in (store.path / ".staging").iterdir() if path.is_dir()] in (
        [], ["spill"])  # fmt: skip


@pytest.mark.long
def test_two_writers_and_a_reader_lose_nothing(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    files = [log(tmp_path / f"{n}.jsonl", n * 50, 50) for n in range(4)]
    writers = [start(store.path, *files[0::2], files[1]), start(store.path, *files[1::2], files[0])]
    turns = 0
    while any(writer.poll() is None for writer in writers):
        snapshot = store.snapshot()
        (row,) = snapshot.query(
            "SELECT count(*)::INT AS n, count(DISTINCT turn_id)::INT AS ids FROM turns"
        ).to_pylist()
        assert row["n"] == row["ids"] == snapshot.counts()["turns"]
        assert row["n"] % 50 == 0
        assert row["n"] >= turns
        turns = row["n"]
        time.sleep(0.02)
    for writer in writers:
        _, problems = writer.communicate()
        assert writer.returncode == 0, problems
    counts = store.snapshot().counts()
    assert (counts["turns"], counts["runs"], counts["quarantine"]) == (200, 6, 4)
