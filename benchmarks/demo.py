"""Agreement of verdicts on the demo data with the truth, as Markdown for docs/evaluation.md.

    python -m benchmarks.demo [TURNS] [SHARE]

A model is trained on the annotated sample of one world and tested on that world's other turns, on
another world (other entities, households and component versions), and with more and fewer
annotations. It is compared with a simulated second annotator of the same turns.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from assistant.demo import Setup, write_demo
from assistant.releases import RELEASES
from benchmarks.simulated_annotators import second_annotator
from classifiers.metrics import bootstrap, summary
from classifiers.model import Model
from classifiers.settings import Settings
from classifiers.train import train
from classifiers.training_data import training_turns
from data.errors import NotEnoughLabels
from data.ingest.ingest import ingest
from data.schema.trace import FAILURE_POINTS
from data.store.store import Store

TURNS = 20_000
SHARES = (0.02, 0.04, 0.08, 0.16, 1.0)
# Dialogues that the learning curve is tested on.
HELD_OUT = 0.25
# The other world's components have versions that no model has seen, released at other times.
OTHER = tuple(
    replace(release, version=f"{release.version}-b", since=round(0.93 * release.since, 3))
    for release in RELEASES
)


@dataclass(frozen=True)
class Demo:
    """A simulated world in a store, and the truth about it in the order of `turns`.

    `turns`: as in the store, ordered by turn. `annotated`: which of them were in the sample.
    """

    store: Store
    turns: pa.Table
    truth: pa.Table
    annotated: np.ndarray

    @property
    def target(self) -> np.ndarray:
        """Number of the true failure point of each turn."""
        return _numbers(self.truth["failure_point"])

    @property
    def dialogues(self) -> np.ndarray:
        return np.array(self.turns["dialogue_id"].to_pylist())

    def with_gold(self, rows: np.ndarray) -> pa.Table:
        """The turns; those of `rows` (booleans) have the whole truth as gold, all others none."""
        gold = self.truth["gold"].combine_chunks()
        masked = pc.if_else(pa.array(rows), gold, pa.scalar(None, gold.type))
        index = self.turns.schema.get_field_index("gold")
        field = self.turns.schema.field("gold")
        return self.turns.set_column(index, "gold", masked.cast(field.type))


def make(folder: Path, turns: int, setup: Setup) -> Demo:
    """Simulate a world and ingest it."""
    report = write_demo(folder / "traces.parquet", turns, setup.seed, setup.days, setup=setup)
    store = Store.create(folder / "store")
    ingest(store, [report.traces])
    with store.snapshot() as snapshot:
        table = snapshot.query("SELECT * FROM turns ORDER BY turn_id")
    truth = pq.read_table(report.truth).sort_by("turn_id")
    assert truth["turn_id"].to_pylist() == table["turn_id"].to_pylist()
    return Demo(store, table, truth, np.array(pc.is_valid(table["gold"]).to_pylist(), bool))


def fitted(turns: pa.Table) -> Model:
    """A model trained on these turns."""
    model, folder = train(turns, Settings())
    # The encoder is already in memory.
    shutil.rmtree(folder, ignore_errors=True)
    return model


def _numbers(names: pa.ChunkedArray[Any]) -> np.ndarray:
    numbers: np.ndarray = pc.index_in(
        names.combine_chunks(), value_set=pa.array(list(FAILURE_POINTS))
    ).to_numpy()
    return numbers


def measured(
    demo: Demo, rows: np.ndarray, verdict: np.ndarray, probability: np.ndarray | None = None
) -> dict[str, Any]:
    """`classifiers.metrics.summary` of the verdicts on some turns, with intervals."""
    target = demo.target[rows]
    if probability is None:
        probability = np.eye(len(FAILURE_POINTS))[verdict]
    content = summary(probability[rows], target, None, FAILURE_POINTS, verdict[rows])
    content["intervals"] = bootstrap(
        target, verdict[rows], demo.dialogues[rows], FAILURE_POINTS, seed=0
    )
    return content


def of_model(demo: Demo, rows: np.ndarray, model: Model) -> dict[str, Any]:
    """Quality of the model's verdicts on `rows`."""
    scores = model.score(demo.turns)
    return measured(demo, rows, scores.verdict, scores.probability)


def of_person(demo: Demo, rows: np.ndarray) -> dict[str, Any]:
    """Agreement of the second annotator with the truth on `rows`."""
    everything = np.ones(len(rows), bool)
    annotations = second_annotator(demo.with_gold(everything))["failure_point"]
    return measured(demo, rows, _numbers(annotations))


def _interval(content: dict[str, Any]) -> str:
    low, high = content["intervals"]["macro_f1"]
    return f"{content['macro_f1']:.3f} ({low:.3f}–{high:.3f})"


def table(model: dict[str, Any], person: dict[str, Any]) -> list[str]:
    """Overall and per class, the model beside the second annotator."""
    ratio = 100 * model["macro_f1"] / person["macro_f1"]
    rows = [
        "| | turns | model F1 (95 %) | precision | recall | second annotator F1 | % of human |",
        "|---|---:|---|---:|---:|---:|---:|",
        f"| macro | {model['turns']:,} | {_interval(model)} | | | {person['macro_f1']:.3f} "
        f"| {ratio:.1f} |",
    ]
    for name in FAILURE_POINTS:
        ours, theirs = model["classes"][name], person["classes"][name]
        low, high = model["intervals"]["classes"][name]["f1"]
        rows.append(
            f"| {name} | {ours['support']:,} | {ours['f1']:.3f} ({low:.3f}–{high:.3f}) "
            f"| {ours['precision']:.3f} | {ours['recall']:.3f} | {theirs['f1']:.3f} "
            f"| {100 * ours['f1'] / max(theirs['f1'], 1e-9):.1f} |"
        )
    return [
        *rows,
        "",
        f"Accuracy {model['accuracy']:.3f} (second annotator {person['accuracy']:.3f}), average "
        f"precision of a defect {model['defect_average_precision']:.3f}.",
    ]


def confusion(content: dict[str, Any]) -> list[str]:
    """Truth in rows, verdicts in columns."""
    rows = ["| truth \\ verdict | " + " | ".join(FAILURE_POINTS) + " |", "|---" * 7 + "|"]
    rows += [
        f"| {name} | " + " | ".join(f"{n:,}" for n in counts) + " |"
        for name, counts in zip(FAILURE_POINTS, content["confusion"], strict=True)
    ]
    return rows


def curve(home: Demo, other: Demo, shares: Sequence[float] = SHARES) -> list[str]:
    """Learning curve on held-out dialogues of this world and on the other world."""
    rows = [
        "| annotated | labelled turns | macro-F1, same world (95 %) | macro-F1, other world "
        "(95 %) | defect AP, other world |",
        "|---:|---:|---|---|---:|",
    ]
    names, dialogue = np.unique(home.dialogues, return_inverse=True)
    draw = np.random.default_rng(61).random(len(names))[dialogue]
    test = draw >= 1 - HELD_OUT
    everywhere = np.ones(other.turns.num_rows, bool)
    for share in shares:
        annotated = draw < share * (1 - HELD_OUT)
        try:
            model = fitted(home.with_gold(annotated).filter(pa.array(~test)))
        except NotEnoughLabels:
            rows.append(f"| {100 * share:.0f} % | {annotated.sum():,} | too few to train on | | |")
            continue
        same, away = of_model(home, test, model), of_model(other, everywhere, model)
        rows.append(
            f"| {100 * share:.0f} % | {annotated.sum():,} | {_interval(same)} | {_interval(away)} "
            f"| {away['defect_average_precision']:.3f} |"
        )
    return rows


def main(turns: int = TURNS, share: float = 0.08) -> None:
    """Print everything, for worlds of `turns` turns; `share` of the first one's are annotated."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="faultline-demo-") as name:
        home = make(Path(name) / "home", turns, Setup(seed=0, gold=share))
        other = make(Path(name) / "other", turns, Setup(seed=1, releases=OTHER))
        with home.store.snapshot() as snapshot:
            model = fitted(training_turns(snapshot, seed=0))
        rest, everywhere = ~home.annotated, np.ones(other.turns.num_rows, bool)
        here, away = of_model(home, rest, model), of_model(other, everywhere, model)
        lines = [
            f"Trained on {home.annotated.sum():,} annotated turns, tested on the other "
            f"{rest.sum():,} turns of the same world:",
            "",
            *table(here, of_person(home, rest)),
            "",
            *confusion(here),
            "",
            f"The same model on all {other.turns.num_rows:,} turns of another world:",
            "",
            *table(away, of_person(other, everywhere)),
            "",
            *confusion(away),
            "",
            f"By share of annotated dialogues ({100 * HELD_OUT:.0f} % of the dialogues are held "
            "out for the test):",
            "",
        ]
        print("\n".join(lines), flush=True)
        print("\n".join(curve(home, other)))
    print(f"\n{(time.perf_counter() - began) / 60:.1f} minutes.")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(
        int(arguments[0]) if arguments else TURNS,
        float(arguments[1]) if len(arguments) > 1 else 0.08,
    )
