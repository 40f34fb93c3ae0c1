"""What generated goals and defects are worth on real corpora, and beside human raters.

    python -m benchmarks.labels.goals CORPORA [CORPUS...]

Prints Markdown. A model per corpus is trained on two thirds of its dialogues and measured on the
others; candidates, thresholds and calibration are chosen out of fold within the two thirds.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.labels.corpora import NAMES, read, split
from data.schema.tables import EVEN
from labels.generated import candidates, storage, targets
from labels.generated import dialogues as reading
from labels.generated.candidates import Fitted, Rows, Spread
from labels.generated.decision import figures
from labels.generated.dialogues import Dialogues
from labels.generated.features import Features, alone, goal_rows, spread_turns, turn_rows
from labels.generated.model import LabelModel, goal_columns, turn_columns
from labels.generated.raters import RATED, human_marks
from labels.generated.settings import Settings
from labels.generated.targets import Targets
from labels.generated.train import train
from labels.generated.training import Said
from labels.goals.measures import Mark, boundary_f1, f1, pk, window_diff
from labels.goals.spans import spans_of

_NAMED = {
    "goal_start": "goal segmentation",
    "goal_reached": "goal not reached",
    "turn_defect": "turn defect",
}


def main(corpora: Path, names: list[str]) -> None:
    """Train and measure on each of `names`, and print the tables."""
    parts = [_measure(corpora, name) for name in names or NAMES]
    print("| corpus | task | candidate | F1 | average precision | default |")
    print("|---|---|---|---:|---:|---|")
    for tables in parts:
        print("\n".join(tables["candidates"]))
    print("\n| corpus | segmentation by | boundary F1 | Pk | WindowDiff |")
    print("|---|---|---:|---:|---:|")
    for tables in parts:
        print("\n".join(tables["boundaries"]) or "", end="\n" if tables["boundaries"] else "")
    print("\n| corpus | goals as | not reached: F1 | average precision |")
    print("|---|---|---:|---:|")
    for tables in parts:
        print("\n".join(tables["reached"]) or "", end="\n" if tables["reached"] else "")
    print(
        "\n| corpus | rated | panels | one human pass (95 %) | model (95 %) | difference (95 %) |"
    )
    print("|---|---|---:|---:|---:|---:|")
    for tables in parts:
        print("\n".join(tables["marks"]) or "", end="\n" if tables["marks"] else "")


def _measure(corpora: Path, name: str) -> dict[str, list[str]]:
    seen, held = split(read(corpora, name))
    model, encoder = train(seen, Settings(frames="none"), keep=candidates.NAMES)
    print(f"{name}: trained", file=sys.stderr, flush=True)
    dialogues = reading.read(held)
    truth = targets.read(held, dialogues)
    with tempfile.TemporaryDirectory() as folder:
        # As a store has it.
        model = storage.load(Path(folder), storage.save(model, encoder, Path(folder)))
        labels = model.generate(held, held_out=False).take(pa.array(dialogues.row))
    said, features = model.read(dialogues)
    return {
        "candidates": _candidates(name, model, features, said, truth),
        "boundaries": _boundaries(name, model, labels, dialogues, truth),
        "reached": _reached(name, model, features, said, labels, truth),
        "marks": _marks(name, model, seen, held, labels, dialogues, truth),
    }


def _candidates(
    name: str, model: LabelModel, features: Features, said: Said | None, truth: Targets
) -> list[str]:
    """F1 and average precision of every candidate, by its threshold of the training part."""
    lines = []
    dialogues = features.dialogues
    for task, fitted in model.tasks.items():
        if task == "goal_reached":
            spans = [
                s
                for s in spans_of(truth.goal, dialogues.dialogue)
                if np.isfinite(truth.goal_reached[s.start])
            ]
            verdict = np.array([1 - truth.goal_reached[s.start] for s in spans])
            scores, network = goal_columns(said, spans, model.defects(features, said, None))
            rows = goal_rows(features, spans, scores, network)
            spread: Spread = alone
            known = np.ones(len(spans), bool)
        else:
            network = None if said is None else turn_columns(said, task, dialogues)
            rows = turn_rows(features, network)
            spread = spread_turns(dialogues)
            verdict = getattr(truth, task)
            known = np.isfinite(verdict)
            verdict = verdict[known]
        stated = model.metrics[task]["candidates"]
        for candidate in stated:
            p = _probability(fitted, candidate, rows, spread)[known]
            threshold = stated[candidate]["threshold"]
            found = f1(p >= threshold, verdict.astype(bool))
            ap = figures(verdict, p)["average_precision"]
            mark = "yes" if candidate == fitted.chosen else ""
            lines.append(
                f"| {name} | {_NAMED[task]} | {candidate} | {found:.3f} | {ap:.3f} | {mark} |"
            )
    return lines


def _probability(fitted: Fitted, candidate: str, rows: Rows, spread: Spread) -> np.ndarray:
    """As the threshold in the metrics wants it: calibrated for the default, raw for the others."""
    if candidate == fitted.chosen:
        return fitted.predict(rows, spread)
    return fitted.raw(rows, spread, candidate)


def _boundaries(
    name: str, model: LabelModel, labels: pa.Table, dialogues: Dialogues, truth: Targets
) -> list[str]:
    known = np.isfinite(truth.goal_start)
    if not (truth.goal_start[known] == 1).any():
        return []
    true = np.nan_to_num(truth.goal_start) == 1
    p = labels["goal_start"].to_numpy().astype(float)
    threshold = model.thresholds.get("goal_start", 0.5)
    # A log may give goals for a part of its dialogues.
    whole = np.isin(dialogues.dialogue, np.unique(dialogues.dialogue[known]))
    where = dialogues.dialogue[whole]
    rows = {"model": p >= threshold, "no boundary": np.zeros(len(p), bool)}
    return [
        f"| {name} | {by} | {boundary_f1(found[whole], true[whole], where):.3f} "
        f"| {pk(found[whole], true[whole], where):.3f} "
        f"| {window_diff(found[whole], true[whole], where):.3f} |"
        for by, found in rows.items()
    ]


def _reached(
    name: str,
    model: LabelModel,
    features: Features,
    said: Said | None,
    labels: pa.Table,
    truth: Targets,
) -> list[str]:
    """Goals given, and goals as the model found them: there the last turn's label counts.

    A goal is called not reached where that is the likelier, as in the table `goals`.
    """
    if "goal_reached" not in model.tasks:
        return []
    dialogues = features.dialogues
    spans = [
        s
        for s in spans_of(truth.goal, dialogues.dialogue)
        if np.isfinite(truth.goal_reached[s.start])
    ]
    verdict = np.array([1 - truth.goal_reached[s.start] for s in spans])
    own = labels["goal_reached"].to_numpy().astype(float)
    given = 1 - model.reached(features, said, spans, model.defects(features, said, None))
    by = {
        "given": given,
        "found, label of the last turn": np.array([1 - own[s.stop - 1] for s in spans]),
        "found, mean over the turns": np.array([1 - own[s.start : s.stop].mean() for s in spans]),
        "always not reached": np.ones(len(spans)),
    }
    lines = []
    for kind, p in by.items():
        found = f1(p > 1 - EVEN, verdict.astype(bool))
        ap = figures(verdict, p)["average_precision"]
        lines.append(f"| {name} | {kind} | {found:.3f} | {ap:.3f} |")
    return lines


def _marks(
    name: str,
    model: LabelModel,
    seen: pa.Table,
    held: pa.Table,
    labels: pa.Table,
    dialogues: Dialogues,
    truth: Targets,
) -> list[str]:
    """One human pass and the model against the same panels, held out; then on all dialogues, those
    learned from with the labels of models that did not see them."""
    lines = []
    both = {"held out": (held, dialogues, labels)}
    if model.held_out is not None:
        every = pa.concat_tables([seen, held])
        order = reading.read(every)
        both["all, out of fold"] = (every, order, model.generate(every).take(pa.array(order.row)))
    for which, (turns, rows, found) in both.items():
        for rated, mark in _panels(turns, rows, found):
            lines.append(
                f"| {name}, {which} | {rated} | {mark.panels:,} "
                f"| {_interval(mark.human, mark.human_interval)} "
                f"| {_interval(mark.model, mark.model_interval)} "
                f"| {_interval(mark.difference, (mark.low, mark.high))} |"
            )
    return lines


def _interval(value: float, ends: tuple[float, float]) -> str:
    return f"{value:.3f} ({ends[0]:.3f} to {ends[1]:.3f})"


def _panels(turns: pa.Table, dialogues: Dialogues, labels: pa.Table) -> list[tuple[str, Mark]]:
    p = {task: labels[task].to_numpy(zero_copy_only=False).astype(float) for task in _NAMED}
    return [(RATED[t], mark) for t, mark in human_marks(turns, dialogues, p).items()]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
