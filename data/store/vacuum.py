"""Removes for good what no version of a store that is kept needs: files, and models.

Safe while others read and write. It decides how far back old versions can be opened, and takes the
bytes of what was deleted.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deltalake import DeltaTable

from data.errors import UsageError, VersionGone
from data.schema.layout import TABLES
from data.store.deletions import record_vacuum
from data.store.delta_log import LOG, live_files
from data.store.durability import sync
from data.store.erasure import forget_in_all_models
from data.store.model_folders import remove_models
from data.store.remote.publication import Publication
from data.store.rerun import rerun
from data.store.store import Store
from data.store.transaction import Cycle
from progress import Progress, silent

# Hours: a century. Larger values are mistakes, and overflow date arithmetic.
_LONGEST_HOURS = 36_500 * 24
# A model younger than this may still wait to be tried, even when no old version is kept.
_NEW_HOURS = 24.0


@dataclass(frozen=True)
class Vacuum:
    """Number and size of the files removed for good, and ids of the models removed."""

    files: int
    bytes: int
    models: tuple[str, ...] = ()


@rerun
def vacuum(
    store: Store,
    keep_hours: float = 168.0,
    keep_models: Sequence[str] | None = None,
    progress: Progress = silent,
) -> Vacuum:
    """Remove the files that no version of the last `keep_hours` hours needs.

    Versions older than that can then no longer be opened (`VersionGone`), and an open snapshot of
    one fails at its next query.

    Models go as well, if they are not promoted, have no predictions left, and were trained more
    than `keep_hours` ago, but never within a day. With `keep_models`, all models but these and the
    promoted one are dropped whatever their age, and their predictions with them.
    """
    if not 0 <= keep_hours <= _LONGEST_HOURS:
        raise UsageError(
            f"Cannot keep {keep_hours:g} hours of versions; give 0 to {_LONGEST_HOURS}."
        )
    began = datetime.now(UTC)
    store.clear_staging()
    store.clear_unfinished()
    with store.commit() as cycle:
        if keep_models is not None:
            keep = {*keep_models, store.head().model}
            for name in ("predictions", "rollup"):
                old = [
                    p for p, f in cycle.files(name).items() if f.partition["model_id"] not in keep
                ]
                cycle.remove(name, old)
        # Delta commits of killed writers must not count as live.
        cycle.undo_strays()
    with store.commit() as cycle:
        if store.mirror:
            store.mirror.fetch_all_logs()
        needed = {file.partition["model_id"] for file in cycle.files("predictions").values()}
        needed.update(keep_models or ())
        if promoted := store.head().model:
            needed.add(promoted)
        young = time.time() - max(keep_hours, _NEW_HOURS) * 3600
        before = young if keep_models is None else math.inf
        models = remove_models(store.models, needed, before, cycle.staging)
        files, size = models.files, models.bytes
        for position, name in enumerate(TABLES):
            progress(position, len(TABLES), "vacuuming")
            if not (store.path / name / LOG).exists():
                continue
            # HEAD.json and what it names first: an earlier version did not wait for the disk.
            sync(cycle.on_disk(name))
            for path in _unneeded(cycle, name, _recent(store.path / name, keep_hours)):
                size += path.stat().st_size
                files += 1
                path.unlink()
            for folder in sorted((store.path / name).glob("**/*=*"), reverse=True):
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
            # Commits before the newest checkpoint that are older than 30 days.
            DeltaTable(store.path / name).cleanup_metadata()
    # A training that began before a deletion may have ended after it. Last, as it needs space.
    forget_in_all_models(store)
    if store.mirror:
        # Of what is in the mirror's folder, not all was ever there.
        removed = _vacuum_objects(store, keep_hours)
        files, size = models.files + removed[0], models.bytes + removed[1]
    record_vacuum(store, began, keep_hours, files, size)
    return Vacuum(files, size, models.models)


@rerun
def _vacuum_objects(store: Store, keep_hours: float) -> tuple[int, int]:
    """Remove from an object store what no version needs any more; number and bytes of it."""
    with store.locked():
        if store.mirror is None:
            return 0, 0
        store.mirror.refresh(held=True)
        store.mirror.fetch_all_logs()
        names = [name for name in TABLES if (store.path / name / LOG).exists()]
        return Publication(store.mirror).vacuum(
            {name: _recent(store.path / name, keep_hours) for name in names}
        )


def _recent(folder: Path, keep_hours: float) -> set[str]:
    return _removed_since(folder, datetime.now(UTC) - timedelta(hours=keep_hours))


def _unneeded(cycle: Cycle, name: str, removed: Collection[str]) -> list[Path]:
    folder = cycle.root / name
    live = cycle.files(name)
    return [
        path
        for path in folder.rglob("*.parquet")
        if "_delta_log" not in path.parts
        and (relative := path.relative_to(folder).as_posix()) not in live
        and relative not in removed
    ]


def _removed_since(folder: Path, cutoff: datetime) -> set[str]:
    """Files that were live at some time since `cutoff`: those of versions superseded after it."""
    table = DeltaTable(folder)
    commits = sorted((c["version"], c["timestamp"]) for c in table.history())
    needed: set[str] = set()
    for (version, _), (_, superseded) in itertools.pairwise(commits):
        if superseded / 1000 >= cutoff.timestamp():
            # One that an earlier vacuum has taken needs nothing; any other error ends this one.
            with suppress(VersionGone):
                needed.update(live_files(folder.parent, folder.name, version))
    return needed
