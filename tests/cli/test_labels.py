"""The label model of a store on the command line: trained, used, exported, forgotten."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from data.ingest.ingest import ingest
from data.store.store import Store
from labels.generated.store import current
from tests.command import Run, must_fail
from tests.labels.generated.talks import talks

FIRST = "d000"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labels")
    pq.write_table(talks(60, seed=3), folder / "talks.parquet")
    store = Store.create(folder / "store")
    ingest(store, [folder / "talks.parquet"])
    return store.path


def _query(store: Path, sql: str) -> list[dict[str, Any]]:
    with Store.open(store).snapshot() as snapshot:
        return snapshot.query(sql).to_pylist()


@pytest.mark.long
def test_train_generate_and_export(run: Run, filled: Path) -> None:
    trained = run("labels", "train", "--quick", "--store", filled)
    assert trained.code == 0, trained.err
    assert "faultline labels generate" in trained.out
    for task in ("goal start", "goal reached", "turn defect", "intent"):
        assert task in trained.out
    generated = run("labels", "generate", "--store", filled)
    assert generated.code == 0, generated.err
    turns = _query(filled, "SELECT count(*) AS n FROM turns")[0]["n"]
    rows = _query(filled, "SELECT * FROM generated_labels ORDER BY turn_id")
    assert len(rows) == turns
    assert {row["model_id"] for row in rows} == {current(Store.open(filled))}
    goals = _query(filled, "SELECT * FROM goals")
    assert sum(goal["turns"] for goal in goals) == turns
    assert all(0 <= goal["p_reached"] <= 1 and goal["reached"] is not None for goal in goals)
    # What was learned from gold is right mostly, in labels of models that did not see the dialogue.
    judged = _query(
        filled,
        "SELECT avg(((turn_defect >= 0.5) = t.gold.defect)::INT) AS right "
        "FROM generated_labels JOIN turns t USING (turn_id) WHERE t.gold.defect IS NOT NULL",
    )
    assert judged[0]["right"] > 0.9
    done = run("labels", "export", "--to", "labels.jsonl", "--store", filled, "--json")
    assert json.loads(done.out)["rows"] == turns
    lines = Path("labels.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == turns

    # Once more, with the same seed: the same model.
    before = current(Store.open(filled))
    assert run("labels", "train", "--quick", "--store", filled).code == 0
    assert current(Store.open(filled)) == before
    assert [path.name for path in (filled / "label_models").iterdir()] == [before]

    said = run("delete", "--dialogue", FIRST, "--store", filled)
    assert f"label model {before}" in said.out
    held = pq.read_table(filled / "label_models" / str(before) / "held_out.parquet")
    assert held["intent"].null_count == 0
    assert FIRST not in {str(turn)[: len(FIRST)] for turn in held["turn_id"].to_pylist()}
    assert held.num_rows == turns - len([row for row in rows if row["dialogue_id"] == FIRST])
    for table in ("feedback", "goals", "generated_labels"):
        assert not _query(filled, f"SELECT * FROM {table} WHERE dialogue_id = '{FIRST}'")
    # It can still be used.
    assert run("labels", "generate", "--store", filled).code == 0
    assert run("doctor", "--store", filled).code == 0


def test_two_trainings_do_not_run_at_once(run: Run, filled: Path) -> None:
    with FileLock(filled / ".label-training.lock", timeout=0):
        refused = run("labels", "train", "--quick", "--store", filled)
    must_fail(refused, "Another training of labels is running", str(filled))
    assert not (filled / "label_models" / ".training").exists()


@pytest.mark.long
def test_evaluate_keeps_nothing(run: Run, filled: Path) -> None:
    before = Store.open(filled).head().version
    ran = run("labels", "evaluate", "--quick", "--store", filled, "--json")
    assert ran.code == 0, ran.err
    tasks = json.loads(ran.out)["tasks"]
    assert {"goal_start", "goal_reached", "turn_defect"} <= tasks.keys()
    for name in ("goal_start", "goal_reached", "turn_defect"):
        curve = tasks[name]["curve"]
        assert curve[0]["labelled"] == 1
        assert all(a["threshold"] < b["threshold"] for a, b in pairwise(curve))
    assert Store.open(filled).head().version == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train",), ["no turns", "faultline ingest"]),
        (("evaluate",), ["no turns", "faultline ingest"]),
        (("generate",), ["faultline labels train"]),
        (("feedback",), ["no turns", "faultline ingest"]),
        (("export", "--to", "a.jsonl", "--min", "intent"), ["intent=0.9"]),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_is_missing_is_said(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], words: list[str]
) -> None:
    store = Store.create(tmp_path / "empty").path
    must_fail(run("labels", *arguments, "--store", store), *words)


def test_a_damaged_label_model_is_found_and_counted(run: Run, own_learned: Store) -> None:
    from data.store.model_folders import write_manifest

    (folder,) = own_learned.label_models.iterdir()
    write_manifest(folder, ["metrics.json"])
    well = run("doctor", "--store", own_learned.path)
    assert "label model" not in well.out
    whole = json.loads(run("info", "--json", "--store", own_learned.path).out)
    (folder / "metrics.json").write_text("{}")
    (folder / "more").write_bytes(bytes(2_000_000))
    ill = run("doctor", "--store", own_learned.path)
    assert ill.code == 1
    assert f"The label model {folder.name} is damaged" in ill.out
    assert "faultline labels train" in ill.out
    more = json.loads(run("info", "--json", "--store", own_learned.path).out)
    assert more["megabytes_of_models"] == pytest.approx(whole["megabytes_of_models"] + 2, abs=0.2)


def test_an_export_names_a_task_once_and_stays_out_of_the_store(
    run: Run, own_learned: Store
) -> None:
    export = ("labels", "export", "--store", own_learned.path)
    twice = run(*export, "--to", "a.jsonl", "--min", "intent=0.9", "--min", "intent=0.2")
    must_fail(twice, "intent twice")
    inside = run(*export, "--to", own_learned.path / "HEAD.jsonl")
    must_fail(inside, "store's own folder")
