"""A store's rewrites: what is recorded, how they are judged, what decisions and deletions do."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import UsageError
from data.export.rewrites import rewrite_lines
from data.ingest.ingest import ingest
from data.queries.rewrites import example_turns, listed, one
from data.schema.requests import request_sql
from data.store.retention import retain
from data.store.rewrites import decide
from data.store.store import Store
from data.store.turn_deletion import delete
from data.store.workspace import setting
from rewrites.interpretations import heard
from rewrites.outcomes import SETTING
from rewrites.refresh import evaluation_of, refresh
from tests.logs import write_lines
from tests.rewrites.lamps import BAD, GOOD, START, lamps, store_with, turn


@pytest.fixture
def mined(tmp_path: Path) -> Store:
    store = store_with(tmp_path, lamps())
    refresh(store)
    return store


def _general(store: Store) -> dict[str, Any]:
    with store.snapshot() as snapshot:
        rows = [row for row in listed(snapshot).to_pylist() if row["user_id"] is None]
    assert len(rows) == 1
    return rows[0]


def test_a_rewrite_is_recorded_with_its_provenance(mined: Store) -> None:
    row = _general(mined)
    assert (row["request"], row["rewrite"], row["state"]) == (BAD, GOOD, "proposed")
    assert (row["users"], row["turns"]) == (5, 48)
    assert row["failing"] == pytest.approx(48, abs=3)
    assert row["p_before"] < 0.2 < 0.8 < row["p_after"]
    # Mined from the first two days, replayed on the others.
    assert (row["wins"], row["losses"], row["no_help"]) == (24, 0, 0)
    with mined.snapshot() as snapshot:
        examples = example_turns(snapshot, row).to_pylist()
    assert len(examples) == 20
    assert {(turn["text"], turn["after"]) for turn in examples} == {(BAD, GOOD)}


def test_the_chain_around_a_rewrite_is_a_chain(mined: Store) -> None:
    chain = json.loads(_general(mined)["chain"])
    texts = [node["text"] for node in chain["nodes"]]
    assert texts[:2] == [BAD, GOOD]
    leaving = [edge["p"] for edge in chain["edges"] if edge["from"] == 0]
    assert 0.5 < sum(leaving) <= 1
    assert all(0 <= node["failure"] <= 1 for node in chain["nodes"])


def test_decisions_stay_when_it_is_mined_again(mined: Store) -> None:
    name = _general(mined)["rewrite_id"]
    assert decide(mined, [name], "rejected", reason="the lamp is a lamb", by="ada") == 1
    report = refresh(mined)
    row = _general(mined)
    assert (row["state"], row["reason"], row["decided_by"]) == (
        *("rejected", "the lamp is a lamb", "ada"),
    )
    assert report.in_store == report.general + report.personal


def test_an_approved_rewrite_stays_when_it_is_mined_no_longer(mined: Store) -> None:
    name = _general(mined)["rewrite_id"]
    decide(mined, [name], "approved")
    refresh(mined, since=(START + timedelta(days=3)).date(), gap_s=1.0)
    assert _general(mined)["state"] == "approved"


def test_states_follow_one_another_and_a_rejection_needs_a_reason(mined: Store) -> None:
    name = _general(mined)["rewrite_id"]
    for state, reason, words in (
        ("rejected", " ", "needs a reason"),
        ("live", None, "cannot become live"),
        ("liked", None, "Unknown state 'liked'"),
    ):
        with pytest.raises(UsageError, match=words):
            decide(mined, [name], state, reason=reason)
    with pytest.raises(UsageError, match="no rewrite 'nope'"):
        decide(mined, [name, "nope"], "approved")
    assert _general(mined)["state"] == "proposed"
    assert decide(mined, [name, name], "approved") == 1
    assert decide(mined, [name], "approved") == 0


def test_the_evaluation_is_kept_and_forward_in_time(mined: Store) -> None:
    with mined.snapshot() as snapshot:
        record = setting(snapshot, SETTING, None)
    assert record["since"] == (START + timedelta(days=2)).date().isoformat()
    rows = {row["name"]: row for row in record["rows"]}
    assert (rows["none"]["wins"], rows["none"]["precision"]) == (0, None)
    assert rows["chain"]["wins"] == 24
    assert rows["chain"]["net"] > 0.9
    assert evaluation_of(mined).record() == {
        name: value for name, value in record.items() if name not in ("at", "share")
    }


def test_one_day_is_mined_and_not_replayed(tmp_path: Path) -> None:
    store = store_with(tmp_path, lamps(days=1))
    assert refresh(store).evaluation is None
    assert _general(store)["wins"] == 0
    with pytest.raises(UsageError, match="of 1 day; ingest logs of at least two"):
        evaluation_of(store)


def test_nothing_to_mine_is_one_sentence(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    with pytest.raises(UsageError, match="ingest logs first"):
        refresh(store)


def _used(good: bool, number: int = 60) -> list[dict[str, Any]]:
    """Later turns, every other one executed by the rewrite; these went well, or the others did."""
    turns = []
    for i in range(number):
        used = i % 2 == 0
        nlu = turn("x", "u", 0, GOOD if used else BAD)["nlu"]
        turns.append(
            turn(
                f"r{i}",
                f"u{i % 5}",
                10 * 86_400 + i * 600,
                BAD,
                nlu={**nlu, "signals": {"rewritten": float(used)}},
                feedback={"barge_in": used is not good},
            )
        )
    return turns


@pytest.mark.parametrize(("good", "state"), [(True, "live"), (False, "retired")])
def test_a_rewrite_in_use_is_live_or_retired_by_its_own_outcomes(
    mined: Store, tmp_path: Path, good: bool, state: str
) -> None:
    name = _general(mined)["rewrite_id"]
    decide(mined, [name], "approved")
    for number in range(2):
        ingest(mined, [write_lines(tmp_path / f"later{number}.jsonl", _used(good))])
        refresh(mined)
    with mined.snapshot() as snapshot:
        row = one(snapshot, name)
        assert row is not None
        used = snapshot.query(
            "SELECT sum(turns_with) AS n, sum(good_with) AS good FROM rewrite_outcomes "
            "WHERE source = 'use'"
        ).to_pylist()[0]
    assert row["state"] == state
    assert used["n"] == 30
    assert (used["good"] > 25) is good


def test_deleting_a_user_removes_their_rewrites_and_their_share_of_others(mined: Store) -> None:
    with mined.commit() as cycle:
        with cycle.snapshot("rewrites") as snapshot:
            own = snapshot.query(
                "SELECT * REPLACE ('own' AS rewrite_id, 'u1' AS user_id) FROM rewrites LIMIT 1"
            )
        cycle.append("rewrites", own)
    gone = str(delete(mined, user_ids=["u1"]))
    assert "1 rewrite" in gone
    row = _general(mined)
    assert row["rewrite_id"] != "own"
    assert 0 < len(row["examples"]) < 20
    with mined.snapshot() as snapshot:
        left = snapshot.query(
            "SELECT count(*) AS n FROM (SELECT unnest(examples) AS turn_id FROM rewrites) "
            "ANTI JOIN turns USING (turn_id)"
        )
    assert left["n"].to_pylist() == [0]


def test_rewrites_without_any_example_left_go(mined: Store) -> None:
    delete(mined, user_ids=[f"u{i}" for i in range(5)])
    with mined.snapshot() as snapshot:
        assert not snapshot.counts()["rewrites"]
        assert not snapshot.query("FROM rewrite_outcomes").num_rows


def test_rewrites_age_with_their_turns(mined: Store) -> None:
    retain(mined, 1, today=(START + timedelta(days=60)).date())
    with mined.snapshot() as snapshot:
        assert not snapshot.counts()["rewrites"]


def test_a_user_with_whom_the_request_works_is_excepted(tmp_path: Path) -> None:
    fine = [
        turn(f"k{i}", "keeper", i * 3600, BAD, nlu=turn("x", "u", 0, GOOD)["nlu"]) for i in range(6)
    ]
    store = store_with(tmp_path, [*lamps(), *fine])
    refresh(store)
    general = _general(store)
    decide(store, [general["rewrite_id"]], "approved")
    with store.snapshot() as snapshot:
        lines = [json.loads(line) for line in rewrite_lines(snapshot, ["approved"])]
    assert [(line.get("user_id"), line["rewrite"]) for line in lines] == [
        *((None, GOOD), ("keeper", BAD)),
    ]


@pytest.mark.parametrize("gap_s", [20.0, 90.0])
def test_another_longest_pause_judges_alike(tmp_path: Path, gap_s: float) -> None:
    store = store_with(tmp_path, lamps())
    evaluation = refresh(store, gap_s=gap_s).evaluation
    assert evaluation
    assert (evaluation.methods["chain"].wins, evaluation.methods["chain"].losses) == (24, 0)


def test_what_was_held_back_is_what_a_rewrite_is_compared_with(
    mined: Store, tmp_path: Path
) -> None:
    name = _general(mined)["rewrite_id"]
    decide(mined, [name], "approved")
    ingest(mined, [write_lines(tmp_path / "later.jsonl", _used(good=True))])
    refresh(mined)
    with mined.snapshot() as snapshot:
        used = snapshot.query(
            "SELECT sum(turns_with) AS used, sum(turns_without) AS held FROM rewrite_outcomes "
            "WHERE source = 'use'"
        ).to_pylist()[0]
    assert used == {"used": 30, "held": 30}


@given(st.text())
def test_requests_are_looked_up_alike_in_sql_and_in_python(text: str) -> None:
    said = text.replace("\x00", "")
    with duckdb.connect() as con:
        row = con.execute(f"SELECT {request_sql('$text::VARCHAR')}", {"text": said}).fetchone()
    assert row == (heard(said),)


@pytest.mark.parametrize("text", ["ΟΔΥΣΣΕΥΣ", "İstanbul", "a\u3000b\xa0c\x0bd", " tab\tend "])
def test_odd_letters_and_spaces_are_looked_up_alike(text: str) -> None:
    with duckdb.connect() as con:
        row = con.execute(f"SELECT {request_sql('$text::VARCHAR')}", {"text": text}).fetchone()
    assert row == (heard(text),)
