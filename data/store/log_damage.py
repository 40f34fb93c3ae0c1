"""What is wrong with a table's log: files that are missing, damaged or not as they were written.

HEAD.json has a checksum of each file that the newest version of a table is read from: the
checkpoint it starts with, and the commits since, at most a hundred.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data.errors import VersionGone
from data.store.delta_log import (
    LOG,
    POINTER,
    commit_of,
    is_later,
    live_files,
    log_file,
    log_file_damage,
    start_of_log,
    version_of,
)
from data.store.head import Contents, LogChecksums
from data.store.parquet import known_checksum

CHANGED = "has changed since it was written"


def log_checksums(
    root: Path, name: str, version: int, known: LogChecksums | None = None
) -> LogChecksums:
    """The checksums of the files that a version of a table is read from.

    `known` are those of an earlier version, which are taken over rather than read again: a file
    that has changed since does not pass for whole.
    """
    start = start_of_log(root, name, version)
    sums = list(known.crc32) if known and known.start == start else []
    if not sums and start >= 0:
        sums.append(_checkpoint_checksum(root, name, start))
    first = start + 1 + len(sums) - (start >= 0)
    sums += [known_checksum(log_file(root, name, n)) for n in range(first, version + 1)]
    return LogChecksums(start, tuple(sums))


def changed_logs(root: Path, name: str, version: int, logs: LogChecksums | None) -> list[Path]:
    """The files of a table's log that are not as `logs` says, up to a version.

    A file that is missing is not among them: a newer checkpoint may have taken its place.
    """
    if logs is None:
        return []
    changed = []
    sums = list(logs.crc32)
    with suppress(FileNotFoundError):
        if logs.start >= 0:
            stated = sums.pop(0)
            if logs.start <= version and stated != _checkpoint_checksum(root, name, logs.start):
                changed += _checkpoint(root, name, logs.start)[:1]
    for number, stated in enumerate(sums, logs.start + 1):
        path = log_file(root, name, number)
        with suppress(FileNotFoundError, IsADirectoryError):
            if number <= version and stated != known_checksum(path):
                changed.append(path)
    return changed


def log_damage(
    root: Path, name: str, version: int, logs: LogChecksums | None = None
) -> tuple[Path, str] | None:
    """The first file of a table's log without which a version cannot be read, and what is wrong.

    None if each of them is whole and as `logs` says, and each commit adds up to what it states.
    """
    log = root / name / LOG
    for folder in (log.parent, log):
        if not folder.is_dir():
            return folder, "is missing"
    start = start_of_log(root, name, version)
    for path in log.glob(f"{start:020d}.checkpoint*.parquet"):
        if not _readable(path):
            return path, "is empty" if path.stat().st_size == 0 else "is damaged"
    if lost := _lost_checkpoint(log):
        return lost, "is missing"
    for number in range(start + 1, version + 1):
        path = log_file(root, name, number)
        if what := log_file_damage(path):
            return path, what
    for path in changed_logs(root, name, version, logs):
        return path, CHANGED
    for number in range(start + 1, version + 1):
        path, stated = log_file(root, name, number), commit_of(root, name, number)
        try:
            if stated and Contents.of(live_files(root, name, number).values()) != stated.contents:
                return path, "is cut short"
        except VersionGone:
            return path, "cannot be read"
    return None


def readable_log(
    root: Path, name: str, changed: Collection[Path] = (), mended: Collection[Path] = ()
) -> tuple[int, list[Path]]:
    """The newest version that a damaged log can be read at, and the files that must go for that.

    -1 if no version can. `changed` are files that count as damaged whatever they say,
    `mended` those that are going to be whole.
    """
    log = root / name / LOG
    if not log.is_dir():
        return -1, []
    names = [path for path in log.iterdir() if not path.name.startswith(".")]
    whole: set[int] = set()
    starts, bad = [-1], []
    for path in names:
        number = version_of(path)
        if path.suffix == ".json" and number is not None:
            if path not in mended and (path in changed or log_file_damage(path)):
                bad.append(path)
            else:
                whole.add(number)
        elif ".checkpoint" in path.name and number is not None:
            if path not in changed and _readable(path):
                starts.append(number)
            else:
                bad.append(path)
    newest = -1
    for start in starts:
        version = start
        while version + 1 in whole:
            version += 1
        newest = max(newest, version)
    bad += [path for path in names if path not in bad and is_later(path, newest)]
    if bad or _lost_checkpoint(log):
        # It may point to a checkpoint that goes; Delta finds the newest one without it.
        bad += [path for path in names if path.name == POINTER]
    return newest, bad


def _checkpoint(root: Path, name: str, version: int) -> list[Path]:
    return sorted((root / name / LOG).glob(f"{version:020d}.checkpoint*.parquet"))


def _checkpoint_checksum(root: Path, name: str, version: int) -> str:
    """Of its only file; Delta could write several."""
    files = _checkpoint(root, name, version)
    if not files:
        raise FileNotFoundError
    return known_checksum(files[0])


def _lost_checkpoint(log: Path) -> Path | None:
    """The checkpoint that a log's pointer names, if it is missing; Delta then opens no version."""
    try:
        version = int(json.loads((log / POINTER).read_text("utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError):
        # Without a pointer Delta looks for the newest checkpoint.
        return None
    present = any(log.glob(f"{version:020d}.checkpoint*.parquet"))
    return None if present else log / f"{version:020d}.checkpoint.parquet"


def _readable(checkpoint: Path) -> bool:
    try:
        pq.read_table(checkpoint)
    except PermissionError:
        raise
    except (OSError, pa.ArrowException):
        return False
    return True
