"""A damaged table of a store: what of its log and of its files is whole, for a repair."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from deltalake import DeltaTable

from data.schema.layout import TABLES
from data.store.damage import damaged_files
from data.store.delta_log import (
    LOG,
    commit_of,
    listed,
    log_file,
    log_file_damage,
    log_files_since,
    only_files,
    paths_in,
    start_of_log,
)
from data.store.head import Contents, Head
from data.store.log_damage import changed_logs, readable_log
from data.store.parquet import DataFile, partition_in


class DamagedTable:
    """A damaged table: what of its log and of its files is whole.

    `newest` is the last version that can be read (-1: none), without `bad_logs`. `first` is what
    its first commit has to be, if that is damaged.
    """

    def __init__(self, root: Path, name: str, scratch: Path, head: Head) -> None:
        self.root, self.name = root, name
        self._scratch = scratch / name
        self._whole: dict[str, bool] = {}
        pinned = head.tables.get(name, 0)
        changed = changed_logs(root, name, pinned, head.logs.get(name))
        self.first = self._created_again(changed)
        self._read(())
        if changed and not self._says_the_same(changed, pinned, head.contents.get(name)):
            self._read(changed)

    def _created_again(self, changed: Sequence[Path]) -> bytes:
        """The first commit, if it is there and damaged."""
        first = log_file(self.root, self.name, 0)
        if not first.is_file() or not (first in changed or log_file_damage(first)):
            return b""
        layout, folder = TABLES[self.name], self._scratch.with_name(f"{self.name}-created")
        DeltaTable.create(folder, layout.schema, partition_by=list(layout.partition))
        return log_file(folder.parent, folder.name, 0).read_bytes()

    def _says_the_same(
        self, changed: Sequence[Path], version: int, contents: Contents | None
    ) -> bool:
        """Whether files of the log that have changed still say what the table held.

        They do if just the files that the table held are there, byte for byte.
        """
        first = log_file(self.root, self.name, 0)
        if self.newest < version or not contents:
            return False
        if any(path.suffix != ".json" or not only_files(path) for path in changed if path != first):
            return False
        files = self.files(version)
        return (
            Contents.of(files.values()) == contents
            and all(file.partition == partition_in(file.path) for file in files.values())
            and len(self.whole_files(files)) == len(files)
        )

    def _read(self, without: Sequence[Path]) -> None:
        """Find the newest version that can be read without some files of the log."""
        first = log_file(self.root, self.name, 0)
        self.newest, self.bad_logs = readable_log(
            self.root, self.name, without, [first] if self.first else ()
        )
        self._open()
        start = start_of_log(self.root, self.name, self.newest)
        for version in range(max(start, 0), self.newest + 1):
            stated = self.stated(version)
            if stated and stated != Contents.of(self.files(version).values()):
                # It can be read, but has lost lines.
                self.newest = version - 1
                later = log_files_since(self.root, self.name, self.newest)
                self.bad_logs += [path for path in later if path not in self.bad_logs]
                self._open()
                break

    def _open(self) -> None:
        self._folder = self.root / self.name
        self._listed: dict[int, dict[str, DataFile]] = {-1: {}}
        if self.bad_logs or self.first:
            # It opens without what is damaged only, so a copy of the rest is opened.
            shutil.rmtree(self._scratch, ignore_errors=True)
            bad = {path.name for path in self.bad_logs}
            shutil.copytree(
                self._folder / LOG, self._scratch / LOG, ignore=lambda _, names: bad & set(names)
            )
            if self.first:
                log_file(self._scratch.parent, self.name, 0).write_bytes(self.first)
            self._folder = self._scratch
        self.files(self.newest)

    def files(self, version: int) -> dict[str, DataFile]:
        """The files at a version that can be read."""
        if version not in self._listed:
            self._listed[version] = listed(DeltaTable(self._folder, version=version), self.name)
        return self._listed[version]

    def next_version(self, head: Head) -> int:
        """The first version that nobody has seen."""
        return max(self.newest, head.tables.get(self.name, 0)) + 1

    def whole_files(self, files: Mapping[str, DataFile]) -> dict[str, DataFile]:
        """Those of the files that are not damaged."""
        new = [file for path, file in files.items() if path not in self._whole]
        broken = {damage.path for damage in damaged_files(self.root, self.name, new)}
        for file in new:
            self._whole[file.path] = self.root / self.name / file.path not in broken
        return {path: file for path, file in files.items() if self._whole[path]}

    def stated(self, version: int) -> Contents | None:
        """What the commit of a version says that it holds, if it does."""
        commit = commit_of(self.root, self.name, version)
        return commit.contents if commit else None

    def newest_whole(self, limit: int, contents: Contents | None) -> int:
        """The newest whole version up to `limit`, which should hold `contents`; -1 for none."""
        for version in range(min(limit, self.newest), -1, -1):
            files = self.files(version)
            expected = [self.stated(version), contents if version == limit else None]
            held = Contents.of(files.values())
            if all(held == one for one in expected if one) and len(files) == len(
                self.whole_files(files)
            ):
                return version
        return -1

    def taken_out(self, live: Mapping[str, DataFile]) -> list[str]:
        """The files on disk that go if `live` stay: listed at the newest version, or in no log.

        Files that an earlier version took out are left to the next vacuum.
        """
        log = [log_file(self.root, self.name, version) for version in range(self.newest + 1)]
        known = paths_in(path for path in log if path not in self.bad_logs)
        folder = self.root / self.name
        present = [path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")]
        newest = self.files(self.newest)
        return [
            path
            for path in present
            if path not in live
            and not path.startswith(LOG)
            and (path in newest or path not in known)
            and (folder / path).is_file()
        ]
