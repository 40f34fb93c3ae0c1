"""One write cycle: changes to several tables that become visible together.

Data files are written first, then one Delta commit per changed table; all of these are brought to
disk, and then `HEAD.json` is replaced. Only the versions that `HEAD.json` names are visible, so a
writer killed, or a power cut, before the last step leaves the store unchanged; the next cycle that
changes the same table undoes (restores) any Delta commits left behind.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.transaction import AddAction, RemoveAction

from data.errors import StoreDamaged, VersionGone
from data.schema.access import EVERYTHING, WRITES, Access
from data.schema.layout import TABLES, version_text
from data.store.damage import explainer, must_be_whole, newest_files
from data.store.delta_log import (
    HOOKS,
    LOG,
    Commit,
    listed,
    live_files,
    log_file_damage,
    log_files_since,
    newest_version,
    open_table,
)
from data.store.durability import between, sync
from data.store.head import NAME, Contents, Head
from data.store.log_damage import log_checksums
from data.store.parquet import (
    DataFile,
    workbench,
    write_query,
)
from data.store.remote.cache import Lease
from data.store.remote.mirror import Mirror
from data.store.snapshot import Snapshot, scan

Data = pa.Table | pa.RecordBatchReader


class Cycle:
    """Pending changes to the tables of a store; made by `Store.commit()`, valid in its `with`."""

    def __init__(
        self,
        root: Path,
        head: Head,
        staging: Path,
        access: Access = EVERYTHING,
        mirror: Mirror | None = None,
    ) -> None:
        self.root = root
        self._mirror = mirror
        self._lease = Lease(mirror.cache) if mirror else None
        self.head = head
        self.versions = dict(head.tables)
        self.staging = staging
        self.access = access
        self._con: duckdb.DuckDBPyConnection | None = None
        self._live: dict[str, dict[str, DataFile]] = {}
        self._before: dict[str, dict[str, DataFile]] = {}
        self._newest: dict[str, DeltaTable] = {}
        self._strays: set[str] = set()
        # Old and new files of rewrites, which changed no rows.
        self._rewritten: set[str] = set()

    # -- reading -------------------------------------------------------------------------------

    def files(self, name: str) -> dict[str, DataFile]:
        """The live files of a table by path, including the changes of this cycle.

        Raises `StoreDamaged` if the version that HEAD.json names is not whole.
        """
        if name not in self._live:
            pinned = self.versions.get(name, 0)
            newest = self._opened(name)
            if newest is not None and newest.version() == pinned:
                # Opening a log is the slow part of a small commit: open it once.
                self._newest[name] = newest
                before = listed(newest, name)
            else:
                before = live_files(self.root, name, pinned)
            must_be_whole(
                self.root,
                name,
                pinned,
                before,
                self.head.contents.get(name),
                self.head.logs.get(name),
            )
            self._before[name] = before
            self._live[name] = dict(before)
        return self._live[name]

    def _opened(self, name: str) -> DeltaTable | None:
        """The Delta table at its newest version, without commits that a power cut left damaged."""
        pinned = self.versions.get(name, 0)
        if (self.root / name / LOG).exists() and newest_version(self.root, name) > pinned:
            # A writer died after its Delta commit and before HEAD; its rows were never visible.
            left = log_files_since(self.root, name, pinned)
            if not any(path.suffix == ".json" and log_file_damage(path) for path in left):
                with suppress(VersionGone):
                    return open_table(self.root, name, None)
            for path in left:
                path.unlink()
        return open_table(self.root, name, None)

    def paths(self, name: str, among: Iterable[str] | None = None) -> list[Path]:
        """The live files of a table, or some of them, to be read."""
        files = self.files(name)
        return self.fetched(name, (files[path] for path in (files if among is None else among)))

    def fetched(self, name: str, files: Iterable[DataFile]) -> list[Path]:
        """Data files of a table, live or taken out in this cycle, to be read until its end."""
        wanted = list(files)
        paths = [self.root / name / file.path for file in wanted]
        if self._mirror and self._lease:
            self._lease.hold(paths)
            # Those that this cycle has written are there, and nowhere else.
            self._mirror.fetch(name, wanted)
        return paths

    def added(self) -> dict[str, list[str]]:
        """The new data files of each table."""
        return {
            name: [path for path in live if path not in self._before[name]]
            for name, live in self._live.items()
        }

    def snapshot(self, *names: str) -> Snapshot:
        """The named tables with the changes of this cycle; all other tables are empty in it."""
        return Snapshot(
            "pending",
            {name: self.paths(name) for name in names},
            {name: sum(file.rows for file in self.files(name).values()) for name in names},
            spill=self.staging / "spill",
        )

    @property
    def con(self) -> duckdb.DuckDBPyConnection:
        """A DuckDB connection for internal SQL, private to this cycle."""
        if self._con is None:
            self._con = workbench(spill=self.staging / "spill")
        return self._con

    def close(self) -> None:
        if self._con is not None:
            self._con.close()
        if self._lease:
            self._lease.close()

    def removed_rows(self) -> dict[str, int]:
        """By how many rows each table has shrunk in this cycle; without those that have not."""
        shrunk = {
            name: sum(file.rows for file in self._before[name].values())
            - sum(file.rows for file in live.values())
            for name, live in self._live.items()
        }
        return {name: rows for name, rows in shrunk.items() if rows > 0}

    def changed(self, name: str) -> tuple[list[DataFile], list[DataFile]]:
        """The files that this cycle has taken out of a table and put into it, with other rows."""
        if name not in self._live:
            return [], []
        before, live = self._before[name], self._live[name]
        old = [file for path, file in before.items() if path not in live]
        new = [file for path, file in live.items() if path not in before]
        old, new = ([f for f in files if f.path not in self._rewritten] for files in (old, new))
        return old, new

    # -- changing ------------------------------------------------------------------------------

    def append(self, name: str, data: Data) -> int:
        """Add rows (all columns of the table's schema, in any order); returns how many."""
        self.con.register("data", data)
        try:
            return self.append_query(name, "FROM data")
        finally:
            self.con.unregister("data")

    def append_query(self, name: str, source: str) -> int:
        """Add the rows of a SELECT (internal SQL, run on `con`); returns how many."""
        return self.add(name, write_query(self.con, source, TABLES[name], self.root / name))

    def add(self, name: str, files: Iterable[DataFile]) -> int:
        """Add files that are already in the table's folder; returns their number of rows."""
        added = {file.path: file for file in files}
        self.files(name).update(added)
        return sum(file.rows for file in added.values())

    def adopt(self, name: str, files: Iterable[DataFile], staged: Path) -> int:
        """Move files written under `staged` into the table's folder, add them, count their rows."""
        files = list(files)
        for file in files:
            target = self.root / name / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            # One by one, so that what has been moved is taken away if the next cannot be.
            self.add(name, [file])
            os.replace(staged / file.path, target)
        return sum(file.rows for file in files)

    def remove(self, name: str, paths: Iterable[str]) -> int:
        """Take whole files out of a table; returns their number of rows."""
        live = self.files(name)
        return sum(live.pop(path).rows for path in list(paths))

    def replace(self, name: str, where: Mapping[str, Sequence[str]], data: Data) -> int:
        """Replace partitions, e.g. `{"model_id": ["m1"]}`, by `data`; returns its rows."""
        self.remove(name, self.matching(name, where))
        return self.append(name, data)

    def put(self, name: str, before: Mapping[str, DataFile], live: Mapping[str, DataFile]) -> None:
        """Make a damaged table hold the files `live`; its log lists `before`. For repairs."""
        self._before[name], self._live[name] = dict(before), dict(live)

    def matching(self, name: str, where: Mapping[str, Sequence[str]]) -> list[str]:
        """Paths of the live files whose partition values are all in `where`."""
        allowed = {key: set(values) for key, values in where.items()}
        return [
            path
            for path, file in self.files(name).items()
            if all(file.partition[key] in values for key, values in allowed.items())
        ]

    def delete_rows(
        self,
        name: str,
        condition: str,
        tables: Mapping[str, pa.Table] | None = None,
        among: Sequence[str] | None = None,
    ) -> int:
        """Delete the rows for which `condition` (internal SQL, may name `tables`) is true.

        Only files with such a row are rewritten; `among` limits the search to some of the live
        files. Returns the number of rows deleted.
        """
        layout = TABLES[name]
        searched = self.files(name) if among is None else among
        paths = self.paths(name, list(searched))
        if not paths:
            return 0
        for key, value in (tables or {}).items():
            self.con.register(key, value)
        try:
            hits = self.con.execute(
                f"SELECT filename, count(*) FROM ({scan(layout, paths, ', filename')}) "
                f"WHERE {condition} GROUP BY filename"
            ).fetchall()
            for path, count in hits:
                relative = Path(path).relative_to(self.root / name).as_posix()
                file = self.files(name)[relative]
                self.remove(name, [relative])
                if count < file.rows:
                    remaining = (
                        f"FROM ({scan(layout, [Path(path)])}) WHERE ({condition}) IS NOT TRUE"
                    )
                    self.append_query(name, remaining)
        finally:
            for key in tables or {}:
                self.con.unregister(key)
        return sum(count for _, count in hits)

    def rewrite(self, name: str, paths: Sequence[str]) -> int:
        """Merge the rows of some files into few sorted files; returns the number of new files."""
        old = self.paths(name, paths)
        files = write_query(self.con, scan(TABLES[name], old), TABLES[name], self.root / name)
        self.remove(name, paths)
        self.add(name, files)
        self._rewritten.update(paths, (file.path for file in files))
        return len(files)

    # -- committing ----------------------------------------------------------------------------

    def commit(self) -> Head:
        """Commit every changed table to its Delta log; returns the state to make visible.

        Nothing is visible yet, but all of it is on disk: the caller replaces `HEAD.json`. Raises
        `NotPermitted` if whoever opened the store may not change one of the tables.
        """
        changed = [
            name for name, live in self._live.items() if live.keys() != self._before[name].keys()
        ]
        for name in changed:
            self.access.require(WRITES.get(name, "maintain"))
            if newest_version(self.root, name) < 0:
                layout = TABLES[name]
                DeltaTable.create(
                    self.root / name, layout.schema, partition_by=list(layout.partition)
                )
        undone = self._strays - set(changed)
        tables = {name: self._restored(name) for name in (*changed, *undone)}
        versions, contents = dict(self.versions), dict(self.head.contents)
        for name, table in tables.items():
            versions[name] = table.version() + (name in changed)
        for name in changed:
            contents[name] = Contents.of(self._live[name].values())
        after = Head(versions, self.head.model, contents)
        for name in changed:
            self._commit_table(name, tables[name], after)
        logs = dict(self.head.logs)
        for name in tables:
            logs[name] = log_checksums(self.root, name, versions[name], logs.get(name))
        after = replace(after, logs=logs)
        if tables:
            sync(path for name in tables for path in self._written(name))
        return after

    def on_disk(self, name: str) -> list[Path]:
        """The live files of a table, its log, the folders with them, and HEAD.json, for `sync`."""
        folder, live = self.root / name, [self.root / name / path for path in self.files(name)]
        if self._mirror:
            live = [path for path in live if path.exists()]
        folders = [parent for path in live for parent in between(path.parent, folder)]
        return [
            *live,
            *folders,
            *(folder / LOG).iterdir(),
            folder / LOG,
            folder,
            self.root / NAME,
            self.root,
        ]

    def _written(self, name: str) -> list[Path]:
        """The files and folders of a table that this cycle has written, for `sync`."""
        folder = self.root / name
        live, before = self._live.get(name, {}), self._before.get(name, {})
        new = [folder / path for path in live if path not in before]
        log = log_files_since(self.root, name, self.versions.get(name, 0))
        if name not in self.versions:
            log += [path for path in (folder / LOG).iterdir() if path not in log]
        folders = [parent for path in new for parent in between(path.parent, folder)]
        return [*new, *folders, *log, folder / LOG, folder, self.root]

    def discard(self) -> None:
        """Remove the data files of a cycle that failed, unless a Delta log names them already."""
        for name, live in self._live.items():
            added = live.keys() - self._before[name].keys()
            with suppress(Exception):
                newest = open_table(self.root, name, None) if added else None
                if newest is not None and newest.version() == self.versions.get(name, 0):
                    for path in added:
                        (self.root / name / path).unlink(missing_ok=True)

    def undo_strays(self) -> None:
        """Undo, at the end of this cycle, the Delta commits that killed writers left behind."""
        for name in TABLES:
            table = self._opened(name)
            if table is not None and table.version() != self.versions.get(name, 0):
                self._strays.add(name)

    def _restored(self, name: str) -> DeltaTable:
        """The Delta table, restored so that its newest version has the content HEAD names."""
        folder, pinned = self.root / name, self.versions.get(name, 0)
        table = self._newest.get(name) or DeltaTable(folder)
        if table.version() != pinned:
            before = self._before.get(name)
            held = Contents.of((before or live_files(self.root, name, pinned)).values())
            stated = Commit(held, self.versions, self.head.model).properties()
            table.restore(pinned, commit_properties=stated)
            table = DeltaTable(folder)
        return table

    def _commit_table(self, name: str, table: DeltaTable, after: Head) -> None:
        layout = TABLES[name]
        before, live = self._before[name], self._live[name]
        now = int(time.time() * 1000)
        # Statistics hold the row count only: minima and maxima would leave user ids in the log
        # after the rows are deleted.
        actions: list[AddAction | RemoveAction] = [
            AddAction(
                path=file.path,
                size=file.size,
                partition_values=dict(file.partition),
                modification_time=now,
                data_change=file.path not in self._rewritten,
                stats=f'{{"numRecords": {file.rows}}}',
            )
            for path, file in live.items()
            if path not in before
        ]
        actions += [
            RemoveAction(
                path=file.path,
                data_change=file.path not in self._rewritten,
                deletion_timestamp=now,
                size=file.size,
                partition_values=dict(file.partition),
            )
            for path, file in before.items()
            if path not in live
        ]
        table.create_write_transaction(
            actions,
            mode="append",
            schema=layout.schema,
            partition_by=list(layout.partition),
            commit_properties=Commit(after.contents[name], after.tables, after.model).properties(),
            post_commithook_properties=HOOKS,
        )


def open_snapshot(
    root: Path,
    head: Head,
    versions: Mapping[str, int],
    memory: str,
    access: Access = EVERYTHING,
    mirror: Mirror | None = None,
) -> Snapshot:
    """A snapshot of the tables in `versions`, for `access`; the others are empty in it.

    In a `mirror`, the files of a table are fetched when a query names it.

    Raises `VersionGone` if a version or one of its files no longer exists, `StoreDamaged` if it is
    that of `head` or one of its files is damaged.
    """
    listings: dict[str, dict[str, DataFile]] = {}
    text = version_text(versions)
    for name, version in versions.items():
        if mirror and version != head.tables.get(name, 0):
            mirror.fetch_log(name, version)
        listings[name] = live_files(root, name, version)
        newest = version == head.tables.get(name, 0)
        try:
            contents = head.contents.get(name) if newest else None
            must_be_whole(root, name, version, listings[name], contents, head.logs.get(name))
        except StoreDamaged as error:
            missing = [path for path in listings[name] if not (root / name / path).exists()]
            if newest or not missing:
                raise
            if not any(path in newest_files(root, name) for path in missing):
                raise VersionGone.vacuumed(text) from error
            raise
    days: dict[str, Counter[str]] = {}
    for name, layout in TABLES.items():
        if "day" in layout.partition:
            days[name] = Counter()
            for file in listings.get(name, {}).values():
                days[name][file.partition["day"]] += file.rows
    # Tables that are not requested are not opened.
    return Snapshot(
        text,
        {name: [root / name / path for path in listed] for name, listed in listings.items()},
        {name: sum(file.rows for file in listed.values()) for name, listed in listings.items()},
        days=days,
        memory=memory,
        spill=root / ".staging" / "spill",
        model=head.model,
        models=root / "models",
        explain=explainer(root, text, listings),
        access=access,
        source=Source(mirror, listings) if mirror else None,
        contents={name: Contents.of(listed.values()) for name, listed in listings.items()},
    )


class Source:
    """Where the files of a snapshot of a mirror come from; for `Snapshot`."""

    def __init__(self, mirror: Mirror, listings: Mapping[str, Mapping[str, DataFile]]) -> None:
        self._mirror = mirror
        self._listings = listings
        self._lease = Lease(mirror.cache)

    def fetch(self, name: str) -> None:
        """Have the files of a table on disk, and keep them there until `close`.

        Raises `VersionGone` if one has been vacuumed.
        """
        listed = self._listings.get(name, {})
        self._lease.hold(self._mirror.root / name / path for path in listed)
        self._mirror.fetch(name, listed.values())

    def mend(self) -> None:
        """Take damaged files out of the mirror."""
        self._mirror.mend()

    def close(self) -> None:
        """Need the files no longer."""
        self._lease.close()
