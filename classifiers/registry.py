"""Models on disk: ``models/<id>/`` holds everything that scoring needs, figures and a card.

    model.json       settings, classes, columns, vocabulary, calibration, decision weights
    booster.txt      LightGBM
    heads.npz        text heads, witness
    held_out.parquet out-of-fold probabilities of the training turns
    encoder.onnx, tokenizer.json
    metrics.json     out-of-fold figures
    shap.npz         explanations of a sample of turns
    learning.json    learning curve, if one was computed
    evaluation.json  cross-validation and forward split, if they were computed
    MODEL_CARD.md    model card
    reference.parquet  percentiles of the features among correct turns
    trained.json     when it was last trained
    files.json       sizes and checksums of the files that scoring reads, and of metrics.json
    amended.json     ids of the files since turns were deleted from them, if any were

The id is a hash of the files that scoring reads: the same training gives the same id.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np

from classifiers.calibration import Calibration
from classifiers.encoder import Encoder
from classifiers.lexical_heads import LexicalHead
from classifiers.model import Model
from classifiers.model_card import Facts, card
from classifiers.out_of_fold import HeldOut
from classifiers.reference_values import FILE
from classifiers.settings import Settings
from classifiers.text_heads import LinearHead, TextHeads
from classifiers.witness import files as witness_files
from classifiers.witness.parts import PARTS
from data.errors import ModelError, machine_error
from data.store.durability import replacing, sync
from data.store.model_folders import (
    DRAFT,
    SCORING,
    content_id,
    is_unchanged,
    model_damage,
    model_ids,
    settle,
    write_manifest,
)
from features.categories import Vocabulary

# Files that scoring does not read: they are shown in the dashboard.
EXPLAINED = "shap.npz"
LEARNING = "learning.json"
EVALUATION = "evaluation.json"
CARD = "MODEL_CARD.md"


def save(model: Model, encoder_folder: Path | None, models: Path) -> str:
    """Write `model` under `models`, on disk for good, and return its id.

    A whole model with that id is not overwritten.
    """
    models.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=models, prefix=DRAFT) as scratch:
        draft = Path(scratch) / "model"
        draft.mkdir()
        _write(model, encoder_folder, draft)
        model.id = content_id(draft)
        (draft / "metrics.json").write_text(json.dumps(model.metrics, indent=1), "utf-8")
        (draft / CARD).write_text(card(model), "utf-8")
        if model.reference:
            model.reference.write(draft)
        write_manifest(draft, (*SCORING, "metrics.json"))
        settle(draft, models, model.id, damage)
        final = models / model.id
        if model.reference and not (final / FILE).exists():
            # A model saved by an earlier version has no reference values.
            os.replace(draft / FILE, final / FILE)
            sync([final])
    return model.id


def read_result(path: Path, keys: Iterable[str]) -> dict[str, Any] | None:
    """What was worked out later and stored beside a model, an object with `keys`; None if there is
    no such file.

    Raises `ModelError` if it is damaged.
    """
    try:
        result: dict[str, Any] = json.loads(path.read_text("utf-8"))
        for key in keys:
            result[key]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"The file {path} is damaged ({error}); delete it.") from error
    return result


def write_card(models: Path, model_id: str, evaluation: Mapping[str, Any]) -> None:
    """Write a model's card anew, with the evaluation that is stored beside it.

    Raises `ModelError` if the model is missing or damaged.
    """
    folder = _whole(models, model_id)
    with _damage_as_model_error(models, model_id):
        facts = _facts(folder, _content(folder))
    text = card(facts, evaluation)
    with replacing(folder / CARD) as draft:
        draft.write_text(text, "utf-8")


def damage(models: Path, model_id: str) -> tuple[Path, str] | None:
    """The first damaged file of a model and what is wrong with it; None if the model is whole.

    Finds out as well whether the files are those that the id was made of.
    """
    found = model_damage(models, model_id)
    folder = models / model_id
    if found or not (folder / "model.json").exists():
        return found
    if re.fullmatch(r"m-[0-9a-f]{12}", model_id) and not is_unchanged(folder, model_id):
        return folder, "is not as it was saved"
    return None


def load_settings(models: Path, model_id: str) -> Settings:
    """The settings of `model_id`, without loading the model.

    Raises `ModelError` if it is missing or damaged.
    """
    folder = folder_of(models, model_id)
    with _damage_as_model_error(models, model_id):
        return Settings.from_json(_content(folder)["settings"])


def load(models: Path, model_id: str, threads: int = 0) -> Model:
    """The model `model_id`, its encoder on so many threads (0: one per core).

    Raises `ModelError` if it is missing or damaged.
    """
    folder = _whole(models, model_id)
    with _damage_as_model_error(models, model_id):
        content = _content(folder)
        facts = _facts(folder, content)
        with np.load(folder / "heads.npz") as arrays:
            heads = _read_heads(arrays, content["heads"])
            # A model saved by an earlier version has no witness.
            witness = witness_files.read(content.get("witness"), arrays)
        return Model(
            facts.settings,
            facts.classes,
            facts.columns,
            Vocabulary(**content["vocabulary"]),
            heads,
            Encoder(folder, threads) if heads else None,
            lgb.Booster(model_file=str(folder / "booster.txt")),
            Calibration(*(np.array(v) for v in content["calibration"])),
            facts.weights,
            facts.metrics,
            model_id,
            HeldOut.read(folder / "held_out.parquet"),
            witness=witness,
        )


def _content(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "model.json").read_text("utf-8"))
    return content


def _facts(folder: Path, content: dict[str, Any]) -> Facts:
    return Facts(
        folder.name,
        Settings.from_json(content["settings"]),
        tuple(content["classes"]),
        tuple(content["columns"]),
        np.array(content["weights"]),
        json.loads((folder / "metrics.json").read_text("utf-8")),
    )


def _whole(models: Path, model_id: str) -> Path:
    """The folder of `model_id`; raises `ModelError` if it is missing or damaged."""
    folder = folder_of(models, model_id)
    if found := damage(models, model_id):
        raise _damaged(models, model_id, " ".join(map(str, found)))
    return folder


def folder_of(models: Path, model_id: str) -> Path:
    """The folder of `model_id`; raises `ModelError` if there is none."""
    folder = models / model_id
    if not model_id or Path(model_id).name != model_id or not folder.is_dir():
        others = model_ids(models)
        raise ModelError(
            f"There is no model {model_id!r} in {models}; there are: "
            f"{', '.join(others) or 'none'}. Train one with: faultline train"
        )
    return folder


@contextmanager
def _damage_as_model_error(models: Path, model_id: str) -> Iterator[None]:
    """Raise `ModelError`, in one sentence, for whatever error a damaged file causes."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, lgb.basic.LightGBMError) as error:
        raise machine_error(error, models) or _damaged(models, model_id, str(error)) from error


def _damaged(models: Path, model_id: str, reason: str) -> ModelError:
    store = shlex.quote(str(models.parent))
    return ModelError(
        f"The model {model_id} in {models} is damaged ({reason}); run faultline doctor --repair "
        f"--store {shlex.quote(str(store))}, then train it again."
    )


def _write(model: Model, encoder_folder: Path | None, folder: Path) -> None:
    content = {
        "format": 1,
        "settings": model.settings.to_json(),
        "classes": model.classes,
        "columns": model.columns,
        "vocabulary": {
            "values": dict(model.vocabulary.values),
            "signals": dict(model.vocabulary.signals),
        },
        "heads": _head_shapes(model.heads),
        "witness": witness_files.shapes(model.witness),
        # Models saved by earlier versions have no prior.
        "calibration": [
            values.tolist()
            for values in (
                model.calibration.slope,
                model.calibration.offset,
                model.calibration.prior,
            )
        ],
        "weights": model.weights.tolist(),
    }
    (folder / "model.json").write_text(json.dumps(content, ensure_ascii=False), "utf-8")
    model.booster.save_model(str(folder / "booster.txt"))
    arrays: dict[str, Any] = _head_arrays(model.heads) | witness_files.arrays(model.witness)
    np.savez(folder / "heads.npz", **arrays)
    if model.held_out:
        model.held_out.write(folder / "held_out.parquet")
    if model.explained:
        model.explained.write(folder / EXPLAINED)
    if model.heads and encoder_folder:
        for name in ("encoder.onnx", "tokenizer.json"):
            shutil.copyfile(encoder_folder / name, folder / name)


def _named(heads: TextHeads) -> dict[str, LinearHead]:
    """All heads by the name under which their arrays are stored."""
    single = {
        "meant": heads.meant,
        "slots_meant": heads.slots_meant,
        **{f"usual.{i}": head for i, head in enumerate(heads.usual)},
        **{f"slots.{i}": head for i, head in enumerate(heads.slots)},
    }
    return {
        **{f"head.{name}": head for name, head in heads.heads.items()},
        **{name: head for name, head in single.items() if head},
    }


def _head_shapes(heads: TextHeads | None) -> dict[str, Any] | None:
    if heads is None:
        return None
    return {
        "similarities": heads.similarities,
        "columns": heads.columns,
        "heads": {
            name: {"fields": head.fields, "classes": head.classes}
            for name, head in _named(heads).items()
        },
        "lexical": {name: head.classes for name, head in heads.lexical.items()},
    }


def _head_arrays(heads: TextHeads | None) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    if heads is None:
        return arrays
    for name, head in _named(heads).items():
        arrays[f"{name}/bias"] = head.bias
        arrays |= {f"{name}/{field}": weight for field, weight in head.weights.items()}
    for name, words in heads.lexical.items():
        arrays |= {
            f"lexical.{name}/rarity": words.rarity,
            f"lexical.{name}/weights": words.weights,
            f"lexical.{name}/bias": words.bias,
        }
    return arrays


def _read_heads(arrays: Any, shapes: dict[str, Any] | None) -> TextHeads | None:
    if shapes is None:
        return None
    heads = {
        name: LinearHead(
            tuple(shape["fields"]),
            tuple(shape["classes"]),
            {field: arrays[f"{name}/{field}"] for field in shape["fields"]},
            arrays[f"{name}/bias"],
        )
        for name, shape in shapes["heads"].items()
    }
    lexical = {
        name: LexicalHead(
            tuple(classes),
            *(arrays[f"lexical.{name}/{part}"] for part in ("rarity", "weights", "bias")),
        )
        for name, classes in shapes["lexical"].items()
    }
    prefix = "head."
    return TextHeads(
        {n.removeprefix(prefix): head for n, head in heads.items() if n.startswith(prefix)},
        lexical,
        _by_part(heads, "usual"),
        heads.get("meant"),
        _by_part(heads, "slots"),
        heads.get("slots_meant"),
        tuple(shapes["similarities"]),
        tuple(shapes["columns"]),
    )


def _by_part(heads: dict[str, LinearHead], name: str) -> tuple[LinearHead | None, ...]:
    # A model saved by an earlier version has one head for all turns.
    if name in heads:
        return (heads[name],)
    return tuple(heads.get(f"{name}.{i}") for i in range(PARTS))
