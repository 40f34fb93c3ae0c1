"""The model card (Mitchell et al. 2019): what a model is, what it was fitted to, how good it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from classifiers.evaluation.words import (
    bursts,
    ceiling,
    expected,
    others_counted,
    period,
    shifted,
    with_interval,
)
from classifiers.model import Model
from classifiers.settings import Settings
from data.schema.trace import FAILURE_POINTS
from data.store.model_folders import GOLD, LEVEL_ASSUMED

# What labels that nobody checked are called, by `metrics["against"]`.
_UNCHECKED = {"generated": "generated", "behaviour": "derived", "judge": "a judge's"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a card states of a model, where the model itself is not loaded; fields as in `Model`."""

    id: str
    settings: Settings
    classes: tuple[str, ...]
    columns: tuple[str, ...]
    weights: np.ndarray
    metrics: dict[str, Any]


def _kind(against: str) -> str:
    return _UNCHECKED.get(against, against)


def _pooled(model: Model | Facts) -> str:
    count = model.metrics.get("pooled", 0.0)
    where = " in naming stages" if model.metrics.get("derived") else ""
    return f"count as much as {count:.0f} of these{where}" if count else "none"


def card(model: Model | Facts, evaluation: Mapping[str, Any] | None = None) -> str:
    """The card of a model as Markdown.

    `evaluation`: what `classifiers.evaluation.stored` worked out for it, if anything.
    """
    figures = model.metrics.get("out_of_fold", {})
    absent = [name for name in FAILURE_POINTS if name not in model.classes]
    settings = model.settings
    later = (
        "It reads the turns that follow (hindsight)."
        if settings.context == "hindsight"
        else "It reads nothing of later turns (live)."
    )
    told = f", with those of {settings.judge}" if settings.judge else ""
    lines = [
        f"# Model {model.id}",
        "",
        "Gives every turn of a voice assistant calibrated probabilities of the stage that failed "
        f"first. {later}",
        "",
        "| | |",
        "|---|---|",
        f"| labelled turns | {model.metrics.get('labelled', 0):,} |",
        f"| turns read | {model.metrics.get('turns', 0):,} |",
        f"| independent groups (dialogues or sentences) | {model.metrics.get('groups', 0):,} |",
        f"| columns | {len(model.columns)} |",
        f"| boosting rounds | {model.metrics.get('rounds', 0)} |",
        f"| encoder | {'none' if 'text' in settings.without else settings.encoder} |",
        f"| seed | {settings.seed} |",
        f"| labels | {settings.labels}{told} |",
        f"| pooled turns of simulated assistants | {_pooled(model)} |",
        f"| left out | {', '.join(settings.without) or 'nothing'} |",
        "",
    ]
    if others := others_counted(settings, model.metrics):
        lines += [others, ""]
    if absent:
        lines += [
            f"Training saw no {' and no '.join(absent)} turns (or too few); their probability is "
            "always 0.",
            "",
        ]
    if figures:
        lines += _later(model, evaluation)
        lines += [
            "## Out-of-fold figures",
            "",
            "On the training turns, each scored by models that did not see its dialogue; "
            + (
                "for these figures, calibration and decision weights were fitted to the other "
                "folds. Intervals are 95 %, from a bootstrap over dialogues (or sentences)."
                if "headline" in model.metrics
                else "calibration and decision weights were fitted to these same scores."
            ),
            "",
            *(
                [
                    f"They are against {_kind(against)} labels, which nobody checked.",
                    "",
                ]
                if (against := model.metrics.get("against", GOLD)) != GOLD
                else []
            ),
            *(
                [
                    "The share of defects is assumed: the verdicts learned from, if any, do not "
                    "represent all turns. Rates are model estimates. The figures below are of "
                    "probabilities before they were moved to that share, and promise nothing of "
                    "later logs.",
                    "",
                ]
                if model.metrics.get("level") == LEVEL_ASSUMED
                else []
            ),
            *_table(figures),
            "Decision weights: "
            + ", ".join(
                f"{name} {weight:.2f}"
                for name, weight in zip(model.classes, model.weights, strict=True)
            )
            + ".",
            "",
        ]
    lines += [
        "## Reading it",
        "",
        "`p_…` are calibrated probabilities. `failure_point` is the largest probability after "
        "multiplying by the decision weights, chosen for macro-F1 so that rare stages are "
        "named at all: it can differ from the largest plain probability. For rates, add up "
        "probabilities; do not count verdicts.",
        "",
        "Not for judging people. Labels come from annotators or are derived from their "
        "transcriptions; a few per cent of them are wrong, which affects the figures too.",
        "",
    ]
    return "\n".join(lines)


def _later(model: Model | Facts, evaluation: Mapping[str, Any] | None) -> list[str]:
    """What to expect on later logs: of the evaluation, else what the training itself could tell."""
    figures = evaluation or model.metrics
    # Figures against labels that nobody checked promise nothing.
    unchecked = model.metrics.get("against", GOLD) != GOLD
    if figures.get("headline") is None or unchecked:
        return []
    forward = figures["forward"]
    folds = evaluation or model.metrics["out_of_fold"]
    lines = [
        "## On later logs",
        "",
        f"**{expected(figures['headline'], folds['macro_f1'], forward)}**",
        "",
        f"From an evaluation of this model's settings in {evaluation['folds']} folds, on "
        f"{evaluation['turns']:,} labelled turns (data version {evaluation['version']})."
        if evaluation
        else "From the training itself, a quick estimate: of the forward split, only the trees are "
        "strictly of the past; their number, calibration, decision weights and text scores are of "
        "fits that saw later turns. `faultline evaluate --model` measures it strictly, and "
        "estimates what bounds any model on these labels and logs.",
        "",
        *(line for warning in bursts(figures["concentration"]) for line in (warning, "")),
    ]
    if evaluation and "macro_f1" in forward:
        lines += [f"Forward split: {period(forward)}.", "", *_table(forward)]
        lines += [shifted(forward["shift"]), ""]
    if evaluation:
        lines += ["Random folds:", "", *_table(evaluation), "## Known limits", ""]
        lines += [line for words in ceiling(evaluation["limits"]) for line in (words, "")]
    return lines


def _table(figures: Mapping[str, Any]) -> list[str]:
    """Figures of `classifiers.metrics.summary` with their intervals, if they have some."""
    spans = figures.get("intervals", {"classes": {}})

    def cell(row: Mapping[str, Any], key: str, span: Mapping[str, Any]) -> str:
        return with_interval(row[key], span.get(key))

    totals = [f"Macro-F1 {cell(figures, 'macro_f1', spans)}"]
    totals.append(f"accuracy {cell(figures, 'accuracy', spans)}")
    if figures.get("defect_average_precision") is not None:
        totals.append(
            f"average precision of a defect {cell(figures, 'defect_average_precision', spans)}"
        )
        totals.append(f"its calibration error {cell(figures, 'defect_calibration_error', spans)}")
    keys = ("precision", "recall", "f1", "calibration_error")
    return [
        f"{', '.join(totals)}.",
        "",
        "| failure point | turns | precision | recall | F1 | calibration error |",
        "|---|---:|---:|---:|---:|---:|",
        *[
            f"| {name} | {row['support']:,} | "
            + " | ".join(cell(row, key, spans["classes"].get(name, {})) for key in keys)
            + " |"
            for name, row in figures["classes"].items()
        ],
        "",
    ]
