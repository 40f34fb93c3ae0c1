"""What each kind of evidence contributes: cross-validation with more and more feature groups.

    python -m benchmarks.ablation STORE [FOLDS] [ROW…]

Prints a Markdown table, of all rows or of those whose numbers (from 1) are given. Each line is
`faultline evaluate --without … --folds FOLDS`, but with three folds inside each training part
instead of five.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from classifiers.evaluation.cross_validation import evaluate
from classifiers.evaluation.words import with_interval
from classifiers.settings import Settings
from classifiers.training_data import training_turns
from data.store.store import Store

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
    ("all but other devices", Settings(without=("capture",))),
    ("live", Settings(context="live")),
]


def main(store: str, folds: int = 3, numbers: Sequence[int] = ()) -> None:
    """Evaluate every variant, or those with these numbers, on the labelled turns of `store`."""
    with Store.open(store).snapshot() as snapshot:
        turns = training_turns(snapshot, seed=0)
    print(
        "| features | macro-F1 (95 %) | on later dialogues | accuracy | defect AP | F1 per class "
        "| minutes |"
    )
    print("|---|---|---|---:|---:|---|---:|", flush=True)
    for name, settings in [VARIANTS[i - 1] for i in numbers] or VARIANTS:
        began = time.perf_counter()
        result = evaluate(turns, replace(settings, folds=3), folds)
        low, high = result["intervals"]["macro_f1"]
        later = result["forward"]
        forward = (
            with_interval(later["macro_f1"], later["intervals"]["macro_f1"])
            if "macro_f1" in later
            else "–"
        )
        per_class = ", ".join(f"{c} {row['f1']:.3f}" for c, row in result["classes"].items())
        print(
            f"| {name} | {result['macro_f1']:.3f} ({low:.3f}–{high:.3f}) | {forward} "
            f"| {result['accuracy']:.3f} | {result['defect_average_precision']:.3f} "
            f"| {per_class} | {(time.perf_counter() - began) / 60:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[2:]]
    main(sys.argv[1], given[0] if given else 3, given[1:])
