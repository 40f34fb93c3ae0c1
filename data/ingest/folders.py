"""The log files in a folder: which are read, and which are passed over, and why."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from data.ingest.block import Format
from data.ingest.magic import REFUSED

_LINES = (".jsonl", ".ndjson", ".json")
_PACKED = (".gz", ".zst", *REFUSED)


class Skipped(NamedTuple):
    """A path that was passed over in a folder, and why."""

    path: Path
    reason: str


def format_of(path: Path) -> Format | None:
    """The format of a file by its name; None if it is no log's."""
    name = path.name.lower()
    if name.endswith(".parquet"):
        return "parquet"
    for packed in _PACKED:
        name = name.removesuffix(packed)
    return "jsonl" if name.endswith(_LINES) else None


def log_files(folder: Path) -> tuple[list[Path], list[Skipped]]:
    """The log files below a folder, and what was passed over, both sorted.

    Hidden files and the files of a store are none. Hidden is, as in Spark and Hive, what begins
    with a dot or an underscore, and all below it. Nor is what is not a regular file: a pipe would
    wait for its writer, and a device never ends. A link to a file of the folder stands for it; a
    link that leads out of the folder is passed over.
    """
    root = folder.resolve()
    skipped: list[Skipped] = []
    files: dict[Path, Path] = {}
    linked: list[Path] = []
    for path in _candidates(folder, skipped):
        if not path.is_symlink():
            if is_regular(path):
                files[path.resolve()] = path
        elif not path.resolve().is_relative_to(root):
            skipped.append(Skipped(path, "a link that leads out of the folder"))
        elif is_regular(path):
            linked.append(path)
    for path in sorted(linked):
        files.setdefault(path.resolve(), path)
    return sorted(files.values()), sorted(skipped)


def is_regular(path: Path) -> bool:
    """Whether it is a file of bytes, and no pipe, socket, device or folder."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def _candidates(folder: Path, skipped: list[Skipped]) -> Iterator[Path]:
    """What is named as a log, and links to folders; nothing hidden, and nothing of a store."""

    def unreadable(error: OSError) -> None:
        reason = f"cannot be read ({error.strerror})"
        skipped.append(Skipped(Path(os.fsdecode(error.filename)), reason))

    for where, folders, names in os.walk(folder, onerror=unreadable):
        here = Path(where)
        if "HEAD.json" in names:
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        yield from (here / name for name in folders if (here / name).is_symlink())
        files = (here / name for name in names if not name.startswith((".", "_")))
        yield from (path for path in files if format_of(path))
