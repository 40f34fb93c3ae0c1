"""Rewrites beside turns: how often they are asked for, what they mend, and for whom."""

from __future__ import annotations

from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from data.queries import rewrites as queries
from data.queries.filters import Filter
from data.queries.slices import daily
from data.queries.turns import turn
from data.store.rewrites import STATES, decide
from data.store.snapshot import Snapshot
from data.store.store import Store
from tests import rewritten
from tests.rewritten import DAYS, GENERAL, HEARD, MEANT, PERSONAL
from tests.scored import MODEL


@pytest.fixture
def snapshot(rewritten_store: Store) -> Snapshot:
    return rewritten_store.snapshot()


def asked(snapshot: Snapshot, **filters: Any) -> pa.Table:
    return queries.asked(snapshot, MODEL, Filter(**filters))


def total(table: pa.Table, column: str = "turns") -> float:
    values: list[Any] = table[column].to_pylist()
    return float(sum(values))


def test_texts_are_matched_in_lower_case_and_with_single_spaces(snapshot: Snapshot) -> None:
    rows = [row for row in asked(snapshot).to_pylist() if row["request"] == HEARD]
    turns = {user: sum(r["turns"] for r in rows if r["user_id"] == user) for user in (None, "u1")}
    # A quarter of the days are of a user with a row of their own, another of one who keeps it.
    assert turns == {None: DAYS // 2, "u1": DAYS // 4}
    assert {row["week"].weekday() for row in rows} == {0}
    assert sum(row["failing"] for row in rows) == pytest.approx(0.9 * DAYS, rel=1e-3)


def test_the_filter_is_that_of_the_pages(snapshot: Snapshot) -> None:
    whole = total(asked(snapshot))
    phones = total(asked(snapshot, device=("phone",)))
    week = total(asked(snapshot, since=date(2024, 3, 25)))
    in_slice = queries.asked(snapshot, MODEL, Filter(), (("device_type", "phone"),))
    assert (phones, week) == (whole // 2, whole // 4)
    assert total(in_slice) == phones
    assert total(asked(snapshot, text="hungry")) == DAYS


def test_without_a_model_turns_count_and_none_fails(rewritten_unscored: Store) -> None:
    with rewritten_unscored.snapshot() as snapshot:
        table = queries.asked(snapshot, None, Filter())
        assert total(table) == 5 * DAYS
        assert total(table, "failing") == 0
        assert queries.ranked(snapshot, table, order="heard")["asked"][0].as_py() == DAYS


def test_the_list_is_ranked_by_what_is_mended(snapshot: Snapshot) -> None:
    rows = queries.ranked(snapshot, asked(snapshot)).to_pylist()
    mended = [row["mended_defect"] for row in rows]
    assert mended == sorted(mended, reverse=True)
    # The row by which a user keeps the request is none that mends anything.
    assert len(rows) == rows[0]["rewrites"] == len(rewritten.rewrites()) - 1
    general = next(row for row in rows if row["rewrite_id"] == GENERAL)
    assert (general["wins"], general["losses"], general["no_help"]) == (12, 1, 2)
    assert general["asked"] == DAYS // 2
    assert general["mended_defect"] == pytest.approx(0.9 * 0.8 * DAYS / 2, rel=1e-3)
    assert general["mended_er"] == pytest.approx(0.82 * 0.8 * DAYS / 2, rel=1e-3)


def test_the_list_can_be_narrowed_sorted_and_paged(snapshot: Snapshot) -> None:
    table = asked(snapshot)

    def ids(**how: Any) -> list[str]:
        return [str(i) for i in queries.ranked(snapshot, table, **how)["rewrite_id"].to_pylist()]

    assert ids(states=("rejected",)) == [rewritten.rewrites()[2]["rewrite_id"]]
    assert ids(method="chain, personal") == [PERSONAL]
    assert ids(only=GENERAL) == [GENERAL]
    assert ids(order="wins")[0] == GENERAL
    assert [*ids(rows=2), *ids(rows=2, skip=2)] == ids(rows=4)
    assert len(ids(mending=True)) == 6


def test_a_share_of_the_failures_is_covered_and_adds_up(snapshot: Snapshot) -> None:
    table = asked(snapshot)
    weeks = queries.covered(snapshot, table).to_pylist()
    # One text is rejected, and one user of another keeps it.
    assert sum(week["turns"] for week in weeks) == 4 * DAYS - DAYS // 4
    (days,) = daily(snapshot, MODEL, "defect", Filter(), [()])
    failures = total(days, "total")
    mended = sum(week["mended_defect"] for week in weeks)
    assert 0 < mended < failures
    points = ("false_wake", "asr", "nlu", "er", "result")
    assert sum(week[f"mended_{p}"] for week in weeks for p in points) == pytest.approx(
        mended, rel=1e-3
    )
    every = queries.covered(snapshot, table, STATES).to_pylist()
    assert sum(week["turns"] for week in every) == 5 * DAYS - DAYS // 4


def test_where_a_users_own_row_is_rejected_the_general_one_counts(own_rewritten: Store) -> None:
    def mended() -> float:
        with own_rewritten.snapshot() as snapshot:
            return total(queries.covered(snapshot, asked(snapshot)))

    before = mended()
    decide(own_rewritten, [PERSONAL], "rejected", reason="no")
    assert mended() == before
    decide(own_rewritten, [GENERAL], "rejected", reason="no")
    assert mended() == before - 3 * DAYS // 4


def test_failing_turns_are_those_of_the_request_and_its_user(snapshot: Snapshot) -> None:
    for rewrite_id, users in ((GENERAL, {"u0", "u1", "u2", "u3"}), (PERSONAL, {"u1"})):
        row = queries.one(snapshot, rewrite_id)
        assert row is not None
        rows = queries.failing_turns(snapshot, MODEL, Filter(), row, rows=100).to_pylist()
        assert {other["failure_point"] for other in rows} == {"er"}
        assert {f"u{int(other['turn_id'][:2]) % 4}" for other in rows} == users
    assert queries.one(snapshot, "nobody") is None


def test_sessions_hold_what_followed_until_a_pause(snapshot: Snapshot) -> None:
    row = queries.one(snapshot, GENERAL)
    assert row is not None
    steps = queries.sessions(snapshot, row).to_pylist()
    assert [step["turn_id"] for step in steps[:2]] == ["00-0-0", "00-0-1"]
    assert {step["example"] for step in steps} == set(row["examples"])
    # The next request of the user comes a minute later.
    assert len(steps) == 2 * len(row["examples"])
    assert [(step["said"], step["reached"]) for step in steps[:2]] == [(False, False), (True, True)]
    assert steps[1]["after_s"] == 8
    assert queries.sessions(snapshot, {**row, "examples": []}).num_rows == 0
    assert queries.sessions(snapshot, {**row, "examples": ["gone"]}).num_rows == 0


@pytest.mark.parametrize(
    ("turn_id", "rewrite"),
    [("00-0-0", MEANT), ("01-0-0", "play james"), ("02-0-0", None), ("00-0-1", None),
     ("00-2-0", None), ("00-1-0", "شغل أغنية")],
)  # fmt: skip
def test_a_turn_has_its_users_own_rewrite_first(
    snapshot: Snapshot, turn_id: str, rewrite: str | None
) -> None:
    row = turn(snapshot, turn_id)
    assert row is not None
    found = queries.for_turn(snapshot, row)
    assert (found and found["rewrite"]) == rewrite
    if rewrite == MEANT:
        assert found is not None
        assert found["later"]["turn_id"] == "00-0-1"
    if rewrite == "play james":
        assert found is not None
        assert found["later"] is None


def test_a_store_without_rewrites_has_nothing_to_say(scored_store: Store) -> None:
    with scored_store.snapshot() as snapshot:
        table = queries.asked(snapshot, MODEL, Filter())
        assert queries.mined(snapshot) == (0, "")
        assert table.num_rows == queries.ranked(snapshot, table).num_rows == 0
        assert queries.covered(snapshot, table).num_rows == 0
        assert queries.methods(snapshot) == []
        assert queries.by_state(snapshot) == dict.fromkeys(STATES, 0)
        row = turn(snapshot, "d001-0")
        assert row is not None
        assert queries.for_turn(snapshot, row) is None
