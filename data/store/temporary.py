"""Folders in the making: private to one process, and removed by others when it has died.

Beside a folder lies a lock file that its process holds as long as it lives; the system lets go of
it however the process ends, so a number of a process that is used again cannot mislead.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout


class DraftTaken(Exception):
    """Another process is at work in the folder."""


@contextmanager
def draft(folder: Path) -> Iterator[Path]:
    """`folder`, new and empty, for this process alone; it is gone at the end.

    What a killed process left there is removed first. Raises `DraftTaken` if another process that
    lives has it, and OSError if it cannot be made.
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
        # Also what an interrupt left that came while the lock was being taken.
        if lock.is_locked or fresh:
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def clear(parent: Path, prefix: str = "") -> None:
    """Remove the drafts in `parent`, named `prefix…`, whose processes have died."""
    for path in parent.glob(f"{prefix}*.lock"):
        # In a folder for temporary files there are other people's, too.
        with suppress(Timeout, OSError):
            if path.lstat().st_uid == os.getuid():
                with FileLock(path, timeout=0):
                    shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                    path.unlink(missing_ok=True)


@contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """A draft among the temporary files; those of dead processes with this prefix go first."""
    parent = Path(tempfile.gettempdir())
    clear(parent, prefix)
    with draft(parent / f"{prefix}{uuid.uuid4().hex}") as folder:
        folder.chmod(0o700)
        yield folder
