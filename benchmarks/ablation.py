"""What each kind of evidence contributes: cross-validation with more and more feature groups.

    python -m benchmarks.ablation STORE [FOLDS] [ROW…]

Prints a Markdown table, of all rows or of those whose numbers (from 1) are given, in that order.
Each line is `faultline evaluate --without … --folds FOLDS`, but with three folds inside each
training part instead of five. All rows have the same folds: differences to the first are paired,
with 95 % intervals by a bootstrap over dialogues (or sentences).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from classifiers.evaluation.comparison import Difference, compare_verdicts
from classifiers.evaluation.cross_validation import (
    figures_of,
    forward_figures,
    labelled_rows,
    score_folds,
)
from classifiers.evaluation.words import with_interval
from classifiers.settings import Settings
from classifiers.training_data import training_turns
from classifiers.training_set import only_learnable, prepare
from data.store.store import Store
from data.store.temporary import scratch

VARIANTS = [
    ("log features only", Settings(without=("after", "before", "capture", "text"))),
    ("+ dialogue before", Settings(without=("after", "capture", "text"))),
    ("+ dialogue after", Settings(without=("capture", "text"))),
    ("+ other devices that heard it", Settings(without=("text",))),
    ("+ text", Settings(without=("witness",))),
    ("+ witness (all: hindsight)", Settings()),
    ("all, frames imitated, not meant", Settings(without=("meant",))),
    ("all but frames", Settings(without=("imitated", "meant"))),
    ("all but the language model", Settings(without=("language",))),
    ("all but the tagger", Settings(without=("tagger",))),
    ("all, splits not at random", Settings(extra_trees=False, rounds=160)),
    (
        "neither witness nor splits at random",
        Settings(without=("witness",), extra_trees=False, rounds=160),
    ),
    ("all but other devices", Settings(without=("capture",))),
    ("live", Settings(context="live")),
]


@dataclass(frozen=True, slots=True)
class Scored:
    """Labelled turns in folds: failure points, verdicts, probability of a defect, and groups."""

    truth: list[str]
    verdict: list[str]
    defect: np.ndarray
    group: np.ndarray


def scored(turns: pa.Table, settings: Settings, n: int) -> tuple[Scored, dict[str, Any], Any]:
    """Turns scored in `n` folds, figures of these, and figures of a forward split."""
    with scratch("faultline-encoder-") as folder:
        data, encoder = prepare(turns, settings, folder)
        data, classes = only_learnable(data)
        probability, verdict = score_folds(data, settings, encoder, classes, n)
        figures = figures_of(data, settings, classes, probability, verdict)
        later = forward_figures(data, settings, encoder, classes)
    rows, target = labelled_rows(data, classes)
    names = np.array(classes)
    result = Scored(
        names[target].tolist(),
        names[verdict[rows]].tolist(),
        1 - probability[rows, classes.index("correct")],
        data.group[rows],
    )
    return result, figures, later


def main(store: str, folds: int = 3, numbers: Sequence[int] = ()) -> None:
    """Evaluate every variant, or those with these numbers, on the labelled turns of `store`."""
    with Store.open(store).snapshot() as snapshot:
        turns = training_turns(snapshot, seed=0)
    print(
        "| features | macro-F1 (95 %) | less the first row | on later dialogues | accuracy "
        "| defect AP | less the first row | F1 per class | minutes |"
    )
    print("|---|---|---|---|---:|---|---|---|---:|", flush=True)
    first: Scored | None = None
    for name, settings in [VARIANTS[i - 1] for i in numbers] or VARIANTS:
        began = time.perf_counter()
        this, result, later = scored(turns, replace(settings, folds=3), folds)
        forward = (
            with_interval(later["macro_f1"], later["intervals"]["macro_f1"])
            if "macro_f1" in later
            else "–"
        )
        f1 = ap = "–"
        if first is None:
            first = this
        else:
            less = compare_verdicts(
                this.truth,
                first.verdict,
                this.verdict,
                list(this.group),
                defect=(first.defect, this.defect),
            )
            f1, ap = _difference(less.macro_f1), _difference(less.defect_average_precision)
        per_class = ", ".join(f"{c} {row['f1']:.3f}" for c, row in result["classes"].items())
        print(
            f"| {name} | {with_interval(result['macro_f1'], result['intervals']['macro_f1'])} "
            f"| {f1} | {forward} | {result['accuracy']:.3f} "
            f"| {result['defect_average_precision']:.3f} | {ap} | {per_class} "
            f"| {(time.perf_counter() - began) / 60:.1f} |",
            flush=True,
        )


def _difference(given: Difference | None) -> str:
    if given is None:
        return "–"
    return f"{given.value:+.3f} ({given.low:+.3f} to {given.high:+.3f})"


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[2:]]
    main(sys.argv[1], given[0] if given else 3, given[1:])
