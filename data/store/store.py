"""The store: a directory of Delta tables whose visible versions are named by one small file,
HEAD.json.

    store/
      HEAD.json                  {"format": 1, "tables": {"turns": 12, ...}, "model": "m-2024..."}
      turns/ predictions/ ...    Delta tables
      models/<id>/               model files
      .lock                      held by the one writer that is committing
      .staging/<id>/             files being prepared; cleared when their process is gone

Readers take no lock: they read HEAD.json once and pin every table to the version it names.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deltalake import DeltaTable
from filelock import FileLock, Timeout

from data.errors import (
    StoreBusy,
    StoreError,
    StoreMissing,
    UsageError,
    VersionGone,
    machine_error,
)
from data.schema.layout import (
    FORMAT,
    TABLES,
    parse_version,
    version_text,
)
from data.store.model_folders import model_ids
from data.store.paths import must_be_text
from data.store.snapshot import Snapshot
from data.store.temporary import clear, draft
from data.store.transaction import Cycle, open_snapshot


@dataclass(frozen=True)
class Head:
    """The visible state: a Delta version per table, and the id of the promoted model, if any."""

    tables: dict[str, int]
    model: str | None = None

    @property
    def version(self) -> str:
        return version_text(self.tables)


class Store:
    """A store of traces. Use `Store.create`, `Store.open` or `Store.ensure`."""

    def __init__(self, path: Path, *, memory: str = "2GB") -> None:
        self.path = path
        self.memory = memory

    @classmethod
    def create(cls, path: str | Path, *, memory: str = "2GB") -> Store:
        """Create an empty store; raises `StoreError` unless the folder is absent or empty."""
        root = _local(path)
        if (root / "HEAD.json").exists():
            raise StoreError(
                f"There already is a store at {root}; open it, or choose another path."
            )
        _must_be_free(root)
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
            _write_head(temporary, Head(dict.fromkeys(TABLES, 0)))
            try:
                os.replace(temporary, root)
            except OSError as error:
                problem = machine_error(error, root.parent)
                raise problem or StoreError(
                    f"Cannot create a store at {root}: {error.strerror}."
                ) from error
        except PermissionError as error:
            raise StoreError(f"Cannot create a store at {root}: {error.strerror}.") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return cls(root, memory=memory)

    @classmethod
    def open(cls, path: str | Path, *, memory: str = "2GB") -> Store:
        """Open an existing store; raises `StoreMissing` if there is none."""
        root = _local(path)
        if not (root / "HEAD.json").exists():
            raise StoreMissing(
                f"No store at {root}. Create one with: faultline ingest PATH… --store {root}"
            )
        store = cls(root, memory=memory)
        store.head()
        return store

    @classmethod
    def must_be_possible(cls, path: str | Path) -> None:
        """Raise, as `ensure` would, if there is no store at `path` and none can be created.

        Creates nothing.
        """
        root = _local(path)
        if not (root / "HEAD.json").exists():
            _must_be_free(root)

    @classmethod
    def ensure(cls, path: str | Path, *, memory: str = "2GB") -> Store:
        """Open the store at `path`, creating it first if there is none."""
        root = _local(path)
        if not (root / "HEAD.json").exists():
            try:
                return cls.create(root, memory=memory)
            except StoreError:
                # Another process may have created it in the meantime.
                if not (root / "HEAD.json").exists():
                    raise
        return cls.open(root, memory=memory)

    @property
    def models(self) -> Path:
        """The folder that holds one folder per model."""
        return self.path / "models"

    def model_ids(self) -> list[str]:
        """The ids of the models in the store, sorted."""
        return model_ids(self.models)

    def head(self) -> Head:
        """The visible state; one small read without a lock.

        Raises `StoreMissing` if HEAD.json is missing, `StoreError` if it is damaged or has another
        format.
        """
        try:
            content: dict[str, Any] = json.loads((self.path / "HEAD.json").read_text("utf-8"))
            if content["format"] > FORMAT:
                raise StoreError(
                    f"The store at {self.path} has format {content['format']}, this version reads "
                    f"up to {FORMAT}; upgrade Faultline."
                )
            if content["format"] < FORMAT:
                raise StoreError(
                    f"The store at {self.path} has format {content['format']}, of an earlier "
                    f"version; this one reads {FORMAT}. Ingest the logs again into a new store."
                )
            return Head({str(k): int(v) for k, v in content["tables"].items()}, content["model"])
        except FileNotFoundError as error:
            raise StoreMissing(f"The store at {self.path} is gone.") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{self.path / 'HEAD.json'} is damaged; restore it from a backup of the store."
            ) from error

    def snapshot(self, at: str | None = None, only: Sequence[str] = tuple(TABLES)) -> Snapshot:
        """A snapshot of the tables: at the visible version, or at the version string `at`.

        `only` names the tables to open; the others are empty in it and cost nothing. Raises
        `VersionGone` if `at` never existed or has been vacuumed.
        """
        spill = self.path / ".staging" / "spill"
        for attempt in range(5):
            head = self.head()
            versions = head.tables if at is None else parse_version(at)
            ahead = [name for name, v in versions.items() if v > head.tables.get(name, 0)]
            if ahead:
                raise VersionGone(
                    f"Version {at} does not exist in {self.path}; the latest is {head.version}."
                )
            try:
                versions = {name: versions[name] for name in only if name in versions}
                return open_snapshot(self.path, versions, head.model, self.memory, spill)
            except VersionGone:
                # A vacuum may have run between reading HEAD and listing the files.
                if at is not None or attempt == 4 or self.head() == head:
                    raise
        raise AssertionError("unreachable")

    @contextmanager
    def commit(self, patience: float | None = None) -> Iterator[Cycle]:
        """A write cycle: all changes made inside the `with` become visible together at its end.

        Holds the writers' lock; an exception inside leaves the store unchanged. Not re-entrant.
        Waits while another process writes; raises `StoreBusy` after `patience` seconds.
        """
        with self._lock(patience), self.staging() as staging:
            head = self.head()
            cycle = Cycle(self.path, head.tables, staging)
            try:
                yield cycle
                versions = cycle.commit()
            except BaseException:
                # On a full disk, what was written would be in the way of every further attempt.
                cycle.discard()
                raise
            finally:
                cycle.close()
            if versions != head.tables:
                _write_head(self.path, replace(head, tables=versions))

    @contextmanager
    def _lock(self, patience: float | None) -> Iterator[None]:
        lock = FileLock(self.path / ".lock", timeout=-1 if patience is None else patience)
        try:
            lock.acquire()
        except Timeout as error:
            raise StoreBusy(
                f"Another process has been writing to {self.path} for more than {patience:g} "
                "seconds; nothing was recorded, try again in a moment."
            ) from error
        try:
            yield
        finally:
            lock.release()

    def promote(self, model_id: str) -> None:
        """Make `models/<model_id>` the model that pages and scoring use.

        Raises `UsageError` if there is no such model.
        """
        with FileLock(self.path / ".lock"):
            existing = self.model_ids()
            if model_id not in existing:
                raise UsageError(
                    f"There is no model '{model_id}' in {self.path}; there are: "
                    f"{', '.join(existing) or 'none'}."
                )
            _write_head(self.path, replace(self.head(), model=model_id))

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A private folder in the store, removed at the end, or by another process after a kill."""
        parent = self.path / ".staging"
        parent.mkdir(exist_ok=True)
        with draft(parent / uuid.uuid4().hex) as folder:
            yield folder

    def clear_staging(self) -> None:
        """Remove the staging folders that killed processes left behind."""
        clear(self.path / ".staging")


def _local(path: str | Path) -> Path:
    if "://" in str(path):
        raise UsageError(
            f"'{path}' is an object-store address, which is not supported yet; "
            "give the path of a local folder."
        )
    root = must_be_text(Path(path).expanduser().resolve())
    partitions = {f"{name}=" for layout in TABLES.values() for name in layout.partition}
    for part in root.parts:
        if part.startswith(tuple(partitions)):
            raise UsageError(
                f"A store cannot be in a folder named '{part}', which would be read as a "
                "partition; choose another path."
            )
    return root


def _must_be_free(root: Path) -> None:
    """Raise `StoreError` if no new store can be created at `root`, which is not a store yet."""
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise StoreError(
            f"{root} exists and is not a store; give the path of a new or empty folder."
        )
    above = next(parent for parent in root.parents if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        reason = "is not writable" if above.is_dir() else "is a file"
        raise StoreError(f"Cannot create a store at {root}: {above} {reason}; choose another path.")


def _write_head(root: Path, head: Head) -> None:
    """Replace HEAD.json atomically and durably, so that it survives a power cut."""
    text = json.dumps({"format": FORMAT, "tables": head.tables, "model": head.model}, indent=1)
    draft = root / f".HEAD.{uuid.uuid4().hex[:8]}"
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, root / "HEAD.json")
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(root, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
