"""Training a label model from turns, gold and feedback."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from classifiers import encoder as encoding
from classifiers.encoder import Encoder
from data.counted import counted
from data.errors import NotEnoughLabels
from data.schema.tables import EVEN
from labels.generated import candidates
from labels.generated import dialogues as reading
from labels.generated import targets as gold
from labels.generated.candidates import Fitted, Truth
from labels.generated.decision import fold_of
from labels.generated.dialogues import Dialogues
from labels.generated.features import (
    Features,
    alone,
    compute,
    goal_rows,
    spread_turns,
    texts_of,
    turn_rows,
)
from labels.generated.frames import training as frames
from labels.generated.frames.model import FRAMES, Frames
from labels.generated.frames.settings import Settings as FrameSettings
from labels.generated.held_out import HeldOut
from labels.generated.mentioned import Values
from labels.generated.model import LabelModel, goal_columns, separation, told, turn_columns
from labels.generated.network import TASKS, Inputs, Network, Standard, inputs
from labels.generated.raters import human_marks
from labels.generated.settings import Settings
from labels.generated.targets import VERDICTS, Targets
from labels.generated.throughput import STATED, curve, threshold_for
from labels.generated.training import (
    Checkpoints,
    Goals,
    Said,
    average,
    build,
    fingerprint,
    learn,
    pretrain,
    say,
)
from labels.goals.spans import spans_of
from progress import Progress, portion, silent

# With fewer, a task is not learned: there would be nothing to choose a candidate by.
MIN_DIALOGUES = 20
MIN_PER_CLASS = 8
# Weight of a turn whose defect only feedback tells, beside one with gold.
_FEEDBACK_WEIGHT = 0.3
_MAX_INTENTS = 500
# Of so many verdicts, a share this small is taken for none: the answer is always the other.
_MANY, _NEARLY_NONE = 50, 0.02


def train(
    turns: pa.Table,
    settings: Settings | None = None,
    feedback: pa.Table | None = None,
    progress: Progress = silent,
    folder: Path | None = None,
    keep: Sequence[str] = (),
) -> tuple[LabelModel, Path]:
    """A label model learned from `turns`, and the folder of its encoder.

    Parameters
    ----------
    turns: whole dialogues with the columns of `data.schema.trace.TURNS`; `gold` on any of them.
    feedback: turn_id and p_defect (`labels.feedback`): what a turn without gold of defects is
        learned from, at a lower weight, where other turns have gold. Not read in `generate` then.
    folder: where checkpoints of the network are kept, so that a killed training goes on; None for
        no checkpoints. The encoder is put there too, or in a temporary folder.
    keep: candidates (`labels.generated.candidates.NAMES`) that stay in the model though another was
        chosen, to be compared on other turns.

    Raises `NotEnoughLabels` if there are no turns.
    """
    settings = settings or Settings()
    if turns.num_rows == 0:
        raise NotEnoughLabels(
            "There are no turns to learn from; ingest some with: faultline ingest PATH… --store DIR"
        )
    place = folder or Path(tempfile.mkdtemp(prefix="faultline-labels-"))
    place.mkdir(parents=True, exist_ok=True)
    progress(0, 1, "reading dialogues")
    dialogues = reading.read(turns, settings.times)
    targets = gold.read(turns, dialogues)
    encoding.export(settings.encoder, place / "encoder")
    encoder = Encoder(place / "encoder", settings.threads)
    texts = texts_of(dialogues, encoder, _counting(portion(progress, 0.0, 0.2), dialogues))
    values = Values.fit(dialogues)
    features = compute(dialogues, values, texts)
    standard = Standard.fit(features.own)
    fold = fold_of(
        dialogues.dialogue, min(settings.folds, len(dialogues.dialogue_ids)), settings.seed
    )
    known, skipped, constant = _learnable(dialogues, targets)
    intents = _intents(targets)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    checkpoints = None if folder is None else folder / "checkpoints"
    networks, out = _networks(
        features,
        standard,
        _goals(dialogues, targets, known, intents),
        len(intents),
        fold,
        settings,
        checkpoints,
        portion(progress, 0.2, 0.6),
    )
    model = LabelModel(
        settings,
        encoder,
        tuple(dialogues.number_names[len(reading.NUMBERS) :]),
        bool(np.isfinite(dialogues.numbers[:, reading.NUMBERS.index("gap before")]).any()),
        values,
        features.rarity,
        standard,
        networks,
        intents,
        (0.0, 1.0),
        {},
        constant=constant,
    )
    apart = separation(features)[dialogues.position > 0]
    if np.isfinite(apart).any():
        model.separation = (float(np.nanmean(apart)), float(np.nanstd(apart)))
    labels: dict[str, np.ndarray] = {}
    for step, task in enumerate(VERDICTS):
        progress(0.6 + 0.1 * step / 3, 1, f"choosing how to label {task.replace('_', ' ')}")
        if task in skipped:
            model.metrics[task] = {"skipped": skipped[task]}
            continue
        if task == "goal_reached":
            defect = labels.get("turn_defect")
            if defect is None:
                defect = model.defects(features, None, feedback)
            found = _fit_goals(features, targets, fold, out, defect, settings, keep)
        else:
            found = _fit_turns(task, features, targets, fold, out, feedback, settings, keep)
        fitted, labels[task] = found
        model.tasks[task] = fitted
        model.metrics[task] = {
            "default": fitted.chosen,
            "blend": fitted.weights,
            "candidates": fitted.metrics,
            **_throughput(task, dialogues, targets, labels[task]),
        }
    for task, mark in human_marks(turns, dialogues, labels, settings.seed).items():
        model.metrics[task]["human"] = asdict(mark)
    model.metrics["intent"] = _intent_figures(targets, intents, out)
    model.metrics["turns"] = len(dialogues)
    model.metrics["dialogues"] = len(dialogues.dialogue_ids)
    model.frames = _frames(turns, settings, model.metrics, checkpoints, portion(progress, 0.7, 1.0))
    meant = _network_intents(dialogues, intents, out)
    if model.frames is not None:
        meant = model.frames.held_out
    if labels or meant is not None:
        model.held_out = HeldOut.of(dialogues, labels, meant)
    progress(1, 1, "trained")
    return model, place / "encoder"


def _counting(progress: Progress, dialogues: Dialogues) -> Any:
    total = len({*dialogues.request, *dialogues.prompt, *dialogues.response})
    done = 0

    def count(texts: int) -> None:
        nonlocal done
        done += texts
        progress(done, total, "encoding texts")

    return count


def _learnable(
    dialogues: Dialogues, targets: Targets
) -> tuple[list[str], dict[str, str], dict[str, float]]:
    """Tasks with gold enough, why the others are not learned, and those that are constant.

    Where there is much gold that is nearly all one, as in logs of one goal a dialogue, that is the
    answer (Laplace's rule of succession).
    """
    known, skipped, constant = [], {}, {}
    for task, target in (
        ("goal_start", targets.goal_start),
        ("goal_reached", targets.goal_reached),
        ("turn_defect", targets.turn_defect),
    ):
        has = np.isfinite(target)
        of = len(np.unique(dialogues.dialogue[has]))
        classes = [int((target[has] == c).sum()) for c in (0, 1)]
        if of < MIN_DIALOGUES or min(classes) < MIN_PER_CLASS:
            skipped[task] = (
                f"gold in {counted(of, 'dialogue')}, {counted(classes[1], 'turn')} with yes and "
                f"{classes[0]} with no; "
                f"{MIN_DIALOGUES} dialogues and {MIN_PER_CLASS} turns of both are needed"
            )
            if sum(classes) >= _MANY and min(classes) < _NEARLY_NONE * sum(classes):
                constant[task] = (classes[1] + 1) / (sum(classes) + 2)
        else:
            known.append(task)
    return known, skipped, constant


def _intents(targets: Targets) -> tuple[str, ...]:
    """The intents of gold, the most frequent where there are very many."""
    counts: dict[str, int] = {}
    for intent in targets.intent:
        if intent is not None:
            counts[intent] = counts.get(intent, 0) + 1
    frequent = sorted(counts, key=lambda name: (-counts[name], name))[:_MAX_INTENTS]
    return tuple(sorted(frequent)) if len(frequent) > 1 else ()


def _networks(
    features: Features,
    standard: Standard,
    goals: Goals,
    intents: int,
    fold: np.ndarray,
    settings: Settings,
    folder: Path | None,
    progress: Progress,
) -> tuple[tuple[Network, ...], Said | None]:
    """Networks trained on all turns, and what networks that did not see a fold say of it."""
    if not settings.network:
        return (), None
    dialogues = features.dialogues
    data = inputs(dialogues, features.texts, standard.apply(features.own))
    checkpoints = Checkpoints(folder, fingerprint(data, goals, settings))
    steps = settings.pretraining
    if goals.any():
        steps += settings.epochs * (len(np.unique(fold)) + 1)
    steps *= settings.networks
    done = 0

    def epoch() -> None:
        nonlocal done
        done += 1
        progress(done, steps, "training the network")

    networks, out = [], []
    for number in range(settings.networks):
        own = replace(settings, seed=settings.seed + number)
        network = build(data, intents, own)
        pretrain(network, data, dialogues, own, checkpoints, epoch)
        if goals.any():
            start = copy.deepcopy(network)
            learn(network, data, dialogues, goals, "all", own, checkpoints, epoch)
            said = _out_of_fold(
                start, data, dialogues, goals, intents, fold, own, checkpoints, epoch
            )
        else:
            said = say(network, data, dialogues, intents)
        networks.append(network)
        out.append(said)
    return tuple(networks), average(out)


def _out_of_fold(
    start: Network,
    data: Inputs,
    dialogues: Dialogues,
    goals: Goals,
    intents: int,
    fold: np.ndarray,
    settings: Settings,
    checkpoints: Checkpoints,
    epoch: Callable[[], None],
) -> Said:
    """What networks, each trained from `start` on all folds but one, say of that one."""
    n = len(dialogues)
    out = Said(np.full((n, len(TASKS)), np.nan), np.zeros(n), np.full((n, intents), np.nan))
    for k in np.unique(fold):
        outside = fold == k
        part = copy.deepcopy(start)
        name = f"fold-{k}"
        learn(part, data, dialogues, goals.only(~outside), name, settings, checkpoints, epoch)
        said = say(part, data, dialogues, intents)
        out.odds[outside] = said.odds[outside]
        out.coherence[outside] = said.coherence[outside]
        out.intent[outside] = said.intent[outside]
    return out


def _goals(
    dialogues: Dialogues, targets: Targets, known: list[str], intents: tuple[str, ...]
) -> Goals:
    none = np.full(len(dialogues), np.nan)
    number = {name: i for i, name in enumerate(intents)}
    many = int(targets.goal.max(initial=0)) + 1
    return Goals(
        targets.goal_start if "goal_start" in known else none,
        1 - targets.goal_reached if "goal_reached" in known else none,
        targets.defect_share if "turn_defect" in known else none,
        np.where(targets.goal >= 0, dialogues.dialogue * many + targets.goal, -1),
        np.array([number.get(intent or "", -1) for intent in targets.intent]),
    )


def _fit_turns(
    task: str,
    features: Features,
    targets: Targets,
    fold: np.ndarray,
    out: Said | None,
    feedback: pa.Table | None,
    settings: Settings,
    keep: Sequence[str],
) -> tuple[Fitted, np.ndarray]:
    dialogues = features.dialogues
    verdict = getattr(targets, task)
    target = targets.defect_share if task == "turn_defect" else verdict
    weight = np.ones(len(target))
    if task == "turn_defect" and feedback is not None:
        weight = np.where(np.isfinite(target), 1.0, _FEEDBACK_WEIGHT)
        target = np.where(np.isfinite(target), target, told(feedback, dialogues))
    network = None if out is None else turn_columns(out, task, dialogues)
    return candidates.fit(
        turn_rows(features, network),
        Truth(target, verdict, fold, weight),
        spread_turns(dialogues),
        settings,
        keep,
    )


def _fit_goals(
    features: Features,
    targets: Targets,
    fold: np.ndarray,
    out: Said | None,
    defect: np.ndarray,
    settings: Settings,
    keep: Sequence[str],
) -> tuple[Fitted, np.ndarray]:
    """Goals of gold as rows; the probabilities that come back are of turns, reached.

    `defect` (n,): probability of each turn's defect, by models that did not see its dialogue.
    """
    dialogues = features.dialogues
    spans = spans_of(targets.goal, dialogues.dialogue)
    first = np.array([s.start for s in spans])
    missed = 1 - targets.goal_reached[first]
    scores, network = goal_columns(out, spans, defect)
    fitted, p = candidates.fit(
        goal_rows(features, spans, scores, network),
        Truth(missed, missed, fold[first], np.ones(len(spans))),
        alone,
        settings,
        keep,
    )
    per_turn = np.full(len(dialogues), np.nan)
    for span, value in zip(spans, p, strict=True):
        per_turn[span.start : span.stop] = 1 - value
    return fitted, per_turn


def _throughput(task: str, dialogues: Dialogues, targets: Targets, p: np.ndarray) -> dict[str, Any]:
    """The precision/throughput curve of the probabilities (n,), out of fold; a goal counts once."""
    truth = getattr(targets, task)
    judged = np.isfinite(truth) & np.isfinite(p)
    if task == "goal_reached":
        first = [span.start for span in spans_of(targets.goal, dialogues.dialogue)]
        judged &= np.isin(np.arange(len(p)), first)
    points = curve((p[judged] >= EVEN) == (truth[judged] == 1), np.maximum(p, 1 - p)[judged])
    return {
        "measure": "F1",
        "n": int(judged.sum()),
        "curve": [point._asdict() for point in points],
        "threshold": threshold_for(points),
        "stated_precision": STATED,
    }


def _frames(
    turns: pa.Table,
    settings: Settings,
    metrics: dict[str, Any],
    folder: Path | None,
    progress: Progress,
) -> Frames | None:
    if settings.frames == "none":
        return None
    quick = settings.frames == "quick"
    chosen = FrameSettings.quick(seed=settings.seed) if quick else FrameSettings(seed=settings.seed)
    try:
        fitted = frames.train(turns, chosen, progress, folder)
    except NotEnoughLabels as error:
        metrics["frames"] = {"skipped": str(error)}
        return None
    metrics["frames"] = {"learned": fitted.learned, "turns": fitted.turns}
    return fitted


def _network_intents(
    dialogues: Dialogues, intents: tuple[str, ...], out: Said | None
) -> pa.Table | None:
    """The network's intents out of fold as a table of schema `FRAMES`; None if it says none."""
    if out is None or not intents:
        return None
    rows = pa.table(
        {
            "turn_id": dialogues.turn_ids,
            "intent": [intents[i] for i in out.intent.argmax(axis=1)],
            "p_intent": out.intent.max(axis=1),
        }
    )
    for name in FRAMES.names[rows.num_columns :]:
        rows = rows.append_column(name, pa.nulls(rows.num_rows, FRAMES.field(name).type))
    return rows.cast(FRAMES)


def _intent_figures(targets: Targets, intents: tuple[str, ...], out: Said | None) -> dict[str, Any]:
    if out is None or not intents:
        return {"skipped": "no gold of two intents"}
    rows = [i for i, intent in enumerate(targets.intent) if intent is not None]
    best = out.intent[rows].argmax(axis=1)
    right = np.array([intents[b] == targets.intent[i] for b, i in zip(best, rows, strict=True)])
    return {"rows": len(rows), "accuracy": float(right.mean()), "intents": len(intents)}
