"""The model card (Mitchell et al. 2019): what a model is, what it was fitted to, how good it is."""

from __future__ import annotations

from classifiers.model import Model
from data.schema.trace import FAILURE_POINTS
from data.store.model_folders import GOLD, LEVEL_ASSUMED

# What labels that nobody checked are called, by `metrics["against"]`.
_UNCHECKED = {"generated": "generated", "behaviour": "derived"}


def _kind(against: str) -> str:
    return _UNCHECKED.get(against, against)


def _pooled(model: Model) -> str:
    count = model.metrics.get("pooled", 0.0)
    where = " in naming stages" if model.metrics.get("derived") else ""
    return f"count as much as {count:.0f} of these{where}" if count else "none"


def card(model: Model) -> str:
    """The card of a model as Markdown."""
    figures = model.metrics.get("out_of_fold", {})
    absent = [name for name in FAILURE_POINTS if name not in model.classes]
    settings = model.settings
    later = (
        "It reads the turns that follow (hindsight)."
        if settings.context == "hindsight"
        else "It reads nothing of later turns (live)."
    )
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
        f"| encoder | {settings.encoder if model.encoder else 'none'} |",
        f"| seed | {settings.seed} |",
        f"| labels | {settings.labels} |",
        f"| pooled turns of simulated assistants | {_pooled(model)} |",
        f"| left out | {', '.join(settings.without) or 'nothing'} |",
        "",
    ]
    if absent:
        lines += [
            f"Training saw no {' and no '.join(absent)} turns (or too few); their probability is "
            "always 0.",
            "",
        ]
    if figures:
        lines += [
            "## Out-of-fold figures",
            "",
            "On the training turns, each scored by models that did not see its dialogue. "
            "Calibration and decision weights were fitted on these same scores: "
            "`faultline evaluate` gives figures free of that.",
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
                    "represent all turns. Rates are model estimates.",
                    "",
                ]
                if model.metrics.get("level") == LEVEL_ASSUMED
                else []
            ),
            f"Macro-F1 {figures['macro_f1']:.3f}, accuracy {figures['accuracy']:.3f}.",
            "",
            "| failure point | turns | precision | recall | F1 | calibration error "
            "| decision weight |",
            "|---|---:|---:|---:|---:|---:|---:|",
            *[
                f"| {name} | {row['support']:,} | {row['precision']:.3f} | {row['recall']:.3f} "
                f"| {row['f1']:.3f} | {row['calibration_error']:.3f} | {weight:.2f} |"
                for (name, row), weight in zip(
                    figures["classes"].items(), model.weights, strict=True
                )
            ],
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
