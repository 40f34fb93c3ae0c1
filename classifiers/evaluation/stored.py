"""The evaluation of a model's settings, stored beside the model as ``evaluation.json``.

    python -m classifiers.evaluation.stored STORE MODEL

A training states figures of its own, but strictly forward ones take more fits than a training has
time for. The model card and the page Model show what is stored here.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from classifiers import registry
from classifiers.evaluation.cross_validation import evaluate
from classifiers.training_data import training_turns
from data.errors import ModelError
from data.queries.annotations import latest
from data.store.durability import replacing
from data.store.model_folders import GOLD
from data.store.store import Store
from progress import Progress, run_reporting, silent


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
    model is missing or damaged, `NotEnoughLabels` for too few labels.
    """
    folder = registry.folder_of(store.models, model_id)
    settings = replace(registry.load_settings(store.models, model_id), labels="gold")
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
    return result


def read(folder: Path) -> dict[str, Any] | None:
    """Read what `evaluate_store` wrote beside a model; None if there is no file.

    Raises `ModelError` if it is damaged.
    """
    path = folder / registry.EVALUATION
    try:
        result: dict[str, Any] = json.loads(path.read_text("utf-8"))
        for key in (
            "macro_f1",
            "intervals",
            "classes",
            "forward",
            "headline",
            "concentration",
            "limits",
        ):
            result[key]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"The file {path} is damaged ({error}); delete it.") from error
    return result


def promised(folder: Path) -> dict[str, Any] | None:
    """What is known of a model on later logs: its evaluation, else the figures of its training.

    The latter without ``folds``, ``limits`` and what the forward split learned from; None where
    neither is known, as of a model that an earlier version saved or that learned from labels that
    nobody checked. Raises `ModelError` if a file is
    damaged.
    """
    if evaluation := read(folder):
        return evaluation
    path = folder / "metrics.json"
    try:
        metrics = json.loads(path.read_text("utf-8"))
        if "headline" not in metrics or metrics.get("against", GOLD) != GOLD:
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
