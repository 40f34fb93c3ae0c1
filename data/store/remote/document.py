"""HEAD.json of a store in an object store: the one object that decides what is visible.

    {"format": 1,
     "commit": "<random>", "before": ["<random>", ...],
     "head": {...},                        what HEAD.json of a local store says (`data.store.head`)
     "history": {"turns": {"first": 0, "crc32": "1b2c3d4e ...", "checkpoints": {"100": "..."}}},
     "files": {"models/<id>/model.json": ["files/<random>", 1234, "0a1b2c3d"], ...},
     "vacuum": "vacuum/<random>.json"}

All other objects are written once, under a name that nobody else uses, and never changed:

    <table>/<partition>/part-<random>-<CRC-32>.parquet      data files, as in a local store
    <table>/_delta_log/<version>.<CRC-32>.json              commits of Delta logs, and checkpoints
    files/<random>                                          models and what else is in a store
    vacuum/<random>.json                                    the data files that a vacuum has left

So two writers never write the same object, and what a killed one leaves is in nobody's way: only
what HEAD.json names, by the checksums in it, belongs to the store.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from data.errors import StoreDamaged, StoreError
from data.store.delta_log import LOG
from data.store.head import NAME, Head, content_of, parsed

_FORMAT = 1
# Commits that a writer which got no answer looks for its own among.
_BEFORE = 200
# Commits of a table's log that are kept at hand, so that HEAD.json stays small: 9 bytes each. Older
# versions cannot be opened.
MOST_COMMITS = 1000


@dataclass(frozen=True)
class History:
    """A table's log: the CRC-32 of its commits from version `first` on, and of its checkpoints."""

    first: int = 0
    crc32: tuple[str, ...] = ()
    checkpoints: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, commits: Mapping[int, str], checkpoints: Mapping[int, str]) -> History:
        """That of a whole log, which may begin with a checkpoint."""
        first = min(commits, default=max(checkpoints, default=-1) + 1)
        # Before the first commit, only the checkpoint right before it is of use.
        some = {v: crc for v, crc in checkpoints.items() if v >= first - 1}
        return cls(first).grown(commits, some)

    @property
    def newest(self) -> int:
        return self.first + len(self.crc32) - 1

    def grown(self, commits: Mapping[int, str], checkpoints: Mapping[int, str]) -> History:
        """With newer commits and checkpoints; the oldest go, up to a checkpoint, if it is long."""
        after = History(
            self.first,
            (*self.crc32, *(commits[version] for version in sorted(commits))),
            {**self.checkpoints, **checkpoints},
        )
        starts = [v for v in after.checkpoints if v <= after.newest - MOST_COMMITS]
        if not starts:
            return after
        start = max(starts)
        return History(
            start + 1,
            after.crc32[start + 1 - after.first :],
            {v: crc for v, crc in after.checkpoints.items() if v >= start},
        )

    def needed(self, version: int) -> dict[str, str]:
        """The names, in the log, of what a version is read from, and their CRC-32.

        Empty if it cannot be read any more.
        """
        start = max((v for v in self.checkpoints if v <= version), default=-1)
        if version > self.newest or start < self.first - 1:
            return {}
        files = {commit_name(v): self.crc32[v - self.first] for v in range(start + 1, version + 1)}
        if start >= 0:
            files[checkpoint_name(start)] = self.checkpoints[start]
        return files

    def all(self) -> dict[str, str]:
        """The names of all files of the log, and their CRC-32."""
        commits = {commit_name(v): crc for v, crc in enumerate(self.crc32, self.first)}
        return commits | {checkpoint_name(v): crc for v, crc in self.checkpoints.items()}


@dataclass(frozen=True)
class SideFile:
    """A file that belongs to no table: its object, size and CRC-32."""

    key: str
    bytes: int
    crc32: str


@dataclass(frozen=True)
class Document:
    """What HEAD.json in an object store says; see this module."""

    head: Head
    history: Mapping[str, History]
    files: Mapping[str, SideFile] = field(default_factory=dict)
    vacuum: str | None = None
    commit: str = field(default_factory=lambda: uuid.uuid4().hex)
    before: tuple[str, ...] = ()

    def next(self, **changes: Any) -> Document:
        """The one to replace this one by."""
        before = (*self.before, self.commit)[-_BEFORE:]
        return replace(self, commit=uuid.uuid4().hex, before=before, **changes)

    def encode(self) -> bytes:
        content = {
            "format": _FORMAT,
            "commit": self.commit,
            "before": list(self.before),
            "head": content_of(self.head),
            "history": {
                name: {
                    "first": log.first,
                    "crc32": " ".join(log.crc32),
                    "checkpoints": {str(v): crc for v, crc in log.checkpoints.items()},
                }
                for name, log in self.history.items()
            },
            "files": {name: list(asdict(file).values()) for name, file in self.files.items()},
            "vacuum": self.vacuum,
        }
        return (json.dumps(content, indent=1, ensure_ascii=True) + "\n").encode()

    @classmethod
    def decode(cls, text: bytes, root: Path) -> Document:
        """Raises `StoreDamaged` if it is not what `encode` wrote, `StoreError` for a later one."""
        try:
            content = json.loads(text)
            if content["format"] > _FORMAT:
                raise StoreError(
                    f"The store at {root} was written by a later version of Faultline; upgrade."
                )
            history = {
                str(name): History(
                    int(log["first"]),
                    tuple(log["crc32"].split()),
                    {int(v): str(crc) for v, crc in log["checkpoints"].items()},
                )
                for name, log in content["history"].items()
            }
            files = {
                _inside(name): SideFile(str(key), int(size), str(crc))
                for name, (key, size, crc) in content["files"].items()
            }
            return cls(
                parsed(content["head"], root),
                history,
                files,
                content["vacuum"],
                str(content["commit"]),
                tuple(content["before"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StoreDamaged(
                f"{root / NAME} is damaged; put an earlier version of this object back, if the "
                "bucket keeps them, or restore a backup."
            ) from error


def commit_name(version: int) -> str:
    return f"{version:020d}.json"


def checkpoint_name(version: int) -> str:
    return f"{version:020d}.checkpoint.parquet"


def log_key(table: str, name: str, crc32: str) -> str:
    """The object of a file of a table's log."""
    version, _, rest = name.partition(".")
    return f"{table}/{LOG}/{version}.{crc32}.{rest}"


def _inside(name: str) -> str:
    """A path in the store, of a file that belongs to no table; raises ValueError for another."""
    parts = name.split("/")
    if not all(parts) or {".", ".."} & set(parts) or "\\" in name or "\0" in name:
        raise ValueError(name)
    return str(name)
