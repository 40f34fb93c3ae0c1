"""The model folders of a store: listing them, and removing those that are no longer needed.

Their contents are the concern of `classifiers.registry`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path

# Prefix of a folder that is being written; it is renamed when it is complete.
DRAFT = ".draft-"
# A draft not written to for this long was left behind by a killed training.
_DEAD_S = 24 * 3600


@dataclass(frozen=True)
class Removal:
    """Model folders taken out of a store: ids of the models, number and size of all the files."""

    models: tuple[str, ...] = ()
    files: int = 0
    bytes: int = 0


# The files that scoring reads. A model's id is a hash of them.
SCORING = (
    "model.json",
    "booster.txt",
    "heads.npz",
    "held_out.parquet",
    "encoder.onnx",
    "tokenizer.json",
)
# The ids that a model's files have had since turns were deleted from them.
_AMENDED = "amended.json"


def content_id(folder: Path, instead: Mapping[str, Path] | None = None) -> str:
    """The id of the files in a model's folder; `instead` names files that will replace some."""
    digest = hashlib.sha256()
    for name in SCORING:
        path = (instead or {}).get(name, folder / name)
        if path.exists():
            digest.update(name.encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"m-{digest.hexdigest()[:12]}"


def is_unchanged(folder: Path, model_id: str) -> bool:
    """Whether a model's files are those of its training, but for turns deleted from them."""
    return content_id(folder) in (model_id, *_amendments(folder))


def amend(folder: Path, name: str, draft: Path) -> None:
    """Note that `draft` will replace the file `name` of a model, which stays the same model.

    To be called before it is replaced: whenever the process ends, the files have a known id.
    """
    ids = [*_amendments(folder), content_id(folder, {name: draft})]
    note = folder / f".{_AMENDED}"
    note.write_text(json.dumps(ids), "utf-8")
    os.replace(note, folder / _AMENDED)


def _amendments(folder: Path) -> list[str]:
    try:
        ids = json.loads((folder / _AMENDED).read_text("utf-8"))
    except FileNotFoundError:
        return []
    return [str(name) for name in ids] if isinstance(ids, list) else []


def model_ids(models: Path) -> list[str]:
    """The ids of the models under `models`, sorted, without drafts (which begin with a dot)."""
    folders = (path for path in models.glob("*") if path.is_dir())
    return sorted(path.name for path in folders if not path.name.startswith("."))


def remove_models(models: Path, keep: Set[str], before: float, staging: Path) -> Removal:
    """Remove the models that are not in `keep` and were last trained before `before`.

    `before` is in seconds since 1970. Folders are moved into `staging`, which the caller deletes,
    so readers never see half a model. Drafts left behind by killed trainings are removed as well.
    """
    old = [name for name in model_ids(models) if name not in keep]
    old = [name for name in old if _modified_at(models / name) < before]
    draft_cutoff = time.time() - _DEAD_S
    drafts = [path.name for path in models.glob(f"{DRAFT}*") if _modified_at(path) < draft_cutoff]
    files = size = 0
    for name in (*old, *drafts):
        for path in (models / name).rglob("*"):
            if path.is_file():
                files += 1
                size += path.stat().st_size
        shutil.move(models / name, staging / name)
    return Removal(tuple(old), files, size)


def _modified_at(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        # A draft that has just become a model.
        return math.inf
