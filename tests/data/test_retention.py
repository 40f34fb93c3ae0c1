"""Tables that are kept for days of their own: what goes, what does not come back, dry runs."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from data.errors import UsageError
from data.schema.layout import TABLES
from data.store import workspace
from data.store.deletions import deletions
from data.store.learned import replace_learned
from data.store.retention import retain
from data.store.retention_policy import TABLES_KEPT, policy, set_policy
from data.store.snapshot import Snapshot
from data.store.store import Store
from data.store.turn_deletion import delete
from tests.command import Run, must_fail

TODAY = date(2024, 3, 20)


def rows(store: Store) -> dict[str, int]:
    with store.snapshot() as snapshot:
        return snapshot.counts()


def days(store: Store, table: str) -> list[date]:
    with store.snapshot() as snapshot:
        sql = f"SELECT DISTINCT day FROM {table} ORDER BY day"
        found: list[Any] = snapshot.query(sql)["day"].to_pylist()
        return found


def test_each_table_goes_by_its_own_days(own_phones_fail: Store) -> None:
    all_days = days(own_phones_fail, "predictions")
    middle = all_days[len(all_days) // 2]
    set_policy(own_phones_fail, {"predictions": (TODAY - middle).days})
    before = rows(own_phones_fail)
    foretold = retain(own_phones_fail, today=TODAY, dry_run=True)
    assert rows(own_phones_fail) == before
    assert "Would delete 0 turns" in str(foretold)
    assert "dry run" in str(foretold)
    report = retain(own_phones_fail, today=TODAY)
    assert report.predictions == foretold.predictions > 0
    after = rows(own_phones_fail)
    assert after["turns"] == before["turns"]
    assert days(own_phones_fail, "predictions")[0] == middle
    # The sums of these days go with them: no chart shows days that cannot be looked into.
    assert days(own_phones_fail, "rollup")[0] == middle
    (record,) = deletions(own_phones_fail).rows
    assert record["days of predictions"] == (TODAY - middle).days
    assert record["rows"]["predictions"] == report.predictions
    assert retain(own_phones_fail, today=TODAY).nothing


def test_turns_take_along_what_is_about_them(own_phones_fail: Store) -> None:
    last = days(own_phones_fail, "turns")[-1]
    set_policy(own_phones_fail, {"turns": 1, "predictions": 1})
    report = retain(own_phones_fail, today=last + timedelta(days=1))
    assert report.turns > 0
    assert days(own_phones_fail, "turns") == days(own_phones_fail, "predictions") == [last]


def test_every_table_can_be_emptied_by_its_age(own_phones_fail: Store) -> None:
    """The SQL of each table is tried, and nothing that is young goes."""
    others = {name: 30 for name in TABLES_KEPT if name != "turns"}
    set_policy(own_phones_fail, others)
    before = rows(own_phones_fail)
    assert retain(own_phones_fail, today=date(2024, 3, 2)).nothing
    assert rows(own_phones_fail) == before
    retain(own_phones_fail, today=datetime.now(UTC).date() + timedelta(days=100))
    assert {name: rows(own_phones_fail)[name] for name in others} == dict.fromkeys(others, 0)


def test_what_is_learned_anew_is_not_kept_longer(own_phones_fail: Store) -> None:

    with own_phones_fail.snapshot() as snapshot:
        turns = snapshot.query("SELECT turn_id, dialogue_id, day FROM turns").to_pylist()
    schema = TABLES["feedback"].schema
    learned = pa.Table.from_pylist(turns, schema=schema)
    assert replace_learned(own_phones_fail, {"feedback": learned})["feedback"] == len(turns)
    set_policy(own_phones_fail, {"feedback": 10})
    assert replace_learned(own_phones_fail, {"feedback": learned})["feedback"] == 0


def test_a_policy_that_cannot_be(own_phones_fail: Store) -> None:
    with pytest.raises(UsageError, match="go with their turns after 30 days"):
        set_policy(own_phones_fail, {"turns": 30, "predictions": 31})
    set_policy(own_phones_fail, {"predictions": 31})
    with pytest.raises(UsageError, match="give at most 30"):
        set_policy(own_phones_fail, {"turns": 30})
    for wrong in ({"runs": 3}, {"turns": 0}, {"quarantine": 10**9}):
        with pytest.raises(UsageError):
            set_policy(own_phones_fail, wrong)
    # Nothing is deleted by a setting that somebody has damaged.
    for damaged in ("x", {"turns": -5}, {"turns": "1"}, {"x": 1}):
        workspace.put_setting(own_phones_fail, "retention", damaged)
        with pytest.raises(UsageError):
            retain(own_phones_fail, today=TODAY)
    assert deletions(own_phones_fail).rows == []


def test_no_user_ends_retention(own_phones_fail: Store) -> None:
    """Deleting a user removes settings that name them; ids are what logs say they are."""
    set_policy(own_phones_fail, {"quarantine": 14})
    delete(own_phones_fail, user_ids=["quarantine", "retention", "14"])
    with own_phones_fail.snapshot() as snapshot:
        assert policy(snapshot) == {"quarantine": 14}


def test_the_commands(own_phones_fail: Store, run: Run) -> None:
    at = ("--store", own_phones_fail.path)
    must_fail(run("retain", *at), "faultline retention")
    assert "forever" in run("retention", *at).out
    told = run("retention", "turns=30", "quarantine=7", *at).out
    assert "as long as their turns" in told
    for wrong in ("turns", "turns=-1", "turns=ten", "nothing=3", "nothing=forever"):
        must_fail(run("retention", wrong, *at))
    assert "dry run" in run("retain", "--dry-run", *at).out
    removed = json.loads(run("retain", "--json", *at).out)
    assert removed["turns"] > 0
    assert "turns 30, quarantine 7" in run("deletions", *at).out
    assert run("retention", "turns=forever", "quarantine=forever", *at).code == 0
    with own_phones_fail.snapshot() as snapshot:
        assert policy(snapshot) == {}


def test_what_two_admins_set_at_once_is_both_kept(
    own_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_have_read = threading.Barrier(2)

    def read(snapshot: Snapshot) -> dict[str, int]:
        found = policy(snapshot)
        with suppress(threading.BrokenBarrierError):
            both_have_read.wait(1)
        return found

    monkeypatch.setattr("data.store.retention_policy.policy", read)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: set_policy(own_store, {name: 9}), ("audit", "quarantine")))
    with own_store.snapshot() as snapshot:
        assert policy(snapshot) == {"quarantine": 9, "audit": 9}
