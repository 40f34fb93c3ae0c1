"""The evaluation of a model's settings, stored beside the model as ``evaluation.json``.

    python -m classifiers.evaluation.stored STORE MODEL

A training states figures of its own, but strictly forward ones take more fits than a training has
time for. The model card and the page Model show what is stored here.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from classifiers import registry
from classifiers.evaluation.cross_validation import evaluate
from classifiers.settings import Settings
from classifiers.training_data import training_turns
from data.errors import ModelError, UsageError
from data.queries.annotations import latest
from data.store.durability import replacing
from data.store.model_folders import GOLD
from data.store.store import Store
from progress import Progress, run_reporting, silent

# What a stored evaluation must have to be shown.
_KEYS = ("macro_f1", "intervals", "classes", "forward", "headline", "concentration", "limits")


def evaluate_store(
    store: Store,
    model_id: str,
    n: int = 5,
    progress: Progress = silent,
    *,
    forward: bool = True,
) -> dict[str, Any]:
    """Evaluate a model's settings on a store's current labels of people, and store the result.

    Returns that of `classifiers.evaluation.cross_validation.evaluate`, with ``model``, ``version``
    of the store and ``made_at``; the model's card is written anew. Raises `ModelError` if the
    model is missing or damaged, `UsageError` if it learned from other labels than those of people,
    `NotEnoughLabels` for too few labels.
    """
    folder = registry.folder_of(store.models, model_id)
    settings = registry.load_settings(store.models, model_id)
    _check_labels(model_id, settings)
    with store.snapshot() as snapshot:
        version = snapshot.version
        turns = training_turns(
            snapshot, settings.seed, context=settings.context, within=settings.devices_within
        )
        judged = latest(snapshot)
    result = evaluate(turns, settings, n, progress, forward=forward, annotations=judged)
    result |= {"model": model_id, "version": version, "made_at": time.time()}
    with replacing(folder / registry.EVALUATION) as draft:
        draft.write_text(json.dumps(result, indent=1), "utf-8")
    registry.write_card(store.models, model_id, result)
    store.files_written()
    return result


def _check_labels(model_id: str, settings: Settings) -> None:
    """Refuse a model of other labels: fits to those of people alone would be other models."""
    if source := _other_labels(settings):
        raise UsageError(
            f"The model {model_id} also learned from {source}, and an evaluation learns from "
            "labels of people alone, so its figures would be those of another model; leave out "
            "--model, or evaluate a model trained with: faultline train --labels gold"
        )


def _other_labels(settings: Settings) -> str | None:
    if settings.judge:
        return f"the judge {settings.judge}"
    return None if settings.labels == GOLD else f"labels '{settings.labels}'"


def not_evaluated(folder: Path) -> str | None:
    """Why the model in a folder cannot be evaluated, in a sentence; None where it can be, and where
    its settings cannot be read, which is for those to say who load it."""
    try:
        source = _other_labels(registry.load_settings(folder.parent, folder.name))
    except ModelError:
        return None
    return source and (
        f"This model cannot be evaluated: it also learned from {source}, and an evaluation learns "
        "from labels of people alone."
    )


def read(folder: Path) -> dict[str, Any] | None:
    """Read what `evaluate_store` wrote beside a model; None if there is no file.

    Raises `ModelError` if it is damaged.
    """
    return registry.read_result(folder / registry.EVALUATION, _KEYS)


def promised(folder: Path) -> dict[str, Any] | None:
    """What is known of a model on later logs: its evaluation, else the figures of its training.

    The latter without ``folds``, ``limits`` and what the forward split learned from; None where
    neither is known, as of a model that an earlier version saved, whose figures are against labels
    that nobody checked, or whose share of defects is assumed. An evaluation that an earlier version
    made of a model of other labels is not of that model. Raises `ModelError` if a file is damaged.
    """
    evaluation = read(folder)
    if evaluation and not not_evaluated(folder):
        return evaluation
    path = folder / "metrics.json"
    try:
        metrics = json.loads(path.read_text("utf-8"))
        if metrics.get("headline") is None or metrics.get("against", GOLD) != GOLD:
            return None
        keys = ("forward", "headline", "concentration")
        return {**metrics["out_of_fold"], **{key: metrics[key] for key in keys}}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"The file {path} is damaged ({error}); train again.") from error


if __name__ == "__main__":
    sys.exit(
        run_reporting(
            lambda progress: evaluate_store(Store.open(sys.argv[1]), sys.argv[2], progress=progress)
        )
    )
