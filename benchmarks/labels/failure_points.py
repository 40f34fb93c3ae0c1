"""What generated failure points are worth to the classifier, with little gold and with none.

    python -m benchmarks.labels.failure_points CORPORA [CORPUS...] [--turns N]

Prints Markdown. The classifier is trained on the gold of so many turns of two thirds of the
dialogues (of the sentences, where recordings repeat), with and without generated labels for the
other turns, and measured on the gold of the third that is left. `demo` is the reference assistant:
trained in one world, measured in another. The label model is trained on the same gold, with
`Settings.quick`; turns with gold are labelled by models that did not see their dialogue.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.metrics import average_precision_score

from assistant.demo import Setup, write_demo
from benchmarks.demo import OTHER
from classifiers.calibration import decide
from classifiers.encoder import Encoder
from classifiers.settings import Settings
from classifiers.splits import groups
from classifiers.train import fit, rescore
from classifiers.training_data import training_turns
from classifiers.training_set import TrainingSet, prepare
from data.errors import NotEnoughLabels
from data.ingest.ingest import ingest
from data.schema.trace import FAILURE_POINTS
from data.store.store import Store
from labels.feedback.table import feedback
from labels.generated.blame import blamed, confidence_of
from labels.generated.settings import Settings as LabelSettings
from labels.generated.train import train

NAMES = ("dstc1", "slurp", "dstc2", "demo")
GOLD = (0, 100, 300, 1_000)
# One group in so many is held out.
_HELD_OUT = 3
_SETTINGS = Settings(folds=3)


def main(corpora: Path, names: list[str], turns: int) -> None:
    """Train and measure on each of `names`, and print the table."""
    print("| corpus | gold | labels | turns learned from | macro-F1 | defect: average precision |")
    print("|---|---:|---|---:|---:|---:|")
    for name in names or NAMES:
        with TemporaryDirectory() as folder:
            for row in _measure(name, *_read(corpora, name, turns, Path(folder)), Path(folder)):
                print(row, flush=True)


def _read(
    corpora: Path, name: str, most: int, folder: Path
) -> tuple[pa.Table, np.ndarray, dict[str, float]]:
    """Turns by id, whether each is measured on, and p_defect from feedback of each turn."""
    if name != "demo":
        turns, p_defect = _turns([corpora / f"{name}.jsonl.gz"], folder / "store")
        number = groups(turns)
        rng = np.random.default_rng(0)
        order = rng.permutation(int(number.max()) + 1)
        kept = np.cumsum(np.bincount(number)[order]) <= most
        number = np.where(np.isin(number, order[kept]), order.argsort()[number], -1)
        rows = np.flatnonzero(number >= 0)
        return turns.take(rows), number[rows] % _HELD_OUT == 0, p_defect
    tables: list[pa.Table] = []
    tests: list[np.ndarray] = []
    told: dict[str, float] = {}
    for other, setup in enumerate(
        (Setup(seed=0, gold=1.0), Setup(seed=1, gold=1.0, releases=OTHER))
    ):
        world = folder / f"world{other}"
        report = write_demo(world, most // 2, setup.seed, setup.days, setup=setup, processes=1)
        turns, mine = _turns([report.traces], folder / f"store{other}")
        for column in ("turn_id", "dialogue_id"):
            renamed = pa.array([f"{other} {value}" for value in turns[column].to_pylist()])
            turns = turns.set_column(turns.column_names.index(column), column, renamed)
        tables.append(turns)
        tests.append(np.full(turns.num_rows, bool(other)))
        told |= {f"{other} {turn}": p for turn, p in mine.items()}
    return pa.concat_tables(tables), np.concatenate(tests), told


def _turns(paths: list[Path], folder: Path) -> tuple[pa.Table, dict[str, float]]:
    store = Store.create(folder)
    ingest(store, paths, workers=1)
    with store.snapshot() as snapshot:
        turns = training_turns(snapshot, 0)
        told, _ = feedback(snapshot)
    p: list[Any] = told["p_defect"].to_pylist()
    return turns, {str(t): v for t, v in zip(told["turn_id"].to_pylist(), p, strict=True)}


def _measure(
    name: str, turns: pa.Table, test: np.ndarray, told: dict[str, float], folder: Path
) -> list[str]:
    # Text vectors and logged features are the same whatever the labels.
    data, encoder = prepare(turns, _SETTINGS, folder / "encoder")
    test = test[np.argsort(np.array(turns["turn_id"].to_pylist()))]
    turns = turns.sort_by("turn_id")
    names = [str(turn) for turn in turns["turn_id"].to_pylist()]
    heard = pa.array([told.get(turn) for turn in names], pa.float64())
    defects = pa.table({"turn_id": pa.array(names), "p_defect": heard})
    learn, ask = np.flatnonzero(~test), np.flatnonzero(test)
    known = ask[data.target[ask] != None]  # noqa: E711  # element-wise
    truth = data.target[known]
    p = np.array([np.nan if v is None else v for v in defects["p_defect"].to_pylist()])[known]
    rows = []
    if np.isfinite(p).any():
        ap = average_precision_score(truth != "correct", np.nan_to_num(p, nan=0.0))
        rows.append(f"| {name} | 0 | feedback alone | 0 | – | {ap:.3f} |")
    share = (truth != "correct").mean()
    usual = _macro(truth, np.full(len(truth), "correct"))
    rows.append(f"| {name} | 0 | always correct | 0 | {usual:.3f} | {share:.3f} |")
    order = np.random.default_rng(1).permutation(np.unique(data.group[learn]))
    place = order.argsort()[np.searchsorted(np.unique(data.group[learn]), data.group[learn])]
    labelled = data.target[learn] != None  # noqa: E711  # element-wise
    before = np.cumsum(np.bincount(place, labelled))
    for n in GOLD:
        gold = learn[(before[place] <= n) & labelled] if n else learn[:0]
        found = _generated(turns.take(learn), defects.take(learn), np.isin(learn, gold))
        for kind in ("gold", "generated", "both"):
            part = _labelled(data, gold, found, learn, kind)
            rows.append(_row(name, n, kind, part, learn, data, encoder, known, truth))
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def _generated(turns: pa.Table, told: pa.Table, with_gold: np.ndarray) -> pa.Table:
    """Generated failure points of `turns`, as the product makes them, with the gold of some.

    What is said of turns with gold comes from models that did not see their dialogue.
    """
    gold = turns["gold"].to_pylist()
    kept = pa.array(
        [g if keep else None for g, keep in zip(gold, with_gold, strict=True)],
        turns.schema.field("gold").type,
    )
    blanked = turns.set_column(turns.column_names.index("gold"), "gold", kept)
    model, _ = train(blanked, LabelSettings.quick(), told)
    made = blamed(model.generate(blanked, told), blanked, confidence_of(model, blanked, told))
    return made.rename_columns({"p_failure_point": "weight"})


def _labelled(
    data: TrainingSet, gold: np.ndarray, found: pa.Table, learn: np.ndarray, kind: str
) -> TrainingSet:
    """`data` with labels of one kind, and no gold but that of the turns `gold`."""
    rows = gold[:0] if kind == "generated" else gold
    part = data.only_gold_of(rows)
    target, sure = part.target, np.zeros(len(data.target))
    if kind != "gold":
        target[learn] = found["failure_point"].to_pylist()
        sure[learn] = np.minimum(found["weight"].to_numpy(), 0.999)
    target[rows], sure[rows] = data.target[rows], 1.0
    return replace(part, target=target, sure=sure)


def _row(
    name: str,
    n: int,
    kind: str,
    part: TrainingSet,
    learn: np.ndarray,
    data: TrainingSet,
    encoder: Encoder | None,
    known: np.ndarray,
    truth: np.ndarray,
) -> str:
    turns = int((part.target[learn] != None).sum())  # noqa: E711  # element-wise
    begin = f"| {name} | {n} | {kind} | {turns:,} |"
    try:
        model = fit(part.take(learn), _SETTINGS, encoder, minimum=5)
    except NotEnoughLabels:
        return f"{begin} – | – |"
    p = rescore(model, data.take(known))
    verdict = np.array(model.classes)[decide(p, model.weights)]
    fine = model.classes.index("correct") if "correct" in model.classes else None
    defect = 1 - p[:, fine] if fine is not None else p.max(axis=1)
    ap: Any = average_precision_score(truth != "correct", defect)
    return f"{begin} {_macro(truth, verdict):.3f} | {ap:.3f} |"


def _macro(truth: np.ndarray, verdict: np.ndarray) -> float:
    """F1 averaged over the failure points that occur in `truth`."""
    scores = []
    for point in FAILURE_POINTS:
        is_one, said = truth == point, verdict == point
        if is_one.any():
            scores.append(2 * (is_one & said).sum() / (is_one.sum() + said.sum()))
    return float(np.mean(scores))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", type=Path)
    parser.add_argument("names", nargs="*", metavar="corpus")
    parser.add_argument("--turns", type=int, default=2_000)
    given = parser.parse_args()
    main(given.corpora, given.names, given.turns)
