"""Every planted incident shows where and when its description says, in truth and in predictions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assistant.demo import START, Setup
from assistant.output import records
from assistant.releases import RELEASES, Incident, Release, Timeline
from assistant.simulate import Simulated, Simulation
from classifiers.settings import Settings
from classifiers.train import train
from classifiers.training_data import training_turns
from data.errors import UsageError
from data.ingest.ingest import ingest
from data.schema.tables import PREDICTIONS
from data.schema.trace import FAILURE_POINTS
from data.store.store import Store
from tests.once import Once, value
from tests.simulated import SETUP, assembly, concerns

INCIDENTS = {incident.id: incident for incident in SETUP.timeline().incidents}
# Turns of the days of an incident, and of days without any.
WITHIN = 1000
ELSE = 1000


@pytest.fixture(scope="module")
def targeted(once: Once, demo_trained: Path) -> list[Simulated]:
    """Some turns from within each incident's period, and some from before the first of them."""
    return value(once, "targeted", lambda: _targeted(demo_trained))


def _targeted(demo_trained: Path) -> list[Simulated]:
    simulation = Simulation(SETUP.world(), assembly(demo_trained), SETUP.seed, gold=0.0)
    made = simulation.shard(range(4), 0, ELSE)
    for number, incident in enumerate(INCIDENTS.values(), 1):
        first, last = (
            round((moment - SETUP.start).total_seconds() / 86400)
            for moment in (incident.start, incident.end)
        )
        made += simulation.shard(range(first, max(last, first + 1)), number, WITHIN)
    return made


@pytest.fixture(scope="module")
def predicted(
    once: Once,
    tmp_path_factory: pytest.TempPathFactory,
    targeted: list[Simulated],
    demo_turns: list[Simulated],
) -> dict[str, dict[str, float]]:
    """Probability of every class for the targeted turns, by a model of other, annotated turns."""
    folder = tmp_path_factory.mktemp("incidents")
    return value(once, "predicted", lambda: _predicted(folder, targeted, demo_turns))


def _predicted(
    folder: Path, targeted: list[Simulated], demo_turns: list[Simulated]
) -> dict[str, dict[str, float]]:
    learnt = [replace(t, record={**t.record, "gold": t.truth["gold"]}) for t in demo_turns]
    with records(folder / "turns.parquet") as file:
        file.write([*learnt, *targeted])
    store = Store.create(folder / "store")
    ingest(store, [folder / "turns.parquet"])
    with store.snapshot() as snapshot:
        model, _ = train(training_turns(snapshot, seed=0), Settings())
        turns = snapshot.query("SELECT * FROM turns WHERE gold IS NULL ORDER BY turn_id")
    probabilities = model.score(turns).probability
    return {
        str(turn): dict(zip(FAILURE_POINTS, row, strict=True))
        for turn, row in zip(turns["turn_id"].to_pylist(), probabilities.tolist(), strict=True)
    }


def _shares(
    incident: Incident, turns: list[Simulated], weight: Callable[[Simulated], float] | None = None
) -> tuple[float, float, float]:
    """Share of the incident's class inside, in the same slice at other times, and everywhere
    outside; by the truth, or the mean of `weight`."""
    inside: list[float] = []
    other_times: list[float] = []
    outside: list[float] = []
    for turn in turns:
        hit = float(turn.truth["failure_point"] == incident.failure_point)
        hit = weight(turn) if weight else hit
        during = incident.start <= turn.at < incident.end
        if concerns(incident, turn):
            (inside if during else other_times).append(hit)
        if not (during and concerns(incident, turn)):
            outside.append(hit)
    assert min(len(inside), len(other_times)) > 20, incident.id
    return float(np.mean(inside)), float(np.mean(other_times)), float(np.mean(outside))


def test_there_are_five_of_five_stages() -> None:
    assert len(INCIDENTS) == 5
    assert {incident.stage for incident in INCIDENTS.values()} == {
        "wake", "asr", "nlu", "er", "result",
    }  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(INCIDENTS))
def test_the_class_is_twice_as_frequent_inside(name: str, targeted: list[Simulated]) -> None:
    inside, other_times, outside = _shares(INCIDENTS[name], targeted)
    print(f"{name}: {inside:.3f} inside, {other_times:.3f} at other times, {outside:.3f} outside")
    assert inside > 2 * other_times
    assert inside > 2 * outside


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(INCIDENTS))
def test_it_shows_in_the_predictions(
    name: str, targeted: list[Simulated], predicted: dict[str, dict[str, float]]
) -> None:
    incident = INCIDENTS[name]

    def weight(turn: Simulated) -> float:
        return predicted[turn.record["turn_id"]][incident.failure_point]

    inside, other_times, _ = _shares(incident, targeted, weight)
    print(f"{name}: {inside:.3f} inside, {other_times:.3f} at other times")
    assert inside > 1.5 * other_times


def test_an_incident_is_described_by_columns_that_predictions_have() -> None:
    for incident in INCIDENTS.values():
        assert set(incident.where) <= set(PREDICTIONS.names)
        told = incident.record()
        assert {"id", "stage", "start", "end", "where", "failure_point"} <= set(told)
        assert told["start"] < told["end"]


def test_a_renamed_release_keeps_its_incident() -> None:
    renamed = tuple(replace(one, version=f"{one.version}-b") for one in RELEASES)
    incidents = Timeline(START, 90, renamed).incidents
    assert {one.id for one in incidents} == set(INCIDENTS)
    assert all(one.version.endswith("-b") for one in incidents if one.version)


def test_stages_without_releases_run_the_first_one() -> None:
    timeline = Setup(releases=()).timeline()
    assert timeline.live("asr", START).version == "asr-4.1"
    assert [one.stage for one in timeline.incidents] == ["result"]


@pytest.mark.parametrize(
    ("release", "message"),
    [
        (Release("ears", "1", 0.0), "of the stage 'ears'; there are wake, asr"),
        (Release("asr", "1", 0.0, incident="fire"), "names the incident 'fire'; there are asr-"),
        (Release("asr", "asr-4.1", 0.5), "two releases asr-4.1 of asr"),
    ],
)
def test_impossible_releases_are_refused_in_one_sentence(release: Release, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Setup(releases=(*RELEASES, release)).check()


@pytest.mark.long
def test_without_nicknames_they_are_not_found(targeted: list[Simulated]) -> None:
    inside, other_times, _ = _shares(INCIDENTS["er-aliases"], targeted)
    assert inside > 3 * other_times
