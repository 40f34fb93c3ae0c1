"""What is learned from users' behaviour goes with the turns and users that it is of."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.ingest.ingest import ingest
from data.schema.layout import TABLES
from data.schema.trace import TURNS
from data.store.learned import replace_learned
from data.store.retention import retain
from data.store.snapshot import FULL_SCHEMA
from data.store.store import Store
from data.store.turn_deletion import delete
from tests.logs import trace, write_lines

DAY = date(2026, 1, 5)
TAUGHT = datetime(2026, 1, 5, 8, tzinfo=UTC)


def _table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    schema = TABLES[name].schema
    return pa.Table.from_pylist([dict.fromkeys(schema.names) | row for row in rows], schema)


def _learned(turns: list[tuple[str, str, str]]) -> dict[str, pa.Table]:
    """A row of each table per turn (turn, dialogue, user); one goal per dialogue."""
    by_dialogue: dict[str, list[tuple[str, str, str]]] = {}
    for row in turns:
        by_dialogue.setdefault(row[1], []).append(row)
    return {
        "feedback": _table(
            "feedback",
            [{"turn_id": t, "dialogue_id": d, "day": DAY, "p_defect": 0.5} for t, d, _ in turns],
        ),
        "generated_labels": _table(
            "generated_labels",
            [{"turn_id": t, "dialogue_id": d, "day": DAY, "goal_id": "g0"} for t, d, _ in turns],
        ),
        "goals": _table(
            "goals",
            [
                {
                    "dialogue_id": dialogue,
                    "goal_id": "g0",
                    "day": DAY,
                    "user_id": of[0][2],
                    "first_turn": of[0][0],
                    "last_turn": of[-1][0],
                }
                for dialogue, of in by_dialogue.items()
            ],
        ),
    }


def _preferences(rows: list[tuple[str, str, list[str]]]) -> pa.Table:
    return _table(
        "preferences",
        [
            {
                "preference_id": identity,
                "user_id": user,
                "kind": "concept",
                "name": "cosy",
                "value": "dim the lights",
                "turn_ids": turns,
                "created_at": TAUGHT,
                "used": 0,
            }
            for identity, user, turns in rows
        ],
    )


TURNS_OF = [("a1", "a", "ann"), ("a2", "a", "ann"), ("b1", "b", "bob"), ("c1", "c", "ann")]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    records = [
        trace(
            turn,
            dialogue_id=dialogue,
            turn_index=index,
            user_id=user,
            started_at=TAUGHT.isoformat(),
        )
        for index, (turn, dialogue, user) in enumerate(TURNS_OF)
    ]
    store = Store.create(tmp_path / "store")
    ingest(store, [write_lines(tmp_path / "log.jsonl", records)])
    replace_learned(store, _learned(TURNS_OF))
    with store.commit() as cycle:
        cycle.append(
            "preferences",
            _preferences([("p1", "ann", []), ("p2", "bob", ["b1"]), ("p3", "cleo", ["a1"])]),
        )
    return store


def _left(store: Store, table: str, column: str) -> list[Any]:
    with store.snapshot() as snapshot:
        return snapshot.query(f"SELECT {column} FROM {table} ORDER BY 1")[column].to_pylist()


def test_a_run_replaces_what_the_one_before_wrote(store: Store) -> None:
    again = _learned([*TURNS_OF[2:], ("gone", "gone", "ann")])
    written = replace_learned(store, again)
    assert written == {"feedback": 2, "generated_labels": 2, "goals": 2}
    assert _left(store, "feedback", "turn_id") == ["b1", "c1"]
    assert _left(store, "goals", "dialogue_id") == ["b", "c"]


def test_a_user_is_forgotten_in_all_four_tables(store: Store) -> None:
    report = delete(store, user_ids=["ann"])
    assert _left(store, "feedback", "turn_id") == ["b1"]
    assert _left(store, "generated_labels", "turn_id") == ["b1"]
    assert _left(store, "goals", "dialogue_id") == ["b"]
    # What somebody else was taught in a turn of hers goes too.
    assert _left(store, "preferences", "preference_id") == ["p2"]
    words = str(report)
    assert "3 rows of feedback" in words
    assert "3 generated labels" in words
    assert "2 goals" in words
    assert "2 preferences" in words


def test_a_user_without_a_turn_is_forgotten_too(store: Store) -> None:
    delete(store, user_ids=["cleo"])
    assert _left(store, "preferences", "preference_id") == ["p1", "p2"]


def test_a_dialogue_that_lost_a_turn_has_no_goals(store: Store) -> None:
    delete(store, turn_ids=["a2"])
    assert _left(store, "goals", "dialogue_id") == ["b", "c"]
    assert _left(store, "feedback", "turn_id") == ["a1", "b1", "c1"]


def test_old_ones_are_not_retained(store: Store) -> None:
    with store.commit() as cycle:
        used = _preferences([("p4", "ann", [])]).to_pylist()
        used[0]["last_used_at"] = TAUGHT + timedelta(days=40)
        cycle.append("preferences", _table("preferences", used))
    retain(store, days=10, today=DAY + timedelta(days=30))
    assert _left(store, "feedback", "turn_id") == []
    assert _left(store, "generated_labels", "turn_id") == []
    assert _left(store, "goals", "dialogue_id") == []
    assert _left(store, "preferences", "preference_id") == ["p4"]


def test_the_file_of_the_full_schema_is_that_of_the_code() -> None:
    schema = pq.read_schema(FULL_SCHEMA)
    expected = pa.schema([field for field in TURNS if field.name != "day"])
    assert schema.equals(expected), "write it again: python -m data.store.snapshot"
