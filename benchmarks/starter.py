"""Make what `classifiers/starter` packages: a model that guesses stages where nobody annotated, and
labelled turns to pool with the first verdicts.

    python -m benchmarks.starter [--worlds N] [--turns N] [--only stages|turns]   # or: make starter

Simulates so many worlds of the reference assistant, each with its own seed, every other one with
other releases, and learns from ranks of the catalogue's features within each. Of every few hundred
turns, signals and whole stages are dropped at random, so that the model relies on no single one.
The labelled turns come from smaller worlds, so many of each failure point and world, with text
heads that learned from as few verdicts as a team has that needs them.
The same seed and versions of packages give the same files. No real log is read.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import lightgbm as lgb
import numpy as np

from assistant.demo import Setup, write_demo
from assistant.releases import RELEASES
from benchmarks.demo import OTHER
from classifiers.model import stack
from classifiers.settings import Settings
from classifiers.splits import folds
from classifiers.starter import pooling
from classifiers.starter.evidence import Evidence
from classifiers.starter.signs import ranks
from classifiers.starter.stages import write
from classifiers.text_heads import TextHeads
from classifiers.training_data import training_turns
from classifiers.training_set import prepare
from data.ingest.ingest import ingest
from data.schema.trace import FAILURE_POINTS
from data.store.store import Store

WORLDS, TURNS = 6, 5_000
# Seeds of the worlds, which no demo and no benchmark uses.
FIRST_SEED = 101
_COPIES, _SOURCE = 3, 300
# Shares of the signals, and of whole stages, that a source does not log.
_SIGNALS, _STAGES = 0.3, 0.35
# Worlds of pooled turns, and turns of each; of these so many of each failure point are kept. Text
# heads learn from so many verdicts.
_POOLED_WORLDS, _POOLED_TURNS, _KEPT, _VERDICTS = 3, 2_000, 60, 300
_ROUNDS = 80
_PARAMETERS = {
    "objective": "multiclass",
    "num_class": len(FAILURE_POINTS),
    "learning_rate": 0.06,
    "num_leaves": 15,
    "min_data_in_leaf": 40,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "max_bin": 63,
    "seed": 0,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}


def make_stages(worlds: int, turns: int) -> None:
    """Simulate, train, and write the packaged model."""
    tables, targets = [], []
    for seed in range(FIRST_SEED, FIRST_SEED + worlds):
        with TemporaryDirectory() as folder:
            ranked, target = _world(Path(folder), turns, seed)
        tables.append(ranked)
        targets.append(target)
        print(
            f"world {seed}: {len(target):,} turns, {(target != 5).mean():.1%} defects", flush=True
        )
    names = tuple(sorted(set().union(*tables)))
    x = np.vstack(
        [
            np.column_stack(
                [table.get(name, np.full(len(target), np.nan, np.float32)) for name in names]
            )
            for table, target in zip(tables, targets, strict=True)
        ]
    )
    y = np.concatenate(targets)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(y))
    copies = [_dropped(x[order], names, rng) for _ in range(_COPIES)]
    data = lgb.Dataset(np.vstack(copies), np.tile(y[order], _COPIES))
    booster = lgb.train(_PARAMETERS, data, _ROUNDS)
    shares = np.bincount(y, minlength=len(FAILURE_POINTS)) / len(y)
    about = {"worlds": worlds, "turns": len(y), "first_seed": FIRST_SEED}
    write(booster, names, shares, about)


def make_turns() -> None:
    """Simulate, and write the packaged turns."""
    tables, points = [], []
    for seed in range(FIRST_SEED, FIRST_SEED + _POOLED_WORLDS):
        with TemporaryDirectory() as folder:
            table, point = _pooled(Path(folder), seed)
        tables.append(table)
        points.append(point)
        print(f"world {seed}: {len(point):,} turns kept", flush=True)
    names = tuple(sorted(set().union(*tables)))
    pooling.write(names, np.vstack([stack(table, names) for table in tables]), np.hstack(points))


def _pooled(folder: Path, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Columns that travel of some turns of one world, as many of each failure point, and these."""
    with _simulated(folder, _POOLED_TURNS, seed).snapshot() as snapshot:
        data, _ = prepare(training_turns(snapshot, 0), Settings(), folder / "encoder")
    assert data.vectors is not None
    assert data.utterances is not None
    rows = np.random.default_rng(seed).permutation(len(data.ids))
    verdicts = data.only_gold_of(rows[:_VERDICTS])
    split = folds(verdicts.target, data.group, 4, 0)
    heads, held_out = TextHeads.fit(
        data.vectors,
        verdicts.target,
        verdicts.gold_intents,
        verdicts.gold_slots,
        split,
        data.utterances.part,
    )
    columns = pooling.travelling(data.logged | dict(zip(heads.columns, held_out.T, strict=True)))
    kept = np.hstack([rows[data.target[rows] == point][:_KEPT] for point in FAILURE_POINTS])
    return {name: values[kept] for name, values in columns.items()}, data.target[kept]


def _simulated(folder: Path, turns: int, seed: int) -> Store:
    """A store with one world, every turn of which has gold."""
    setup = Setup(seed=seed, gold=1.0, releases=OTHER if seed % 2 else RELEASES)
    report = write_demo(folder / "world", turns, setup.seed, setup.days, setup=setup, processes=1)
    store = Store.create(folder / "store")
    ingest(store, [report.traces], workers=1)
    return store


def _world(folder: Path, turns: int, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Ranks of one world's columns, and the number of the true failure point of each turn."""
    store = _simulated(folder, turns, seed)
    evidence = Evidence.of_store(store, Settings(), folder / "encoder")
    columns = evidence.columns(0)
    number = {name: i for i, name in enumerate(FAILURE_POINTS)}
    known = np.flatnonzero(evidence.gold != None)  # noqa: E711  # element-wise
    ranked = ranks(columns, evidence.source)
    target = np.array([number[name] for name in evidence.gold[known]])
    return {name: values[known] for name, values in ranked.items()}, target


def _dropped(x: np.ndarray, names: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
    """A copy in which each few hundred turns lack signals, as another source's logs would."""
    x = x.copy()
    stage = np.array([name.partition(".")[0] for name in names])
    for begin in range(0, len(x), _SOURCE):
        drop = rng.random(len(names)) < rng.uniform(0, 2 * _SIGNALS)
        for one in np.unique(stage):
            if rng.random() < _STAGES:
                drop |= stage == one
        x[begin : begin + _SOURCE, drop] = np.nan
    return x


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=WORLDS)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--only", choices=("stages", "turns"))
    given = parser.parse_args()
    if given.only != "turns":
        make_stages(given.worlds, given.turns)
    if given.only != "stages":
        make_turns()
