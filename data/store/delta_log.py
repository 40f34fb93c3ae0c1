"""The Delta log of a table: opening a version, listing its files, and what is wrong with the log.

Each commit states what the version holds and which versions of the other tables belong to it, so
that a log shows by itself whether it is whole, and HEAD.json can be written again from the logs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties
from deltalake.exceptions import DeltaError

from data.errors import VersionGone, machine_error
from data.schema.layout import TABLES
from data.store.head import Contents
from data.store.parquet import DataFile

LOG = "_delta_log"
# Names the newest checkpoint.
_POINTER = "_last_checkpoint"
_KEY = "faultline"
# A log that outgrows its checkpoint is left to `vacuum`: until HEAD.json names the new version, the
# old one has to stay readable.
HOOKS = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)


@dataclass(frozen=True)
class Commit:
    """What a commit states: contents of its table, versions of all tables, the promoted model."""

    contents: Contents
    tables: Mapping[str, int]
    model: str | None

    def properties(self) -> CommitProperties:
        """For `DeltaTable.create_write_transaction` and `DeltaTable.restore`."""
        return CommitProperties(custom_metadata={_KEY: json.dumps(asdict(self))})

    @classmethod
    def parse(cls, text: str) -> Commit:
        content = json.loads(text)
        return cls(Contents(**content["contents"]), content["tables"], content["model"])


def open_table(root: Path, name: str, version: int | None) -> DeltaTable | None:
    """The Delta table at a version (None: the newest); None if it was never written.

    Raises `VersionGone` if the version does not exist or cannot be opened.
    """
    folder = root / name
    if not (folder / LOG).exists():
        if version:
            raise VersionGone(f"Version {version} of table '{name}' does not exist in {root}.")
        return None
    try:
        return DeltaTable(folder, version=version)
    except (DeltaError, OSError, ValueError) as error:
        if problem := machine_error(error, root):
            raise problem from error
        which = "The newest version" if version is None else f"Version {version}"
        raise VersionGone(
            f"{which} of table '{name}' can no longer be opened; "
            + ("run faultline doctor." if version is None else "open the latest version instead.")
        ) from error


def live_files(root: Path, name: str, version: int) -> dict[str, DataFile]:
    """The files of a table at a version, by relative path, sorted by path.

    The log lists them in no particular order; sorted, queries and exports of one version read them
    day by day, the same each time.
    """
    table = open_table(root, name, version)
    return {} if table is None else listed(table, name)


def listed(table: DeltaTable, name: str) -> dict[str, DataFile]:
    """The files of an open Delta table; see `live_files`."""
    try:
        actions = pa.table(table.get_add_actions(flatten=True))
    except (DeltaError, OSError, ValueError) as error:
        if problem := machine_error(error):
            raise problem from error
        raise VersionGone(
            f"Version {table.version()} of table '{name}' can no longer be opened; "
            "open the latest version instead."
        ) from error
    partition = TABLES[name].partition
    columns = ["path", "size_bytes", "num_records", *(f"partition.{key}" for key in partition)]
    files = {}
    for row in actions.select(columns).sort_by("path").to_pylist():
        values = {key: str(row[f"partition.{key}"]) for key in partition}
        files[row["path"]] = DataFile(row["path"], row["size_bytes"], row["num_records"], values)
    return files


def log_file(root: Path, name: str, version: int) -> Path:
    """The file in which a table's commit is written down."""
    return root / name / LOG / f"{version:020d}.json"


def log_files_since(root: Path, name: str, version: int) -> list[Path]:
    """What was written into a table's log after a version: commits, checkpoints, their pointer.

    In an order in which they can be removed one by one, so that the log can be read after each: the
    pointer, then the newest version first, and of a version the checkpoint before the commit.
    """
    left = [
        path
        for path in (root / name / LOG).iterdir()
        if path.name == _POINTER or _is_later(path, version)
    ]
    return sorted(
        left,
        key=lambda path: (path.name == _POINTER, path.name[:20], "checkpoint" in path.name),
        reverse=True,
    )


def newest_version(root: Path, name: str) -> int:
    """The newest version of which a table's log has a commit; -1 if there is none."""
    versions = (_version_of(path) for path in (root / name / LOG).glob("*.json"))
    return max((version for version in versions if version is not None), default=-1)


def commit_of(root: Path, name: str, version: int) -> Commit | None:
    """What a commit states; None if it is damaged or an earlier version of Faultline wrote it."""
    try:
        for entry in _entries(log_file(root, name, version)):
            if text := entry.get("commitInfo", {}).get(_KEY):
                return Commit.parse(text)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return None


def start_of_log(root: Path, name: str, version: int) -> int:
    """The newest checkpoint that a version is read from; -1 if it is read from the beginning."""
    checkpoints = (root / name / LOG).glob("*.checkpoint*.parquet")
    versions = [v for path in checkpoints if (v := _version_of(path)) is not None]
    return max((v for v in versions if v <= version), default=-1)


def log_damage(root: Path, name: str, version: int) -> tuple[Path, str] | None:
    """The first file of a table's log without which a version cannot be read, and what is wrong.

    None if each of them is whole, and each commit adds up to what it states.
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
    for number in range(start + 1, version + 1):
        path, stated = log_file(root, name, number), commit_of(root, name, number)
        try:
            if stated and Contents.of(live_files(root, name, number).values()) != stated.contents:
                return path, "is cut short"
        except VersionGone:
            return path, "cannot be read"
    return None


def readable_log(root: Path, name: str) -> tuple[int, list[Path]]:
    """The newest version that a damaged log can be read at, and the files that must go for that.

    -1 if no version can.
    """
    log = root / name / LOG
    if not log.is_dir():
        return -1, []
    names = [path for path in log.iterdir() if not path.name.startswith(".")]
    whole: set[int] = set()
    starts, bad = [-1], []
    for path in names:
        number = _version_of(path)
        if path.suffix == ".json" and number is not None:
            if log_file_damage(path):
                bad.append(path)
            else:
                whole.add(number)
        elif ".checkpoint" in path.name and number is not None:
            if _readable(path):
                starts.append(number)
            else:
                bad.append(path)
    newest = -1
    for start in starts:
        version = start
        while version + 1 in whole:
            version += 1
        newest = max(newest, version)
    bad += [path for path in names if path not in bad and _is_later(path, newest)]
    if bad or _lost_checkpoint(log):
        # It may point to a checkpoint that goes; Delta finds the newest one without it.
        bad += [path for path in names if path.name == "_last_checkpoint"]
    return newest, bad


def paths_in(log: Iterable[Path]) -> set[str]:
    """The data files that some commits' files add or take out."""
    paths = set()
    for path in log:
        with suppress(OSError, ValueError):
            for entry in _entries(path):
                action = entry.get("add") or entry.get("remove")
                if action:
                    paths.add(str(action["path"]))
    return paths


def no_change(contents: Contents, tables: Mapping[str, int], model: str | None) -> str:
    """A commit that changes nothing, as the text of its file; it takes the place of a lost one."""
    info = {
        "timestamp": int(time.time() * 1000),
        "operation": "WRITE",
        "operationParameters": {"mode": "Append"},
        "engineInfo": "faultline",
        _KEY: json.dumps(asdict(Commit(contents, tables, model))),
    }
    return json.dumps({"commitInfo": info}) + "\n"


def _lost_checkpoint(log: Path) -> Path | None:
    """The checkpoint that a log's pointer names, if it is missing; Delta then opens no version."""
    try:
        version = int(json.loads((log / "_last_checkpoint").read_text("utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError):
        # Without a pointer Delta looks for the newest checkpoint.
        return None
    present = any(log.glob(f"{version:020d}.checkpoint*.parquet"))
    return None if present else log / f"{version:020d}.checkpoint.parquet"


def _readable(checkpoint: Path) -> bool:
    try:
        pq.read_table(checkpoint)
    except (OSError, pa.ArrowException):
        return False
    return True


def log_file_damage(path: Path) -> str | None:
    """What is wrong with one commit's file by itself: "is missing", ...; None if it is whole."""
    try:
        entries = list(_entries(path))
    except FileNotFoundError:
        return "is missing"
    except (OSError, ValueError, AttributeError):
        return "is damaged"
    if not entries:
        return "is empty"
    return None if any("commitInfo" in entry for entry in entries) else "is damaged"


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_bytes().splitlines():
        entry = json.loads(line)
        if not isinstance(entry, dict):
            raise ValueError
        yield entry


def _is_later(path: Path, version: int) -> bool:
    number = _version_of(path)
    return number is not None and number > version


def _version_of(path: Path) -> int | None:
    digits = path.name.split(".")[0]
    return int(digits) if digits.isdecimal() else None
