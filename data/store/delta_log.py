"""The Delta log of a table: opening a version, listing its files, and what is wrong with the log.

Each commit states what the version holds and which versions of the other tables belong to it, so
that a log shows by itself whether it is whole, and HEAD.json can be written again from the logs.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties
from deltalake.exceptions import DeltaError

from data.errors import VersionGone, machine_error
from data.schema.layout import TABLES
from data.store.head import Contents
from data.store.parquet import DataFile

LOG = "_delta_log"
# Names the newest checkpoint.
POINTER = "_last_checkpoint"
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
        # Delta does not say which file it may not read.
        log = (folder / LOG).glob("*")
        unreadable = (path for path in log if not os.access(path, os.R_OK))
        if problem := machine_error(error, next(unreadable, root)):
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
        if path.name == POINTER or is_later(path, version)
    ]
    return sorted(
        left,
        key=lambda path: (path.name == POINTER, path.name[:20], "checkpoint" in path.name),
        reverse=True,
    )


def newest_version(root: Path, name: str) -> int:
    """The newest version of which a table's log has a commit; -1 if there is none."""
    versions = (version_of(path) for path in (root / name / LOG).glob("*.json"))
    return max((version for version in versions if version is not None), default=-1)


def commit_of(root: Path, name: str, version: int) -> Commit | None:
    """What a commit states; None if it is damaged or an earlier version of Faultline wrote it."""
    try:
        for entry in entries_of(log_file(root, name, version)):
            if text := entry.get("commitInfo", {}).get(_KEY):
                return Commit.parse(text)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return None


def start_of_log(root: Path, name: str, version: int) -> int:
    """The newest checkpoint that a version is read from; -1 if it is read from the beginning."""
    checkpoints = (root / name / LOG).glob("*.checkpoint*.parquet")
    versions = [v for path in checkpoints if (v := version_of(path)) is not None]
    return max((v for v in versions if v <= version), default=-1)


def paths_in(log: Iterable[Path]) -> set[str]:
    """The data files that some commits' files add or take out."""
    paths = set()
    for path in log:
        with suppress(OSError, ValueError):
            for entry in entries_of(path):
                action = entry.get("add") or entry.get("remove")
                if action:
                    paths.add(str(action["path"]))
    return paths


def only_files(log: Path) -> bool:
    """Whether a commit's file is about data files alone, not about the table's columns."""
    try:
        return all(entry.keys() <= {"add", "remove", "commitInfo"} for entry in entries_of(log))
    except (OSError, ValueError):
        return False


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


def log_file_damage(path: Path) -> str | None:
    """What is wrong with one commit's file by itself: "is missing", ...; None if it is whole."""
    try:
        entries = list(entries_of(path))
    except FileNotFoundError:
        return "is missing"
    except PermissionError:
        raise
    except (OSError, ValueError, AttributeError):
        return "is damaged"
    if not entries:
        return "is empty"
    return None if any("commitInfo" in entry for entry in entries) else "is damaged"


def entries_of(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_bytes().splitlines():
        entry = json.loads(line)
        if not isinstance(entry, dict):
            raise ValueError
        yield entry


def is_later(path: Path, version: int) -> bool:
    number = version_of(path)
    return number is not None and number > version


def version_of(path: Path) -> int | None:
    digits = path.name.split(".")[0]
    return int(digits) if digits.isdecimal() else None
