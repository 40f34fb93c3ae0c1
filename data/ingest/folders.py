"""The log files in a folder: which are read, and which are passed over, and why."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from data.ingest.magic import REFUSED

_LINES = (".jsonl", ".ndjson", ".json")
_PACKED = (".gz", ".zst", *REFUSED)
# Names that other systems give to their logs; an archive's object often has no ending at all.
_OTHER = (".log", ".txt", ".pb", ".bin", ".csv", ".tsv", "")


class Skipped(NamedTuple):
    """A path that was passed over in a folder, and why; `unread` if it could not be read."""

    path: Path
    reason: str
    unread: bool = False


def format_of(path: Path) -> str | None:
    """The format of a file by its name; None if it is no log's."""
    name = path.name.lower()
    if name.endswith(".parquet"):
        return "parquet"
    for packed in _PACKED:
        name = name.removesuffix(packed)
    return "jsonl" if name.endswith(_LINES) else None


def is_table(path: Path) -> bool:
    """Whether a file's name says that it is a table, whose columns a mapping explains."""
    name = path.name.lower()
    for packed in (".gz", ".zst"):
        name = name.removesuffix(packed)
    return name.endswith((".csv", ".tsv", ".parquet"))


def may_be_log(path: Path) -> bool:
    """Whether a file's name allows that it is another system's log, as its content then says."""
    name = path.name.lower()
    for packed in (".gz", ".zst"):
        name = name.removesuffix(packed)
    return Path(name).suffix in _OTHER or name != path.name.lower()


def log_files(folder: Path) -> tuple[list[Path], list[Skipped]]:
    """The log files below a folder, and what was passed over, both sorted.

    Hidden files and the files of a store are none. Hidden is, as in Spark and Hive, what begins
    with a dot or an underscore, and all below it. Nor is what is not a regular file: a pipe would
    wait for its writer, and a device never ends. A link to a file of the folder stands for it; one
    that leads out of the folder, or nowhere, is passed over.
    """
    root = folder.resolve()
    skipped: list[Skipped] = []
    files: dict[Path, Path] = {}
    linked: list[Path] = []
    for path in _candidates(folder, skipped):
        if os.path.islink(path):
            target = _target(path)
            if target is None:
                skipped.append(Skipped(path, "a link that leads to itself"))
                continue
            if not target.is_relative_to(root):
                skipped.append(Skipped(path, "a link that leads out of the folder"))
                continue
            if target.is_dir():
                # What is in it has been found where it lies.
                continue
        try:
            kind = _kind(path.stat().st_mode)
        except FileNotFoundError:
            skipped.append(Skipped(path, "a link that leads nowhere"))
        except OSError as error:
            skipped.append(_unreadable(path, error))
        else:
            if kind:
                skipped.append(Skipped(path, kind))
            elif os.path.islink(path):
                linked.append(path)
            else:
                files[path.resolve()] = path
    for path in sorted(linked):
        # A name that says the format counts before one that does not.
        if format_of(files.setdefault(path.resolve(), path)) is None:
            files[path.resolve()] = path
    return sorted(files.values()), sorted(skipped)


def _kind(mode: int) -> str | None:
    """What is at a path that has this mode; None if it is a file of bytes."""
    if stat.S_ISREG(mode):
        return None
    if stat.S_ISFIFO(mode):
        return "a named pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


def _unreadable(path: Path, error: OSError) -> Skipped:
    return Skipped(path, f"it cannot be read ({error.strerror})", unread=True)


def _target(link: Path) -> Path | None:
    """Where a link leads; None if it leads in a circle."""
    try:
        return link.resolve()
    except (OSError, RuntimeError):
        return None


def _candidates(folder: Path, skipped: list[Skipped]) -> Iterator[Path]:
    """What is named as a log, and links to folders; nothing hidden, and nothing of a store."""

    def unreadable(error: OSError) -> None:
        skipped.append(_unreadable(Path(os.fsdecode(error.filename)), error))

    for where, folders, names in os.walk(folder, onerror=unreadable):
        here = Path(where)
        if "HEAD.json" in names:
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        yield from (here / name for name in folders if os.path.islink(here / name))
        files = (here / name for name in names if not name.startswith((".", "_")))
        # A link that leads nowhere may have led to a folder, whatever its name.
        yield from (
            path
            for path in files
            if format_of(path)
            or may_be_log(path)
            or (os.path.islink(path) and not os.path.exists(path))
        )
