"""Scoring: what is scored again and what is not; the result does not depend on batches."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from classifiers.model import Model
from classifiers.scoring.score import score
from data.errors import ModelError
from data.ingest.ingest import ingest
from data.schema.tables import EVIDENCE, PREDICTIONS
from data.schema.trace import FAILURE_POINTS
from data.store.retention import retain
from data.store.retention_policy import set_policy
from data.store.snapshot import Snapshot
from data.store.store import Store
from data.store.turn_deletion import delete
from tests.logs import write_lines
from tests.traces import logs


@pytest.fixture
def copy(six: tuple[Store, Model], tmp_path: Path) -> Store:
    """A copy of the store with its promoted model, free to be changed."""
    shutil.copytree(six[0].path, tmp_path / "copy")
    return Store.open(tmp_path / "copy")


@pytest.fixture
def scored(six_scored: Store, tmp_path: Path) -> Store:
    """A copy of the store whose turns are all scored, free to be changed."""
    shutil.copytree(six_scored.path, tmp_path / "scored")
    return Store.open(tmp_path / "scored")


def predictions(store: Store) -> pa.Table:
    with store.snapshot() as snapshot:
        return snapshot.query("SELECT * FROM predictions ORDER BY turn_id, model_id")


def test_every_turn_gets_six_probabilities_a_verdict_and_reasons(copy: Store) -> None:
    report = score(copy)
    table = predictions(copy)
    assert report.scored == table.num_rows == copy.snapshot().counts()["turns"]
    assert table.schema.names == PREDICTIONS.names
    p = np.column_stack([table[f"p_{name}"].to_numpy() for name in FAILURE_POINTS])
    assert np.allclose(p.sum(1), 1, atol=1e-5)
    assert np.allclose(table["p_defect"].to_numpy(), 1 - p[:, -1], atol=1e-5)
    assert set(table["failure_point"].to_pylist()) <= set(FAILURE_POINTS)
    assert all(reasons and len(reasons) == 8 for reasons in table["reasons"].to_pylist())
    assert all(table[f"evidence_{name}"].null_count == 0 for name in EVIDENCE)


def test_rollup_is_the_sum_of_predictions(scored: Store) -> None:
    with scored.snapshot() as snapshot:
        counted = snapshot.query(
            "SELECT day, failure_point, count(*) AS turns, sum(p_asr) AS asr FROM predictions"
            " GROUP BY ALL ORDER BY ALL"
        ).to_pylist()
        summed = snapshot.query(
            "SELECT day, failure_point, sum(turns)::BIGINT AS turns, sum(sum_p_asr) AS asr"
            " FROM rollup GROUP BY ALL ORDER BY ALL"
        ).to_pylist()
    assert [row | {"asr": pytest.approx(row["asr"], abs=1e-4)} for row in counted] == summed


def test_nothing_new_means_nothing_to_do(scored: Store) -> None:
    before = scored.snapshot()
    again = score(scored)
    assert (again.scored, again.up_to_date) == (0, before.counts()["turns"])
    assert again.version == before.version
    assert score(scored, everything=True).scored == again.up_to_date


def test_a_grown_dialogue_is_scored_again_and_no_other(scored: Store, tmp_path: Path) -> None:
    total = scored.snapshot().counts()["predictions"]
    turn = logs()[0]
    grown = {**turn, "turn_id": "later", "turn_index": 9}
    ingest(scored, [write_lines(tmp_path / "more.jsonl", [grown])])
    own = sum(t["dialogue_id"] == turn["dialogue_id"] for t in logs())
    report = score(scored)
    assert (report.scored, report.up_to_date) == (own + 1, total - own)


def test_gold_that_arrives_later_changes_no_prediction(scored: Store, tmp_path: Path) -> None:
    turn = logs()[0] | {"gold": {"failure_point": "er", "annotator": "second"}}
    ingest(scored, [write_lines(tmp_path / "gold.jsonl", [turn])])
    assert score(scored).scored == 0


def test_a_deleted_turn_takes_its_prediction_along(scored: Store) -> None:
    name = logs()[0]["dialogue_id"]
    delete(scored, dialogue_ids=[name])
    assert name not in predictions(scored)["dialogue_id"].to_pylist()
    assert score(scored).scored == 0


@pytest.mark.long
def test_predictions_that_are_kept_for_less_time_than_turns_do_not_come_back(scored: Store) -> None:
    with scored.snapshot() as snapshot:
        turns = snapshot.counts()["turns"]
    set_policy(scored, {"predictions": 1})
    retain(scored)
    assert score(scored).scored == 0
    with scored.snapshot() as snapshot:
        counts = snapshot.counts()
    assert (counts["turns"], counts["predictions"], counts["rollup"]) == (turns, 0, 0)
    set_policy(scored, {"predictions": None})
    assert score(scored).scored == turns


def test_small_batches_and_pieces_give_the_same_as_one_batch(
    six: tuple[Store, Model], scored: Store, tmp_path: Path
) -> None:
    whole = predictions(scored)
    # The same logs in two halves that split dialogues, each scored in batches of a few turns.
    other = Store.create(tmp_path / "other")
    shutil.copytree(scored.models, other.models, dirs_exist_ok=True)
    turns = logs()
    for i, half in enumerate((turns[::2], turns[1::2])):
        ingest(other, [write_lines(tmp_path / f"{i}.jsonl", half)])
        score(other, six[1].id, batch=70)
    pieces = predictions(other)
    assert pieces["turn_id"].equals(whole["turn_id"])
    assert pieces["failure_point"].equals(whole["failure_point"])
    for name in FAILURE_POINTS:
        a, b = (t[f"p_{name}"].to_numpy() for t in (whole, pieces))
        assert np.allclose(a, b, atol=1e-4), name


@pytest.mark.long
def test_predictions_of_two_models_are_kept_side_by_side(
    scored: Store, six: tuple[Store, Model]
) -> None:
    from classifiers import registry
    from classifiers.settings import Settings
    from classifiers.train import train
    from classifiers.training_data import training_turns

    with scored.snapshot() as snapshot:
        turns = training_turns(snapshot, seed=0)
    plain, folder = train(turns, Settings(context="live", without=("text",)))
    model_id = registry.save(plain, folder, scored.models)
    assert score(scored, model_id).scored == turns.num_rows
    assert set(predictions(scored)["model_id"].to_pylist()) == {model_id, six[1].id}
    assert scored.head().model == six[1].id


def test_a_store_without_model_says_what_to_run(store: Store) -> None:
    with pytest.raises(ModelError, match="faultline train"):
        score(store)
    with pytest.raises(ModelError, match="There is no model"):
        score(store, "m-0")


def test_the_same_request_on_another_device_is_seen_across_batches(tmp_path: Path) -> None:
    """Two devices hear each request; batches of one dialogue must not separate the pair."""
    from classifiers.context_digest import BATCH_SQL, plan_sql

    turns = [
        {
            "turn_id": f"{room}{i}",
            "dialogue_id": f"{room}{i}",
            "turn_index": 0,
            "started_at": f"2024-05-01T09:{i:02d}:00Z",
            "device": {"type": room},
        }
        for i in range(6)
        for room in "abcdefg"[: 2 if i else 7]
    ]
    store = Store.create(tmp_path / "store")
    ingest(store, [write_lines(tmp_path / "turns.jsonl", turns)])
    with store.snapshot() as snapshot:
        bound = {"model": "m", "all": False, "batch": 4}
        plan = snapshot.query(plan_sql("hindsight"), bound)
        assert plan.num_rows == len(turns)
        assert all(plan["shared"].to_pylist())
        parts = plan["part"].to_numpy().tolist()
        assert parts == sorted(parts)
        assert [parts.count(i) for i in range(5)] == [4, 3, 4, 3, 3]

        def read(name: str) -> set[str]:
            batch = pa.table({"dialogue_id": [name]})
            shared = pa.table({"turn_id": [name]})
            day = date(2024, 5, 1)
            table = snapshot.query(
                BATCH_SQL, {"low": day, "high": day}, tables={"batch": batch, "shared": shared}
            )
            return {str(turn) for turn in table["turn_id"].to_pylist()}

        assert read("a1") == {"a1", "b1"}
        # Seven at once are unrelated traffic: six of them are enough to see that.
        assert len(read("a0")) == 6


@pytest.mark.long
def test_several_processes_give_the_same_as_one(copy: Store) -> None:
    score(copy, batch=100, workers=1)
    alone = predictions(copy)
    assert score(copy, everything=True, batch=100, workers=2).scored == alone.num_rows
    assert predictions(copy).drop_columns("reasons").equals(alone.drop_columns("reasons"))


def test_training_turns_get_their_out_of_fold_probabilities(
    six: tuple[Store, Model], scored: Store, tmp_path: Path
) -> None:
    held_out = six[1].held_out
    assert held_out is not None
    table = predictions(scored)
    index = pa.compute.index_in(held_out.turn_ids, value_set=table["turn_id"].combine_chunks())
    names = [name for name in FAILURE_POINTS if name in six[1].classes]
    scored_p = np.column_stack([table[f"p_{name}"].to_numpy() for name in names])
    assert np.allclose(scored_p[index.to_numpy()], held_out.probability, atol=1e-6)
    # A turn whose dialogue has grown differs from what training saw.
    turn = next(t for t in logs() if t["turn_id"] == held_out.turn_ids[0].as_py())
    later = {**logs()[5], "dialogue_id": turn["dialogue_id"], "turn_id": "later", "turn_index": 9}
    ingest(scored, [write_lines(tmp_path / "more.jsonl", [later])])
    score(scored)
    grown = predictions(scored).filter(pa.compute.field("turn_id") == turn["turn_id"])
    now = np.array([grown[f"p_{name}"][0].as_py() for name in names])
    assert not np.allclose(now, held_out.probability[0], atol=1e-6)


@pytest.mark.long
def test_a_dialogue_larger_than_a_batch_leaves_no_part_empty(
    six: tuple[Store, Model], copy: Store, tmp_path: Path
) -> None:
    # Logs with one session id have such dialogues.
    long = [
        {**turn, "turn_id": f"long{i}", "dialogue_id": "long", "turn_index": i}
        for i, turn in enumerate(logs()[:90])
    ]
    ingest(copy, [write_lines(tmp_path / "long.jsonl", long)])
    total = copy.snapshot().counts()["turns"]
    assert score(copy, batch=80, workers=1).scored == total


def test_one_process_opens_no_second_snapshot(copy: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    snapshot = Store.snapshot

    def counted(store: Store, version: str | None = None) -> Snapshot:
        opened.append(version)
        return snapshot(store, version)

    monkeypatch.setattr(Store, "snapshot", counted)
    assert score(copy, batch=100, workers=1).scored
    # A worker process would open the version by name; committing opens the current one.
    assert set(opened) == {None}


def test_some_turns_get_the_same_scores_as_among_all(six: tuple[Store, Model]) -> None:
    store, model = six
    with store.snapshot() as snapshot:
        turns = snapshot.query("SELECT *, 0::BIGINT AS context_digest FROM turns")
    everything = model.score(turns)
    to_score = turns.select(["turn_id", "context_digest"]).take([7, 3, 250])
    some = model.score(turns, to_score)
    assert some.turn_ids.to_pylist() == to_score["turn_id"].to_pylist()
    assert everything.turn_ids.take(some.rows).to_pylist() == to_score["turn_id"].to_pylist()
    assert np.array_equal(some.verdict, everything.verdict[some.rows])
    assert np.array_equal(some.x, everything.x[some.rows], equal_nan=True)
    assert np.allclose(some.probability, everything.probability[some.rows])


@pytest.mark.parametrize(
    "bad", [("d0007",), pytest.param(("d0001", "d0002", "d0230"), marks=pytest.mark.long)]
)
def test_a_dialogue_that_cannot_be_scored_does_not_keep_the_others_from_it(
    copy: Store, monkeypatch: pytest.MonkeyPatch, bad: tuple[str, ...]
) -> None:
    matrix = Model.matrix

    def fails(self: Model, turns: pa.Table, *rest: object) -> object:
        if set(bad) & set(turns["dialogue_id"].to_pylist()):
            raise ArithmeticError("beyond what a number holds")
        return matrix(self, turns, *rest)

    monkeypatch.setattr(Model, "matrix", fails)
    report = score(copy, workers=1)
    assert report.failed == dict.fromkeys(bad, "ArithmeticError: beyond what a number holds")
    with copy.snapshot() as snapshot:
        left: list[Any] = snapshot.query(
            "SELECT DISTINCT dialogue_id FROM turns ANTI JOIN predictions USING (turn_id)"
        )["dialogue_id"].to_pylist()
    assert sorted(left) == sorted(bad)


def test_a_fault_of_all_turns_is_not_blamed_on_some(
    copy: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Model, turns: pa.Table) -> object:
        raise ArithmeticError("always")

    monkeypatch.setattr(Model, "matrix", fails)
    with pytest.raises(ArithmeticError, match="always"):
        score(copy, workers=1)
