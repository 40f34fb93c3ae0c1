"""Scoring, mining and labelling by processes and on a cluster of two nodes: the same to the bit,
also when a worker, a node, or the command itself is killed."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from classifiers.model import Model
from classifiers.scoring.score import score
from data import cluster as engines
from data.errors import ClusterError, UsageError
from data.parallel import local
from data.software import fingerprint
from data.store.part_files import Parts
from data.store.store import Store
from data.store.turn_deletion import delete
from labels.feedback import sessions
from labels.feedback.shards import friction_by
from labels.generated import store as labelling
from labels.generated.settings import Settings
from tests.clusters import ADDRESS, Cluster, cluster, inside, kill

BATCH = 40


@pytest.fixture
def fresh(six: tuple[Store, Model], tmp_path: Path) -> Callable[[], Store]:
    """Makes copies of a store, free to be changed."""
    number = iter(range(100))
    return lambda: Store.open(shutil.copytree(six[0].path, tmp_path / f"copy{next(number)}"))


@pytest.fixture(scope="module")
def alone(six: tuple[Store, Model], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What this process scores by itself."""
    store = Store.open(shutil.copytree(six[0].path, tmp_path_factory.mktemp("alone") / "store"))
    score(store, batch=BATCH, workers=1)
    return content(store)


@pytest.fixture(scope="module")
def labelling_store(six: tuple[Store, Model], tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with a small label model that was trained on its turns; read-only."""
    store = Store.open(shutil.copytree(six[0].path, tmp_path_factory.mktemp("labels") / "store"))
    settings = replace(
        Settings.quick(), size=16, heads=2, rounds=10, epochs=2, folds=2, frames="quick", threads=1
    )
    labelling.train_store(store, settings)
    return store


@pytest.fixture
def two_nodes() -> Iterator[Cluster]:
    with cluster() as nodes:
        nodes.node()
        nodes.node()
        yield nodes


def two_copies(store: Store, folder: Path) -> tuple[Store, Store]:
    """Copies of a store, free to be changed."""
    one, two = (Store.open(shutil.copytree(store.path, folder / str(n))) for n in range(2))
    return one, two


def content(store: Store, table: str = "predictions", without: str = "") -> dict[str, bytes]:
    """Each column of a table, in the order of its turns, as Parquet has it: the bits of all values,
    and nothing of what Arrow has in memory where there is none."""
    with store.snapshot() as snapshot:
        rows = snapshot.query(f"SELECT * {without} FROM {table} ORDER BY ALL").combine_chunks()
    assert rows.num_rows
    columns = {}
    for name in rows.column_names:
        sink = pa.BufferOutputStream()
        pq.write_table(rows.select([name]), sink, compression="none")
        columns[name] = sink.getvalue().to_pybytes()
    return columns


def different(found: dict[str, bytes], expected: dict[str, bytes]) -> list[str]:
    assert list(found) == list(expected)
    return [name for name in found if found[name] != expected[name]]


def driver(store: Store, kind: str, where: str) -> list[str]:
    return [sys.executable, "-m", "tests.scored_by", str(store.path), str(BATCH), kind, where]


def kept(store: Store, files: str = "scored-*.parquet") -> list[Path]:
    """The parts that are finished and not committed yet."""
    return sorted((store.path / ".staging").glob(f"unfinished-*/{files}"))


def wait_for(true: Callable[[], object], process: subprocess.Popen[str]) -> None:
    limit = time.monotonic() + 240
    while not true():
        assert process.poll() is None, process.communicate()
        if time.monotonic() > limit:
            process.kill()
            raise AssertionError(
                f"it did not come about; the driver printed {process.communicate()}"
            )
        time.sleep(0.01)


def ended(process: subprocess.Popen[str]) -> list[str]:
    """The lines that a driver printed, which has succeeded."""
    out, err = process.communicate(timeout=240)
    assert (process.returncode, err) == (0, "")
    return out.splitlines()


def test_a_cluster_that_is_none_is_said_in_a_sentence_at_once() -> None:
    for address, error, words in (
        ("127.0.0.1:9", ClusterError, "no usable Ray cluster at 127.0.0.1:9: Connection refused"),
        ("ray://head:10001", UsageError, "Ray client"),
        # Ray would start a cluster of its own.
        ("local", UsageError, "no address"),
        ("x y\n127.0.0.1:9", UsageError, "no address"),
        ("127.0.0.1:99999", ClusterError, "no usable Ray cluster"),
    ):
        began = time.monotonic()
        with pytest.raises(error, match=words), engines.cluster(address):
            pass
        assert time.monotonic() - began < 15


def test_a_node_that_differs_is_refused_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_APPEARS_S", 0.0)
    plan = tmp_path / "plan.parquet"
    plan.write_bytes(b"as here")
    shared = [engines.SharedFile.of(plan)]
    worker, here = engines._Worker(), fingerprint()
    assert worker.problem(shared, here) is None
    assert list(tmp_path.iterdir()) == [plan]
    problem = worker.problem(shared, {**here, "duckdb": "1.0"})
    assert problem is not None
    assert f"has duckdb {here['duckdb']}, this machine 1.0" in problem
    plan.write_bytes(b"another")
    assert f"has another file at {plan}" in str(worker.problem(shared, here))
    plan.unlink()
    assert f"does not see {plan}" in str(worker.problem(shared, here))


@pytest.mark.long
def test_processes_score_as_one_does_and_go_on_after_a_kill(
    fresh: Callable[[], Store], alone: dict[str, bytes]
) -> None:
    store = fresh()
    with subprocess.Popen(driver(store, "local", "2"), stdout=subprocess.PIPE, text=True) as first:
        wait_for(lambda: len(kept(store)) >= 3, first)
        first.kill()
    # What was damaged since is scored again, and so is nothing else.
    before = kept(store)
    before[0].write_bytes(before[0].read_bytes()[:100])
    times = {path: path.stat().st_mtime_ns for path in before[1:]}
    seen: list[float] = []

    def look(done: float, total: float | None, what: str, turns: int | None = None) -> None:
        seen.append(done)
        assert all(path.stat().st_mtime_ns == at for path, at in times.items())

    score(store, everything=True, batch=BATCH, workers=2, progress=look)
    assert seen[0] == 0
    assert different(content(store), alone) == []
    assert not list((store.path / ".staging").glob("unfinished-*"))


def test_what_a_killed_scoring_left_goes_with_a_deletion(fresh: Callable[[], Store]) -> None:
    store = fresh()
    with pytest.raises(KeyboardInterrupt):
        score(store, batch=BATCH, workers=1, progress=_interrupt_after(2))
    assert kept(store)
    with store.snapshot() as snapshot:
        ((turn,),) = snapshot.query("SELECT dialogue_id FROM turns LIMIT 1").to_pandas().to_numpy()
    delete(store, dialogue_ids=[turn])
    assert not list((store.path / ".staging").glob("unfinished-*"))


def _interrupt_after(parts: int) -> Callable[..., None]:
    calls = iter(range(1_000))

    def progress(done: float, total: float | None, what: str, turns: int | None = None) -> None:
        if next(calls) == parts:
            raise KeyboardInterrupt

    return progress


@pytest.mark.long
def test_two_at_once_score_the_same(fresh: Callable[[], Store], alone: dict[str, bytes]) -> None:
    store = fresh()
    pair = [
        subprocess.Popen(driver(store, "local", "1"), stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in pair:
        with process:
            process.communicate(timeout=240)
        assert process.returncode == 0
    assert different(content(store), alone) == []


@pytest.mark.long
def test_two_nodes_score_as_one_process_does(
    two_nodes: Cluster, fresh: Callable[[], Store], alone: dict[str, bytes]
) -> None:
    store = fresh()
    lines = ended(two_nodes.start(*driver(store, "ray", ADDRESS)))
    assert len(lines) > 10
    assert different(content(store), alone) == []
    # Nothing of the command stays on the cluster.
    time.sleep(1)
    assert not two_nodes.actors()


@pytest.mark.long
def test_a_killed_worker_or_node_costs_time_alone(
    fresh: Callable[[], Store], alone: dict[str, bytes]
) -> None:
    with cluster() as nodes:
        nodes.node()
        second = nodes.node()
        store = fresh()
        running = nodes.start(*driver(store, "ray", ADDRESS))
        wait_for(lambda: len(kept(store)) >= 2 and len(nodes.actors()) == 2, running)
        nodes.actors()[0].kill()
        wait_for(lambda: len(kept(store)) >= 4 and len(nodes.actors(second)) == 1, running)
        kill(second)
        ended(running)
        assert different(content(store), alone) == []


@pytest.mark.long
def test_a_killed_driver_goes_on_where_it_was(
    two_nodes: Cluster, fresh: Callable[[], Store], alone: dict[str, bytes]
) -> None:
    store = fresh()
    with two_nodes.start(*driver(store, "ray", ADDRESS)) as first:
        wait_for(lambda: len(kept(store)) >= 3, first)
        inside(first).kill()
    head = store.head()
    before = {path: path.stat().st_mtime_ns for path in kept(store)}
    assert len(before) >= 3
    second = two_nodes.start(*driver(store, "ray", ADDRESS))
    wait_for(lambda: len(kept(store)) > len(before) + 1, second)
    # Nothing was committed before, and nothing is until all parts are there.
    assert store.head() == head
    again = [path for path, at in before.items() if path.stat().st_mtime_ns != at]
    # An actor of the killed driver may have been about to finish a part.
    assert len(again) <= 2
    ended(second)
    assert different(content(store), alone) == []


@pytest.mark.long
def test_an_interrupt_leaves_the_store_and_the_cluster_as_they_were(
    two_nodes: Cluster, fresh: Callable[[], Store]
) -> None:
    store = fresh()
    head = store.head()
    with two_nodes.start(*driver(store, "ray", ADDRESS)) as running:
        wait_for(lambda: len(kept(store)) >= 1, running)
        inside(running).send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert store.head() == head
    time.sleep(1)
    assert not two_nodes.actors()


@pytest.mark.long
def test_mining_and_labelling_on_a_cluster_find_the_same(
    two_nodes: Cluster, labelling_store: Store, rewritten_store: Store, tmp_path: Path
) -> None:
    for command, source, tables in (
        (("rewrites", "mine"), rewritten_store, {"rewrites": "EXCLUDE (mined_at)"}),
        (("labels", "generate"), labelling_store, {"generated_labels": "", "goals": ""}),
    ):
        here, there = two_copies(source, tmp_path / command[1])
        cli = [sys.executable, "-m", "cli", *command]
        for store, more in ((here, ()), (there, ("--ray", "auto"))):
            done = two_nodes.run(*cli, "--store", str(store.path), *more)
            assert done.returncode == 0, done.stderr
        for table, without in tables.items():
            found, expected = (content(store, table, without) for store in (there, here))
            assert different(found, expected) == []


def test_sessions_are_read_by_processes_as_by_one(
    rewritten_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "BATCH", 20)
    with rewritten_store.snapshot() as snapshot:
        expected = list(sessions.friction(snapshot))
        found = list(friction_by(Parts(local(2), tmp_path), rewritten_store, snapshot))
    assert len(found) > 2
    assert all(one.equals(other) for one, other in zip(found, expected, strict=True))


def test_a_reading_of_sessions_goes_on_where_it_was(
    rewritten_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "BATCH", 20)
    store = rewritten_store
    with store.snapshot() as snapshot:
        expected = list(sessions.friction(snapshot))
        first = friction_by(Parts(local(1), tmp_path), store, snapshot)
        for _ in range(4):
            next(first)
        finished = sorted(tmp_path.glob("sessions-*"))
        assert len(finished) == 4
        # Since then one was cut short, and one damaged in its middle.
        finished[1].write_bytes(finished[1].read_bytes()[:-100])
        content = finished[2].read_bytes()
        middle = len(content) // 3
        finished[2].write_bytes(content[:middle] + bytes(50) + content[middle + 50 :])
        times = {path: path.stat().st_mtime_ns for path in finished}
        found = list(friction_by(Parts(local(1), tmp_path), store, snapshot))
        again = [path for path, at in times.items() if path.stat().st_mtime_ns != at]
        assert again == finished[1:3]
        assert all(one.equals(other) for one, other in zip(found, expected, strict=True))


def test_sessions_of_other_turns_are_read_anew(
    rewritten_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "BATCH", 20)
    store = Store.open(shutil.copytree(rewritten_store.path, tmp_path / "store"))
    with (
        suppress(KeyboardInterrupt),
        store.unfinished("sessions") as folder,
        store.snapshot() as snapshot,
    ):
        first = friction_by(Parts(local(1), folder), store, snapshot)
        turn = next(first)["turn_id"][0].as_py()
        assert len(kept(store, "sessions-*")) == 1
        # By another process, while this one holds the folder.
        delete(store, turn_ids=[turn])
        next(first)
        raise KeyboardInterrupt
    # A deletion leaves nothing of the turns behind.
    assert not list((store.path / ".staging").glob("unfinished-*"))
    with store.snapshot() as snapshot:
        expected = list(sessions.friction(snapshot))
        (other := tmp_path / "other").mkdir()
        (other / "sessions-of-other-turns.parquet").touch()
        found = list(friction_by(Parts(local(1), other), store, snapshot))
        assert all(one.equals(more) for one, more in zip(found, expected, strict=True))
    assert not (other / "sessions-of-other-turns.parquet").exists()


@pytest.mark.long
def test_a_labelling_goes_on_where_it_was(
    labelling_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labelling, "BATCH", 100)
    one, two = two_copies(labelling_store, tmp_path)
    labelling.generate_store(one)
    head = two.head()
    with pytest.raises(KeyboardInterrupt):
        labelling.generate_store(two, engine=local(1), progress=_interrupt_after(3))
    assert two.head() == head
    finished = kept(two, "labels-*")
    assert len(finished) >= 2
    # One was cut short since.
    finished[0].write_bytes(finished[0].read_bytes()[:-100])
    times = {path: path.stat().st_mtime_ns for path in finished}
    # The second ends when all parts are there, at the commit.
    with monkeypatch.context() as patched:
        patched.setattr(labelling, "replace_learned", lambda store, rows: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            labelling.generate_store(two, engine=local(1))
    again = [path for path, at in times.items() if path.stat().st_mtime_ns != at]
    assert again == finished[:1]
    times = {path: path.stat().st_mtime_ns for path in kept(two, "labels-*")}

    def look(done: float, total: float | None, what: str, turns: int | None = None) -> None:
        assert all(path.stat().st_mtime_ns == at for path, at in times.items())

    labelling.generate_store(two, engine=local(1), progress=look)
    assert not kept(two, "*")
    for table in ("generated_labels", "goals", "feedback"):
        assert different(content(two, table), content(one, table)) == []


@pytest.mark.long
def test_turns_are_labelled_by_processes_as_by_one(
    labelling_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labelling, "BATCH", 150)
    one, two = two_copies(labelling_store, tmp_path)
    assert labelling.generate_store(one).turns > 450
    labelling.generate_store(two, engine=local(2))
    for table in ("generated_labels", "goals", "feedback"):
        assert different(content(two, table), content(one, table)) == []
