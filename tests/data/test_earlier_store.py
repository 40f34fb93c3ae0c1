"""A store that an earlier version wrote opens and shows the numbers that version showed.

`earlier/store.tar.gz` was written by the version of commit 751ac51, before modules moved: the store
of `tests.scored.fill`, with 13 annotations of two people, an owner, a target, a view and a setting.
`earlier/numbers.json` is what that version's own functions said of it.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from data.ingest.ingest import ingest
from data.queries import overview
from data.queries.filters import Filter
from data.store import workspace
from data.store.annotations import annotate
from data.store.store import Store
from data.store.summary import describe
from report.contents import headline
from tests.app import Open, turns_shown
from tests.logs import trace, write_lines

FOLDER = Path(__file__).parent / "earlier"
MODEL = "model-a"


@pytest.fixture(scope="module")
def numbers() -> dict[str, Any]:
    numbers: dict[str, Any] = json.loads((FOLDER / "numbers.json").read_text("utf-8"))
    return numbers


@pytest.fixture
def earlier(tmp_path: Path) -> Store:
    with tarfile.open(FOLDER / "store.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return Store.open(tmp_path / "store")


def test_its_contents_are_the_same(earlier: Store, numbers: dict[str, Any]) -> None:
    info = json.loads(json.dumps(describe(earlier), default=str))
    assert numbers["info"].items() <= info.items()
    with earlier.snapshot() as snapshot:
        predictions = snapshot.query(
            "SELECT turn_id, failure_point, round(p_defect::DOUBLE, 6) AS p FROM predictions"
        ).to_pylist()
        annotations = snapshot.query(
            "SELECT turn_id, annotator, failure_point, transcript, note FROM annotations "
            "ORDER BY ALL"
        ).to_pylist()
    assert {row["turn_id"]: [row["failure_point"], row["p"]] for row in predictions} == numbers[
        "predictions"
    ]
    assert annotations == numbers["annotations"]


def test_its_rates_are_the_same(earlier: Store, numbers: dict[str, Any]) -> None:
    with earlier.snapshot() as snapshot:
        bounds = overview.bounds(snapshot, MODEL)
        assert bounds is not None
        assert [str(bound) for bound in bounds] == numbers["bounds"]
        head = headline(snapshot, MODEL, Filter(), bounds[:2])
        daily = overview.trend(snapshot, MODEL, Filter(), "day").to_pylist()
    assert head is not None
    for name, before in numbers["estimates"].items():
        now = head.rates[name]
        assert [now.value, now.low, now.high] == pytest.approx(
            [before["value"], before["low"], before["high"]], rel=1e-9
        )
    assert len(daily) == len(numbers["sums"])
    for row, earlier_row in zip(daily, numbers["sums"], strict=True):
        assert str(row.pop("day")) == earlier_row.pop("day")
        assert row == pytest.approx(earlier_row, rel=1e-9)


def test_what_people_decided_is_there(earlier: Store, numbers: dict[str, Any]) -> None:
    with earlier.snapshot() as snapshot:
        decided = {
            "triage": workspace.triage(snapshot),
            "targets": workspace.targets(snapshot),
            "views": workspace.views(snapshot),
            "second": workspace.setting(snapshot, "second_opinions", None),
        }
    for name, value in json.loads(json.dumps(decided, default=str)).items():
        assert value == numbers[name], name


def test_its_dashboard_opens(earlier: Store, numbers: dict[str, Any], opened: Open) -> None:
    assert turns_shown(opened(earlier.path)) == numbers["info"]["turns"]


def test_it_can_be_written_to(earlier: Store, tmp_path: Path) -> None:
    ingest(earlier, [write_lines(tmp_path / "more.jsonl", [trace("new", dialogue_id="new")])])
    with earlier.snapshot() as snapshot:
        assert snapshot.counts()["turns"] == 192


def test_gold_of_goals_is_null_in_its_files(earlier: Store, tmp_path: Path) -> None:
    goals = "SELECT count(*) AS turns, count(gold.goal_id) AS goals FROM turns"
    with earlier.snapshot() as snapshot:
        before = snapshot.query(goals).to_pylist()[0]
    assert before["turns"] > 0
    assert before["goals"] == 0
    gold = {"goal_id": "g0", "ratings": [{"annotator": "r1", "of": "boundary", "value": 1}]}
    ingest(earlier, [write_lines(tmp_path / "more.jsonl", [trace("later", gold=gold)])])
    with Store.open(earlier.path).snapshot() as snapshot:
        after = snapshot.query(goals).to_pylist()[0]
        rows = snapshot.query("SELECT gold.ratings AS r FROM turns WHERE gold.goal_id = 'g0'")
    assert after == {"turns": before["turns"] + 1, "goals": 1}
    assert rows["r"].to_pylist() == [[{"annotator": "r1", "of": "boundary", "value": 1.0}]]


def test_goals_are_judged_beside_its_annotations(earlier: Store, numbers: dict[str, Any]) -> None:
    """Its annotations end before the columns of goals, and are merged with those that have them."""
    with earlier.snapshot() as snapshot:
        turns = snapshot.query("SELECT turn_id, dialogue_id, day FROM turns ORDER BY turn_id")
    for turn in turns.to_pylist()[:60]:
        annotate(earlier, turn, "later", "nlu", goal_start=True, goal_reached=False)
    with earlier.snapshot() as snapshot:
        rows = snapshot.query(
            "SELECT annotator = 'later' AS later, goal_start, goal_reached, count(*) AS n "
            "FROM annotations GROUP BY ALL ORDER BY ALL"
        ).to_pylist()
    assert [list(row.values()) for row in rows] == [
        [False, None, None, len(numbers["annotations"])],
        [True, True, False, 60],
    ]
