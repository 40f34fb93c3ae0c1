"""Label models on disk: ``<folder>/<id>/`` holds everything that generating labels needs.

    model.json          settings, tasks, calibration, values, intents
    arrays.npz          weights of the linear models, means and spreads
    <task>.<candidate>.txt  LightGBM
    network<n>.npz      the networks' weights
    held_out.parquet    out-of-fold labels of the training turns
    encoder.onnx, tokenizer.json
    frames/             what says intents and slots, if it was trained
    metrics.json        figures out of fold
    files.json          sizes and checksums

The id is a hash of the files but for the figures: the same training gives the same id. Nothing is
unpickled when a model is read.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import torch

from classifiers.encoder import Encoder
from data.errors import ModelError, machine_error
from data.store.durability import tree
from data.store.model_folders import DRAFT, model_damage, model_ids, settle, write_manifest
from labels.generated.candidates import Fitted
from labels.generated.decision import Scale
from labels.generated.failure_points import Confidence
from labels.generated.frames.model import Frames
from labels.generated.held_out import HeldOut
from labels.generated.linear import Linear
from labels.generated.mentioned import Values
from labels.generated.model import LabelModel
from labels.generated.network import Network, Standard
from labels.generated.settings import Settings
from labels.generated.words import Weighting

_FORMAT = 2
_METRICS = "metrics.json"
# What reading files raises that are not what was written.
_DAMAGE = (OSError, ValueError, KeyError, TypeError, RuntimeError, lgb.basic.LightGBMError)
_FRAMES = "frames"
_ENCODER = ("encoder.onnx", "tokenizer.json")


def save(model: LabelModel, encoder_folder: Path, models: Path) -> str:
    """Write `model` under `models`, on disk for good, and return its id, which it gets.

    A model with that id is not written again. Raises `MachineError` where the disk refuses.
    """
    try:
        models.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=models, prefix=DRAFT) as scratch:
            draft = Path(scratch) / "model"
            draft.mkdir()
            _write(model, encoder_folder, draft)
            model.id = _content_id(draft)
            (draft / _METRICS).write_text(json.dumps(model.metrics, indent=1) + "\n", "utf-8")
            write_manifest(draft, [str(p.relative_to(draft)) for p in tree(draft) if p.is_file()])
            settle(draft, models, model.id, model_damage)
    except OSError as error:
        raise machine_error(error, models) or error from error
    return model.id


def load(models: Path, model_id: str, threads: int = 0) -> LabelModel:
    """The model `model_id` under `models`, its encoder on so many threads (0: one per core).

    Raises `ModelError` if it is missing or damaged.
    """
    folder = models / model_id
    if not model_id or Path(model_id).name != model_id or not folder.is_dir():
        there = ", ".join(model_ids(models)) or "none"
        raise ModelError(
            f"There is no label model {model_id!r} in {models}; there are: {there}. Train one "
            "with: faultline labels train"
        )
    if found := model_damage(models, model_id):
        raise _damaged(models, model_id, " ".join(map(str, found)))
    try:
        return _read(folder, model_id, threads)
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        RuntimeError,
        lgb.basic.LightGBMError,
    ) as error:
        raise machine_error(error, models) or _damaged(models, model_id, str(error)) from error


def metrics(models: Path, model_id: str) -> dict[str, Any]:
    """Figures of a model out of fold, without loading it; `ModelError` if there are none."""
    try:
        found: dict[str, Any] = json.loads((models / model_id / _METRICS).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise machine_error(error, models) or _damaged(models, model_id, str(error)) from error
    return found


def _damaged(models: Path, model_id: str, reason: str) -> ModelError:
    return ModelError(
        f"The label model {model_id} in {models} is damaged ({reason}); remove its folder and "
        f"train it again with: faultline labels train --store {shlex.quote(str(models.parent))}"
    )


def _content_id(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(p for p in tree(folder) if p.is_file()):
        digest.update(str(path.relative_to(folder)).encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"l-{digest.hexdigest()[:12]}"


def _write(model: LabelModel, encoder_folder: Path, folder: Path) -> None:
    arrays: dict[str, Any] = {
        "standard/mean": model.standard.mean,
        "standard/spread": model.standard.spread,
        "rarity": model.rarity.rarity,
    }
    tasks: dict[str, Any] = {}
    for task, fitted in model.tasks.items():
        tasks[task] = {
            "chosen": fitted.chosen,
            "weights": fitted.weights,
            "scale": [fitted.scale.slope, fitted.scale.offset],
            "threshold": fitted.threshold,
            "bias": {name: linear.bias for name, linear in fitted.linear.items()},
            "boosters": sorted(fitted.boosters),
        }
        for name, linear in fitted.linear.items():
            rarity = fitted.weightings[name].rarity
            # A weight that does not count on any turn need not be kept.
            arrays[f"{task}/{name}/weight"] = np.where(rarity.ravel() > 0, linear.weight, 0)
            arrays[f"{task}/{name}/rarity"] = rarity
        for name, booster in fitted.boosters.items():
            booster.save_model(str(folder / f"{task}.{name}.txt"))
    shape = None
    for number, network in enumerate(model.networks):
        weights: dict[str, Any] = {n: w.cpu().numpy() for n, w in network.state_dict().items()}
        np.savez(folder / f"network{number}.npz", **weights)
        shape = {name: weights[f"{name}.weight"].shape[1] for name in ("heard", "numbers")}
    content = {
        "format": _FORMAT,
        "settings": model.settings.to_json(),
        "signals": model.signals,
        "times": model.times,
        "values": dict(model.values.slot),
        "intents": model.intents,
        "separation": model.separation,
        "constant": model.constant,
        "networks": len(model.networks),
        "shape": shape,
        "frames": model.frames is not None,
        "confidence": asdict(model.confidence) if model.confidence else None,
        "tasks": tasks,
    }
    (folder / "model.json").write_text(json.dumps(content, ensure_ascii=True), "utf-8")
    np.savez_compressed(folder / "arrays.npz", **arrays)
    if model.held_out:
        model.held_out.write(folder / "held_out.parquet")
    if model.frames:
        model.frames.save(folder / _FRAMES)
    for name in _ENCODER:
        shutil.copyfile(encoder_folder / name, folder / name)


def _read(folder: Path, model_id: str, threads: int) -> LabelModel:
    content: dict[str, Any] = json.loads((folder / "model.json").read_text("utf-8"))
    if content["format"] != _FORMAT:
        newer = content["format"] > _FORMAT
        raise ModelError(
            f"The label model {model_id} has format {content['format']}, this release reads "
            f"{_FORMAT}; "
            + (
                "use the release of Faultline that made it, or a later one, or train it again "
                if newer
                else "train it again "
            )
            + f"with: faultline labels train --store {shlex.quote(str(folder.parent.parent))}"
        )
    settings = Settings.from_json(content["settings"])
    with np.load(folder / "arrays.npz", allow_pickle=False) as arrays:
        standard = Standard(arrays["standard/mean"], arrays["standard/spread"])
        rarity = Weighting(arrays["rarity"])
        tasks = {
            task: _task(task, stated, arrays, folder) for task, stated in content["tasks"].items()
        }
    return LabelModel(
        settings=settings,
        encoder=Encoder(folder, threads),
        signals=tuple(content["signals"]),
        times=bool(content["times"]),
        values=Values(content["values"]),
        rarity=rarity,
        standard=standard,
        networks=tuple(
            _network(content, settings, folder / f"network{number}.npz")
            for number in range(content["networks"])
        ),
        intents=tuple(content["intents"]),
        separation=(float(content["separation"][0]), float(content["separation"][1])),
        tasks=tasks,
        constant={name: float(p) for name, p in content["constant"].items()},
        metrics=json.loads((folder / _METRICS).read_text("utf-8")),
        id=model_id,
        confidence=Confidence(**content["confidence"]) if content["confidence"] else None,
        held_out=HeldOut.read(folder / "held_out.parquet"),
        frames=Frames.load(folder / _FRAMES) if content["frames"] else None,
    )


def _task(task: str, stated: dict[str, Any], arrays: Any, folder: Path) -> Fitted:
    return Fitted(
        stated["chosen"],
        {name: float(weight) for name, weight in stated["weights"].items()},
        {name: Weighting(arrays[f"{task}/{name}/rarity"]) for name in stated["bias"]},
        {
            name: Linear(arrays[f"{task}/{name}/weight"], float(bias))
            for name, bias in stated["bias"].items()
        },
        {
            name: lgb.Booster(model_file=str(folder / f"{task}.{name}.txt"))
            for name in stated["boosters"]
        },
        Scale(*stated["scale"]),
        float(stated["threshold"]),
    )


def _network(content: dict[str, Any], settings: Settings, path: Path) -> Network:
    network = Network(
        content["shape"]["heard"],
        content["shape"]["numbers"],
        len(content["intents"]),
        settings.size,
        settings.layers,
        settings.heads,
        settings.dropout,
    )
    with np.load(path, allow_pickle=False) as weights:
        network.load_state_dict({n: torch.from_numpy(weights[n]) for n in weights.files})
    return network.eval()
