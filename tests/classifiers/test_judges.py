"""A judge beside the model: its figures, who is left out, and that training asks for it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import krippendorff
import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import average_precision_score, cohen_kappa_score, f1_score

from annotation.judges import import_verdicts
from classifiers import registry
from classifiers.evaluation.judges import (
    BASELINE,
    JUDGE,
    MODEL,
    JudgeComparison,
    compare_judge,
    differing,
)
from classifiers.evaluation.words import others_counted
from classifiers.model_card import card
from classifiers.out_of_fold import CrossFitted, HeldOut
from classifiers.settings import Settings
from classifiers.train import train_store
from classifiers.training_data import training_turns
from cli.models import learn
from data.errors import ModelError, NotEnoughLabels, UsageError
from data.ingest.ingest import ingest
from data.queries.filters import Filter
from data.queries.judges import judge_labels, verdicts
from data.schema.trace import FAILURE_POINTS
from data.store.annotations import annotate_all
from data.store.model_folders import learned_from_people
from data.store.store import Store
from labels.rules.derived import refresh
from tests import scored
from tests.command import Run, must_fail
from tests.logs import write_lines
from tests.once import Once
from tests.traces import logs

POINTS = ("asr", "nlu", "correct", "correct")


def rows(store: Store, sql: str) -> list[dict[str, Any]]:
    with store.snapshot() as snapshot:
        return list(snapshot.query(sql).to_pylist())


def judged(store: Store, lines: list[dict[str, Any]], name: str = "gpt", **more: Any) -> None:
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    import_verdicts(store, content, f"{name}.jsonl", name, **more)


def learned(store: Store, turn_ids: list[str], digest: int = 1) -> None:
    """Let the model keep out-of-fold verdicts of some turns; predictions have the digest 1."""
    ids = sorted(turn_ids)
    HeldOut(pa.array(ids), np.full(len(ids), digest), np.ones((len(ids), 2))).write(
        store.models / scored.MODEL / "held_out.parquet"
    )


@pytest.fixture(scope="module")
def filled(once: Once, scored_store: Store) -> Path:
    """Turns with verdicts of a person, every fourth without; a judge who is mostly right."""

    def fill(folder: Path) -> None:
        store = Store.open(shutil.copytree(scored_store.path, folder / "store"))
        refresh(store)
        turns = rows(store, "SELECT turn_id, dialogue_id, day FROM turns ORDER BY turn_id")[:80]
        for point in set(POINTS):
            own = [t for i, t in enumerate(turns) if i % 4 and POINTS[i % 7 % 4] == point]
            annotate_all(store, own, "ann", point)
        rng = np.random.default_rng(0)
        lines = []
        for i, turn in enumerate(turns):
            point = POINTS[i % 7 % 4] if rng.random() < 0.8 else "er"
            p = rng.dirichlet(np.ones(6)).tolist()
            lines.append(
                {"turn_id": turn["turn_id"], "failure_point": point, "reason": "so it seems"}
                | {f"p_{name}": value for name, value in zip(FAILURE_POINTS, p, strict=True)}
            )
        judged(store, lines, cost_per_1000=4.0, currency="EUR")
        learned(store, [turn["turn_id"] for turn in turns[:40]])

    return once("compared", fill)


@pytest.fixture
def store(filled: Path, tmp_path: Path) -> Store:
    return Store.open(shutil.copytree(filled / "store", tmp_path / "store"))


def compare(store: Store, name: str = "gpt", **more: Any) -> JudgeComparison:
    with store.snapshot() as snapshot:
        return compare_judge(snapshot, store.models, name, **more)


@pytest.fixture(scope="module")
def compared(filled: Path) -> JudgeComparison:
    return compare(Store.open(filled / "store"))


def test_the_figures_are_those_of_the_libraries(compared: JudgeComparison) -> None:
    table = compared.rows.to_pydict()
    truth, judge, model = (table[name] for name in ("truth", "judged", "predicted"))
    present = sorted(set(truth))
    for side, verdict in ((JUDGE, judge), (MODEL, model), (BASELINE, ["correct"] * len(truth))):
        f1 = f1_score(truth, verdict, labels=present, average="macro", zero_division=0)
        assert compared.sides[side].macro_f1.value == pytest.approx(f1)
    defect = np.array(truth) != "correct"
    for side, p in ((JUDGE, table["judge_correct"]), (MODEL, table["p_correct"])):
        estimate = compared.sides[side].average_precision
        assert estimate is not None
        assert estimate.value == pytest.approx(average_precision_score(defect, 1 - np.array(p)))
    assert compared.sides[BASELINE].average_precision is None
    flagged = np.array(judge) != "correct"
    assert compared.sides[JUDGE].precision.value == pytest.approx(defect[flagged].mean())
    assert compared.sides[JUDGE].recall.value == pytest.approx(flagged[defect].mean())
    numbers = [[FAILURE_POINTS.index(name) for name in part] for part in (judge, truth)]
    agreed = compared.agreement["judge", "gold"]
    assert agreed.kappa.value == pytest.approx(cohen_kappa_score(judge, truth))
    alpha = krippendorff.alpha(np.array(numbers), level_of_measurement="nominal")
    assert agreed.alpha.value == pytest.approx(alpha)


def test_differences_are_paired_and_have_intervals(compared: JudgeComparison) -> None:
    judge, model = compared.sides[JUDGE], compared.sides[MODEL]
    f1 = compared.paired.macro_f1
    assert (f1.first, f1.second) == pytest.approx((model.macro_f1.value, judge.macro_f1.value))
    # The model's verdicts are drawn by chance; this judge is mostly right.
    assert compared.paired.better == "second"
    assert f1.low < f1.value < f1.high
    assert compared.paired.defect_average_precision is not None
    for estimate in (judge.macro_f1, judge.accuracy, compared.agreement["judge", "gold"].kappa):
        assert estimate.low < estimate.value < estimate.high
    assert compared.precision.value == pytest.approx(judge.precision.value - model.precision.value)
    assert compared.cost_per_1000 == pytest.approx(4.0)
    assert compared.currency == "EUR"


def test_only_turns_of_known_truth_count_each_once(compared: JudgeComparison) -> None:
    assert compared.asked == 80
    assert compared.turns == compared.known == compared.rows.num_rows < 80
    assert compared.refused == compared.unreadable == compared.changed == compared.seen == 0
    apart = differing(compared.rows)
    assert {"truth", "predicted", "judged", "reason"} < set(apart.column_names)
    assert all(row["judged"] != row["predicted"] for row in apart.to_pylist())
    assert differing(compared.rows).equals(apart)


def test_answers_that_are_none_are_counted_and_are_wrong(
    store: Store, compared: JudgeComparison
) -> None:
    before = compared
    ids = before.rows["turn_id"].to_pylist()
    lines = [{"turn_id": t, "failure_point": p} for t, p in zip(
        ids, before.rows["truth"].to_pylist(), strict=True)]  # fmt: skip
    lines[0]["failure_point"], lines[1]["failure_point"] = None, "gremlins"
    judged(store, lines, "partly")
    after = compare(store, "partly")
    assert (after.refused, after.unreadable, after.turns) == (1, 1, len(ids) - 2)
    assert after.sides[JUDGE].accuracy.value == 1.0
    assert after.answered.value == pytest.approx(1 - 2 / len(ids))
    # Without probabilities there is nothing to rank by.
    assert after.sides[JUDGE].average_precision is None
    assert after.paired.defect_average_precision is None


def test_a_confidence_ranks_defects(store: Store, compared: JudgeComparison) -> None:
    ids, truth = (compared.rows[name].to_pylist() for name in ("turn_id", "truth"))
    judged(store, [
        {"turn_id": t, "failure_point": p, "confidence": 0.9} for t, p in zip(
            ids, truth, strict=True)], "sure")  # fmt: skip
    precision = compare(store, "sure").sides[JUDGE].average_precision
    assert precision is not None
    assert precision.value == 1.0


def test_what_the_model_had_seen_and_what_has_changed_is_left_out(
    store: Store, compared: JudgeComparison
) -> None:
    every = compared
    ids = [str(turn) for turn in every.rows["turn_id"].to_pylist()]
    learned(store, ids[:10], digest=2)
    left = compare(store)
    assert (left.seen, left.turns) == (10, every.turns - 10)
    assert not {*ids[:10]} & {*left.rows["turn_id"].to_pylist()}
    record = next(r for r in scored.records() if r["turn_id"] == ids[20])
    record["asr"] = {"hypotheses": [{"text": "something else"}]}
    lines = [json.loads(json.dumps(record, default=lambda t: t.isoformat()))]
    ingest(store, [write_lines(store.path.parent / "more.jsonl", lines)])
    assert compare(store).changed == 1
    with store.snapshot() as snapshot:
        learned_from = judge_labels(snapshot, "gpt")["turn_id"].to_pylist()
    assert ids[19] in learned_from
    assert ids[20] not in learned_from


def test_the_model_is_compared_by_what_was_fitted_to_other_turns(
    run: Run, store: Store, compared: JudgeComparison
) -> None:
    # A model of an earlier version keeps only what was fitted to the turns compared.
    ids = [str(turn) for turn in compared.rows["turn_id"].to_pylist()]
    trained = {r["turn_id"] for r in rows(store, "FROM turns ORDER BY turn_id LIMIT 40")} & {*ids}
    assert 0 < compared.fitted == len(trained) < len(ids)
    where = ("--store", str(store.path))
    assert "This favours the model" in run("judge", "compare", "gpt", *where).out
    # One that was fitted to other turns is right of each of its training turns, and not sure.
    classes = ("correct", "nlu", "asr")
    truth = dict(zip(ids, compared.rows["truth"].to_pylist(), strict=True))
    own = sorted(trained)
    verdict = np.array([classes.index(truth[turn]) for turn in own])
    crossed = CrossFitted(np.tile([0.25, 0.5, 0.25], (len(own), 1)), verdict)
    folder = store.models / scored.MODEL
    held_out = HeldOut(pa.array(own), np.ones(len(own)), np.ones((len(own), 3)), None, crossed)
    held_out.write(folder / "held_out.parquet")
    assert "are damaged" in run("judge", "compare", "gpt", *where).err
    (folder / "model.json").write_text(json.dumps({"classes": classes}), "utf-8")
    fair = compare(store)
    assert (fair.fitted, fair.turns) == (0, compared.turns)
    before, after = compared.rows.to_pylist(), fair.rows.to_pylist()
    for old, new in zip(before, after, strict=True):
        if new["turn_id"] in trained:
            assert new["predicted"] == new["truth"]
            assert (new["p_nlu"], new["p_correct"], new["p_er"]) == (0.5, 0.25, 0.0)
        else:
            assert new == old
    right = sum(row["predicted"] == row["truth"] for row in after)
    assert fair.sides[MODEL].accuracy.value == pytest.approx(right / len(after))
    assert fair.sides[MODEL].accuracy.value > compared.sides[MODEL].accuracy.value
    assert fair.sides[JUDGE] == compared.sides[JUDGE]
    assert "favours" not in run("judge", "compare", "gpt", *where).out
    # A training turn that has changed since has no such verdict either.
    held_out = replace(held_out, digests=np.arange(len(own)))
    held_out.write(folder / "held_out.parquet")
    assert compare(store).seen == len(own) - 1


def test_a_filter_limits_the_turns(filled: Path, compared: JudgeComparison) -> None:
    music = compare(Store.open(filled / "store"), chosen=Filter(domain=("music",)))
    assert 0 < music.turns < compared.turns


def test_what_cannot_be_compared_is_one_sentence(store: Store, compared: JudgeComparison) -> None:
    def refused(name: str, **more: Any) -> str:
        with pytest.raises((UsageError, ModelError)) as error:
            compare(store, name, **more)
        return str(error.value)

    assert "there are judge:gpt" in refused("nobody")
    known = {row["turn_id"] for row in compared.rows.to_pylist()}
    unknown = [r["turn_id"] for r in rows(
        store, "SELECT turn_id FROM turns ANTI JOIN labelled USING (turn_id)"
    ) if r["turn_id"] not in known]  # fmt: skip
    judged(store, [{"turn_id": turn, "failure_point": "er"} for turn in unknown], "a")
    assert "The truth of no turn" in refused("a")
    judged(store, [{"turn_id": turn, "failure_point": None} for turn in known], "b")
    assert "gave no verdict" in refused("b")
    assert "There is no model 'nobody'" in refused("gpt", model="nobody")
    assert "has scored no turn" in refused("gpt", model=other(store))
    learned(store, sorted(known), digest=7)
    assert "it had not seen" in refused("gpt")
    (store.models / scored.MODEL / "held_out.parquet").write_bytes(b"no parquet")
    assert "damaged" in refused("gpt")
    (store.models / scored.MODEL / "held_out.parquet").unlink()
    assert "no out-of-fold" in refused("gpt")


def other(store: Store) -> str:
    """A model that has scored nothing."""
    folder = store.models / "model-b"
    shutil.copytree(store.models / scored.MODEL, folder)
    return folder.name


def test_the_command_prints_the_comparison(run: Run, filled: Path) -> None:
    where = ("--store", str(filled / "store"))
    ran = run("judge", "compare", "judge:gpt", *where)
    assert ran.code == 0, ran
    for words in ("macro-F1", "always correct", "judge and gold", "4.00 EUR", "so it seems"):
        assert words in ran.out
    content = json.loads(run("judge", "compare", "gpt", "--json", "--show", "3", *where).out)
    assert content["judge"] == "judge:gpt"
    assert len(content["differing"]) == 3
    assert set(content["agreement"]) == {"judge and gold", "model and gold", "judge and model"}
    assert content["sides"]["always correct"]["precision"]["value"] is None


# -- training on a judge's verdicts, only if asked -------------------------------------------------


def test_a_judges_labels_are_as_sure_as_it_is_or_was_right(
    store: Store, compared: JudgeComparison
) -> None:
    with store.snapshot() as snapshot:
        own = {r["turn_id"]: r for r in verdicts(snapshot, "judge:gpt", scored.MODEL).to_pylist()}
        labels = judge_labels(snapshot, "gpt").to_pylist()
    for row in labels:
        judge = own[row["turn_id"]]
        assert row["weight"] == pytest.approx(judge[f"judge_{row['failure_point']}"])
    ids, truth = (compared.rows[name].to_pylist() for name in ("turn_id", "truth"))
    judged(store, [{"turn_id": t, "failure_point": p} for t, p in zip(
        ids, truth, strict=True)], "right")  # fmt: skip
    with store.snapshot() as snapshot:
        weights = judge_labels(snapshot, "right")["weight"].to_pylist()
    assert weights == pytest.approx([(1 + len(ids)) / (2 + len(ids))] * len(ids))


def test_training_learns_from_a_judge_only_where_it_is_asked_to(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    untold = Store.create(tmp_path / "untold")
    records = [{k: v for k, v in record.items() if k != "gold"} for record in logs(50)]
    ingest(untold, [write_lines(tmp_path / "logs.jsonl", records)], workers=1)
    judged(untold, [{"turn_id": record["turn_id"], "failure_point": ("er", "correct")[i % 2]}
        for i, record in enumerate(records)])  # fmt: skip
    plain = Settings(without=("text",), folds=2, rounds=5)
    with pytest.raises(NotEnoughLabels):
        train_store(untold, plain)
    asked = Settings.of("hindsight", 0, labels="auto", judge="gpt")
    assert (asked.labels, asked.judge) == ("both", "judge:gpt")
    learn(str(untold.path), replace(plain, labels="both", judge="judge:gpt"))
    said = " ".join(capfd.readouterr().out.split())
    model = registry.load(untold.models, str(untold.head().model))
    assert model.classes == ("er", "correct")
    # Its figures vouch for nothing that people said.
    assert model.metrics["against"] == "judge"
    assert not learned_from_people(untold.models, model.id)
    assert "against a judge's labels" in card(model)
    counted = "Each verdict of judge:gpt counted as a label of a person, times the probability"
    assert counted in card(model)
    assert counted in said
    for count, words in (
        (0.2, "counted as 20% of a label of a person, times"),
        (0.0, "No verdicts of judge:gpt were learned from: labels of people"),
    ):
        assert words in others_counted(model.settings, {"generated_count": count})
    assert others_counted(plain, {"generated_count": 0.0}) == ""
    with untold.snapshot() as snapshot:
        turns = training_turns(snapshot, 0, unlabelled=0, judge="judge:gpt")
        assert turns.num_rows == len(records)
        with pytest.raises(NotEnoughLabels):
            training_turns(snapshot, 0, unlabelled=0)
    where = ("--store", str(untold.path))
    must_fail(run("train", "--judge", "nobody", *where), "judge:nobody")
    must_fail(run("train", "--judge", "gpt", "--labels", "gold", *where), "--judge")
