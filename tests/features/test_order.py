"""The order of the turns of a dialogue: by index, by time where indexes are equal, then by id."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from classifiers.context_digest import digests_sql
from data.export.export import export
from data.ingest.ingest import ingest
from data.queries import turns as queries
from data.schema.trace import order_sql
from data.store.store import Store
from features.categories import Vocabulary
from features.matrix import Context, build
from tests.app import Open, texts
from tests.logs import trace, write_lines
from tests.turns import START, table, turn

WORDS = ["no", "play queen", "play green", "stop", "", "next"]

dialogues = st.lists(
    st.lists(st.tuples(st.sampled_from(WORDS), st.integers(1, 40), st.floats(0, 1, width=16)),
             min_size=1, max_size=5),
    min_size=1, max_size=3,
)  # fmt: skip


def records(
    spoken: list[list[tuple[str, int, float]]], ids: list[int], same_index: bool
) -> list[dict[str, Any]]:
    """Turns with distinct times in each dialogue; `ids` mixes up the ids."""
    rows: list[dict[str, Any]] = []
    for number, dialogue in enumerate(spoken):
        at = START + timedelta(hours=number)
        for index, (text, seconds, confidence) in enumerate(dialogue):
            at += timedelta(seconds=seconds)
            name = f"{ids[len(rows) % len(ids)]}-{number}-{index}"
            rows.append(
                turn(
                    0 if same_index else index,
                    f"d{number}",
                    turn_id=name,
                    started_at=at,
                    heard=[(text, confidence)],
                    meant=(text, [("song", text)]),
                    said=f"Did you say {text}?",
                    prompted=f"Did you say {text}?",
                )
            )
    return rows


@pytest.mark.parametrize("context", ["hindsight", "live"])
@settings(max_examples=6, suppress_health_check=[HealthCheck.too_slow])
@given(spoken=dialogues, ids=st.permutations(range(6)))
def test_features_do_not_depend_on_whether_indexes_were_logged(
    context: Context, spoken: list[list[tuple[str, int, float]]], ids: list[int]
) -> None:
    logged, tied = (
        build(table(*records(spoken, ids, same)), Vocabulary(), context) for same in (False, True)
    )
    assert [n for n in logged.column_names if not logged[n].equals(tied[n])] == []


def test_an_index_that_repeats_is_counted_on() -> None:
    logged = [("z", 0, 0), ("y", 0, 5), ("x", 1, 9), ("w", 7, 12)]
    rows = [
        turn(index, turn_id=name, started_at=START + timedelta(seconds=at))
        for name, index, at in logged
    ]
    built = {row["turn_id"]: row for row in build(table(*rows), Vocabulary()).to_pylist()}
    assert [built[name]["dialogue.index"] for name in "zyxw"] == [0, 1, 2, 7]
    assert [built[name]["dialogue.skipped_before"] for name in "zyxw"] == [None, 0, 0, 4]
    assert [built[name]["dialogue.position"] for name in "zyxw"] == [1, 2, 3, 4]


@pytest.fixture
def tied(store: Store, tmp_path: Path) -> Store:
    """A dialogue of four days whose turns all say index 0, with ids against the order of time."""
    log = [
        trace(
            f"t{9 - i}",
            started_at=f"2024-05-0{1 + i // 2}T09:3{i}:00Z",
            asr={"hypotheses": [{"text": f"word {i}"}]},
        )
        for i in range(8)
    ]
    ingest(store, [write_lines(tmp_path / "log.jsonl", log)])
    return store


def test_pages_and_features_say_the_same_place(tied: Store) -> None:
    with tied.snapshot() as snapshot:
        built = build(snapshot.query("FROM turns"), Vocabulary()).to_pylist()
        positions = {row["turn_id"]: row["dialogue.position"] for row in built}
        for name, position in positions.items():
            row = queries.turn(snapshot, name)
            assert row is not None
            shown = queries.dialogue(snapshot, row, None)
            assert [r["turn_id"] for r in shown] == sorted(
                (r["turn_id"] for r in shown), reverse=True
            )
            (here,) = (r for r in shown if r["turn_id"] == name)
            assert (here["place"], here["turns"]) == (position, 8)


def test_the_page_of_a_turn_counts_the_whole_dialogue(tied: Store, opened: Open) -> None:
    page = opened(tied.path, "turn", turn="t3")
    said = texts(page)
    assert "turn 7 of 8" in said
    # Only a day before and after it is drawn.
    assert "4 earlier turns" in said


def test_live_digests_count_what_came_before_in_time(tied: Store, tmp_path: Path) -> None:
    def digests() -> dict[str, int]:
        with tied.snapshot() as snapshot:
            rows = snapshot.query(digests_sql("live")).to_pylist()
        return {str(row["turn_id"]): int(row["context_digest"]) for row in rows}

    before = digests()
    # `a` would be first by id; it is last by time.
    ingest(tied, [write_lines(tmp_path / "more.jsonl", [trace("a", started_at="2024-05-05T09:30:00Z")])])  # fmt: skip  # noqa: E501
    after = digests()
    assert {name: after[name] for name in before} == before


def test_files_and_exports_are_in_that_order(tied: Store, tmp_path: Path) -> None:
    from data.schema.layout import TABLES

    for name in ("turns", "predictions"):
        assert TABLES[name].order == ("dialogue_id", "turn_index", "started_at", "turn_id")
    assert order_sql("t") == "t.turn_index, t.started_at, t.turn_id"
    # At one instant, the index decides before the id does.
    log = [trace(name, dialogue_id="e", turn_index=i) for i, name in enumerate("zyx")]
    ingest(tied, [write_lines(tmp_path / "more.jsonl", log)])
    with tied.snapshot() as snapshot:
        export(snapshot, "turns", tmp_path / "out.jsonl", "dialogue_id = 'e'")
    import json

    lines = (tmp_path / "out.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["turn_id"] for line in lines] == ["z", "y", "x"]
