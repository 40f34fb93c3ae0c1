"""The index of rewrites on disk: whole generations, one of which a small file names.

    rewrite-index/
      current.json          format, generation, and size and CRC-32 of its files
      generation-<random>/  the files
      .lock                 held while a generation is named and old ones are removed
      .draft-<random>/      being written; removed when it is a day old

A reader sees one generation or the next, never a mixture; a killed build leaves the last one.
"""

from __future__ import annotations

import json
import shutil
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock

from data.errors import RewriteIndexDamaged, RewriteIndexMissing, machine_error
from data.store.durability import replacing, sync, tree
from data.store.turn_deletion import REWRITE_INDEX

FORMAT = 1
CURRENT = "current.json"
_DRAFT, _GENERATION = ".draft-", "generation-"
_DEAD_S = 24 * 3600.0
_BLOCK = 1 << 20
# How long reading begins anew because the generation that was being read has been replaced.
_PATIENCE_S = 60.0
# How often one generation may be missing.
_LOST = 5

T = TypeVar("T")


def of_store(store: Path) -> Path:
    """The index folder of a store. Not `rewrites`, which is a table's."""
    return store / REWRITE_INDEX


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """For as long as this process, and no other one, changes the index."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        yield


def publish(folder: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a new generation, and make it the current one at once.

    Of two that publish at the same time, the last to end counts. Raises `MachineError` if the disk
    is full or may not be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f"{_DRAFT}{uuid.uuid4().hex[:12]}"
        draft.mkdir()
        try:
            write(draft)
            stated = {path.name: _stated(path) for path in sorted(draft.iterdir())}
            sync(tree(draft))
            with locked(folder):
                name = f"{_GENERATION}{uuid.uuid4().hex[:12]}"
                draft.rename(folder / name)
                sync([folder])
                content = {"format": FORMAT, "generation": name, "files": stated}
                with replacing(folder / CURRENT) as path:
                    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
                _tidy(folder, name)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise machine_error(error, folder) or error from error


def read(folder: Path, load: Callable[[Path], T]) -> T:
    """What `load` makes of the current generation, whose files are checked before.

    Raises `RewriteIndexMissing` and `RewriteIndexDamaged`.
    """
    until = time.monotonic() + _PATIENCE_S
    missing: list[Path] = []
    while time.monotonic() < until:
        generation, stated = _current(folder)
        if not generation.is_dir():
            # Replaced since, or lost: then it is named again and again.
            missing.append(generation)
            if missing.count(generation) < _LOST:
                time.sleep(0.05)
                continue
            raise RewriteIndexDamaged.by(generation, "is missing")
        try:
            for name, expected in stated.items():
                path = generation / name
                if not path.exists():
                    raise RewriteIndexDamaged.by(path, "is missing")
                if _stated(path) != expected:
                    raise RewriteIndexDamaged.by(path, "is cut short or has changed")
            return load(generation)
        except RewriteIndexDamaged:
            if _current(folder)[0] == generation:
                raise
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            if _current(folder)[0] == generation:
                if problem := machine_error(error, folder):
                    raise problem from error
                raise RewriteIndexDamaged.by(generation, "cannot be read") from error
    raise RewriteIndexDamaged.by(folder, "is replaced all the time")


def version(folder: Path) -> str | None:
    """The name of the current generation; None if there is none, or it cannot be told."""
    try:
        return str(json.loads((folder / CURRENT).read_text("utf-8"))["generation"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _current(folder: Path) -> tuple[Path, dict[str, Any]]:
    path = folder / CURRENT
    try:
        content = json.loads(path.read_text("utf-8"))
        found, name, files = content["format"], str(content["generation"]), dict(content["files"])
    except FileNotFoundError as error:
        raise RewriteIndexMissing.at(folder) from error
    except (ValueError, KeyError, TypeError) as error:
        raise RewriteIndexDamaged.by(path, "is damaged") from error
    except OSError as error:
        raise machine_error(error, folder) or error from error
    if found != FORMAT:
        raise RewriteIndexDamaged.by(
            folder, f"has format {found}, and this version of Faultline reads {FORMAT}"
        )
    if Path(name).name != name or any(Path(file).name != file for file in files):
        raise RewriteIndexDamaged.by(path, "names files outside its folder")
    return folder / name, files


def _stated(path: Path) -> dict[str, int]:
    crc = size = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            crc, size = zlib.crc32(block, crc), size + len(block)
    return {"bytes": size, "crc32": crc}


def _tidy(folder: Path, keep: str) -> None:
    """Remove other generations, and drafts that a killed process has left.

    Whoever has opened a generation has read it, or reads the next one instead.
    """
    cutoff = time.time() - _DEAD_S
    for path in folder.iterdir():
        old = path.name.startswith(_GENERATION) and path.name != keep
        dead = path.name.startswith(_DRAFT) and path.stat().st_mtime < cutoff
        if old or dead:
            shutil.rmtree(path, ignore_errors=True)
