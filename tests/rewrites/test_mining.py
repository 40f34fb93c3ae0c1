"""From logs to rewrites: sessions, counts that add up, and rows, on small made-up logs."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.arrow import pc
from labels.feedback.sessions import friction, sessions
from rewrites.interpretations import Counts, counts, total
from rewrites.mining import from_counts, mine
from rewrites.neighbours import Neighbours
from rewrites.replay import replay, rewritten
from rewrites.success import estimate
from tests.logs import trace
from tests.rewrites.lamps import BAD, GOOD, friction_of, lamps, store_with, turn


def _pairs(rows: pa.Table) -> set[tuple[str, str]]:
    return {(row["request"], row["rewrite"]) for row in rows.to_pylist()}


def test_pauses_and_users_part_sessions(tmp_path: Path) -> None:
    turns = [
        turn("1", "u", 0, "a"),
        turn("2", "u", 45, "b"),
        turn("3", "u", 90.001, "c"),
        turn("4", "v", 1, "d"),
        turn("5", None, 2, "e"),
        {**turn("6", "u", 3, "f"), "assistant": "car"},
    ]
    with store_with(tmp_path, turns).snapshot() as snapshot:
        table = sessions(snapshot)
    found = dict(zip(table["turn_id"].to_pylist(), table["session"].to_pylist(), strict=True))
    assert found == {"1": "1", "2": "1", "3": "3", "4": "4", "5": "5", "6": "6"}


def test_a_session_belongs_to_the_day_on_which_it_begins(tmp_path: Path) -> None:
    midnight = 15 * 3600
    turns = [turn("1", "u", midnight - 10, "a"), turn("2", "u", midnight + 10, "b")]
    with store_with(tmp_path, turns).snapshot() as snapshot:
        assert sessions(snapshot, until=date(2024, 5, 1)).num_rows == 2
        assert sessions(snapshot, since=date(2024, 5, 2)).num_rows == 0


def test_what_follows_is_read_across_dialogues(tmp_path: Path) -> None:
    with store_with(tmp_path, lamps(1, 1)).snapshot() as snapshot:
        (table,) = friction(snapshot)
    first = next(row for row in table.to_pylist() if row["turn_id"] == "a0")
    assert first["gap"] == 8
    assert first["frame"] == "home|on|device=lamb"


def test_the_rephrase_that_works_is_mined(tmp_path: Path) -> None:
    with store_with(tmp_path, lamps()).snapshot() as snapshot:
        first, again = mine(snapshot), mine(snapshot)
    rows = first.rows.filter(pc.is_null(first.rows["user_id"]))
    assert _pairs(rows) == {(BAD, GOOD)}
    assert rows["users"].to_pylist() == [5]
    assert first.rows.equals(again.rows)


def test_day_by_day_equals_all_at_once(tmp_path: Path) -> None:
    with store_with(tmp_path, lamps()).snapshot() as snapshot:
        whole = counts(friction(snapshot))
        days = [date(2024, 5, 1) + timedelta(days=i) for i in range(4)]
        parts = [counts(friction(snapshot, since=d, until=d)) for d in reversed(days)]
    added = parts[0] + parts[1] + parts[2] + parts[3]
    for merged in (added, total(parts)):
        assert merged.requests.equals(whole.requests)
        assert merged.users.equals(whole.users)
        pd.testing.assert_frame_equal(merged.cells, whole.cells)


@pytest.mark.parametrize(
    "turns",
    [
        pytest.param([], id="empty store"),
        pytest.param([trace("bare")], id="nothing logged"),
        pytest.param([turn("1", "u", 0, "one turn")], id="one turn"),
        pytest.param(
            [turn(str(i), f"u{i // 2}", i // 2 * 900 + i % 2 * 9, f"x{i % 2}") for i in range(40)],
            id="no friction",
        ),
        pytest.param(
            [
                turn(str(i), "u", i * 9, BAD, feedback={"barge_in": True, "explicit": "no"})
                for i in range(30)
            ],
            id="never succeeds",
        ),
        pytest.param(
            [
                turn(str(i), "u", i * 9, ("a b", "c d")[i % 2], feedback={"barge_in": True})
                for i in range(60)
            ],
            id="a cycle",
        ),
    ],
)
def test_nothing_is_mined_where_nothing_is_known(
    tmp_path: Path, turns: list[dict[str, Any]]
) -> None:
    with store_with(tmp_path, turns).snapshot() as snapshot:
        mined = mine(snapshot)
    assert mined.rows.num_rows == 0


def test_other_scripts_without_frames(tmp_path: Path) -> None:
    turns = []
    for i in range(40):
        bad = {"feedback": {"explicit": "no"}} if i % 3 else {}
        turns.append(turn(f"a{i}", f"u{i % 6}", i * 900, "電気をつけて", nlu=None, **bad))
        turns.append(turn(f"b{i}", f"u{i % 6}", i * 900 + 7, "照明をつけて", nlu=None))
        turns.append(turn(f"c{i}", f"v{i % 6}", i * 900, "照明をつけて", nlu=None))
    with store_with(tmp_path, turns).snapshot() as snapshot:
        rows = mine(snapshot).rows
    assert ("電気をつけて", "照明をつけて") in _pairs(rows)


def test_a_cycle_of_failures_is_solved() -> None:
    # The lamp goes on in the end: walks go round as often as it takes, and come out there.
    texts = ["lamb on", "lamp in", "lamb on", "lamp in", "lamp on"] * 40
    names = [f"s{i // 5:03}" for i in range(len(texts))]
    mined = from_counts(Counts.of(friction_of(texts, names, [text != "lamp on" for text in texts])))
    chain = mined.chain
    lamb, lamp_in, lamp = map(chain.requests["text"].to_pylist().index, sorted(set(texts)))
    assert chain.step[lamb, lamp_in] > 0.5
    assert chain.step[lamp_in, lamb] > 0.3
    ends = mined.absorbed.toarray()[:, chain.outcome[lamp]]
    # Back and forth, and then out: most walks end well, and giving up keeps its share.
    assert 0.7 < ends[lamb] < ends[lamp_in] < 1
    assert _pairs(mined.rows) == {("lamb on", "lamp on"), ("lamp in", "lamp on")}


def test_a_hundred_thousand_identical_requests_are_one_count() -> None:
    n = 100_000
    names = [f"s{i // 2:06}" for i in range(n)]
    table = friction_of(["set alarm"] * n, names, [i % 4 == 0 for i in range(n)])
    mined = from_counts(Counts.of(table))
    assert mined.rows.num_rows == 0
    assert mined.chain.requests.num_rows == 1
    # A barge-in on every fourth, and then the same again: it fails sometimes, and mostly works.
    failure, step = mined.chain.failure[0], mined.chain.step[0, 0]
    assert 0 < failure < 0.5
    assert step > 0.5
    assert mined.absorbed[0, 0] == pytest.approx((1 - failure) / (1 - failure * step))


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.booleans()), max_size=40).map(
        # One turn at least has a barge-in: without any, nothing is estimated.
        lambda said: sorted([*said, (0, 0, True)], key=lambda turn: turn[0])
    )
)
def test_any_sessions_are_counted_and_mined(said: list[tuple[int, int, bool]]) -> None:
    texts = [f"text {text}" for _, text, _ in said]
    table = friction_of(texts, [f"s{name}" for name, _, _ in said], [bad for _, _, bad in said])
    counted = Counts.of(table)
    assert counted.cells["turns"].sum() == len(said)
    success = estimate(counted)
    # Nothing is zero once the model has run, whatever it settles on.
    assert success.failure.max() > 0
    assert (success.retried <= success.failed).all()
    for p in (success.failed, success.retried, success.failure):
        assert ((p >= 0) & (p <= 1)).all()
    mined = from_counts(counted, success=success)
    absorbed = mined.absorbed.toarray()
    assert (absorbed >= 0).all()
    assert (absorbed.sum(axis=1) <= 1 + 1e-9).all()
    for row in mined.rows.to_pylist():
        assert {row["request"], row["rewrite"]} <= set(texts)
        assert row["request"] != row["rewrite"]
        assert 0 <= row["p_before"] < row["p_after"] <= 1


def test_a_users_own_row_goes_first_and_outcomes_are_told_apart() -> None:
    turns = pd.DataFrame(
        {
            "assistant": "",
            "text": ["bad", "bad", "fine", "lost"],
            "user_id": ["u", "v", "v", "v"],
            "wrong": [True, True, False, True],
            "wanted": ["A", "B", "C", "D"],
        }
    )
    rows = pa.table(
        {
            "assistant": ["", "", "", ""],
            "request": ["bad", "bad", "fine", "lost"],
            "user_id": pa.array(["u", None, None, None]),
            "rewrite": ["say a", "say b", "say a", "never said"],
            "score": [0.5, 0.9, 0.9, 0.9],
        }
    )
    texts = rewritten(turns, rows)
    assert texts.tolist() == ["say a", "say b", "say a", "never said"]
    score = replay(turns, texts, {("", "say a"): "A", ("", "say b"): "B"})
    assert (score.wins, score.losses, score.no_help, score.triggers) == (2, 1, 1, 4)
    assert score.net == pytest.approx(1 / 3)
    assert score.precision == 0.5


def test_neighbours_of_few_requests_abstain(tmp_path: Path) -> None:
    with store_with(tmp_path, lamps()).snapshot() as snapshot:
        mined = mine(snapshot)
    neighbours = Neighbours.of(mined)
    assert neighbours is not None
    assert neighbours.rewrites(["turn on the lamps"], [None]).num_rows == 0
    assert Neighbours.of(mined, "another assistant") is None
