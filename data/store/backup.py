"""Backups of a store that others go on writing to; `data.store.restoration` restores them.

    backup/  (or a .tar file with the same in it)
      backup.json      versions, rows, and size and SHA-256 of each file
      store/...        the newest version of each table with its log, models, index, spools

While the writers' lock is held, the files are only linked into the store's `.staging` (a fifth of
a second for 1,700): they are never changed in place, so the links stay what they were however long
the copying takes, also if a vacuum removes the originals. Two kinds grow: the log of deletions is
copied under the lock, as it must not tell of deletions that the backup's tables have not seen; a
segment of a spool may hold more than it did, which does no harm.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock

from data.errors import StoreDamaged, UsageError, machine_error
from data.schema.layout import FORMAT, TABLES
from data.store.deletions import NAME as DELETIONS
from data.store.delta_log import LOG, POINTER, live_files, version_of
from data.store.durability import link, sync, tree
from data.store.head import Head
from data.store.log_damage import CHANGED
from data.store.parquet import stated_checksum
from data.store.side_files import side_files
from data.store.store import Store, must_lie_outside
from data.store.temporary import clear, new_draft
from data.store.turn_deletion import REWRITE_INDEX
from progress import Progress, silent

MANIFEST = "backup.json"
STORE = "store"
BACKUP_FORMAT = 1
_TAR = ".tar"
# Somebody who gives such a name expects no folder.
_PACKED = (".gz", ".tgz", ".zst", ".zip", ".xz", ".bz2")
_BLOCK = 1 << 20
# Beside what is being made; what a killed process has left of it is removed by the next.
BACKUP_DRAFT = ".faultline-backup-"
# Reads at most so many bytes; writes a file of so many bytes.
_Read = Callable[[int], bytes]
_Add = Callable[[str, int, _Read], None]


@dataclass(frozen=True)
class Backup:
    """What a backup holds.

    Attributes
    ----------
    version: that of the store. rows: per table. files, bytes: of all files in it.
    """

    made_at: str
    version: str
    model: str | None
    rows: Mapping[str, int]
    files: int
    bytes: int


@dataclass(frozen=True)
class Stated:
    """A file as the manifest states it; `path` is relative to the store, with slashes."""

    path: str
    bytes: int
    sha256: str


def backup(store: Store, to: Path, progress: Progress = silent) -> Backup:
    """Copy the newest version of a store to `to`: a new or empty folder, or a file named `.tar`.

    Others may read and write meanwhile. `to` appears complete, or not at all. Raises `UsageError`
    if there is something at `to` or it is in the store, `StoreDamaged` if a file of the store is
    damaged, `MachineError` if the disk is full.
    """
    to = to.expanduser().absolute()
    must_lie_outside(to, store.path)
    _must_be_new(to)
    to.parent.mkdir(parents=True, exist_ok=True)
    clear(to.parent, BACKUP_DRAFT)
    store.clear_staging()
    with (
        as_machine_errors(to.parent),
        store.staging() as staging,
        new_draft(to.parent, BACKUP_DRAFT) as folder,
    ):
        folder.chmod(0o700)
        head, rows, folders, links = _linked(store, staging)
        made = folder / to.name
        with _to_tar(made) if to.suffix == _TAR else _to_folder(made) as add:
            stated = list(_copied(store.path, links, add, progress))
            summary = Backup(
                datetime.now(UTC).isoformat(timespec="seconds"),
                head.version,
                head.model,
                rows,
                len(stated),
                sum(file.bytes for file in stated),
            )
            content = {
                "format": BACKUP_FORMAT,
                "store_format": FORMAT,
                **asdict(summary),
                "folders": folders,
                "contents": [asdict(file) for file in stated],
            }
            content["sha256"] = digest(content)
            text = (json.dumps(content, indent=1) + "\n").encode()
            add(MANIFEST, len(text), io.BytesIO(text).read)
        sync(tree(made))
        _must_be_new(to)
        os.replace(made, to)
        sync([to.parent])
    return summary


def _linked(store: Store, staging: Path) -> tuple[Head, dict[str, int], list[str], dict[str, Path]]:
    """Link what belongs to the newest version into a folder of the store.

    Returns the state, the rows of each table, the folders without files, and the links by the
    paths that they are links to.
    """
    links: dict[str, Path] = {}

    def keep(relative: str) -> None:
        # All in one folder: making a tree of them takes longer than linking.
        target = staging / f"{len(links)}"
        if relative == DELETIONS:
            shutil.copyfile(store.path / relative, target)
        else:
            link(store.path / relative, target)
        links[relative] = target

    store.must_be_whole()
    index = store.path / REWRITE_INDEX
    with ExitStack() as locks:
        # Before the writers', as forgetting in an index may take minutes.
        if index.is_dir():
            locks.enter_context(FileLock(index / ".lock"))
        locks.enter_context(store.locked())
        if store.mirror:
            store.mirror.refresh(held=True)
        head = store.head()
        rows = {}
        for name in TABLES:
            if not (store.path / name / LOG).is_dir():
                continue
            version = head.tables.get(name, 0)
            live = live_files(store.path, name, version)
            rows[name] = sum(file.rows for file in live.values())
            with store.holding(name, live.values()):
                for file in live:
                    keep(f"{name}/{file}")
            for path in sorted((store.path / name / LOG).iterdir()):
                if path.is_file() and _up_to(path, version):
                    keep(f"{name}/{LOG}/{path.name}")
        folders = []
        for path, has_files in side_files(store.path):
            relative = path.relative_to(store.path).as_posix()
            if path.is_file():
                with suppress(FileNotFoundError):
                    keep(relative)
            elif not has_files:
                folders.append(relative)
    return head, rows, folders, links


def _up_to(path: Path, version: int) -> bool:
    """Whether a file of a log belongs to a version, rather than to a commit that never counted."""
    if path.name != POINTER:
        number = version_of(path)
        return number is not None and number <= version
    try:
        return int(json.loads(path.read_text("utf-8"))["version"]) <= version
    except (OSError, ValueError, KeyError, TypeError):
        # Delta Lake does without it.
        return False


def _copied(
    root: Path, links: Mapping[str, Path], add: _Add, progress: Progress
) -> Iterator[Stated]:
    """Copy the linked files; raises `StoreDamaged` if one is not as its name or its log says."""
    total = sum(path.stat().st_size for path in links.values())
    done = 0
    for relative in sorted(links):
        with links[relative].open("rb") as file:
            # A segment of a spool may grow meanwhile; what it held is whole.
            size = os.fstat(file.fileno()).st_size
            counted = Counted(file.read)
            add(f"{STORE}/{relative}", size, counted.read)
        # Of data files alone, whose names have it.
        expected = stated_checksum(Path(relative)) if relative.split("/")[0] in TABLES else None
        if counted.bytes != size or (expected and expected != counted.crc32):
            raise StoreDamaged.by(root, root / relative, CHANGED)
        done += size
        progress(done, total, "copying")
        yield Stated(relative, size, counted.sha256)


class Counted:
    """Reads on, and knows how much and what it has read."""

    def __init__(self, read: _Read) -> None:
        self._read = read
        self._sha256 = hashlib.sha256()
        self._crc32 = 0
        self.bytes = 0

    def read(self, most: int) -> bytes:
        """The next bytes."""
        piece = self._read(most)
        self.bytes += len(piece)
        self._sha256.update(piece)
        self._crc32 = zlib.crc32(piece, self._crc32)
        return piece

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    @property
    def crc32(self) -> str:
        return f"{self._crc32:08x}"


@contextmanager
def _to_folder(folder: Path) -> Iterator[_Add]:
    """Writes a backup as a folder."""

    def add(name: str, size: int, read: _Read) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            pump(size, read, file)

    folder.mkdir(mode=0o700)
    yield add


@contextmanager
def _to_tar(path: Path) -> Iterator[_Add]:
    """Writes a backup as one file; not compressed, as Parquet is already."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with (
        os.fdopen(descriptor, "wb") as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):

        def add(name: str, size: int, read: _Read) -> None:
            member = tarfile.TarInfo(name)
            member.size = size
            tar.addfile(member, _Stream(read))

        yield add


class _Stream(io.RawIOBase):
    """What `tarfile` reads from."""

    def __init__(self, read: _Read) -> None:
        self._source = read

    def read(self, size: int = -1) -> bytes:
        return self._source(size)


def pump(size: int, read: _Read, file: BinaryIO) -> None:
    """Copy `size` bytes, or as many as there are."""
    left = size
    while left and (piece := read(min(left, _BLOCK))):
        file.write(piece)
        left -= len(piece)


def digest(content: Mapping[str, Any]) -> str:
    """The SHA-256 of what a manifest says, whatever the order and the spaces."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _must_be_new(to: Path) -> None:
    if to.suffix in _PACKED:
        raise UsageError(
            f"{to.name} would be compressed, which a backup is not, as what is in it is already; "
            f"give a name that ends with {_TAR}, or a folder."
        )
    if to.is_dir() and not any(to.iterdir()) and to.suffix != _TAR:
        return
    if to.exists() or to.is_symlink():
        raise UsageError(
            f"There already is something at {to}; give a new or empty folder, or a new file whose "
            f"name ends with {_TAR}."
        )


@contextmanager
def as_machine_errors(*places: Path) -> Iterator[None]:
    """Raises `MachineError` for an error of the disk."""
    try:
        yield
    except OSError as error:
        raise machine_error(error, *places) or error from error
