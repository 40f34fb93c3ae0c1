"""Merges the small files of a store, beside its readers and writers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from data.schema.layout import TABLES
from data.store.delta_log import live_files
from data.store.parquet import DataFile
from data.store.rerun import rerun
from data.store.store import Store
from progress import Progress, silent

# A file below this is worth merging with its neighbours; a merged file has at most a million rows.
_SMALL = 250_000
# Rows rewritten each time the lock is held, so that other writers need not wait long.
_ROWS_PER_CYCLE = 2_000_000


@dataclass(frozen=True)
class Compaction:
    """Number of files of all tables, before and after."""

    before: int
    after: int


def compact(store: Store, progress: Progress = silent) -> Compaction:
    """Merge the small files of each partition, sorted by dialogue; the rows stay the same.

    `progress` is called between commits; what it raises ends the work, and what is merged by then
    stays merged.
    """
    before = after = 0
    for position, name in enumerate(TABLES):
        head = store.head()
        last = len(live_files(store.path, name, head.tables.get(name, 0)))
        before += last
        done = False
        while not done:
            progress(position, len(TABLES), "compacting")
            done, last = _merge(store, name)
        after += last
    return Compaction(before, after)


@rerun
def _merge(store: Store, name: str) -> tuple[bool, int]:
    """Merge small files of a table in one commit; whether that was all, and its files then."""
    with store.commit() as cycle:
        rows = 0
        done = True
        for group in _groups(cycle.files(name).values()):
            if rows >= _ROWS_PER_CYCLE:
                done = False
                break
            rows += sum(file.rows for file in group)
            cycle.rewrite(name, [file.path for file in group])
        return done, len(cycle.files(name))


def _groups(files: Iterable[DataFile]) -> list[list[DataFile]]:
    by_partition: dict[tuple[str, ...], list[DataFile]] = {}
    for file in files:
        if file.rows < _SMALL:
            by_partition.setdefault(tuple(file.partition.values()), []).append(file)
    return [group for group in by_partition.values() if len(group) > 1]
