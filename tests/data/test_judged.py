"""The table `judged` holds the predictions of turns with gold, whatever was done to the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from data.ingest.ingest import ingest
from data.queries.filters import Filter, Range
from data.queries.ground_truth import sampled
from data.schema.layout import TABLES
from data.schema.tables import JUDGED
from data.store.compaction import compact
from data.store.predictions import commit_predictions
from data.store.repair import repair
from data.store.retention import retain
from data.store.store import Store
from data.store.turn_deletion import delete
from data.store.vacuum import vacuum
from labels.rules.derived import refresh
from tests import scored
from tests.logs import trace, write_lines

_COLUMNS = ", ".join(JUDGED.names)
_LOOKED_UP = f"SELECT {_COLUMNS} FROM predictions SEMI JOIN labelled USING (turn_id, day)"


def rows(store: Store) -> int:
    """The rows of the table, which are those that are looked up among all predictions."""
    with store.snapshot() as snapshot:
        for one, other in (("FROM judged", _LOOKED_UP), (_LOOKED_UP, "FROM judged")):
            assert not snapshot.query(f"({one}) EXCEPT ({other})").num_rows
        assert snapshot.query(_LOOKED_UP).num_rows == snapshot.counts()["judged"]
        return snapshot.counts()["judged"]


@pytest.fixture
def labelled(own_store: Store) -> Store:
    """A scored store whose labels have been derived after scoring."""
    refresh(own_store)
    return own_store


def test_it_is_kept_in_step(labelled: Store, tmp_path: Path) -> None:
    store = labelled
    before = rows(store)
    assert before
    with store.snapshot() as snapshot:
        turn = snapshot.query("FROM labelled ORDER BY turn_id LIMIT 1").to_pylist()[0]
        users = snapshot.query("SELECT DISTINCT user_id FROM turns WHERE gold IS NOT NULL")
        part = snapshot.query("FROM predictions ORDER BY turn_id LIMIT 50")
        last: Any = snapshot.query("SELECT max(day) AS day FROM labelled")["day"][0].as_py()
    # By a second model, of some turns; then other gold, and none any more.
    commit_predictions(store, part, "m-other")
    assert rows(store) > before
    for gold in ({"gold": {"failure_point": "er", "annotator": "x"}}, {}):
        record = trace(turn["turn_id"], dialogue_id=turn["dialogue_id"], **gold)
        ingest(store, [write_lines(tmp_path / f"{len(gold)}.jsonl", [record])])
        refresh(store)
        rows(store)
    with store.commit() as cycle:
        versions = dict(cycle.versions)
    compact(store)
    assert store.head().tables.get("judged", 0) <= versions["judged"] + 1
    rows(store)
    delete(store, user_ids=[str(users["user_id"][0])])
    assert rows(store)
    vacuum(store, keep_hours=0, keep_models=[scored.MODEL])
    with store.snapshot() as snapshot:
        assert snapshot.query("SELECT DISTINCT model_id FROM judged").num_rows == 1
    retain(store, 1, today=last)
    assert 0 < rows(store) < before


@pytest.mark.parametrize("table", ["judged", "labelled", "predictions"])
def test_a_repair_makes_it_right_again(labelled: Store, table: str) -> None:
    with labelled.snapshot() as snapshot:
        broken = max(snapshot.files[table], key=lambda path: path.stat().st_size)
    broken.write_bytes(broken.read_bytes()[:-40])
    assert repair(labelled.path, leave_out=True)
    rows(labelled)


def test_a_store_of_an_earlier_version_is_filled_when_it_is_scored_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("data.store.store.keep_judged", lambda cycle: None)
        store = scored.fill(tmp_path / "store")
        refresh(store)
    with store.snapshot() as snapshot:
        assert not snapshot.counts()["judged"]
        some = snapshot.query("FROM predictions ORDER BY turn_id LIMIT 1")
        looked_up = sampled(snapshot, scored.MODEL, Filter())
    commit_predictions(store, some, scored.MODEL)
    assert rows(store) > 1
    with store.snapshot() as snapshot:
        assert sampled(snapshot, scored.MODEL, Filter()) == looked_up


@pytest.mark.parametrize(
    "chosen",
    [
        Filter(),
        Filter(domain=("music",), not_locale=("de-DE",)),
        Filter(version=("asr:4.1",), failure_point=("correct",)),
        Filter(status=("success",), not_slot=("song",), text="a"),
        Filter(words=Range(None, 4), hour=Range(0, 23), confidence=Range(0.1, None)),
        Filter(defect=Range(0.01, 0.9)),
    ],
    ids=lambda chosen: chosen.caption(),
)
def test_samples_are_those_that_are_looked_up(labelled: Store, chosen: Filter) -> None:
    others = [name for name in TABLES if name != "judged"]
    with labelled.snapshot() as snapshot, labelled.snapshot(only=others) as without:
        assert snapshot.counts()["judged"]
        assert not without.counts()["judged"]
        one = sampled(snapshot, scored.MODEL, chosen, most=10)
        assert one is not None
        assert one == sampled(without, scored.MODEL, chosen, most=10)
