"""What the machine refuses is one true sentence, exit code 1, and leaves the store as it was.

The disk is really full: a small file system in memory where one can be mounted, and everywhere a
limit on the size of files, at which the same writes fail.
"""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from data.errors import (
    DiskFull,
    MachineError,
    NotAllowed,
    TooManyOpenFiles,
    UsageError,
    machine_error,
)
from data.export.export import export
from data.ingest.ingest import ingest
from data.store.store import Store
from parts.jobs.thread import ThreadJob
from tests.logs import write_lines
from tests.traces import logs

ROOT = Path(__file__).parents[2]
FULL = "The disk that holds {} is full"


def faultline(
    *arguments: object,
    before: Callable[[], None] | None = None,
    prefix: tuple[str, ...] = (),
    **options: str,
) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, without coverage, whose data would not fit either."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    environment = {**own, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", **options}
    return subprocess.run(
        [*prefix, sys.executable, "-m", "cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        preexec_fn=before,
        timeout=300,
    )


def files(store: Path) -> dict[str, bytes]:
    """What the store holds, without locks and empty folders."""
    return {
        path.relative_to(store).as_posix(): path.read_bytes()
        for path in store.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def sentences(done: subprocess.CompletedProcess[str]) -> str:
    """The error, which is a single line; progress may stand before it."""
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert sum(line.startswith("Error: ") for line in lines) == 1
    assert lines[-1].startswith("Error: ")
    return lines[-1]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store, and with logs and verdicts for it."""
    folder = tmp_path_factory.mktemp("small")
    ingest(Store.create(folder / "store"), [write_lines(folder / "logs.jsonl", logs(60))])
    write_lines(folder / "more.jsonl", logs(400, seed=9, prefix="x"))
    verdict = {"turn_id": "d0001-0", "annotator": "a", "failure_point": "asr"}
    write_lines(folder / "verdicts.jsonl", [verdict | {"note": str(i) * 40} for i in range(400)])
    return folder


@pytest.fixture
def disk(tmp_path: Path, small: Path) -> Iterator[Path]:
    """A full disk with a copy of the store."""
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("a file system can only be mounted by root")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        shutil.copytree(small / "store", folder / "store")
        (folder / "tmp").mkdir()
        free = shutil.disk_usage(folder).free
        (folder / "padding").write_bytes(bytes(free))
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def commands(folder: Path, store: Path, small: Path) -> dict[str, list[object]]:
    return {
        "ingest": ["ingest", small / "more.jsonl", "--store", store],
        "annotate": ["annotate", small / "verdicts.jsonl", "--store", store],
        "delete": ["delete", "--dialogue", "d0001", "--store", store],
        "retain": ["retain", "--days", "1", "--store", store],
        "export": ["export", "turns", "--to", folder / "out.csv", "--store", store],
        "export where": ["export", "turns", "--to", folder / "out.parquet", "--store", store,
                         "--where", "turn_index >= 0"],
        "demo-data": ["demo-data", "--to", folder / "demo", "--turns", "200"],
    }  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize(
    "name", ["ingest", "annotate", "delete", "retain", "export", "export where", "demo-data"]
)
def test_a_full_disk(disk: Path, small: Path, name: str) -> None:
    before = files(disk)
    done = faultline(*commands(disk, disk / "store", small)[name])
    assert done.returncode == 1
    assert sentences(done).startswith(f"Error: {FULL.format(disk)[: -len(' is full')]}")
    assert " is full: 0.0 MB are free now" in done.stderr
    assert files(disk) == before


@pytest.mark.long
def test_training_scoring_and_the_report_on_a_full_disk(
    disk: Path, six_scored: Store, tmp_path: Path
) -> None:
    (disk / "padding").unlink()
    shutil.rmtree(disk / "store")
    shutil.copytree(six_scored.path, disk / "store")
    free = shutil.disk_usage(disk).free
    (disk / "padding").write_bytes(bytes(free))
    before = files(disk / "store")
    store = ["--store", disk / "store"]
    for command in (["train", *store], ["score", "--all", *store],
                    ["report", "--to", disk / "report.html", *store]):  # fmt: skip
        done = faultline(*command, TMPDIR=str(disk / "tmp"))
        assert (command[0], done.returncode) == (command[0], 1)
        assert " is full: 0.0 MB are free now" in sentences(done)
        assert files(disk / "store") == before
    # What frees space needs none.
    assert faultline("vacuum", "--keep-hours", "0", *store).returncode == 0


@pytest.mark.long
def test_a_read_only_disk(disk: Path, small: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for command in commands(disk, disk / "store", small).values():
        done = faultline(*command)
        assert (command[0], done.returncode) == (command[0], 1)
        assert "is mounted read-only" in sentences(done)
    assert faultline("info", "--store", disk / "store").returncode == 0


def limit(kind: int, value: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(kind, (value, value))


@pytest.mark.parametrize("name", ["ingest", "export"])
def test_files_that_may_not_grow(tmp_path: Path, small: Path, name: str) -> None:
    """The portable twin of a full disk: the same writes fail, with another number."""
    store = shutil.copytree(small / "store", tmp_path / "store")
    before = files(tmp_path)
    command = commands(tmp_path, store, small)[name]
    done = faultline(*command, before=limit(resource.RLIMIT_FSIZE, 4096))
    assert done.returncode == 1
    assert "larger than this machine allows" in sentences(done) or " is full" in sentences(done)
    assert files(tmp_path) == before


def test_too_many_open_files(small: Path) -> None:
    done = faultline("info", "--store", small / "store", before=limit(resource.RLIMIT_NOFILE, 16))
    assert done.returncode == 1
    assert "Too many files are open at once" in sentences(done)


def test_the_output_goes_to_a_full_disk(small: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this machine has no /dev/full")
    command = [sys.executable, "-m", "cli", "info", "--store", str(small / "store")]
    with Path("/dev/full").open("w") as output:
        done = subprocess.run(
            command, stdout=output, stderr=subprocess.PIPE, text=True, cwd=ROOT, timeout=60
        )
    assert done.returncode == 1
    assert "is full" in sentences(done)


# -- from exceptions to sentences ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (OSError(errno.ENOSPC, "No space left", "/tmp/none/x"), DiskFull, "holds /tmp is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), DiskFull, "Your share of the disk"),
        (OSError(errno.EFBIG, "File too large"), DiskFull, "ulimit -f"),
        (OSError(errno.EROFS, "Read-only file system"), NotAllowed, "read-only"),
        (PermissionError(errno.EACCES, "Permission denied", "/secret"), NotAllowed, "/secret"),
        (OSError(errno.EMFILE, "Too many open files"), TooManyOpenFiles, "ulimit -n"),
        (OSError(errno.ENFILE, "Too many open files in system"), TooManyOpenFiles, "open at once"),
        # As DuckDB, Arrow and Delta Lake word them, who have exceptions of their own.
        (duckdb.IOException("IO Error: Could not write all bytes to file \"/tmp/a b\": wanted=9 "
                            "wrote=2"), DiskFull, "holds /tmp is full"),
        (duckdb.OutOfMemoryException("Out of Memory Error: failed to offload data block of size "
                                     "256.0 KiB (1.0 KiB/4.0 KiB used).\nThis limit was set by the "
                                     "'max_temp_directory_size' setting."), DiskFull, "is full"),
        (duckdb.IOException('IO Error: Cannot open file "/tmp/f.parquet": Too many open files'),
         TooManyOpenFiles, "open at once"),
        (pa.ArrowException("Error writing bytes to file. Detail: [errno 28] No space left on "
                           "device"), DiskFull, "is full"),
        (Exception("Generic LocalFileSystem error: Unable to open file /tmp/s/_delta_log/0.json: "
                   "No space left on device (os error 28)"), DiskFull, "is full"),
    ],
)  # fmt: skip
def test_every_library_says_it_differently(
    error: Exception, kind: type[MachineError], words: str
) -> None:
    problem = machine_error(error, "/tmp")
    assert type(problem) is kind
    assert problem.exit_code == 1
    assert words in str(problem)
    # One sentence, with what to do.
    assert str(problem).endswith((".", "faultline compact"))
    assert "\n" not in str(problem)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file", "/tmp/x"),
        duckdb.BinderException("Binder Error: column x"),
        ValueError("28"),
        duckdb.OutOfMemoryException("Out of Memory Error: could not allocate block"),
    ],
)
def test_what_is_no_fault_of_the_machine(error: Exception) -> None:
    assert machine_error(error, "/tmp") is None


def test_a_cause_is_found_below_what_it_caused() -> None:
    error = ValueError("a model cannot be saved")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device", "/tmp/x")
    assert type(machine_error(error)) is DiskFull


def test_of_a_copy_the_fuller_disk_is_meant(disk: Path) -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "/", None, str(disk / "a/b"))
    assert FULL.format(disk) in str(machine_error(error))


def test_a_job_of_the_dashboard_says_it_too() -> None:
    def work(_: object) -> None:
        raise duckdb.IOException('IO Error: Could not write all bytes to file "/tmp/x"')

    job = ThreadJob("Explaining", work)
    assert job.wait(10) == "failed"
    assert type(job.error) is DiskFull


def test_a_folder_that_may_not_be_written(store: Store, tmp_path: Path) -> None:
    if not os.geteuid():
        pytest.skip("root may write everywhere")
    (tmp_path / "locked").mkdir(mode=0o555)
    with store.snapshot() as snapshot, pytest.raises((NotAllowed, UsageError), match="locked"):
        export(snapshot, "turns", tmp_path / "locked" / "x.csv")


UNREADABLE = ["turns/day=*/*.parquet", "runs/_delta_log/*.json", "HEAD.json"]
# Root may read everything, unless this is taken from it.
RIGHTS = "-dac_override,-dac_read_search"


@pytest.mark.parametrize("pattern", UNREADABLE)
def test_what_may_not_be_read_is_not_called_damaged(own_store: Store, pattern: str) -> None:
    prefix: tuple[str, ...] = ()
    if not os.geteuid():
        if not shutil.which("setpriv"):
            pytest.skip("root may read everything")
        prefix = ("setpriv", f"--bounding-set={RIGHTS}", f"--inh-caps={RIGHTS}")
    target = max(own_store.path.glob(pattern))
    target.chmod(0)
    for command in (("info",), ("doctor",), ("doctor", "--repair")):
        ran = faultline(*command, "--store", own_store.path, prefix=prefix)
        said = ran.stdout + ran.stderr
        assert ran.returncode == 1, said
        assert str(target) in said
        assert "change its permissions" in said
        for wrong in ("damaged", "Repair it", "backup", "Traceback"):
            assert wrong not in said, said
    assert not (own_store.path / "rescued").exists()
