"""Restoring a backup (`data.store.backup`): every file is checked, then a store appears at once."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from data.errors import BackupDamaged, StoreError, UsageError, machine_error
from data.schema.layout import FORMAT
from data.store import deletions, privacy
from data.store.backup import (
    BACKUP_DRAFT,
    BACKUP_FORMAT,
    MANIFEST,
    STORE,
    Backup,
    Counted,
    Stated,
    as_machine_errors,
    digest,
    pump,
)
from data.store.durability import between, sync, tree
from data.store.log_damage import CHANGED
from data.store.remote.mirror import Mirror
from data.store.remote.objects import Moved
from data.store.remote.publication import Publication
from data.store.store import Store, local, must_be_free
from data.store.temporary import clear, new_draft
from progress import Progress, silent

# Files that their owner alone may read; a tar file, or a copy of a folder, does not say so.
_PRIVATE = (deletions.NAME, privacy.NAME)
# Opens a file of a backup by name.
_Open = Callable[[str], BinaryIO]


def restore(source: Path, to: str | Path, progress: Progress = silent) -> Backup:
    """Make a store at `to`, a new or empty folder, of a backup; everything is checked before.

    The store appears whole, or not at all. Raises `StoreError` if something is at `to`,
    `BackupDamaged`, which names the file, if the backup is not whole, and `UsageError` if `source`
    is no backup.
    """
    root, source = local(to), source.expanduser()
    if mirror := Mirror.at(root):
        Publication(mirror).must_be_free()
        try:
            with Publication(mirror).creating():
                return _restore(source, root, progress)
        except Moved as error:
            raise StoreError(
                f"There already is a store at {mirror.address}; give another address."
            ) from error
    return _restore(source, root, progress)


def _restore(source: Path, root: Path, progress: Progress) -> Backup:
    above = must_be_free(root)
    with as_machine_errors(root.parent), _opened(source) as open_file:
        summary, folders, stated = _manifest(source, open_file)
        root.parent.mkdir(parents=True, exist_ok=True)
        clear(root.parent, BACKUP_DRAFT)
        with new_draft(root.parent, BACKUP_DRAFT) as folder:
            made = folder / root.name
            made.mkdir()
            done = 0
            for file in stated:
                _restored(source, open_file, file, made / file.path)
                done += file.bytes
                progress(done, summary.bytes, "restoring")
            for name in (*folders, "models", ".staging"):
                (made / name).mkdir(parents=True, exist_ok=True)
            # It was when it was backed up; an earlier version may have made it.
            Store.open(made).must_be_whole()
            sync(tree(made))
            must_be_free(root)
            try:
                os.replace(made, root)
            except OSError as error:
                problem = machine_error(error, root.parent)
                raise problem or StoreError(
                    f"Cannot restore a store at {root}: {error.strerror}; give a folder that does "
                    "not exist yet."
                ) from error
            sync(between(root.parent, above))
    return summary


def _restored(source: Path, open_file: _Open, file: Stated, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    name = f"{STORE}/{file.path}"
    mode = 0o600 if file.path in _PRIVATE else 0o666
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as copy, open_file(name) as stream:
        counted = Counted(stream.read)
        # One byte more, to notice a file that has grown.
        pump(file.bytes + 1, counted.read, copy)
    if counted.bytes != file.bytes:
        raise BackupDamaged.by(source / name, "is cut short or has changed")
    if counted.sha256 != file.sha256:
        raise BackupDamaged.by(source / name, CHANGED)


@contextmanager
def _opened(source: Path) -> Iterator[_Open]:
    """Opens a backup's files by name; raises `BackupDamaged` for one that cannot be read."""

    def must_exist(name: str, found: bool) -> None:
        if not found and name == MANIFEST:
            raise _no_backup(source)
        if not found:
            raise BackupDamaged.by(source / name, "is missing")

    def in_folder(name: str) -> BinaryIO:
        must_exist(name, (source / name).is_file())
        return (source / name).open("rb")

    if source.is_dir():
        yield in_folder
        return
    if not source.exists():
        raise UsageError(
            f"There is no backup at {source}; give the folder or file that faultline backup "
            "has made."
        )
    if not _begins_as_tar(source):
        raise _no_backup(source)
    try:
        with tarfile.open(source, "r:") as tar:
            members = {member.name: member for member in tar.getmembers() if member.isreg()}

            def in_tar(name: str) -> BinaryIO:
                must_exist(name, name in members)
                return cast(BinaryIO, tar.extractfile(members[name]))

            yield in_tar
    except tarfile.TarError as error:
        raise BackupDamaged.by(source, "is cut short or has changed") from error


def _begins_as_tar(source: Path) -> bool:
    with source.open("rb") as file:
        return file.read(262)[257:] == b"ustar"


def _no_backup(source: Path) -> UsageError:
    return UsageError(
        f"{source} is not a backup of a store, or not a whole one: it has no {MANIFEST}; give the "
        "folder or file that faultline backup has made."
    )


def _manifest(source: Path, open_file: _Open) -> tuple[Backup, list[str], list[Stated]]:
    with open_file(MANIFEST) as stream:
        text = stream.read()
    try:
        content: dict[str, Any] = json.loads(text)
        if content.pop("sha256") != digest(content):
            raise ValueError
        for found, expected in (("format", BACKUP_FORMAT), ("store_format", FORMAT)):
            if content[found] != expected:
                raise StoreError(
                    f"The backup {source} has {found.replace('_', ' ')} {content[found]}, and this "
                    f"version of Faultline reads {expected}; restore it with the version that made "
                    "it."
                )
        stated = [Stated(**file) for file in content["contents"]]
        folders = [str(name) for name in content["folders"]]
        summary = Backup(**{name: content[name] for name in Backup.__dataclass_fields__})
        if not all(map(_is_inside, (*folders, *(file.path for file in stated)))):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BackupDamaged.by(source / MANIFEST, "is damaged") from error
    return summary, folders, stated


def _is_inside(name: str) -> bool:
    """Whether a path leads to a place in the store."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts
