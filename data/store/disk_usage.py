"""What lies on disk: files, rows and bytes per table, and models."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from data.schema.layout import TABLES, parse_version
from data.store.model_folders import trained_at
from data.store.snapshot import Snapshot
from data.store.store import Store


@dataclass(frozen=True)
class TableSize:
    """A table at a store's version: `bytes` of its live files, `version` of its Delta log."""

    name: str
    rows: int
    files: int
    bytes: int
    version: int


@dataclass(frozen=True)
class ModelSize:
    """A model's folder."""

    model: str
    bytes: int
    made_at: datetime
    promoted: bool


def tables(snapshot: Snapshot) -> list[TableSize]:
    """Every table, the largest first."""
    versions, rows = parse_version(snapshot.version), snapshot.counts()
    sizes = [
        TableSize(
            name,
            rows[name],
            snapshot.contents[name].files,
            snapshot.contents[name].bytes,
            versions[name],
        )
        for name in TABLES
    ]
    return sorted(sizes, key=lambda size: -size.bytes)


def models(store: Store) -> list[ModelSize]:
    """Every model in the store, the newest first."""
    promoted, sizes = store.head().model, []
    for name in store.model_ids():
        folder = store.models / name
        size = sum(_size(path) for path in folder.rglob("*"))
        seconds = trained_at(folder)
        # A vacuum may remove it meanwhile.
        if math.isfinite(seconds):
            made_at = datetime.fromtimestamp(seconds, UTC)
            sizes.append(ModelSize(name, size, made_at, name == promoted))
    return sorted(sizes, key=lambda model: model.made_at, reverse=True)


def on_disk(store: Store) -> int:
    """Bytes of everything below the store's folder, files of earlier versions too."""
    return size_of(store.path)


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder; 0 if there is none."""
    # `walk` passes over folders that are removed meanwhile, as a writer's are; `rglob` raises.
    walk = os.walk(folder)
    return sum(_size(Path(folder, name)) for folder, _, names in walk for name in names)


def _size(path: Path) -> int:
    try:
        # A vacuum may remove it meanwhile.
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0
