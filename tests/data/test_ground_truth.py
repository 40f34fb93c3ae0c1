"""Turns with ground truth: all of them, or a sample of whole dialogues if there are very many."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.queries.filters import Filter
from data.queries.ground_truth import labelled, sampled
from data.queries.sampling import one_in
from data.queries.turn_table import annotated
from data.store.annotations import annotate
from data.store.predictions import forget
from data.store.store import Store
from labels.rules.derived import refresh
from tests import scored

MUSIC = Filter(domain=("music",))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with derived labels, and annotators' verdicts on turns with and without gold."""
    store = scored.fill(tmp_path_factory.mktemp("labelled") / "store")
    refresh(store)
    with store.snapshot() as snapshot:
        turns = snapshot.query(
            "SELECT turn_id, dialogue_id, day, turn_id IN (SELECT turn_id FROM labelled) AS gold "
            "FROM predictions ORDER BY turn_id"
        ).to_pylist()
    for gold in (True, False):
        turn = next(turn for turn in turns if turn["gold"] is gold)
        annotate(store, turn, "ann", "nlu")
        annotate(store, turn, "bob", "nlu")
    return store


def test_few_are_all_read(store: Store) -> None:
    with store.snapshot() as snapshot:
        assert one_in(snapshot, scored.MODEL, Filter()) == 1
        rows = labelled(snapshot, scored.MODEL)
        sources = dict(zip(rows["turn_id"].to_pylist(), rows["source"].to_pylist(), strict=True))
        judged = snapshot.query("SELECT turn_id FROM labelled WHERE failure_point IS NOT NULL")
    assert list(sources) == sorted(map(str, sources))
    assert len(sources) == judged.num_rows + 1
    assert list(sources.values()).count("dashboard") == 2


@pytest.mark.parametrize("most", [4, 11, 40])
def test_a_sample_of_many_is_of_whole_dialogues(store: Store, most: int) -> None:
    with store.snapshot() as snapshot:
        part = one_in(snapshot, scored.MODEL, Filter(), most)
        rows = labelled(snapshot, scored.MODEL).to_pylist()
        sampled_rows = labelled(snapshot, scored.MODEL, most=most).to_pylist()
        sample = sampled(snapshot, scored.MODEL, Filter(), most)
    # About `most` at the least, and less than twice as many.
    assert part > 1
    assert most <= len(rows) / part <= 2 * most + 1
    dialogues = {row["dialogue_id"] for row in sampled_rows}
    assert sampled_rows == [row for row in rows if row["dialogue_id"] in dialogues]
    assert dialogues < {row["dialogue_id"] for row in rows}
    assert sample is not None
    assert set(sample["dialogue_id"].to_pylist()) <= dialogues


def test_the_sample_of_a_part_contains_its_share_of_the_whole_sample(store: Store) -> None:
    """So that the same turns of two models or periods can be compared."""
    with store.snapshot() as snapshot:
        wide = labelled(snapshot, scored.MODEL, most=8).to_pylist()
        narrow = labelled(snapshot, scored.MODEL, MUSIC, most=8).to_pylist()
        turn_ids = {row["turn_id"] for row in labelled(snapshot, scored.MODEL, MUSIC).to_pylist()}
        assert one_in(snapshot, scored.MODEL, MUSIC, 8) <= one_in(
            snapshot, scored.MODEL, Filter(), 8
        )
    assert {row["turn_id"] for row in wide} & turn_ids <= {row["turn_id"] for row in narrow}


def test_filters_that_daily_sums_cannot_answer_are_read_whole(store: Store) -> None:
    with store.snapshot() as snapshot:
        assert one_in(snapshot, scored.MODEL, Filter(text="song"), 4) == 1


@pytest.mark.parametrize(
    "chosen", [Filter(), Filter(since=scored.START.date(), until=scored.START.date()), MUSIC]
)
def test_judged_turns_are_counted_once(store: Store, chosen: Filter) -> None:
    clause, params = chosen.sql()
    with store.snapshot() as snapshot:
        rows = snapshot.query(f"SELECT turn_id FROM predictions WHERE {clause}", params).to_pylist()
        judged = snapshot.query(
            "SELECT turn_id FROM labelled WHERE failure_point IS NOT NULL "
            "UNION SELECT turn_id FROM annotations"
        )["turn_id"].to_pylist()
        expected = len({row["turn_id"] for row in rows} & set(judged))
        assert annotated(snapshot, scored.MODEL, chosen) == expected


def test_turns_without_a_prediction_are_not_counted(tmp_path: Path) -> None:
    """Counts of whole days must not assume that every labelled turn is scored."""
    store = scored.fill(tmp_path / "store")
    refresh(store)
    with store.snapshot() as snapshot:
        (last,) = snapshot.query("SELECT max(day) AS day FROM predictions")["day"].to_pylist()
    with store.commit() as cycle:
        gone = forget(cycle, f"day = DATE '{last}'")
    with store.snapshot() as snapshot:
        whole = snapshot.query(
            "SELECT count(*) AS n FROM labelled WHERE failure_point IS NOT NULL AND day <> $day",
            {"day": last},
        )["n"][0].as_py()
        assert gone
        assert annotated(snapshot, scored.MODEL, Filter()) == whole
