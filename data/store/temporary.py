"""Draft folders: private to one process, and removed by other processes after it has died.

Next to each folder is a lock file that its process holds while it lives. The operating system
releases the lock however the process ends; a process id, in contrast, can be reused.

An `unfinished` folder outlives its process, so that the next one goes on with what is in it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from data.errors import machine_error

# Not ".lock": `clear` must not take what is kept for what was left behind.
_UNFINISHED, _HELD = "unfinished-", ".held"
# Beside a folder that is held and must not be gone on from, as turns have been deleted since.
_OUTDATED = ".outdated"
# How long unfinished work is of use to anybody.
KEPT_S = 7 * 86_400.0


class DraftTaken(Exception):
    """Another process is using the folder."""


@contextmanager
def draft(folder: Path) -> Iterator[Path]:
    """A new, empty `folder` for this process alone; it is removed at the end.

    Anything a killed process left there is removed first. Raises `DraftTaken` if a live process
    holds it, and OSError if it cannot be created.
    """
    lock = FileLock(folder.with_suffix(".lock"), timeout=0)
    fresh = not folder.with_suffix(".lock").exists()
    try:
        try:
            lock.acquire()
        except Timeout as error:
            fresh = False
            raise DraftTaken(str(folder)) from error
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        yield folder
    finally:
        if lock.is_locked:
            shutil.rmtree(folder, ignore_errors=True)
        # Also after an interrupt that came while the lock was being acquired.
        if lock.is_locked or fresh:
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


@contextmanager
def new_draft(parent: Path, prefix: str = "") -> Iterator[Path]:
    """A `draft` in `parent`, under a name that no other process uses.

    Only `clear` can be in its way, when it looks at a lock just made; another name is taken then.
    """
    with ExitStack() as stack:
        folder = None
        while folder is None:
            with suppress(DraftTaken):
                folder = stack.enter_context(draft(parent / f"{prefix}{uuid.uuid4().hex}"))
        yield folder


def clear(parent: Path, prefix: str = "") -> None:
    """Remove the drafts in `parent`, named `prefix…`, whose processes have died."""
    for path in parent.glob(f"{prefix}*.lock"):
        # The system's temporary folder also contains files of other users.
        with suppress(Timeout, OSError):
            if path.lstat().st_uid == os.getuid():
                with FileLock(path, timeout=0):
                    shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                    path.unlink(missing_ok=True)


@contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """A draft in the system's temporary folder; drafts of dead processes are removed first."""
    parent = Path(tempfile.gettempdir())
    clear(parent, prefix)
    with new_draft(parent, prefix) as folder:
        folder.chmod(0o700)
        yield folder


@contextmanager
def unfinished(parent: Path, name: str) -> Iterator[Path]:
    """The folder of some work in `parent`, for this process alone; removed if the body ends well.

    Otherwise, and if this process is killed, what is in it is there for the next one to go on with,
    or until `clear_unfinished`; but where the machine is at fault, such as a full disk, it goes.
    Raises `DraftTaken` if a live process holds it.
    """
    folder = parent / f"{_UNFINISHED}{name}"
    lock = FileLock(folder.with_name(folder.name + _HELD), timeout=0)
    outdated = folder.with_name(folder.name + _OUTDATED)
    try:
        lock.acquire()
    except Timeout as error:
        raise DraftTaken(str(folder)) from error
    try:
        if outdated.exists():
            _remove(folder, outdated)
        folder.mkdir(exist_ok=True)
        yield folder
        _remove(folder, lock.lock_file)
    except Exception as error:
        if machine_error(error, parent):
            # On a full disk, what is kept would be in the way of every further attempt.
            _remove(folder, lock.lock_file)
        raise
    finally:
        if outdated.exists():
            _remove(folder, lock.lock_file, outdated)
        lock.release()


def clear_unfinished(parent: Path, older_than_s: float = 0.0) -> None:
    """Remove the `unfinished` folders in `parent` to which nothing was added for so many seconds.

    Without an age, those that a process holds go, too, as soon as it has ended; if it is killed,
    with the next call whatever the age.
    """
    for held in parent.glob(f"{_UNFINISHED}*{_HELD}"):
        folder = held.with_name(held.name.removesuffix(_HELD))
        outdated = folder.with_name(folder.name + _OUTDATED)
        with suppress(OSError):
            try:
                with FileLock(held, timeout=0):
                    at = folder if folder.exists() else held
                    if outdated.exists() or time.time() - at.stat().st_mtime >= older_than_s:
                        _remove(folder, held, outdated)
            except Timeout:
                if not older_than_s:
                    outdated.touch()


def _remove(folder: Path, *files: str | Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for file in files:
        Path(file).unlink(missing_ok=True)
