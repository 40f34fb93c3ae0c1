"""One write cycle: changes to several tables that become visible together.

Data files are written first, then one Delta commit per changed table, then `HEAD.json` is replaced.
Only the versions that `HEAD.json` names are visible, so a writer killed before the last step leaves
the store unchanged; the next cycle that changes the same table undoes (restores) any Delta commits
left behind.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import duckdb
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, RemoveAction

from data.errors import VersionGone, machine_error
from data.schema.layout import TABLES, version_text
from data.store.parquet import (
    DataFile,
    workbench,
    write_query,
)
from data.store.snapshot import Snapshot, scan

Data = pa.Table | pa.RecordBatchReader


def open_table(root: Path, name: str, version: int | None) -> DeltaTable | None:
    """The Delta table at a version (None: the newest); None if it was never written.

    Raises `VersionGone` if the version does not exist or cannot be opened.
    """
    folder = root / name
    if not (folder / "_delta_log").exists():
        if version:
            raise VersionGone(f"Version {version} of table '{name}' does not exist in {root}.")
        return None
    try:
        return DeltaTable(folder, version=version)
    except (DeltaError, OSError, ValueError) as error:
        if problem := machine_error(error, root):
            raise problem from error
        raise VersionGone(
            f"Version {version} of table '{name}' can no longer be opened; "
            "open the latest version instead."
        ) from error


def live_files(root: Path, name: str, version: int) -> dict[str, DataFile]:
    """The files of a table at a version, by relative path, sorted by path.

    The log lists them in no particular order; sorted, queries and exports of one version read them
    day by day, the same each time.
    """
    table = open_table(root, name, version)
    return {} if table is None else _listed(table, name)


def _listed(table: DeltaTable, name: str) -> dict[str, DataFile]:
    actions = pa.table(table.get_add_actions(flatten=True))
    partition = TABLES[name].partition
    columns = ["path", "size_bytes", "num_records", *(f"partition.{key}" for key in partition)]
    files = {}
    for row in actions.select(columns).sort_by("path").to_pylist():
        values = {key: str(row[f"partition.{key}"]) for key in partition}
        files[row["path"]] = DataFile(row["path"], row["size_bytes"], row["num_records"], values)
    return files


class Cycle:
    """Pending changes to the tables of a store; made by `Store.commit()`, valid in its `with`."""

    def __init__(self, root: Path, versions: Mapping[str, int], staging: Path) -> None:
        self.root = root
        self.versions = dict(versions)
        self.staging = staging
        self._con: duckdb.DuckDBPyConnection | None = None
        self._live: dict[str, dict[str, DataFile]] = {}
        self._before: dict[str, dict[str, DataFile]] = {}
        self._newest: dict[str, DeltaTable] = {}
        self._strays: set[str] = set()
        # Old and new files of rewrites, which changed no rows.
        self._rewritten: set[str] = set()

    # -- reading -------------------------------------------------------------------------------

    def files(self, name: str) -> dict[str, DataFile]:
        """The live files of a table by path, including the changes of this cycle."""
        if name not in self._live:
            pinned = self.versions.get(name, 0)
            newest = open_table(self.root, name, None)
            if newest is not None and newest.version() == pinned:
                # Opening a log is the slow part of a small commit: open it once.
                self._newest[name] = newest
                self._before[name] = _listed(newest, name)
            else:
                self._before[name] = live_files(self.root, name, pinned)
            self._live[name] = dict(self._before[name])
        return self._live[name]

    def paths(self, name: str) -> list[Path]:
        return [self.root / name / path for path in self.files(name)]

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
            os.replace(staged / file.path, target)
        return self.add(name, files)

    def remove(self, name: str, paths: Iterable[str]) -> int:
        """Take whole files out of a table; returns their number of rows."""
        live = self.files(name)
        return sum(live.pop(path).rows for path in list(paths))

    def replace(self, name: str, where: Mapping[str, Sequence[str]], data: Data) -> int:
        """Replace partitions, e.g. `{"model_id": ["m1"]}`, by `data`; returns its rows."""
        self.remove(name, self.matching(name, where))
        return self.append(name, data)

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
        paths = [self.root / name / path for path in searched]
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
        old = [self.root / name / path for path in paths]
        files = write_query(self.con, scan(TABLES[name], old), TABLES[name], self.root / name)
        self.remove(name, paths)
        self.add(name, files)
        self._rewritten.update(paths, (file.path for file in files))
        return len(files)

    # -- committing ----------------------------------------------------------------------------

    def commit(self) -> dict[str, int]:
        """Commit every changed table to its Delta log; returns the new versions of all tables.

        Nothing is visible yet: the caller replaces `HEAD.json`.
        """
        versions = dict(self.versions)
        for name in self._live:
            if self._live[name].keys() != self._before[name].keys():
                versions[name] = self._commit_table(name)
        for name in self._strays - self._live.keys():
            versions[name] = self._restored(name).version()
        return versions

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
            table = open_table(self.root, name, None)
            if table is not None and table.version() != self.versions.get(name, 0):
                self._strays.add(name)

    def _restored(self, name: str) -> DeltaTable:
        """The Delta table, restored so that its newest version has the content HEAD names."""
        folder, pinned = self.root / name, self.versions.get(name, 0)
        table = self._newest.get(name) or DeltaTable(folder)
        if table.version() != pinned:
            # A writer died after its Delta commit and before HEAD; its rows were never visible.
            table.restore(pinned)
            table = DeltaTable(folder)
        return table

    def _commit_table(self, name: str) -> int:
        layout, folder = TABLES[name], self.root / name
        if not (folder / "_delta_log").exists():
            DeltaTable.create(folder, layout.schema, partition_by=list(layout.partition))
        table = self._restored(name)
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
            actions, mode="append", schema=layout.schema, partition_by=list(layout.partition)
        )
        table.update_incremental()
        return table.version()


def open_snapshot(
    root: Path, versions: Mapping[str, int], model: str | None, memory: str, spill: Path
) -> Snapshot:
    """A snapshot of the tables in `versions`; the others are empty in it.

    Raises `VersionGone` if a version or one of its files no longer exists.
    """
    files, rows = {}, {}
    days: dict[str, Counter[str]] = {}
    for name, layout in TABLES.items():
        # Tables that are not requested are not opened.
        live = live_files(root, name, versions[name]) if name in versions else {}
        files[name] = [root / name / path for path in live]
        rows[name] = sum(file.rows for file in live.values())
        if "day" in layout.partition:
            days[name] = Counter()
            for file in live.values():
                days[name][file.partition["day"]] += file.rows
    missing = [path for paths in files.values() for path in paths if not path.exists()]
    text = version_text(versions)
    if missing:
        raise VersionGone.vacuumed(text)
    return Snapshot(text, files, rows, days=days, memory=memory, spill=spill, model=model)
