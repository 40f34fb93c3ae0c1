"""What a model is worth before anybody has annotated, and after the first annotations.

    python -m benchmarks.cold_start CORPORA [CORPUS...] [--part start|curve] [--generated]
        [--turns N] [--annotated N ...] [--orders queue random mixed]

Prints Markdown. The corpora's `gold` is taken out of the records before they are ingested, and only
compared with afterwards. ``start``: what `faultline score` writes for a store without a model,
beside simple baselines, on all turns. ``curve``: so many turns annotated, in the order of the queue
of the page Annotate or at random, measured on the third of the dialogues (of the sentences, where
recordings repeat) of which nothing is annotated; an annotation is a verdict and nothing else.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.metrics import average_precision_score

from annotation.candidates import candidates
from annotation.queue import rank
from benchmarks.labels.failure_points import _macro
from classifiers import registry
from classifiers.calibration import decide
from classifiers.encoder import Encoder
from classifiers.first_model import train_first
from classifiers.scoring.score import score
from classifiers.settings import Settings
from classifiers.splits import groups
from classifiers.starter.evidence import Evidence
from classifiers.starter.labels import derive
from classifiers.starter.signs import ranks, signs
from classifiers.starter.stages import stages
from classifiers.train import fit, rescore, train_store
from classifiers.training_data import training_turns
from classifiers.training_set import TrainingSet, prepare
from data.errors import NotEnoughLabels
from data.ingest.ingest import ingest
from data.queries.filters import Filter
from data.schema.trace import FAILURE_POINTS
from data.store.annotations import annotate_all
from data.store.store import Store
from labels.feedback.signals import SIGNALS
from labels.feedback.table import collect, feedback
from labels.generated.settings import Settings as LabelSettings
from labels.generated.store import generate_store
from labels.generated.store import train_store as train_labels
from labels.rules.failure_point import labels

NAMES = ("dstc1", "slurp", "dstc2")
ANNOTATED = (0, 10, 25, 50, 100, 300, 1_000)
# Verdicts of one annotator in an hour, from half a minute a turn; an assumption.
PER_HOUR = 120
_HELD_OUT = 3
_RESAMPLES = 300
_CORRECT = FAILURE_POINTS.index("correct")


@dataclass(frozen=True)
class Kept:
    """What was taken out of a corpus: per turn id the failure point (or None) and the group."""

    truth: dict[str, str | None]
    group: dict[str, int]


def strip(corpora: Path, name: str, folder: Path, most: int | None) -> tuple[Store, Kept]:
    """A store of the corpus without gold, and the gold; whole groups up to `most` turns."""
    records = list(_records(corpora / f"{name}.jsonl.gz"))
    judged = Store.create(folder / "judged")
    ingest(judged, [corpora / f"{name}.jsonl.gz"], workers=1)
    with judged.snapshot() as snapshot:
        turns = snapshot.query("FROM turns ORDER BY turn_id")
    ids = [str(turn) for turn in turns["turn_id"].to_pylist()]
    points = labels(turns)
    truth = dict(
        zip(points["turn_id"].to_pylist(), points["failure_point"].to_pylist(), strict=True)
    )
    number = groups(turns)
    if most is not None:
        order = np.random.default_rng(0).permutation(int(number.max()) + 1)
        kept = order[np.cumsum(np.bincount(number)[order]) <= most]
        rows = np.flatnonzero(np.isin(number, kept))
        ids, number = [ids[row] for row in rows], number[rows]
    group = {turn: int(n) for turn, n in zip(ids, number, strict=True)}
    path = folder / "stripped.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for record in records:
            if record["turn_id"] in group:
                record.pop("gold", None)
                file.write(json.dumps(record) + "\n")
    store = Store.create(folder / "store")
    ingest(store, [path], workers=1)
    return store, Kept({turn: truth.get(turn) for turn in group}, group)


def _records(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


# -- without any annotation ------------------------------------------------------------------------


def start(corpora: Path, name: str, with_generated: bool) -> Iterator[str]:
    """Rows: baselines, the parts of derived labels, and what `faultline score` writes."""
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        store, kept = strip(corpora, name, folder, None)
        evidence = Evidence.of_store(store, Settings(), folder / "encoder")
        with store.snapshot() as snapshot:
            turns = training_turns(snapshot, 0)
            told, _ = feedback(snapshot)
            votes = _votes(collect(snapshot))
        ids = np.array(sorted(str(turn) for turn in turns["turn_id"].to_pylist()), object)
        assert (evidence.gold == None).all()  # noqa: E711  # element-wise
        columns = evidence.columns(0)
        ranked = ranks(columns, evidence.source)
        heard = dict(zip(told["turn_id"].to_pylist(), told["p_defect"].to_pylist(), strict=True))
        p = np.array([np.nan if heard.get(t) is None else heard[t] for t in ids], float)
        guess = stages().probability(ranked)
        derived = derive(columns, evidence.source, p, 10)
        named = np.array(FAILURE_POINTS, object)[guess.argmax(axis=1)]
        told_defect = np.where(np.nan_to_num(p) >= 0.5, "asr", "correct").astype(object)
        yield _row(
            name, "always correct", kept, ids, np.zeros(len(ids)), np.full(len(ids), "correct")
        )
        yield _row(name, "votes of behaviour", kept, ids, np.array([votes[t] for t in ids]), None)
        yield _row(name, "feedback alone", kept, ids, np.nan_to_num(p), told_defect)
        yield _row(name, "packaged model alone", kept, ids, 1 - guess[:, _CORRECT], named)
        yield _row(name, "signs alone", kept, ids, signs(ranked).score, None)
        yield _row(name, "signs, unweighted", kept, ids, _unweighted(ranked), None)
        yield _row(name, "combined", kept, ids, derived.p_defect, derived.failure_point)
        if with_generated:
            yield _generated(name, store, kept)
        first = train_first(store)
        assert first is None or first.against != "gold"
        yield _scored(name, "**as shipped**", store, kept)


def _votes(table: pa.Table) -> dict[str, float]:
    """Signals of behaviour that point to a defect, less those that point to success."""
    total = np.zeros(table.num_rows)
    for signal in SIGNALS:
        fired = np.array([bool(value) for value in table[signal.name].to_pylist()])
        total += fired * (1.0 if signal.defect else -1.0)
    ids = [str(turn) for turn in table["turn_id"].to_pylist()]
    return dict(zip(ids, total.tolist(), strict=True))


def _unweighted(ranked: dict[str, np.ndarray]) -> np.ndarray:
    from classifiers.starter.signs import direction

    used = [(v - 0.5) * direction(name) for name, v in ranked.items() if direction(name)]
    total: np.ndarray = np.nansum(np.array(used), axis=0)
    return total


def _generated(name: str, store: Store, kept: Kept) -> str:
    """`labels train --quick`, `labels generate`, `train --labels generated`, `score`."""
    try:
        train_labels(store, LabelSettings.quick())
        generate_store(store)
        model = train_store(store, Settings(labels="generated"), promote=False)
    except NotEnoughLabels:
        return f"| {name} | generated labels | too few | – |"
    score(store, model.id, workers=1)
    return _scored(name, "generated labels", store, kept, model.id)


def _scored(name: str, what: str, store: Store, kept: Kept, model: str | None = None) -> str:
    with store.snapshot() as snapshot:
        if model is None:
            model = snapshot.model
    if model:
        score(store, model, workers=1)
    with store.snapshot() as snapshot:
        rows = snapshot.query(
            "SELECT turn_id, p_defect, failure_point FROM predictions WHERE model_id = $model",
            {"model": model},
        )
    ids = np.array(rows["turn_id"].to_pylist(), object)
    verdict = np.array(rows["failure_point"].to_pylist(), object)
    return _row(name, what, kept, ids, rows["p_defect"].to_numpy().astype(float), verdict)


def _row(
    name: str, what: str, kept: Kept, ids: np.ndarray, p: np.ndarray, verdict: np.ndarray | None
) -> str:
    known = np.array([kept.truth.get(turn) is not None for turn in ids])
    truth = np.array([kept.truth[turn] for turn in ids[known]], object)
    group = np.array([kept.group[turn] for turn in ids[known]])
    defect, p = truth != "correct", p[known]
    value: Any = average_precision_score(defect, p)
    low, high = _interval(defect, p, group)
    macro = "–" if verdict is None else f"{_macro(truth, verdict[known]):.3f}"
    return f"| {name} | {what} | {value:.3f} ({low:.3f}–{high:.3f}) | {macro} |"


def _interval(defect: np.ndarray, p: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """95 % of the average precision over resamples of whole groups."""
    number = np.unique(group, return_inverse=True)[1]
    rng = np.random.default_rng(0)
    found = []
    for _ in range(_RESAMPLES):
        times = np.bincount(rng.integers(0, number.max() + 1, number.max() + 1),
                            minlength=number.max() + 1)[number]  # fmt: skip
        found.append(average_precision_score(defect, p, sample_weight=times))
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


# -- after the first annotations -------------------------------------------------------------------


def curve(
    corpora: Path, name: str, most: int, annotated: tuple[int, ...], orders: tuple[str, ...]
) -> Iterator[str]:
    """Rows: so many annotations, in which order, learned how."""
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        store, kept = strip(corpora, name, folder, most)
        with store.snapshot() as snapshot:
            turns = training_turns(snapshot, 0)
            told = feedback(snapshot)[0].select(["turn_id", "p_defect"])
        warm = Settings(labels="behaviour", folds=3)
        data, encoder = prepare(turns, warm, folder / "encoder", told)
        ids = [str(turn) for turn in data.ids]
        truth = np.array([kept.truth[turn] for turn in ids], object)
        # Not a group's number as such: it would follow the alphabet.
        number = np.unique([kept.group[turn] for turn in ids], return_inverse=True)[1]
        part = np.random.default_rng(0).permutation(int(number.max()) + 1)[number] % _HELD_OUT
        test = np.flatnonzero((part == 0) & (truth != None))  # noqa: E711  # element-wise
        open_ = np.flatnonzero((part != 0) & (truth != None))  # noqa: E711  # element-wise
        at_random = np.random.default_rng(1).permutation(open_)
        place = {turn: row for row, turn in enumerate(ids)}
        queue: list[int] = []
        judge = _Judge(data, encoder, truth, test)
        for n, following in zip(annotated, (*annotated[1:], None), strict=True):
            row = f"| {name} | {n:,} | {n / PER_HOUR:.1f} |"
            chosen = {"queue": np.array(queue[:n], int)}
            if n:
                chosen["random"] = at_random[:n]
                # Half of the queue, and others at random.
                half = np.array(queue[: n // 2], int)
                others = at_random[~np.isin(at_random, half)]
                chosen["mixed"] = np.concatenate([half, others[: n - len(half)]])
            for order in orders if n else ("queue",):
                for settings, learned in (
                    (warm, ""),
                    (replace(warm, labels="gold"), ", gold alone"),
                ):
                    if n or not learned:
                        model, figures = judge(chosen[order], settings)
                        yield f"{row} {order}{learned} | {figures} |"
                        if order == "queue" and not learned:
                            used = model
            if following:
                used.id = registry.save(used, folder / "encoder", store.models)
                store.promote(used.id)
                score(store, used.id, workers=1)
                queue += _next(
                    store, used.id, place, set(open_.tolist()) - set(queue), following - n
                )
                _annotate(store, turns, truth, queue[n:], place)


class _Judge:
    """Trains on the annotations of some rows and on derived labels, and tests on held-out rows."""

    def __init__(
        self, data: TrainingSet, encoder: Encoder | None, truth: np.ndarray, test: np.ndarray
    ) -> None:
        self.data, self.encoder, self.truth, self.test = data, encoder, truth, test

    def __call__(self, annotated: np.ndarray, settings: Settings) -> tuple[Any, str]:
        """The model (None where there are too few labels), and its figures."""
        assert self.data.sure is not None
        target, sure = self.data.target.copy(), self.data.sure.copy()
        if settings.labels == "gold":
            target[:] = None
        target[annotated], sure[annotated] = self.truth[annotated], 1.0
        given = None if settings.labels == "gold" else sure
        # The page does not keep whether a turn was drawn at random.
        chosen = np.isin(np.arange(len(target)), annotated)
        labelled = replace(self.data, target=target, sure=given, chosen=chosen)
        try:
            model = fit(labelled, settings, self.encoder)
        except NotEnoughLabels:
            return None, "– | –"
        # As scoring does: out of fold where the turn was learned from, if by a derived label.
        p = rescore(model, self.data.take(self.test))
        assert model.held_out is not None
        row = {turn: i for i, turn in enumerate(model.held_out.turn_ids.to_pylist())}
        for i, turn in enumerate(self.data.ids[self.test]):
            if turn in row:
                p[i] = model.held_out.probability[row[turn]]
        verdict = np.array(model.classes, object)[decide(p, model.weights)]
        truth = self.truth[self.test]
        ap: Any = average_precision_score(
            truth != "correct", 1 - p[:, model.classes.index("correct")]
        )
        return model, f"{_macro(truth, verdict):.3f} | {ap:.3f}"


def _next(store: Store, model: str, place: dict[str, int], open_: set[int], n: int) -> list[int]:
    """The first `n` open turns of the queue."""
    with store.snapshot() as snapshot:
        ranked = rank(candidates(snapshot, model, Filter(), most=3_000))
    rows = [place[str(turn)] for turn in ranked["turn_id"].to_pylist() if str(turn) in place]
    return [row for row in rows if row in open_][:n]


def _annotate(
    store: Store, turns: pa.Table, truth: np.ndarray, rows: list[int], place: dict[str, int]
) -> None:
    known = turns.select(["turn_id", "dialogue_id", "day"]).to_pylist()
    by_row = {place[str(turn["turn_id"])]: turn for turn in known}
    for point in FAILURE_POINTS:
        judged = [by_row[row] for row in rows if truth[row] == point]
        if judged:
            annotate_all(store, judged, "benchmark", point)


def main(given: argparse.Namespace) -> None:
    if given.part == "start":
        print("| corpus | labels | defect: average precision (95 %) | macro-F1 |")
        print("|---|---|---:|---:|")
    else:
        print(
            "| corpus | annotated turns | hours | order | macro-F1 | defect: average precision |\n"
            "|---|---:|---:|---|---:|---:|"
        )
    for name in given.names or NAMES:
        rows = (
            start(given.corpora, name, given.generated)
            if given.part == "start"
            else curve(
                given.corpora, name, given.turns, tuple(given.annotated), tuple(given.orders)
            )
        )
        for row in rows:
            print(row, flush=True)
            print(row, file=sys.stderr, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", type=Path)
    parser.add_argument("names", nargs="*", metavar="corpus")
    parser.add_argument("--part", choices=("start", "curve"), default="start")
    parser.add_argument("--generated", action="store_true", help="start: generated labels as well")
    parser.add_argument("--turns", type=int, default=3_000, help="of the curve")
    parser.add_argument("--annotated", type=int, nargs="+", default=ANNOTATED)
    parser.add_argument("--orders", nargs="+", default=("queue", "random"))
    main(parser.parse_args())
