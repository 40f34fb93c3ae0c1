"""The folders of the models: which there are, and which nobody needs any more.

What is inside a folder is the business of `classifiers.registry`.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

# A folder that is being written begins so; it gets its name when it is whole.
DRAFT = ".draft-"
# Nobody writes at a draft for so long.
_DEAD_S = 24 * 3600


@dataclass(frozen=True)
class Removal:
    """Model folders taken out of a store: the ids of the models, and what their files come to."""

    models: tuple[str, ...] = ()
    files: int = 0
    bytes: int = 0


def model_ids(models: Path) -> list[str]:
    """The models under `models`, sorted; of drafts, which begin with a dot, none."""
    folders = (path for path in models.glob("*") if path.is_dir())
    return sorted(path.name for path in folders if not path.name.startswith("."))


def remove_models(models: Path, keep: Set[str], before: float, staging: Path) -> Removal:
    """Take out the models that are not among `keep` and were last trained before `before`.

    `before` is in seconds since 1970. Folders are moved into `staging`, which the caller deletes:
    nobody ever sees half a model. Drafts that a killed training left behind go as well.
    """
    old = [name for name in model_ids(models) if name not in keep]
    old = [name for name in old if _touched(models / name) < before]
    dead = time.time() - _DEAD_S
    drafts = [path.name for path in models.glob(f"{DRAFT}*") if _touched(path) < dead]
    files = size = 0
    for name in (*old, *drafts):
        for path in (models / name).rglob("*"):
            if path.is_file():
                files += 1
                size += path.stat().st_size
        shutil.move(models / name, staging / name)
    return Removal(tuple(old), files, size)


def _touched(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        # A draft that has just become a model.
        return math.inf
