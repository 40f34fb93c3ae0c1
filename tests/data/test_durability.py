"""What a commit names is on disk before HEAD.json names it, and stays until HEAD.json names other
files; so a power cut takes back nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from data.ingest.ingest import ingest
from data.store.delta_log import LOG, live_files
from data.store.durability import replacing
from data.store.repair import examine
from data.store.store import Store
from tests.logs import trace, write_lines
from tests.power import Call, Disk, command, disk, environment, traced


def log(path: Path, first: int, count: int = 40) -> Path:
    """A log file of turns over ten days."""
    return write_lines(
        path,
        [
            trace(
                f"t{n:05}",
                dialogue_id=f"d{n // 5}",
                started_at=f"2024-05-{1 + n % 10:02}T09:00:00Z",
            )
            for n in range(first, first + count)
        ],
    )


def named(store: Store) -> set[Path]:
    """All files that HEAD.json names, with the folders that lead to them."""
    head = store.head()
    files: set[Path] = set()
    for name, version in head.tables.items():
        folder = store.path / name
        files |= {folder / path for path in live_files(store.path, name, version)}
        files |= {folder / LOG / f"{number:020d}.json" for number in range(version + 1)}
    if head.model:
        files |= {path for path in (store.models / head.model).rglob("*") if path.is_file()}
    folders = {parent for file in files for parent in file.parents if store.path in parent.parents}
    return files | folders | {store.path}


def check_order(calls: list[Call], store: Store, before: set[Path]) -> None:
    """Everything named and new was synced, after its last change, before HEAD.json was renamed."""
    heads = [
        i for i, call in enumerate(calls)
        if call.name.startswith("rename") and call.paths[-1] == str(store.path / "HEAD.json")
    ]  # fmt: skip
    assert heads
    last = heads[-1]
    synced: dict[str, int] = {}
    changed: dict[str, int] = {}
    for index, call in enumerate(calls[:last]):
        if call.name in ("fsync", "fdatasync"):
            synced[call.paths[0]] = index
        elif call.creates or call.name.startswith("rename"):
            for place in call.paths:
                changed[os.path.dirname(place)] = index
            if call.name.startswith("rename"):
                for seen in (synced, changed):
                    move(seen, *call.paths)
    for path in named(store) - before:
        assert str(path) in synced, f"{path} was not synced"
        assert path == store.path or synced[str(path)] > changed.get(str(path), -1), path
    # And HEAD.json itself, by the name that it was written under, and then its folder.
    assert any(
        call.name == "fsync" and call.paths == (str(store.path),) for call in calls[last:]
    ), "the rename itself is not on disk"
    assert synced[calls[last].paths[0]] > 0
    needed = named(store) | before
    for call in calls[:last]:
        if call.name.startswith("unlink"):
            assert not {Path(path) for path in call.paths} & needed, call


def move(seen: dict[str, int], source: str, target: str) -> None:
    """What is known of a file or folder, and of what is in it, under its new name."""
    for place in [place for place in seen if f"{place}/".startswith(f"{source}/")]:
        seen[target + place.removeprefix(source)] = seen.pop(place)


def test_what_head_names_is_on_disk_first(tmp_path: Path) -> None:
    root = tmp_path / "store"
    calls = traced(tmp_path / "1", command("ingest", log(tmp_path / "1.jsonl", 0), "--store", root))
    store = Store.open(root)
    check_order(calls, store, set())
    # The store's own folder is new as well.
    assert any(call.name == "fsync" and call.paths == (str(tmp_path),) for call in calls)
    ingest(store, [log(tmp_path / "2.jsonl", 20)])
    before = named(store)
    calls = traced(tmp_path / "3", command("compact", "--store", root))
    check_order(calls, store, before)
    calls = traced(tmp_path / "4", command("vacuum", "--keep-hours", "0", "--store", root))
    unlinked = [
        i for i, call in enumerate(calls)
        if call.name.startswith("unlink") and call.paths[-1].endswith(".parquet")
    ]  # fmt: skip
    assert len(unlinked) > 20
    table = Path(calls[unlinked[0]].paths[-1]).relative_to(root).parts[0]
    synced = {call.paths[0] for call in calls[: unlinked[0]] if call.name == "fsync"}
    live = {root / table / path for path in live_files(root, table, store.head().tables[table])}
    assert {str(path) for path in (*live, root / "HEAD.json", root)} <= synced
    assert {path for path in named(store) if not path.exists()} == set()


@pytest.mark.long
def test_a_model_is_on_disk_before_it_is_promoted(own_six: Store, tmp_path: Path) -> None:
    before = named(own_six)
    arguments = command("train", "--seed", "3", "--store", own_six.path)
    calls = traced(tmp_path / "trace", arguments)
    assert own_six.head().model
    check_order(calls, own_six, before)


def test_each_file_is_synced_once_in_a_commit(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.data.test_store import add, turns

    synced: list[str] = []
    real = os.fsync

    def counted(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", counted)
    add(store, turns("a"), turns("b", day=2))
    drafts = [path for path in synced if "/.HEAD.json." in path]
    data = [path for path in synced if path not in drafts]
    assert len(drafts) == 1
    # Two files, their two folders, the log and its folder, the table's folder; the store's folder
    # once for the tables and once for HEAD.json.
    assert len(data) == 9
    assert data.count(str(store.path)) == 2
    assert len(set(data)) == 8


def test_a_replaced_file_is_as_before_or_complete(tmp_path: Path) -> None:
    target = tmp_path / ("é" * 120)
    target.write_text("before")

    def fail() -> None:
        with replacing(target) as draft:
            draft.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert target.read_text() == "before"
    with replacing(target) as draft:
        draft.write_text("after")
    assert target.read_text() == "after"
    assert list(tmp_path.iterdir()) == [target]


# -- the cut itself --------------------------------------------------------------------------------


def run(*arguments: object) -> str:
    done = subprocess.run(
        command(*arguments), env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def turns_in(store: Path) -> int:
    """The turns of a store every file of which is whole."""
    head, damages = examine(store)
    assert head is not None
    assert damages == []
    with Store.open(store).snapshot() as snapshot:
        for name, rows in snapshot.counts().items():
            assert snapshot.query(f"FROM {name}").num_rows == rows
        return snapshot.counts()["turns"]


@pytest.mark.long
def test_a_power_cut_takes_back_nothing(tmp_path: Path) -> None:
    with disk(tmp_path) as media:
        store = media.folder / "store"
        for number in range(4):
            run("ingest", log(tmp_path / f"{number}.jsonl", number * 40), "--store", store)
            media.cut()
            assert turns_in(store) == (number + 1) * 40
        run("compact", "--store", store)
        media.cut()
        assert turns_in(store) == 160
        run("vacuum", "--keep-hours", "0", "--store", store)
        media.cut()
        assert turns_in(store) == 160
        run("compact", "--store", store)
        run("delete", "--dialogue", "d0", "--store", store)
        run("vacuum", "--keep-hours", "0", "--store", store)
        media.cut()
        assert turns_in(store) == 155
        run("export", "turns", "--to", media.folder / "turns.parquet", "--store", store)
        media.cut()
        assert (media.folder / "turns.parquet").stat().st_size > 1_000


@pytest.mark.long
def test_a_power_cut_at_any_moment_leaves_a_whole_version(tmp_path: Path) -> None:
    chance = random.Random(3)
    with disk(tmp_path) as media:
        store = media.folder / "store"
        run("ingest", log(tmp_path / "first.jsonl", 0), "--store", store)
        turns = turns_in(store)
        for number in range(1, 13):
            arguments: tuple[object, ...] = ("vacuum", "--keep-hours", 0)
            if number % 3:
                arguments = ("ingest", log(tmp_path / f"{number}.jsonl", number * 40))
            elif number % 2:
                arguments = ("compact",)
            process = begun(*arguments, "--store", store)
            # Importing takes most of a command's time.
            time.sleep(chance.uniform(0.4, 2.5))
            cut_under(process, media)
            after = turns_in(store)
            assert after in (turns, turns + 40)
            turns = after
        # And the next command works.
        run("ingest", log(tmp_path / "last.jsonl", 10_000), "--store", store)
        media.cut()
        assert turns_in(store) == turns + 40


def begun(*arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command(*arguments),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def cut_under(process: subprocess.Popen[bytes], media: Disk) -> None:
    """Cut the power while a command runs; as a machine would, it ends at once."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    media.cut()
