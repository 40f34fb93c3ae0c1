"""The whole demo, made once by its command, and the dashboard's statistics on it.

Takes minutes, so `make test` leaves it out: `make exam`. A folder with a finished demo (`demo/` and
`store/`) in FAULTLINE_DEMO is used instead of making one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from analysis.change_points import changes
from analysis.rates import RATES
from benchmarks.incidents import compare, days, planted, words
from benchmarks.rates import Draws, world
from benchmarks.slices import exam
from data.queries.ground_truth import labelled
from data.schema.trace import FAILURE_POINTS
from data.store.store import Store
from tests.once import Once

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def demo(once: Once) -> Path:
    if ready := os.environ.get("FAULTLINE_DEMO"):
        return Path(ready)
    return once("demo", _demo)


def _demo(folder: Path) -> None:
    command = [str(Path(sys.executable).with_name("faultline")), "demo", "--no-serve"]
    subprocess.run([*command, "--to", "demo", "--store", "store"], cwd=folder, check=True)


@pytest.fixture(scope="module")
def store(demo: Path) -> Store:
    return Store.open(demo / "store")


def test_every_planted_incident_shows_as_a_change_point(demo: Path, store: Store) -> None:
    result = compare(changes(days(store)), planted(demo / "demo/_incidents.json"))
    print({name: change and words(change) for name, change in result.detected.items()})
    print([words(change) for change in result.alarms])
    assert result.recall == 1.0
    assert len(result.alarms) <= 1


@pytest.mark.parametrize(("over", "least"), [("all", 5), ("period", 4)])
def test_planted_incidents_are_among_the_top_slices(
    demo: Path, store: Store, over: str, least: int
) -> None:
    incidents = json.loads((demo / "demo/_incidents.json").read_text("utf-8"))
    truth = pq.read_table(demo / "demo/_truth.parquet", columns=["turn_id", "gold"])
    with store.snapshot() as snapshot:
        marks = [mark for mark in exam(snapshot, incidents, truth) if mark.over == over]
    print([(mark.incident, mark.rank, mark.words) for mark in marks])
    assert sum(mark.rank is not None for mark in marks) >= least


def test_intervals_cover_the_truth(demo: Path, store: Store) -> None:
    """At the demo's own share of annotated dialogues; those of plain counting do not cover it."""
    truth = world(store, demo / "demo/_truth.parquet")
    # A thousand draws leave the coverage uncertain by 0.7 points, eight thousand by 0.25.
    draws = [Draws.of(truth, 1000, seed) for seed in range(83, 91)]
    powered = np.mean([each.annotated(0.08)[0] for each in draws], 0)
    counted, _ = draws[0].plain()
    coverage = dict(zip(RATES, zip(powered, counted, strict=True), strict=True))
    print(coverage)
    assert np.all((powered >= 0.93) & (powered <= 0.97))
    assert counted[RATES.index("defect")] < 0.5


def test_verdicts_are_right_on_turns_without_labels(demo: Path, store: Store) -> None:
    """Verdicts against the whole truth, on turns that nobody annotated."""
    truth = pq.read_table(demo / "demo/_truth.parquet", columns=["turn_id", "failure_point"])
    with store.snapshot() as snapshot:
        labelled_ids = set(labelled(snapshot, snapshot.model or "")["turn_id"].to_pylist())
        verdicts = snapshot.query(
            "SELECT turn_id, p.failure_point AS verdict, t.failure_point AS truth "
            "FROM predictions p JOIN truth t USING (turn_id) WHERE model_id = $model",
            {"model": snapshot.model},
            {"truth": truth},
        ).to_pylist()
    rows = [row for row in verdicts if row["turn_id"] not in labelled_ids]
    assert len(rows) > 15_000
    f1 = []
    for name in FAILURE_POINTS:
        hits = sum(row["verdict"] == name == row["truth"] for row in rows)
        predicted = sum(row["verdict"] == name for row in rows)
        true = sum(row["truth"] == name for row in rows)
        f1.append(2 * hits / (predicted + true))
    assert np.mean(f1) >= 0.68
