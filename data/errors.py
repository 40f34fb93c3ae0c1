"""Every error that a user can cause, as one tree.

A message says what was given, what was expected and what to do next. The command line prints it as
one sentence and exits with `exit_code`; nothing in this tree is ever shown as a traceback.
"""

from __future__ import annotations

import errno
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from data.addresses import readable


class FaultlineError(Exception):
    """Base of every error that Faultline raises on purpose."""

    exit_code = 1

    def __str__(self) -> str:
        return readable(super().__str__())


class UsageError(FaultlineError):
    """The request itself is wrong: an unknown column, a bad filter, an impossible path."""

    exit_code = 2


class NotPermitted(FaultlineError):
    """Somebody's role, or the limits of it, do not allow what they asked for."""


class StoreError(FaultlineError):
    """The store is missing, damaged, or not a store."""


class StoreMissing(StoreError):
    """There is no store at the path given."""


class StoreDamaged(StoreError):
    """A file that the store's newest version needs is missing, cut short or changed."""

    @classmethod
    def by(cls, root: Path, path: Path, what: str) -> StoreDamaged:
        """The error for one damaged file; `what` says what is wrong with it: "is empty"."""
        return cls(
            f"{path} {what}, so the store is damaged; see what a repair would cost with: faultline "
            f"doctor --store {shlex.quote(str(root))} (and repair it with --repair)."
        )


class BackupDamaged(StoreError):
    """A file of a backup is missing, cut short or changed."""

    @classmethod
    def by(cls, path: Path, what: str) -> BackupDamaged:
        """The error for one damaged file; `what` says what is wrong with it: "is missing"."""
        return cls(
            f"{_name(path)} {what}, so the backup is damaged and nothing was restored; use another "
            "backup."
        )


class StoreBusy(StoreError):
    """Another process has been writing for longer than the caller waits."""


class HeadMoved(StoreBusy):
    """Another machine has written to a store in an object store since this one read it.

    `data.store.rerun.rerun` does the work again.
    """

    @classmethod
    def at(cls, root: Path) -> HeadMoved:
        """The error for a store."""
        return cls(
            f"Other machines have written to {root} meanwhile; nothing was recorded, try again in "
            "a moment."
        )


class ObjectStoreError(StoreError):
    """An object store cannot be reached, lets nobody in, or cannot do what a store needs."""


class VersionGone(StoreError):
    """The requested version never existed or has been vacuumed."""

    @classmethod
    def vacuumed(cls, version: str) -> VersionGone:
        """The error for a version whose files have been deleted."""
        return cls(f"Version {version} has been vacuumed; open the latest version instead.")


class IngestError(FaultlineError):
    """An input cannot be read as traces at all."""


class NoTurns(IngestError):
    """The logs of another system can be read, but tell of no turns."""


class PrivacyError(FaultlineError):
    """What a store redacts is not known, or the key for its users is missing or another one."""


class MappingError(IngestError):
    """The mapping file of a table is missing or wrong; the message names the key."""


class CollectError(FaultlineError):
    """A system that turns are collected from lets nobody in, or cannot answer."""


class TicketError(FaultlineError):
    """An issue tracker cannot be reached, lets nobody in, or refuses what it was asked."""


class AlertError(FaultlineError):
    """A channel of alerts cannot be reached, lets nobody in, or refuses what it was sent."""


class AlertUnsure(AlertError):
    """The connection was lost when a message may have been taken."""


class TicketMissing(TicketError):
    """A tracker has no such ticket, or does not show it with this token."""


# Files that an error lists one by one.
_FILES_NAMED = 5


class TurnConflict(IngestError):
    """Records have the id of another turn, and nothing is to be stored then."""

    @classmethod
    def of(cls, files: Mapping[str, int], turn_id: str | None) -> TurnConflict:
        """The error for so many records of each file, the first of them with this id."""
        names = list(files)
        places = [f"{files[name]:,} in {name}" for name in names[:_FILES_NAMED]]
        if more := sum(files[name] for name in names[_FILES_NAMED:]):
            places.append(f"{more:,} in {len(names) - _FILES_NAMED:,} more")
        total = sum(files.values())
        first = ""
        if turn_id is not None:
            first = f", '{turn_id[:80]}'" if total == 1 else f", the first one '{turn_id[:80]}'"
        subject = "1 record has" if total == 1 else f"{total:,} records have"
        where = f"{names[0]}: " if len(names) == 1 else ""
        each = "" if len(names) == 1 else f" ({'; '.join(places)})"
        return cls(
            f"{where}{subject} the id of another turn{first}{each}; nothing was stored. Make the "
            "ids unique, or choose --on-conflict keep or replace."
        )


class ModelError(FaultlineError):
    """A model is missing, damaged, or does not fit the data."""


class RewriteIndexMissing(FaultlineError):
    """There is no index of rewrites at the path given."""

    @classmethod
    def at(cls, folder: Path) -> RewriteIndexMissing:
        """The error for a folder without an index."""
        return cls(
            f"There is no index of rewrites at {_name(folder)}; build one with: "
            "faultline rewrites index --store STORE"
        )


class RewriteIndexDamaged(FaultlineError):
    """A file of an index of rewrites is missing, cut short, changed, or of another version."""

    @classmethod
    def by(cls, path: Path, what: str) -> RewriteIndexDamaged:
        """The error for one file or folder; `what` says what is wrong with it: "is missing"."""
        return cls(
            f"{_name(path)} {what}, so the index of rewrites cannot be used; build it again with: "
            "faultline rewrites index --store STORE"
        )


class NotInstalled(FaultlineError):
    """An optional package or a program that the request needs is not installed."""


class TextFileError(FaultlineError):
    """A file of phrases or words cannot be read; the message names the file and the line."""


class NotEnoughLabels(ModelError):
    """There are too few labelled turns to train or evaluate."""


class WorkerLost(FaultlineError):
    """A process that did part of the work was killed."""


class ClusterError(FaultlineError):
    """There is no usable cluster at an address, or one of its nodes cannot do this work."""


# -- what the machine refuses ----------------------------------------------------------------------


class MachineError(FaultlineError):
    """The machine cannot do what was asked: a disk, permissions or limits are in the way."""


class DiskFull(MachineError):
    """A disk, or the share of it that one user may fill, is full."""


class NotAllowed(MachineError):
    """A file or folder may not be read or written, or lies on a disk mounted to be read only."""


class TooManyOpenFiles(MachineError):
    """The process, or the machine, may not open another file."""


# How libraries word what Python has a number for; DuckDB and Delta Lake raise their own exceptions.
_WORDED = (
    (errno.ENOSPC, r"no space left on device|os error 28\b|errno 28\b|disk full"),
    (errno.ENOSPC, r"max_temp_directory_size|failed to offload data block|could not write all"),
    (errno.EDQUOT, r"disk quota exceeded|os error 122\b|errno 122\b"),
    (errno.EFBIG, r"file too large|os error 27\b|errno 27\b"),
    (errno.EROFS, r"read-only file system|os error 30\b|errno 30\b"),
    (errno.EMFILE, r"too many open files|os error 24\b|errno 24\b"),
    (errno.ENFILE, r"os error 23\b|errno 23\b"),
    (errno.EACCES, r"permission denied|operation not permitted|os error 13\b|errno 13\b"),
)
# The error about the files of a failure (may be none), and the places that the work writes to.
_Sentence = Callable[[Sequence[Path], Sequence[Path | str]], MachineError]
_QUOTED = re.compile(r"""["'`](/[^"'`\n]+)["'`]|\bpath: (/[^,\s]+)""")


def machine_error(error: BaseException, *places: Path | str) -> MachineError | None:
    """The true cause of an error, in one sentence, if the machine is at fault; None otherwise.

    `places` are the folders or files that the work writes to; of those, and of the temporary
    folder, the one with the least space is named where the error does not say which it was.
    """
    for cause in _chain(error):
        if isinstance(cause, MachineError):
            return cause
        # A person's mistake that was found because of an error, such as a file that is missing.
        number = cause.errno if isinstance(cause, OSError) else None
        if number not in _SENTENCES:
            number = _number_of(str(cause)) if isinstance(cause, Exception) else None
        if number in _SENTENCES:
            return _SENTENCES[number](_paths_of(cause), places)
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what caused it, the first cause last."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _number_of(text: str) -> int | None:
    lower = text.lower()
    return next((number for number, pattern in _WORDED if re.search(pattern, lower)), None)


def _paths_of(error: BaseException) -> list[Path]:
    """The files that an error is about: of a copy, its source and where it goes."""
    if isinstance(error, OSError):
        names = [
            name for name in (error.filename, error.filename2) if isinstance(name, str | bytes)
        ]
        if names:
            return [Path(os.fsdecode(name)) for name in names]
    quoted = _QUOTED.search(str(error))
    return [Path(quoted[1] or quoted[2])] if quoted else []


def _disk(paths: Sequence[Path], places: Sequence[Path | str]) -> tuple[Path, int]:
    """A folder of the disk that is meant, and the bytes that are free there."""
    candidates = paths or [*map(Path, places), Path(tempfile.gettempdir())]
    folders = [
        next(f for f in (place.absolute(), *place.absolute().parents) if f.is_dir())
        for place in candidates
    ]
    return min(((f, shutil.disk_usage(f).free) for f in folders), key=lambda pair: pair[1])


def _of_disk(kind: type[MachineError], text: str) -> _Sentence:
    """The error about a disk; in `text` are `{folder}`, one on it, and `{free}`, the MB left."""

    def sentence(paths: Sequence[Path], places: Sequence[Path | str]) -> MachineError:
        folder, free = _disk(paths, places)
        return kind(text.format(folder=_name(folder), free=free / 1e6))

    return sentence


def _denied(paths: Sequence[Path], places: Sequence[Path | str]) -> MachineError:
    what = " or ".join(_name(Path(path)) for path in (paths[-1:] or places)) or "a file"
    return NotAllowed(
        f"You may not read or write {what} (permission denied); change its permissions, or give "
        "another path."
    )


def _many_files(_: Sequence[Path], __: Sequence[Path | str]) -> MachineError:
    return TooManyOpenFiles(
        "Too many files are open at once; raise the limit (ulimit -n 4096), or merge the store's "
        "files with: faultline compact"
    )


def _name(path: Path) -> str:
    return str(path).encode("utf-8", "backslashreplace").decode()


_SENTENCES: dict[int | None, _Sentence] = {
    errno.ENOSPC: _of_disk(
        DiskFull,
        "The disk that holds {folder} is full: {free:,.1f} MB are free now, which was not enough; "
        "free some space there and run it again.",
    ),
    errno.EDQUOT: _of_disk(
        DiskFull,
        "Your share of the disk that holds {folder} is used up; free some of it, or ask for more, "
        "and run it again.",
    ),
    errno.EFBIG: _of_disk(
        DiskFull,
        "A file in {folder} would be larger than this machine allows; raise the limit (ulimit -f), "
        "or use another disk, and run it again.",
    ),
    errno.EROFS: _of_disk(
        NotAllowed,
        "The disk that holds {folder} is mounted read-only; mount it for writing, or give another "
        "folder.",
    ),
    errno.EACCES: _denied,
    errno.EPERM: _denied,
    errno.EMFILE: _many_files,
    errno.ENFILE: _many_files,
}
