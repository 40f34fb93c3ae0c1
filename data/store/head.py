"""HEAD.json: which version of each table is visible, how much it holds, and the promoted model.

    {"format": 2,
     "tables": {"turns": 12, ...},
     "contents": {"turns": {"rows": 9000, "files": 30, "bytes": 1234567}, ...},
     "logs": {"turns": {"start": 10, "crc32": "1b2c3d4e 5f607182 93a4b5c6"}, ...},
     "model": "m-2024...",
     "checksum": "0a1b2c3d"}

`contents`, `logs` and `checksum` are what damage is noticed by; earlier versions wrote none of
them, or no `logs`. A table that nothing has been written to since has neither contents nor logs.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from data.errors import StoreDamaged, StoreError, StoreMissing
from data.schema.layout import FORMAT, TABLES, version_text
from data.store.durability import replacing
from data.store.parquet import DataFile

NAME = "HEAD.json"


@dataclass(frozen=True)
class Contents:
    """How much one version of a table holds."""

    rows: int
    files: int
    bytes: int

    @classmethod
    def of(cls, files: Iterable[DataFile]) -> Contents:
        listed = list(files)
        return cls(
            sum(file.rows for file in listed), len(listed), sum(file.size for file in listed)
        )


@dataclass(frozen=True)
class LogChecksums:
    """The CRC-32 of each file of a table's log that its version is read from.

    First that of the checkpoint of version `start`, unless it is -1; then those of the commits
    after it, in order.
    """

    start: int
    crc32: tuple[str, ...]


@dataclass(frozen=True)
class Head:
    """The visible state: a Delta version per table, and the id of the promoted model, if any.

    `contents` has the tables for which it is known what their version holds, `logs` those for which
    it is known what their logs' files were when they were written.
    """

    tables: dict[str, int]
    model: str | None = None
    contents: Mapping[str, Contents] = field(default_factory=dict)
    logs: Mapping[str, LogChecksums] = field(default_factory=dict)

    @property
    def version(self) -> str:
        return version_text(self.tables)


def read_head(root: Path) -> Head:
    """The visible state; one small read without a lock.

    Raises `StoreMissing` if there is no store, `StoreDamaged` if HEAD.json is missing from one or
    damaged, `StoreError` if it has another format.
    """
    path = root / NAME
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        if has_tables(root):
            raise StoreDamaged.by(root, path, "is missing") from error
        raise StoreMissing(f"The store at {root} is gone.") from error
    except (ValueError, IsADirectoryError) as error:
        raise StoreDamaged.by(root, path, "is damaged") from error
    try:
        return parsed(json.loads(text), root)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreDamaged.by(root, path, "is damaged") from error


def parsed(content: dict[str, Any], root: Path) -> Head:
    """The state that HEAD.json tells of; raises `StoreError` for another format, and ValueError,
    KeyError, TypeError or AttributeError if it is damaged."""
    if content["format"] > FORMAT:
        raise StoreError(
            f"The store at {root} has format {content['format']}, this version reads "
            f"up to {FORMAT}; upgrade Faultline."
        )
    if content["format"] < FORMAT:
        raise StoreError(
            f"The store at {root} has format {content['format']}, of an earlier "
            f"version; this one reads {FORMAT}. Ingest the logs again into a new store."
        )
    if "checksum" in content and content.pop("checksum") != _checksum(content):
        raise ValueError
    return _parsed(content)


def write_head(root: Path, head: Head) -> None:
    """Replace HEAD.json atomically and durably; what it names has to be on disk already."""
    with replacing(root / NAME) as draft:
        draft.write_text(json.dumps(content_of(head), indent=1) + "\n", "utf-8")


def content_of(head: Head) -> dict[str, Any]:
    """What HEAD.json says of a state; see `parsed`."""
    content: dict[str, Any] = {
        "format": FORMAT,
        "tables": head.tables,
        "contents": {name: asdict(contents) for name, contents in head.contents.items()},
        "logs": {
            name: {"start": log.start, "crc32": " ".join(log.crc32)}
            for name, log in head.logs.items()
        },
        "model": head.model,
    }
    content["checksum"] = _checksum(content)
    return content


def has_tables(root: Path) -> bool:
    """Whether a folder contains tables of a store, whether or not it has a HEAD.json."""
    return any((root / name / "_delta_log").is_dir() for name in TABLES)


def _checksum(content: Mapping[str, Any]) -> str:
    """The checksum of what HEAD.json says, whatever the order and the spaces."""
    return f"{zlib.crc32(json.dumps(content, sort_keys=True).encode()):08x}"


def _parsed(content: Mapping[str, Any]) -> Head:
    tables = {str(name): int(version) for name, version in content["tables"].items()}
    contents = {
        str(name): Contents(int(held["rows"]), int(held["files"]), int(held["bytes"]))
        for name, held in content.get("contents", {}).items()
    }
    logs = {
        str(name): LogChecksums(int(log["start"]), tuple(log["crc32"].split()))
        for name, log in content.get("logs", {}).items()
    }
    model = content["model"]
    if any(version < 0 for version in tables.values()) or not isinstance(model, str | None):
        raise ValueError
    return Head(tables, model, contents, logs)
