"""The spool: what is acknowledged is there, whatever happens to the processes and the disk."""

from __future__ import annotations

import os
import resource
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from collect import spool
from collect.spool import GroupCommit, Reader, Writer, carry, packed
from data.errors import UsageError
from data.store import durability


def append(folder: Path, *records: bytes) -> None:
    """What one process appends that ends afterwards."""
    with Writer(folder) as writer:
        writer.append(records)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    with Writer(tmp_path, segment_bytes=100) as writer:
        yield writer


def bodies(reader: Reader) -> list[bytes]:
    return [record.body for record in reader.read(1 << 30)]


def test_records_come_back_in_order_over_segments(writer: Writer, tmp_path: Path) -> None:
    given = [b"x" * n for n in (0, 10, 90, 200, 1)]
    for index, body in enumerate(given):
        writer.append([packed(index, 1_000 + index, body)])
    reader = Reader(tmp_path)
    read = reader.read(1 << 30)
    assert [record.body for record in read] == given
    assert [record.kind for record in read] == [0, 1, 2, 3, 4]
    assert [record.arrived for record in read] == [1_000, 1_001, 1_002, 1_003, 1_004]
    assert len(spool.segments(tmp_path)) == 3
    assert reader.passed == {path.name for path in spool.segments(tmp_path)[:-1]}
    assert bodies(reader) == []


def test_a_reader_follows_a_writer(writer: Writer, tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    assert bodies(reader) == []
    for index in range(20):
        writer.append([packed(0, index, b"body %d" % index)])
        assert bodies(reader) == [b"body %d" % index]
    assert reader.sizes()[1] == 0


def test_it_reads_in_portions(writer: Writer, tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    for number in range(5):
        writer.append([packed(0, number, b"x" * 100)] * 2)
    portions = []
    while read := reader.read(250):
        portions.append(len(read))
    assert sum(portions) == 10
    assert max(portions) == 3


@pytest.mark.parametrize("cut", [1, 5, 21, 25, 60])
def test_a_record_that_a_crash_cut_off_is_left_out(tmp_path: Path, cut: int) -> None:
    append(tmp_path, packed(0, 1, b"whole"), packed(0, 2, b"y" * 60))
    (path,) = spool.segments(tmp_path)
    os.truncate(path, path.stat().st_size - cut)
    reader = Reader(tmp_path)
    assert bodies(reader) == [b"whole"]
    assert path.name not in reader.passed
    # The next process begins a segment of its own.
    append(tmp_path, packed(0, 3, b"next"))
    assert bodies(reader) == [b"next"]
    assert path.name in reader.passed
    assert reader.damaged == 0


@pytest.mark.parametrize("at", [0, 4, 9, 30])
def test_records_behind_damage_are_read(tmp_path: Path, at: int) -> None:
    records = [packed(0, n, b"%d" % n * 40) for n in range(3)]
    append(tmp_path, *records)
    (path,) = spool.segments(tmp_path)
    data = bytearray(path.read_bytes())
    data[len(records[0]) + at] ^= 0xFF
    path.write_bytes(data)
    append(tmp_path, packed(0, 9, b"later"))
    reader = Reader(tmp_path)
    assert bodies(reader) == [b"0" * 40, b"2" * 40, b"later"]
    assert reader.damaged == len(records[1])


def test_after_a_failed_write_nothing_of_it_is_there(writer: Writer, tmp_path: Path) -> None:
    writer.append([packed(0, 1, b"before")])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            writer.append([packed(0, 2, b"x" * 3_000_000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    writer.append([packed(0, 3, b"after")])
    assert bodies(Reader(tmp_path)) == [b"before", b"after"]


def test_nothing_is_durable_in_a_segment_whose_name_is_not(
    writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really, failures = durability.sync, [OSError(5, "Input/output error")]

    def sync(paths: list[Path]) -> None:
        # A disk that fails once, which nothing but a broken one does.
        if failures:
            raise failures.pop()
        synced.extend(path.name for path in spool.segments(tmp_path))
        really(paths)

    synced: list[str] = []
    monkeypatch.setattr(spool, "sync", sync)
    with pytest.raises(OSError, match="Input/output"):
        writer.append([packed(0, 1, b"lost")])
    assert spool.segments(tmp_path) == []
    writer.append([packed(0, 2, b"kept")])
    assert synced == [path.name for path in spool.segments(tmp_path)]
    assert bodies(Reader(tmp_path)) == [b"kept"]


def test_many_threads_share_the_waits_for_the_disk(tmp_path: Path) -> None:
    commit = GroupCommit(Writer(tmp_path, segment_bytes=2_000))
    problems: list[OSError | None] = []
    left = threading.Semaphore(0)

    def done(problem: OSError | None) -> None:
        problems.append(problem)
        left.release()

    def put(first: int) -> None:
        for number in range(first, first + 100):
            commit.put(packed(0, number, b"%d" % number), done)

    threads = [threading.Thread(target=put, args=(n * 100,)) for n in range(5)]
    for thread in threads:
        thread.start()
    for _ in range(500):
        assert left.acquire(timeout=30)
    commit.close()
    for thread in threads:
        thread.join()
    assert problems == [None] * 500
    assert sorted(int(body) for body in bodies(Reader(tmp_path))) == list(range(500))


def test_what_is_put_in_last_is_written_before_the_end(tmp_path: Path) -> None:
    commit = GroupCommit(Writer(tmp_path))
    problems: list[OSError | None] = []
    for number in range(50):
        commit.put(packed(0, number, b"x"), problems.append)
    commit.close()
    assert problems == [None] * 50
    assert len(bodies(Reader(tmp_path))) == 50


def test_carried_records_are_read_first_and_only_once(writer: Writer, tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    writer.append([packed(0, 1, b"old")])
    assert bodies(reader) == [b"old"]
    name = carry(tmp_path, iter([(0, 1, b"old")]))
    reader.own.add(name)
    writer.append([packed(0, 2, b"new")])
    assert bodies(reader) == [b"new"]
    assert bodies(Reader(tmp_path)) == [b"old", b"old", b"new"]


def test_two_collectors_exclude_each_other(tmp_path: Path) -> None:
    with (
        spool.exclusive(tmp_path / "spool"),
        pytest.raises(UsageError, match=r"Another collector is using the spool at .*--spool"),
    ):
        spool.exclusive(tmp_path / "spool")
    spool.exclusive(tmp_path / "spool").release()
