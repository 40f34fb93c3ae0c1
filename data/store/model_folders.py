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
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data.store.durability import replacing, sync, tree
from data.store.log_damage import CHANGED
from data.store.parquet import known_checksum

# The folder in a store that holds its label model (`labels.generated.store`).
LABEL_MODELS = "label_models"
# What the figures of a model are against (`metrics.json`), if people gave the labels.
GOLD = "gold"
# Whether people's verdicts say how many turns fail (`level` in `metrics.json`), or nothing does.
LEVEL_KNOWN, LEVEL_ASSUMED = "verdicts", "assumed"
# Beside a model's files: their sizes and checksums.
MANIFEST = "files.json"
# When it was last trained, as other machines and restored backups have other times of modification.
TRAINED = "trained.json"
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
# What a model's files have become since turns were deleted from them: id, file, bytes, crc32.
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
    return content_id(folder) in (model_id, *(noted["id"] for noted in _amendments(folder)))


def amend(folder: Path, name: str, draft: Path) -> None:
    """Replace the file `name` of a model by `draft`; the model stays the same.

    What it will be is noted first: whenever the process ends, the files are known.
    """
    sync([draft])
    changed = {"id": content_id(folder, {name: draft}), "file": name, **_stated(draft)}
    with replacing(folder / _AMENDED) as note:
        note.write_text(json.dumps([*_amendments(folder), changed], indent=1) + "\n", "utf-8")
    os.replace(draft, folder / name)
    sync([folder])


def _amendments(folder: Path) -> list[dict[str, Any]]:
    try:
        return list(json.loads((folder / _AMENDED).read_text("utf-8")))
    except FileNotFoundError:
        return []


def _stated(path: Path) -> dict[str, Any]:
    """Size and CRC-32 of a file, as a manifest states them."""
    return {"bytes": path.stat().st_size, "crc32": known_checksum(path)}


def learned_from_people(models: Path, model_id: str) -> bool:
    """Whether a model was fitted to labels of people, and not only to what users' behaviour says.

    What it gives is otherwise marked as unchecked wherever it is shown or exported. Of a model
    without figures, which an earlier version saved, nothing else is known; figures that cannot be
    read vouch for nothing.
    """
    try:
        figures = json.loads((models / model_id / "metrics.json").read_text("utf-8"))
        return bool(figures.get("against", GOLD) == GOLD)
    except FileNotFoundError:
        return True
    except (OSError, ValueError, AttributeError):
        return False


def level_is_assumed(models: Path, model_id: str) -> bool:
    """Whether a model learned from people's verdicts, but not from them how many turns fail."""
    try:
        figures = json.loads((models / model_id / "metrics.json").read_text("utf-8"))
        return bool(figures.get("level") == LEVEL_ASSUMED and figures.get("against") == GOLD)
    except (OSError, ValueError, AttributeError):
        return False


def model_ids(models: Path) -> list[str]:
    """The ids of the models under `models`, sorted, without drafts (which begin with a dot)."""
    folders = (path for path in models.glob("*") if path.is_dir())
    return sorted(path.name for path in folders if not path.name.startswith("."))


def settle(
    draft: Path,
    models: Path,
    model_id: str,
    damage: Callable[[Path, str], tuple[Path, str] | None],
) -> None:
    """Give a complete draft of a model its name, on disk for good.

    A whole model of that name stays, with the time of now; a damaged one is replaced. `damage` says
    of a model what is wrong with it, see `model_damage`.
    """
    now = json.dumps({"at": datetime.now(UTC).isoformat()}) + "\n"
    (draft / TRAINED).write_text(now, "utf-8")
    # Before it gets its name: who finds a model there may promote it.
    sync(tree(draft))
    final = models / model_id
    if final.exists() and damage(models, model_id):
        # Trained again, a damaged model has the same id.
        os.replace(final, draft.with_name("damaged"))
    try:
        # `faultline vacuum` goes by its time.
        with replacing(final / TRAINED) as note:
            note.write_text(now, "utf-8")
    except FileNotFoundError:
        try:
            os.replace(draft, final)
        except OSError:
            # Another process was quicker; its model is as good.
            if not final.exists():
                raise
    sync([final, models])


def trained_at(folder: Path) -> float:
    """When a model was last trained, in seconds since 1970; infinite if it is gone.

    That of a model of an earlier version is when its folder was last changed on this machine.
    """
    try:
        stated = json.loads((folder / TRAINED).read_text("utf-8"))["at"]
        return datetime.fromisoformat(stated).timestamp()
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return _modified_at(folder)


def write_manifest(folder: Path, names: Iterable[str]) -> None:
    """Write down size and CRC-32 of the files in a model's folder that never change."""
    files = {name: _stated(folder / name) for name in names if (folder / name).exists()}
    (folder / MANIFEST).write_text(json.dumps(files, indent=1) + "\n", "utf-8")


def model_damage(models: Path, model_id: str) -> tuple[Path, str] | None:
    """The first damaged file of a model and what is wrong with it; None if there is none.

    Of a model without a manifest, which an earlier version saved, only the folder is looked for.
    """
    folder = models / model_id
    if not folder.is_dir():
        return folder, "is missing"
    manifest = folder / MANIFEST
    try:
        files = json.loads(manifest.read_text("utf-8"))
        amended = _amendments(folder)
        for name, stated in files.items():
            path = folder / name
            if not path.exists():
                return path, "is missing"
            found = _stated(path)
            # Notes are read again: a deletion may have changed the file since.
            if found == stated or any(
                noted["file"] == name and found.items() <= noted.items()
                for notes in (amended, _amendments(folder))
                for noted in notes
            ):
                continue
            if not found["bytes"]:
                return path, "is empty"
            if found["bytes"] != stated["bytes"]:
                return path, "is cut short or has changed"
            return path, CHANGED
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        return manifest, "is damaged"
    return None


def remove_models(models: Path, keep: Set[str], before: float, staging: Path) -> Removal:
    """Remove the models that are not in `keep` and were last trained before `before`.

    `before` is in seconds since 1970. Folders are moved into `staging`, which the caller deletes,
    so readers never see half a model. Drafts left behind by killed trainings are removed as well.
    """
    old = [name for name in model_ids(models) if name not in keep]
    old = [name for name in old if trained_at(models / name) < before]
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
        # A draft that has just become a model, or what a vacuum has just removed.
        return math.inf
