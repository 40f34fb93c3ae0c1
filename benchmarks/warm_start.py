"""What the packaged turns are worth beside the first verdicts.

    python -m benchmarks.warm_start CORPORA [CORPUS...] [--verdicts N ...] [--draws N] [--turns N]
        [--no-derived]

Prints Markdown. ``world`` stands for a simulated assistant of another seed than those of which the
packaged turns come; the others are corpora. So many turns at random have a verdict; the test is on
the third of the dialogues (of the sentences, where recordings repeat) of which the model saw
nothing, the same for all kinds of labels. Gains are those over the same labels without, mean over
the draws of test and verdicts with its standard error.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sklearn.metrics import average_precision_score

from assistant.demo import Setup, write_demo
from benchmarks.cold_start import NAMES, strip
from benchmarks.labels.failure_points import _macro
from classifiers.calibration import decide
from classifiers.encoder import Encoder
from classifiers.settings import Settings
from classifiers.starter.evidence import Evidence
from classifiers.starter.signs import ranks
from classifiers.starter.stages import stages
from classifiers.train import fit, rescore
from classifiers.training_data import training_turns
from classifiers.training_set import TrainingSet, prepare
from data.errors import NotEnoughLabels
from data.schema.trace import FAILURE_POINTS
from labels.feedback.table import feedback

WORLD, SEED = "world", 501
VERDICTS = (50, 100, 300)
_PARTS = 3
_COLD = Settings(labels="gold", folds=3)
# Each pair: without the pooled turns, and with them.
KINDS = {
    "verdicts alone": _COLD,
    "verdicts, pooled": replace(_COLD, warm_start=True),
    "derived labels as well": replace(_COLD, labels="behaviour"),
    "derived labels as well, pooled": replace(_COLD, labels="behaviour", warm_start=True),
}
# Not built: the packaged model's probabilities as columns.
_STACKED = "derived labels as well, and the packaged model's guess as columns"


def rows(
    corpora: Path, name: str, verdicts: tuple[int, ...], draws: int, most: int, derived: bool
) -> Iterator[str]:
    """Rows of the table for one corpus."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        if name == WORLD:
            setup = Setup(seed=SEED, gold=1.0)
            write_demo(folder / f"{WORLD}.jsonl.gz", most, SEED, setup=setup, processes=1)
            corpora = folder
        store, kept = strip(corpora, name, folder, most)
        with store.snapshot() as snapshot:
            turns = training_turns(snapshot, 0)
            told = feedback(snapshot)[0].select(["turn_id", "p_defect"])
        data, encoder = prepare(turns, replace(_COLD, labels="behaviour"), folder / "encoder", told)
        guessed = data
        if derived:
            guessed = _with_guess(data, Evidence.of_store(store, _COLD, folder / "encoder"))
        ids = [str(turn) for turn in data.ids]
        truth = np.array([kept.truth[turn] for turn in ids], object)
        group = np.unique([kept.group[turn] for turn in ids], return_inverse=True)[1]
        for n in verdicts:
            found: dict[str, list[tuple[float, float]]] = {}
            for draw in range(draws):
                rng = np.random.default_rng(draw)
                part = rng.permutation(int(group.max()) + 1)[group] % _PARTS
                known = truth != None  # noqa: E711  # element-wise
                test, open_ = np.flatnonzero((part == 0) & known), np.flatnonzero(part > 0)
                judged = rng.permutation(open_[known[open_]])[:n]
                for kind, settings in KINDS.items():
                    if settings.labels == "behaviour" and not derived:
                        continue
                    found.setdefault(kind, []).append(
                        _figures(data, truth, judged, open_, test, settings, encoder)
                    )
                if derived:
                    settings = KINDS["derived labels as well"]
                    found.setdefault(_STACKED, []).append(
                        _figures(guessed, truth, judged, open_, test, settings, encoder)
                    )
            yield from _lines(name, n, found)


def _figures(
    data: TrainingSet,
    truth: np.ndarray,
    judged: np.ndarray,
    open_: np.ndarray,
    test: np.ndarray,
    settings: Settings,
    encoder: Encoder | None,
) -> tuple[float, float]:
    """Macro-F1 and average precision of "defect" on `test`; as if all were called correct where
    there is too little to train on."""
    assert data.sure is not None
    target, sure = data.target.copy(), data.sure.copy()
    if settings.labels == "gold":
        target[:] = None
    target[judged], sure[judged] = truth[judged], 1.0
    labelled = replace(data, target=target, sure=None if settings.labels == "gold" else sure)
    answer = truth[test]
    try:
        model = fit(labelled.take(open_), settings, encoder)
    except NotEnoughLabels:
        everything = np.full(len(test), "correct", object)
        return _macro(answer, everything), float(np.mean(answer != "correct"))
    p = rescore(model, data.take(test))
    verdict = np.array(model.classes, object)[decide(p, model.weights)]
    defect = 1 - p[:, model.classes.index("correct")]
    return _macro(answer, verdict), float(average_precision_score(answer != "correct", defect))


def _with_guess(data: TrainingSet, evidence: Evidence) -> TrainingSet:
    """`data` with the probabilities of the packaged model as further columns; without the fit of
    texts, which scoring, a part of the turns at a time, could not know."""
    columns = {
        name: values for name, values in evidence.columns(0).items() if not name.startswith("fit.")
    }
    guess = stages().probability(ranks(columns, evidence.source)).astype(np.float32)
    named = {f"starter.{point}": guess[:, i] for i, point in enumerate(FAILURE_POINTS)}
    return replace(data, logged=data.logged | named)


def _lines(name: str, n: int, found: dict[str, list[tuple[float, float]]]) -> Iterator[str]:
    against = {
        "verdicts, pooled": "verdicts alone",
        "derived labels as well, pooled": "derived labels as well",
        _STACKED: "derived labels as well",
    }
    for kind, pairs in found.items():
        figures = np.array(pairs)
        f1, precision = figures.mean(axis=0)
        line = f"| {name} | {n:,} | {kind} | {f1:.3f} | {precision:.3f} |"
        if kind in against:
            gain = figures - np.array(found[against[kind]])
            error = gain.std(axis=0, ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else [np.nan] * 2
            cells = [f"{m:+.3f} ± {e:.3f}" for m, e in zip(gain.mean(axis=0), error, strict=True)]
            yield f"{line} {' | '.join(cells)} |"
        else:
            yield f"{line} | |"


def main(given: argparse.Namespace) -> None:
    print(
        "| corpus | verdicts | learned from | macro-F1 | defect: average precision | gain in F1 "
        "| gain in AP |\n|---|---:|---|---:|---:|---:|---:|"
    )
    for name in given.names or (*NAMES, WORLD):
        for line in rows(
            given.corpora, name, tuple(given.verdicts), given.draws, given.turns, given.derived
        ):
            print(line, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", type=Path)
    parser.add_argument("names", nargs="*", metavar="corpus")
    parser.add_argument("--verdicts", type=int, nargs="+", default=VERDICTS)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--no-derived", dest="derived", action="store_false")
    parser.add_argument("--turns", type=int, default=3_000)
    main(parser.parse_args())
