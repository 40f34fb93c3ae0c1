"""Queries of the Overview page and of single turns agree with a plain count of predictions."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any

import pytest

from data.queries import overview, turns
from data.queries.filters import (
    NOT_LOGGED,
    Filter,
    Range,
)
from data.store.snapshot import Snapshot
from data.store.store import Store
from tests.scored import MODEL, NASTY


@pytest.fixture(scope="module")
def snapshot(scored_store: Store) -> Snapshot:
    return scored_store.snapshot()


def rows(snapshot: Snapshot) -> list[dict[str, Any]]:
    return list(snapshot.query("FROM predictions").to_pylist())


@pytest.mark.parametrize(
    ("chosen", "keep"),
    [
        (Filter(), lambda row: True),
        (Filter(since=date(2024, 3, 5)), lambda row: row["day"] >= date(2024, 3, 5)),
        (
            Filter(locale=("en-GB", NOT_LOGGED)),
            lambda row: row["locale"] in ("en-GB", None),
        ),
        (
            Filter(version=("asr:4.2", "nlu:7")),
            lambda row: (row["version_asr"], row["version_nlu"]) == ("4.2", "7"),
        ),
        (Filter(device=("phone",), domain=("music",)), None),
        (Filter(failure_point=("asr", "er")), lambda row: row["failure_point"] in ("asr", "er")),
        (
            Filter(not_failure_point=("asr", "er")),
            lambda r: r["failure_point"] not in ("asr", "er"),
        ),
        (Filter(not_device=("phone",)), lambda row: row["device_type"] != "phone"),
        (Filter(not_domain=(NOT_LOGGED,)), lambda row: row["domain"] is not None),
        (Filter(slot=("song",)), lambda row: "song" in (row["slots"] or [])),
        (Filter(status=(NOT_LOGGED,)), lambda row: row["status"] is None),
        (Filter(text="PLAY SONG 1"), lambda row: "play song 1" in (row["heard"] or "")),
        (
            Filter(confidence=Range(0.2, 0.6)),
            lambda row: row["asr_confidence"] is not None and 0.2 <= row["asr_confidence"] < 0.6,
        ),
        (Filter(hour=Range(None, 12)), lambda row: row["started_at"].hour < 12),
        (Filter(assistant=("nobody",)), lambda row: False),
    ],
)
def test_totals_are_a_recount(snapshot: Snapshot, chosen: Filter, keep: Any) -> None:
    keep = keep or (lambda row: row["device_type"] == "phone" and row["domain"] == "music")
    selected = [row for row in rows(snapshot) if keep(row)]
    totals = overview.totals(overview.trend(snapshot, MODEL, chosen))
    assert totals.turns == len(selected)
    assert Counter(row["failure_point"] for row in selected) == Counter(
        {name: n for name, n in totals.counts.items() if n}
    )
    expected = sum(row["p_asr"] for row in selected)
    assert totals.sums["asr"] == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_coarser_periods_hold_the_same_turns(snapshot: Snapshot) -> None:
    by_day = overview.totals(overview.trend(snapshot, MODEL, Filter(), "day"))
    coarser: tuple[overview.Grain, ...] = ("week", "month")
    for by in coarser:
        table = overview.trend(snapshot, MODEL, Filter(), by)
        assert overview.totals(table).turns == by_day.turns


def test_options_list_what_occurs_commonest_first(snapshot: Snapshot) -> None:
    options = overview.options(snapshot, MODEL)
    counts = Counter(row["locale"] or NOT_LOGGED for row in rows(snapshot))
    assert options["locale"] == [name for name, _ in counts.most_common()]
    assert set(options["version"]) == {"asr:4.1", "asr:4.2", "nlu:7"}


def test_defects_come_in_pages_without_gap_or_repeat(snapshot: Snapshot) -> None:
    expected = {row["turn_id"] for row in rows(snapshot) if row["failure_point"] != "correct"}
    orders: tuple[str, ...] = ("newest", "most certain")
    for order in orders:
        turn_ids: list[Any] = []
        for skip in range(0, len(expected) + 7, 7):
            page = overview.defects(
                snapshot,
                MODEL,
                Filter(),
                order=order,
                rows=7,
                skip=skip,
            )
            turn_ids += page["turn_id"].to_pylist()
        assert len(turn_ids) == len(set(turn_ids)) == len(expected)


def test_defects_of_one_point_say_what_was_heard(snapshot: Snapshot) -> None:
    page = overview.defects(snapshot, MODEL, Filter(), point="asr", rows=5).to_pylist()
    assert page
    assert {row["failure_point"] for row in page} == {"asr"}
    for row in page:
        turn = turns.turn(snapshot, row["turn_id"])
        assert turn is not None
        assert row["heard"] == turn["asr"]["hypotheses"][0]["text"]


def test_a_turn_its_dialogue_and_its_prediction(snapshot: Snapshot) -> None:
    turn = turns.turn(snapshot, "d001-0")
    assert turn is not None
    assert turn["asr"]["signals"] == {"snr": 12.5}
    dialogue = turns.dialogue(snapshot, turn, MODEL)
    assert [row["turn_index"] for row in dialogue] == list(range(len(dialogue)))
    prediction = turns.prediction(snapshot, turn, MODEL)
    assert prediction is not None
    assert prediction["failure_point"] == dialogue[0]["failure_point"]
    assert turns.prediction(snapshot, turn, None) is None
    assert turns.turn(snapshot, "none") is None
    for day in (turn["day"], date(1999, 1, 1)):
        assert turns.turn(snapshot, "d001-0", day) == turn


def test_search_finds_ids_before_words(snapshot: Snapshot) -> None:
    assert turns.search(snapshot, " d003 ")["dialogue_id"].to_pylist()[0] == "d003"
    assert turns.search(snapshot, "SONG 17")["dialogue_id"].to_pylist()[0] == "d017"
    assert turns.search(snapshot, NASTY)["turn_id"].to_pylist() == ["nasty"]
    assert turns.search(snapshot, "100%").num_rows == 0


def test_sums_from_the_predictions_are_those_of_the_roll_up(scored_store: Store) -> None:
    """A filter that the daily sums cannot answer, but that lets everything through."""
    everything = Filter(defect=Range(0, None))
    assert not everything.rollup
    with scored_store.snapshot() as snapshot:
        read = overview.trend(snapshot, MODEL, everything)
        summed = overview.trend(snapshot, MODEL, Filter())
    assert read.num_rows
    for name in summed.column_names:
        assert read[name].to_pylist() == pytest.approx(summed[name].to_pylist()), name
