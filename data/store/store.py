"""The store: a directory of Delta tables whose visible versions are named by one small file,
HEAD.json.

    store/
      HEAD.json                  the visible version and contents of each table, the promoted model
                                 (`data.store.head`)
      turns/ predictions/ ...    Delta tables; each commit states its contents and the versions of
                                 the other tables (`data.store.delta_log`)
        day=2024-05-01/part-<random>-<checksum>.parquet
      models/<id>/               model files, and their sizes and checksums in files.json
      .lock                      held by the one writer that is committing
      .staging/<id>/             files being prepared; cleared when their process is gone
      .staging/unfinished-*/     parts of work that was killed, for the next time
      rescued/<time>/            what `faultline doctor --repair` took out (`data.store.repair`)

A store at `s3://…`, `gs://…` or `az://…` is mirrored in such a folder (`data.store.remote.mirror`).

Readers take no lock: they read HEAD.json once and pin every table to the version it names. All that
HEAD.json names is on disk before it is written, and nothing of it is removed before it is replaced.
"""

from __future__ import annotations

import math
import os
import shlex
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from filelock import FileLock, Timeout

from data.errors import (
    HeadMoved,
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreMissing,
    UsageError,
    VersionGone,
    machine_error,
)
from data.schema.access import EVERYTHING, Access
from data.schema.layout import TABLES, parse_version
from data.store.damage import explained, must_be_whole
from data.store.delta_log import live_files
from data.store.durability import between, sync, tree
from data.store.head import NAME, Contents, has_tables, read_head
from data.store.head import Head as Head
from data.store.head import write_head as _write_head
from data.store.judged import keep as keep_judged
from data.store.log_damage import log_checksums
from data.store.model_folders import LABEL_MODELS, model_damage, model_ids
from data.store.parquet import DataFile
from data.store.paths import must_be_text
from data.store.remote.address import address_of, mirror_of
from data.store.remote.cache import Lease
from data.store.remote.mirror import Mirror
from data.store.remote.objects import Moved
from data.store.remote.publication import Publication
from data.store.rerun import rerun
from data.store.snapshot import Snapshot
from data.store.temporary import (
    KEPT_S,
    DraftTaken,
    clear,
    clear_unfinished,
    new_draft,
    unfinished,
)
from data.store.transaction import Cycle, open_snapshot


class Store:
    """A store of traces. Use `Store.create`, `Store.open` or `Store.ensure`."""

    def __init__(self, path: Path, *, memory: str = "2GB", access: Access = EVERYTHING) -> None:
        self.path = path
        self.memory = memory
        self.access = access
        self.mirror = Mirror.at(path)

    @property
    def address(self) -> str:
        """What people call the store: its folder, or its address in an object store."""
        return self.mirror.address if self.mirror else str(self.path)

    @classmethod
    def create(cls, path: str | Path, *, memory: str = "2GB") -> Store:
        """Create an empty store; raises `StoreError` unless the folder is absent or empty."""
        root = local(path)
        if mirror := Mirror.at(root):
            cls._create_remote(mirror)
            return cls(root, memory=memory)
        cls._create_local(root)
        return cls(root, memory=memory)

    @classmethod
    def _create_remote(cls, mirror: Mirror) -> None:
        taken = StoreError(
            f"There already is a store at {mirror.address}; open it, or choose another address."
        )
        Publication(mirror).must_be_free()
        try:
            with Publication(mirror).creating():
                cls._create_local(mirror.root)
        except Moved as error:
            raise taken from error

    @classmethod
    def _create_local(cls, root: Path) -> None:
        if (root / NAME).exists():
            raise StoreError(
                f"There already is a store at {root}; open it, or choose another path."
            )
        above = must_be_free(root)
        # Built in a folder of its own and renamed: a killed `create` leaves no half-made store.
        temporary = root.parent / f".{root.name}.{uuid.uuid4().hex[:8]}"
        try:
            temporary.mkdir(parents=True)
            for name, layout in TABLES.items():
                DeltaTable.create(
                    temporary / name, layout.schema, partition_by=list(layout.partition)
                )
            (temporary / "models").mkdir()
            (temporary / ".staging").mkdir()
            empty = Contents(0, 0, 0)
            versions, contents = dict.fromkeys(TABLES, 0), dict.fromkeys(TABLES, empty)
            logs = {name: log_checksums(temporary, name, 0) for name in TABLES}
            _write_head(temporary, Head(versions, None, contents, logs))
            sync(tree(temporary))
            try:
                os.replace(temporary, root)
            except OSError as error:
                problem = machine_error(error, root.parent)
                raise problem or StoreError(
                    f"Cannot create a store at {root}: {error.strerror}."
                ) from error
            # Any of the folders above it may be new as well.
            sync(between(root.parent, above))
        except PermissionError as error:
            raise StoreError(f"Cannot create a store at {root}: {error.strerror}.") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    @classmethod
    def open(cls, path: str | Path, *, memory: str = "2GB", access: Access = EVERYTHING) -> Store:
        """Open an existing store; raises `StoreMissing` if there is none.

        What it is asked for and told to change is limited to what `access` allows.
        """
        root = local(path)
        if mirror := Mirror.at(root):
            try:
                mirror.refresh()
            except StoreMissing as error:
                Publication(mirror).must_be_free()
                raise StoreMissing(
                    f"No store at {mirror.address}. Create one with: faultline ingest PATH… "
                    f"--store {shlex.quote(mirror.address)}"
                ) from error
            return cls(root, memory=memory, access=access)
        if not (root / NAME).exists() and not has_tables(root):
            # Says what is there, if a store could not be created in its place.
            _must_not_be_in_use(root)
            raise StoreMissing(
                f"No store at {root}. Create one with: faultline ingest PATH… --store "
                f"{shlex.quote(str(root))}"
            )
        store = cls(root, memory=memory, access=access)
        store.head()
        return store

    @classmethod
    def whole(cls, path: str | Path, *, memory: str = "2GB") -> Store:
        """Open an existing store that `must_be_whole`, as every command does."""
        store = cls.open(path, memory=memory)
        store.must_be_whole()
        return store

    @classmethod
    def must_be_possible(cls, path: str | Path) -> None:
        """Raise, as `ensure` would, if there is no store at `path` and none can be created.

        Creates nothing.
        """
        root = local(path)
        if _there(root):
            return
        if mirror := Mirror.at(root):
            Publication(mirror).must_be_free()
        else:
            must_be_free(root)

    @classmethod
    def ensure(cls, path: str | Path, *, memory: str = "2GB") -> Store:
        """Open the store at `path`, creating it first if there is none."""
        root = local(path)
        if not _there(root):
            try:
                return cls.create(root, memory=memory)
            except StoreError:
                # Another process may have created it in the meantime.
                if not _there(root):
                    raise
        return cls.open(root, memory=memory)

    @property
    def models(self) -> Path:
        """The folder that holds one folder per model."""
        return self.path / "models"

    @property
    def label_models(self) -> Path:
        """The folder that holds the label model (`labels.generated.store`)."""
        return self.path / LABEL_MODELS

    def model_ids(self) -> list[str]:
        """The ids of the models in the store, sorted."""
        return model_ids(self.models)

    def head(self) -> Head:
        """The visible state; one small read without a lock.

        Raises `StoreMissing` if the store is gone, `StoreDamaged` if HEAD.json is missing or
        damaged, `StoreError` if it has another format. Of a store in an object store, what others
        have written is seen within a second.
        """
        if self.mirror:
            self.mirror.refresh()
        return read_head(self.path)

    def must_be_whole(self) -> None:
        """Raise `StoreDamaged` if a file of the newest version or of the promoted model is damaged.

        Looks as far as `data.store.damage` says, at all tables: some tens of milliseconds. What
        only reads or writes some of them would otherwise not notice.
        """
        try:
            self._must_be_whole()
        except StoreDamaged:
            if self.mirror is None:
                raise
            # What is damaged is only a copy.
            self.mirror.mend()
            self._must_be_whole()

    def _must_be_whole(self) -> None:
        head = self._checked(self.head())
        if head.model and (found := model_damage(self.models, head.model)):
            raise StoreDamaged.by(self.path, *found)

    def _checked(self, head: Head) -> Head:
        """The visible state, all of whose tables are whole; `head` is what was read first."""
        try:
            for name, version in head.tables.items():
                if name in TABLES:
                    files = live_files(self.path, name, version)
                    must_be_whole(
                        self.path,
                        name,
                        version,
                        files,
                        head.contents.get(name),
                        head.logs.get(name),
                    )
        except StoreError as error:
            # A vacuum may have run between reading HEAD and listing the files.
            if (newer := self.head()) != head:
                return self._checked(newer)
            raise explained(self.path, error) from error
        return head

    def snapshot(self, at: str | None = None, only: Sequence[str] = tuple(TABLES)) -> Snapshot:
        """A snapshot of the tables: at the visible version, or at the version string `at`.

        `only` names the tables to open, with those that decide on their rows; the others are empty
        in it and cost nothing. Raises `VersionGone` if `at` never existed or has been vacuumed,
        `StoreDamaged` if a file is damaged.
        """
        only = self.access.with_sources(only)
        for attempt in range(5):
            head = self.head()
            versions = head.tables if at is None else parse_version(at)
            ahead = [name for name, v in versions.items() if v > head.tables.get(name, 0)]
            if ahead:
                raise VersionGone(
                    f"Version {at} does not exist in {self.path}; the latest is {head.version}."
                )
            versions = {name: versions[name] for name in only if name in versions}
            try:
                return open_snapshot(
                    self.path, head, versions, self.memory, self.access, self.mirror
                )
            except (VersionGone, StoreDamaged) as error:
                newest = versions.items() <= head.tables.items()
                if self.mirror and attempt == 0 and (newest or isinstance(error, StoreDamaged)):
                    # What is damaged or lost is only a copy.
                    self.mirror.mend()
                    continue
                # A vacuum may have run between reading HEAD and listing the files.
                if newest and attempt < 4 and self.head() != head:
                    continue
                if isinstance(error, VersionGone) and newest:
                    raise explained(self.path, error) from error
                raise
        raise AssertionError("unreachable")

    @contextmanager
    def naming_damage(self) -> Iterator[None]:
        """Raises `StoreDamaged`, which names the file, for an error that comes of damage."""
        try:
            yield
        except (duckdb.Error, pa.ArrowException, DeltaError, VersionGone, OSError) as error:
            if (better := explained(self.path, error)) is error:
                raise
            raise better from error

    @contextmanager
    def commit(self, patience: float | None = None) -> Iterator[Cycle]:
        """A write cycle: all changes made inside the `with` become visible together at its end.

        Holds the writers' lock; an exception inside leaves the store unchanged. Not re-entrant.
        Waits while another process writes; raises `StoreBusy` after `patience` seconds. In an
        object store it raises `HeadMoved` if another machine has written meanwhile, and the
        function around it is marked with `data.store.rerun.rerun`.
        """
        with self.locked(patience), self.naming_damage():
            if self.mirror:
                self.mirror.refresh(held=True)
            with self.staging() as staging:
                head = read_head(self.path)
                cycle = Cycle(self.path, head, staging, self.access, self.mirror)
                try:
                    yield cycle
                    keep_judged(cycle)
                    after = cycle.commit()
                except BaseException as error:
                    # On a full disk, what was written would be in the way of every further attempt.
                    cycle.discard()
                    if isinstance(error, VersionGone) and self.mirror and self.mirror.moved():
                        raise HeadMoved.at(self.path) from error
                    raise
                finally:
                    cycle.close()
                if self.mirror:
                    Publication(self.mirror).publish(head, after, cycle.added())
                elif after.tables != head.tables:
                    _write_head(self.path, after)

    @contextmanager
    def writing_files(self) -> Iterator[None]:
        """For changes to what is in the store besides tables; in an object store they become
        visible at the end.

        Holds the writers' lock; raises `HeadMoved` as `commit` does.
        """
        with self.locked():
            if self.mirror:
                self.mirror.refresh(held=True)
            yield
            if self.mirror:
                Publication(self.mirror).publish_files()

    @rerun
    def files_written(self) -> None:
        """Upload what is new besides the tables, such as a model; nothing for a local store."""
        if self.mirror:
            with self.writing_files():
                pass

    @contextmanager
    def holding(self, name: str, files: Iterable[DataFile]) -> Iterator[list[Path]]:
        """Yields the paths of data files of a table, which are on disk until the end."""
        listed = list(files)
        paths = [self.path / name / file.path for file in listed]
        with ExitStack() as stack:
            if self.mirror:
                lease = Lease(self.mirror.cache)
                stack.callback(lease.close)
                lease.hold(paths)
                self.mirror.fetch(name, listed)
            yield paths

    @contextmanager
    def locked(self, patience: float | None = None) -> Iterator[None]:
        """Holds the writers' lock; raises `StoreBusy` after `patience` seconds without it.

        Raises `StoreMissing` if the store is gone.
        """
        if not self.path.is_dir():
            # The lock would make the folder anew, and be in the way of whoever puts it back.
            raise StoreMissing(f"The store at {self.path} is gone.")
        lock = FileLock(self.path / ".lock", timeout=-1 if patience is None else patience)
        try:
            lock.acquire()
        except Timeout as error:
            raise StoreBusy(
                f"Another process has been writing to {self.path} for more than {patience:g} "
                "seconds; nothing was recorded, try again in a moment."
            ) from error
        try:
            with self.mirror.written() if self.mirror else nullcontext():
                yield
        finally:
            lock.release()

    @rerun
    def promote(self, model_id: str) -> None:
        """Make `models/<model_id>` the model that pages and scoring use.

        Raises `UsageError` if there is no such model, `StoreDamaged` if it is damaged.
        """
        self.access.require("run")
        with self.locked():
            if self.mirror:
                self.mirror.refresh(held=True)
            existing = self.model_ids()
            if model_id not in existing:
                raise UsageError(
                    f"There is no model '{model_id}' in {self.path}; there are: "
                    f"{', '.join(existing) or 'none'}."
                )
            if found := model_damage(self.models, model_id):
                raise StoreDamaged.by(self.path, *found)
            sync([*tree(self.models / model_id), self.models])
            head = read_head(self.path)
            after = replace(head, model=model_id)
            if self.mirror:
                Publication(self.mirror).publish(head, after, {})
            else:
                _write_head(self.path, after)

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A private folder in the store, removed at the end, or by another process after a kill."""
        parent = self.path / ".staging"
        parent.mkdir(exist_ok=True)
        with new_draft(parent) as folder:
            yield folder

    @contextmanager
    def unfinished(self, name: str) -> Iterator[Path]:
        """A folder like that of `staging`, which is kept for the next time, for a week, if the work
        fails, or its process is killed.

        Where another process does the work called `name` right now, an ordinary one.
        """
        self.clear_unfinished(KEPT_S)
        parent = self.path / ".staging"
        parent.mkdir(exist_ok=True)
        with ExitStack() as stack:
            try:
                folder = stack.enter_context(unfinished(parent, name))
            except DraftTaken:
                folder = stack.enter_context(new_draft(parent))
            yield folder

    def clear_unfinished(self, older_than_s: float = 0.0) -> None:
        """Remove what work that failed left for the next time, if it has lain for so long."""
        clear_unfinished(self.path / ".staging", older_than_s)

    def clear_staging(self) -> None:
        """Remove the staging folders that killed processes left behind."""
        clear(self.path / ".staging")
        self.clear_unfinished(math.inf)


def local(path: str | Path) -> Path:
    """The folder that a store's path names; of an address in an object store, that of its mirror.

    Raises `UsageError` if it can be none.
    """
    if address := address_of(path):
        return mirror_of(address)
    root = must_be_text(Path(path).expanduser().resolve())
    partitions = {f"{name}=" for layout in TABLES.values() for name in layout.partition}
    for part in root.parts:
        if part.startswith(tuple(partitions)):
            raise UsageError(
                f"A store cannot be in a folder named '{part}', which would be read as a "
                "partition; choose another path."
            )
    return root


def must_lie_outside(file: Path, store: str | Path) -> None:
    """Raise `UsageError` if a file or folder to write is in the folder of a store."""
    target, root = Path(file).expanduser().resolve(), local(store)
    if target == root or root in target.parents:
        raise UsageError(
            f"Cannot write {file} into the store's own folder {root}; give a path outside it."
        )


def _there(root: Path) -> bool:
    """Whether there is a store at a path from `local`, be it damaged."""
    if mirror := Mirror.at(root):
        return mirror.exists()
    return (root / NAME).exists() or has_tables(root)


def _must_not_be_in_use(root: Path) -> None:
    """Raise `StoreError` if something that is not a store is there already."""
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise StoreError(
            f"{root} exists and is not a store; give the path of a new or empty folder, or of a "
            "store."
        )


def must_be_free(root: Path) -> Path:
    """The nearest folder above `root`, which is not a store yet, that exists.

    Raises `StoreError` if no new store can be created there.
    """
    _must_not_be_in_use(root)
    above = next(parent for parent in root.parents if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        reason = "is not writable" if above.is_dir() else "is a file"
        raise StoreError(f"Cannot create a store at {root}: {above} {reason}; choose another path.")
    return above
