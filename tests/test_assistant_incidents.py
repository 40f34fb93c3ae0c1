"""Every planted incident shows where and when its description says."""

from __future__ import annotations

from pathlib import Path

import pytest

from assistant.releases import Incident
from assistant.simulate import Simulated, Simulation
from tests.simulated import SETUP, assembly, concerns

INCIDENTS = {incident.id: incident for incident in SETUP.timeline().incidents}
# Turns of the days of an incident, and of days without any.
WITHIN = 1000
ELSE = 1000


@pytest.fixture(scope="module")
def targeted(demo_trained: Path) -> list[Simulated]:
    """Some turns from within each incident's period, and some from before the first of them."""
    simulation = Simulation(SETUP.world(), assembly(demo_trained), SETUP.seed)
    made = simulation.shard(range(4), 0, ELSE)
    for number, incident in enumerate(INCIDENTS.values(), 1):
        first, last = (
            round((moment - SETUP.start).total_seconds() / 86400)
            for moment in (incident.start, incident.end)
        )
        made += simulation.shard(range(first, max(last, first + 1)), number, WITHIN)
    return made


def _shares(incident: Incident, turns: list[Simulated]) -> tuple[float, float, float]:
    """Share of the incident's class inside, in the same slice at other times, and everywhere
    outside."""
    inside: list[bool] = []
    other_times: list[bool] = []
    outside: list[bool] = []
    for turn in turns:
        hit = turn.truth["failure_point"] == incident.failure_point
        during = incident.start <= turn.at < incident.end
        if concerns(incident, turn):
            (inside if during else other_times).append(hit)
        if not (during and concerns(incident, turn)):
            outside.append(hit)
    assert min(len(inside), len(other_times)) > 20, incident.id
    return share(inside), share(other_times), share(outside)


def share(hits: list[bool]) -> float:
    return sum(hits) / len(hits)


def test_there_are_five_of_five_stages() -> None:
    assert len(INCIDENTS) == 5
    assert {incident.stage for incident in INCIDENTS.values()} == {
        "wake", "asr", "nlu", "er", "result",
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(INCIDENTS))
def test_the_class_is_twice_as_frequent_inside(name: str, targeted: list[Simulated]) -> None:
    inside, other_times, outside = _shares(INCIDENTS[name], targeted)
    print(f"{name}: {inside:.3f} inside, {other_times:.3f} at other times, {outside:.3f} outside")
    assert inside > 2 * other_times
    assert inside > 2 * outside


def test_without_nicknames_they_are_not_found(targeted: list[Simulated]) -> None:
    inside, other_times, _ = _shares(INCIDENTS["er-aliases"], targeted)
    assert inside > 3 * other_times
