"""What random folds promise and what later dialogues hold, as Markdown for docs/evaluation.md.

    python -m benchmarks.later_logs CORPORA [CORPUS...]
    python -m benchmarks.later_logs CORPORA CORPUS --splits

The first is `faultline evaluate` on each corpus: figures of both splits, what moved between them,
and known limits. `--splits` compares other ways to split one corpus by time.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from classifiers import splits
from classifiers.evaluation.cross_validation import evaluate, figures_of, score_held_out
from classifiers.evaluation.words import bursts, ceiling, expected, period, shifted, with_interval
from classifiers.settings import Settings
from classifiers.splits import Fold
from classifiers.training_data import training_turns
from classifiers.training_set import TrainingSet, only_learnable, prepare
from data.ingest.ingest import ingest
from data.store.store import Store

CORPORA = ("dstc1", "slurp", "dstc2")
_HEADER = (
    "| corpus | split | turns | macro-F1 (95 %) | accuracy | defect AP | defect calibration error "
    "| F1 per class (calibration error) |\n|---|---|---:|---|---|---|---|---|"
)


def main(corpora: Path, names: list[str]) -> None:
    """Evaluate each corpus; print one table of figures, then what else is known of each."""
    said: list[str] = []
    print(_HEADER, flush=True)
    for name in names:
        result = evaluate(_turns(corpora, name), Settings())
        later = result["forward"]
        print(_row(name, "random folds", result), flush=True)
        if "macro_f1" in later:
            print(_row(name, "forward", later), flush=True)
        parts = [
            expected(result["headline"], result["macro_f1"], later),
            *bursts(result["concentration"]),
            *([f"Forward: {period(later)}.", shifted(later["shift"])] if "turns" in later else []),
            *ceiling(result["limits"]),
        ]
        said.append(f"- **{name}.** {' '.join(parts)}")
    print("\n" + "\n".join(said))


def compare_splits(corpora: Path, name: str) -> None:
    """Print figures of several ways to split a corpus by time."""
    settings = Settings()
    with tempfile.TemporaryDirectory() as folder:
        data, encoder = prepare(_turns(corpora, name), settings, Path(folder))
        data, classes = only_learnable(data)
        print(_HEADER, flush=True)
        for label, folds in _splits(data, settings):
            scored = [
                (rows, *score_held_out(data, settings, encoder, classes, early, rows))
                for early, rows in folds
            ]
            rows, probability, verdict = (
                np.concatenate(part) for part in zip(*scored, strict=True)
            )
            print(_row(name, label, figures_of(data.take(rows), settings, classes, probability,
                                               verdict)), flush=True)  # fmt: skip


def _splits(data: TrainingSet, settings: Settings) -> Iterator[tuple[str, list[Fold]]]:
    assert data.began is not None
    began = data.began
    labelled = np.sort(began[(data.target != None) & ~np.isnat(began)])  # noqa: E711  # element-wise

    def at(share: float) -> Any:
        return labelled[int(share * len(labelled))] if share < 1 else labelled[-1] + 1

    def forward(start: float, stop: float = 1.0) -> Fold:
        early = began < at(start)
        late = (began >= at(start)) & (began < at(stop))
        return np.flatnonzero(early), np.flatnonzero(late & ~np.isin(data.group, data.group[early]))

    def block(start: float, stop: float) -> Fold:
        held_out = (began >= at(start)) & (began < at(stop))
        rest = ~held_out & ~np.isin(data.group, data.group[held_out])
        return np.flatnonzero(rest), np.flatnonzero(held_out)

    yield "random folds", splits.folds(data.target, data.group, 5, settings.seed + 1000)
    yield "forward, from 70 %", [forward(0.7)]
    yield "forward, from 50 %", [forward(0.5)]
    steps = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    yield (
        "forward in five steps from 50 %",
        [forward(*pair) for pair in pairwise(steps)],
    )
    fifths = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    yield "five blocks of time", [block(*pair) for pair in pairwise(fifths)]


def _turns(corpora: Path, name: str) -> pa.Table:
    with tempfile.TemporaryDirectory() as folder:
        store = Store.create(Path(folder) / "store")
        ingest(store, [corpora / f"{name}.jsonl.gz"])
        with store.snapshot() as snapshot:
            return training_turns(snapshot, seed=0)


def _row(corpus: str, split: str, figures: dict[str, Any]) -> str:
    spans = figures["intervals"]
    totals = ("macro_f1", "accuracy", "defect_average_precision", "defect_calibration_error")
    per_class = ", ".join(
        f"{name} {row['f1']:.3f} ({row['calibration_error']:.3f})"
        for name, row in figures["classes"].items()
    )
    cells = " | ".join(with_interval(figures[key], spans[key]) for key in totals)
    return f"| {corpus} | {split} | {figures['turns']:,} | {cells} | {per_class} |"


if __name__ == "__main__":
    given = [argument for argument in sys.argv[1:] if argument != "--splits"]
    unknown = set(given[1:]) - set(CORPORA)
    if not given or unknown or ("--splits" in sys.argv and len(given) != 2):
        sys.exit(__doc__)
    if "--splits" in sys.argv:
        compare_splits(Path(given[0]), given[1])
    else:
        main(Path(given[0]), given[1:] or list(CORPORA))
