"""The arithmetic of capacity, and that the document shows what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.capacity.__main__ import TURNS
from benchmarks.capacity.costs import Costs
from benchmarks.capacity.plan import Demand, Prices, plan, table

DOCUMENT = Path(__file__).parents[2] / "docs" / "scale.md"
COSTS = Costs(
    date="2026-01-01",
    cores=1,
    software="",
    ingest_s=1e-3,
    score_s=2e-3,
    text_s=4e-3,
    texts_per_turn=0.5,
    labels_s=1e-3,
    rewrites_s=1e-3,
    plan_s=1e-6,
    file_s=1e-4,
    turns_per_day_file=1_000,
    bytes_per_turn={"turns": 500.0, "predictions": 250.0, "runs": 0.1},
)


def test_a_plan_can_be_followed_by_hand() -> None:
    demand = Demand(turns=3_600_000, days=10, texts=0.25, utilisation=0.5, cores=4)
    found = plan(demand, COSTS, Prices(core_hour=2.0, gb_month=1.0, thousand_writes=0.0))
    hours = {step.name: step.core_hours for step in found.steps}
    assert hours == pytest.approx(
        {
            "ingest": 1.0,
            "score and explain": 2.0,
            "encode texts": 1.0,
            "generate labels": 1.0,
            "mine rewrites": 1.0,
        }
    )
    # Half of four cores for a day: 48 core hours.
    assert found.machines == pytest.approx(6 / 48)
    assert found.compute == pytest.approx(6 * 30.4 * 2.0 / 0.5)
    assert found.gb == pytest.approx(750.1 * 3.6e6 * 10 / 1e9)
    # Two tables with a row per turn, 3,600 files a day each.
    assert found.files == 2 * 3_600 * 10
    assert found.open_s == pytest.approx(7.2)
    assert found.plan_core_hours == pytest.approx(36e6 * 1e-6 / 3_600)


@pytest.mark.parametrize(
    "demand",
    [
        Demand(turns=0),
        Demand(turns=1, days=0),
        Demand(turns=1, utilisation=0.0),
        Demand(turns=1, utilisation=1.5),
        Demand(turns=1, cores=0),
        Demand(turns=1, texts=-0.1),
    ],
)
def test_a_demand_that_makes_no_sense_is_refused(demand: Demand) -> None:
    with pytest.raises(ValueError, match="Expected"):
        plan(demand, COSTS, Prices())


def test_the_document_shows_what_the_command_prints() -> None:
    costs = Costs.read()
    plans = [plan(Demand(turns, texts=costs.texts_per_turn), costs, Prices()) for turns in TURNS]
    shown = re.search(
        r"<!-- capacity -->\n(.*?)<!-- end -->", DOCUMENT.read_text("utf-8"), re.DOTALL
    )
    assert shown
    assert shown[1].strip() == table(plans)
