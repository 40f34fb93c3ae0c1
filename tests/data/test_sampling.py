"""A seeded sample has whole dialogues, is the same every time, and has about the requested size."""

from __future__ import annotations

import duckdb
import pytest

from data.queries.filters import Filter
from data.queries.sampling import about, every, until
from data.store.store import Store
from tests.scored import MODEL


def sampled(store: Store, most: int, seed: int = 0) -> tuple[float, dict[str, int]]:
    """The share, and turns by dialogue."""
    with store.snapshot() as snapshot:
        sample = about(snapshot, MODEL, Filter(), most, seed)
        rows = snapshot.query(
            "SELECT dialogue_id, count(*) AS turns FROM predictions "
            f"WHERE model_id = $model AND {sample.condition} GROUP BY ALL",
            {"model": MODEL, **sample.params},
        ).to_pylist()
    return sample.share, {row["dialogue_id"]: row["turns"] for row in rows}


def test_few_turns_are_all_read(scored_store: Store) -> None:
    share, dialogues = sampled(scored_store, 1_000_000)
    with scored_store.snapshot() as snapshot:
        assert sum(dialogues.values()) == snapshot.counts()["turns"]
    assert share == 1


def test_dialogues_are_read_whole_and_by_the_seed(scored_store: Store) -> None:
    _, whole = sampled(scored_store, 1_000_000)
    most = sum(whole.values()) // 3
    share, some = sampled(scored_store, most)
    assert 0 < len(some) < len(whole)
    assert share == pytest.approx(1 / 3, abs=0.01)
    assert some == {name: whole[name] for name in some}
    assert sampled(scored_store, most)[1] == some
    assert sampled(scored_store, most, seed=1)[1] != some


def test_a_half_contains_the_quarter() -> None:
    with duckdb.connect() as con:
        halves, quarters = (
            set(
                con.sql(
                    "SELECT dialogue_id FROM (SELECT 'd' || range AS dialogue_id FROM range(200)) "
                    f"WHERE {every(part)}"
                ).fetchall()
            )
            for part in (2, 4)
        )
    assert quarters < halves
    assert every(1) == "true"


def test_each_group_is_read_until_it_has_enough() -> None:
    with duckdb.connect() as con:
        counts = dict(
            con.execute(
                "SELECT odd, sum(n) FROM (SELECT * FROM (SELECT 'd' || range AS dialogue_id, "
                "2 AS n, range % 2 = 1 AS odd FROM range(200)) "
                f"QUALIFY {until('CASE WHEN odd THEN 9 ELSE 40 END', 'n', by='odd')}) GROUP BY ALL",
                {"seed": 3},
            ).fetchall()
        )
    assert counts == {True: 10, False: 40}
