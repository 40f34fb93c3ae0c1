"""What is promised of later logs: splits by time, few dialogues that hold much, honest figures."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics import f1_score

from classifiers import registry
from classifiers.calibration import decide, fit_weights
from classifiers.concentration import concentrated
from classifiers.evaluation.cross_validation import evaluate
from classifiers.evaluation.limits import agreed, by_neighbours, neighbours, unseen
from classifiers.evaluation.stored import evaluate_store, promised
from classifiers.evaluation.words import bursts, ceiling, expected, period, shifted
from classifiers.metrics import headline
from classifiers.settings import Settings
from classifiers.splits import begins, folds, forward, groups
from classifiers.train import train_store
from classifiers.training_data import training_turns
from classifiers.training_figures import OutOfFoldScores
from data.errors import UsageError
from data.ingest.ingest import ingest
from data.store.store import Store
from tests.command import Run, must_fail
from tests.logs import write_lines
from tests.models import turns_of
from tests.traces import logs

_START = datetime(2024, 3, 1, 8, 0, tzinfo=UTC)


def days(*numbers: float) -> np.ndarray:
    return np.array(numbers) * np.timedelta64(86_400_000_000, "us") + np.datetime64("2024-03-01")


def drawn_logs(dialogues: int = 240) -> list[dict[str, Any]]:
    """Made-up logs whose dialogues begin at times as people's do, not every three hours."""
    rng = np.random.default_rng(0)
    records = logs(dialogues)
    starts = {r["dialogue_id"]: _START + timedelta(days=60 * rng.random()) for r in records}
    return [
        record
        | {
            "started_at": (
                starts[record["dialogue_id"]] + timedelta(seconds=25 * record["turn_index"])
            ).isoformat()
        }
        for record in records
    ]


# -- splits by time --------------------------------------------------------------------------------


def test_a_forward_split_learns_from_nothing_later_and_splits_no_group() -> None:
    rng = np.random.default_rng(0)
    turns = turns_of(
        [
            *drawn_logs(60),
            *(
                {
                    "dialogue_id": f"s{i}",
                    "started_at": (_START + timedelta(days=60 * rng.random())).isoformat(),
                    "gold": {"transcript": f"Sentence {i % 40}", "failure_point": "asr"},
                }
                for i in range(80)
            ),
        ]
    )
    began, group = begins(turns), groups(turns)
    target = np.where(rng.random(len(began)) < 0.5, "asr", "correct").astype(object)
    target[::9] = None
    split = forward(began, group, target, least=10)
    assert not isinstance(split, str)
    assert began[split.early].max() < split.cut <= began[split.late].min()
    assert not set(group[split.early]) & set(group[split.late])
    labelled = target != None  # noqa: E711  # element-wise
    assert labelled[split.early].sum() == pytest.approx(0.7 * labelled.sum(), abs=4)
    assert split.repeated > 0
    assert labelled.sum() == labelled[split.early].sum() + labelled[split.late].sum() + (
        split.repeated
    )
    # A dialogue belongs to the time of its first turn.
    dialogues = np.array(turns["dialogue_id"].to_pylist())
    for dialogue in np.unique(dialogues):
        assert len(np.unique(began[dialogues == dialogue])) == 1


@pytest.mark.parametrize(
    ("began", "words"),
    [
        (days(*[3.0] * 60), "at one instant"),
        (days(*range(60)), "equal intervals"),
        (days(*(i + i**1.5 for i in range(60))), "hold 0 asr, and 5 are needed"),
    ],
)
def test_without_real_time_or_later_labels_there_is_a_reason_and_no_split(
    began: np.ndarray, words: str
) -> None:
    target = np.array(["asr"] * 30 + ["correct"] * 30, object)
    assert words in str(forward(began, np.arange(60), target, least=10))


def test_times_made_up_are_told_in_a_sample_and_not_from_rounded_ones() -> None:
    target = np.array(["asr", "correct"] * 60, object)

    def split(began: np.ndarray) -> str:
        return str(forward(began, np.arange(len(began)), target[: len(began)], least=4))

    def minutes(numbers: np.ndarray) -> np.ndarray:
        return np.datetime64("2024-03-01", "us") + numbers * np.timedelta64(1, "m")

    rng = np.random.default_rng(0)
    every_twenty = 20 * rng.choice(2_000, 120, replace=False)
    assert "at multiples of one interval" in split(minutes(every_twenty))
    assert "multiples" not in split(minutes(rng.choice(40_000, 120, replace=False)))
    by_the_hour = 60 * rng.integers(0, 700, 120)
    assert "multiples" not in split(minutes(by_the_hour))


def test_turns_with_impossible_dates_are_in_no_part_of_a_forward_split(tmp_path: Path) -> None:
    records = drawn_logs(120)
    rng = np.random.default_rng(0)
    for record in records:
        # Labels that nothing foretells altogether.
        wrong = rng.random() < 0.3
        point = "correct" if (record["gold"]["failure_point"] == "correct") != wrong else "asr"
        record["gold"] = {"failure_point": point}
    dialogues = sorted({record["dialogue_id"] for record in records})[::12]
    # Of a dialogue one wrong date suffices: nobody knows when it was.
    dated = [
        {**record, "started_at": ("1970-01-01T00:00:07Z", "2106-02-07T06:28:15Z")[i % 2]}
        if record["dialogue_id"] in dialogues and not record["turn_index"]
        else record
        for i, record in enumerate(records)
    ]
    rest = [record for record in records if record["dialogue_id"] not in dialogues]
    stores, splits_ = [], []
    for name, lines in (("wrong", dated), ("rest", rest)):
        store = Store.create(tmp_path / name)
        ingest(store, [write_lines(tmp_path / f"{name}.jsonl", lines)], workers=1)
        with store.snapshot() as snapshot:
            turns = training_turns(snapshot, 0)
        points: Any = pc.struct_field(turns["gold"].combine_chunks(), "failure_point")
        target = np.array(points.to_pylist(), object)
        split = forward(begins(turns), groups(turns), target, least=10)
        assert not isinstance(split, str)
        stores.append(store)
        splits_.append((split, np.array(turns["turn_id"].to_pylist())))
    (split, ids), (other, other_ids) = splits_
    assert (split.start, split.cut, split.end) == (other.start, other.cut, other.end)
    assert ids[split.early].tolist() == other_ids[other.early].tolist()
    assert ids[split.late].tolist() == other_ids[other.late].tolist()
    assert (split.undated, other.undated) == (len(records) - len(rest), 0)
    settings = Settings(without=("text",), rounds=5, folds=2, labels="gold")
    model = train_store(stores[0], settings)
    metrics = model.metrics
    assert metrics["forward"]["undated"] == split.undated
    assert metrics["forward"]["learned"] == len(split.early)
    said = expected(metrics["headline"], metrics["out_of_fold"]["macro_f1"], metrics["forward"])
    left_out = f"{split.undated} labelled turns of dialogues with impossible dates left out"
    assert f"In the forward split: {left_out}." in said
    # The verdicts that these figures are of stay with the model.
    held_out = registry.load(stores[0].models, model.id).held_out
    assert held_out is not None
    assert held_out.crossed is not None
    with stores[0].snapshot() as snapshot:
        truth = snapshot.query("SELECT gold.failure_point AS p FROM turns ORDER BY turn_id")["p"]
    said_of = np.array(model.classes)[held_out.crossed.verdict]
    figure = f1_score(truth.to_pylist(), said_of, average="macro")
    assert 0.5 < figure < 0.9
    assert figure == pytest.approx(metrics["out_of_fold"]["macro_f1"])
    assert held_out.crossed.probability.sum(axis=1) == pytest.approx(np.ones(len(truth)))
    began = np.full(len(target), np.datetime64("NaT", "us"))
    assert "of no labelled dialogue" in str(forward(began, groups(turns), target, 10))
    began[0] = np.datetime64("2024-03-01")
    reason = str(forward(began, groups(turns), target, 10))
    assert "at one instant (" in reason
    assert "with impossible dates left out)" in reason


# -- few dialogues ---------------------------------------------------------------------------------


def test_a_failure_point_in_few_dialogues_is_warned_of() -> None:
    target = np.array([0] * 100 + [1] * 200)
    group = np.concatenate([np.zeros(20), np.arange(1, 81), np.arange(200)]).astype(int)
    found = concentrated(target, group, ("false_wake", "correct"))
    assert list(found) == []
    group[20:27] = 0
    found = concentrated(target, group, ("false_wake", "correct"))
    assert found["false_wake"]["heaviest"] == [27, 1, 1, 1, 1]
    (sentence,) = bursts(found)
    assert "Five dialogues" in sentence
    assert "31% of the false wake turns (27, 1, 1, 1, 1 of 100)" in sentence


def test_few_turns_in_as_many_dialogues_are_no_burst() -> None:
    assert concentrated(np.zeros(15, int), np.arange(15), ("asr",)) == {}


def test_fewer_dialogues_than_five_are_counted() -> None:
    found = concentrated(np.zeros(12, int), np.arange(12) // 6, ("asr",))
    assert bursts(found)[0].startswith("Two dialogues")


# -- figures of a training -------------------------------------------------------------------------


def noise(n: int = 400) -> OutOfFoldScores:
    """Scores that say nothing of the target: any gain in F1 by weights is luck."""
    rng = np.random.default_rng(4)
    raw = rng.dirichlet([1, 1, 6], n)
    target = rng.choice(3, n, p=[0.05, 0.05, 0.9])
    everything = np.ones(n, bool)
    return OutOfFoldScores(
        raw, target, np.arange(n), ("asr", "nlu", "correct"), everything, everything, None, 0
    )


def test_a_turns_own_label_does_not_change_its_verdict() -> None:
    scores = noise()
    split = folds(np.array(scores.target, object), scores.group, 5, 0)
    _, held_out = split[0]
    target = scores.target.copy()
    target[held_out] = (target[held_out] + 1) % 3
    other = replace(scores, target=target)
    verdicts = []
    for given in (scores, other):
        figures = given.figures(
            given.cross_fitted([split[0]]), "no time", lambda early, late: scores.raw[late]
        )
        verdicts.append(np.array(figures["out_of_fold"]["confusion"]).sum(0).tolist())
        assert figures["headline"]["split"] == "folds"
    assert verdicts[0] == verdicts[1]
    assert not np.allclose(scores.decision()[1], other.decision()[1]), "that of later use does"


def test_the_final_decision_is_fitted_to_all_scores() -> None:
    scores = noise()
    calibration, weights = scores.decision()
    expected_weights = fit_weights(
        calibration.apply(scores.raw), scores.target, scores.group, scores.seed
    )
    assert np.array_equal(weights, expected_weights)


def test_an_assumed_level_moves_rates_and_no_verdict() -> None:
    verdicts = []
    for level in (None, 0.3):
        scores = replace(noise(), level=level)
        calibration, weights = scores.decision()
        probability = calibration.apply(scores.raw)
        verdicts.append(decide(probability, weights))
    assert 1 - probability[:, 2].mean() == pytest.approx(0.3)
    assert np.array_equal(verdicts[0], verdicts[1])


def test_a_level_is_not_held_against_the_turns_judged() -> None:
    scores = noise()
    early, late = np.arange(280), np.arange(280, 400)
    figures = [
        given.figures(
            given.cross_fitted([(early, late), (late, early)]),
            (early, late),
            lambda _, rows: scores.raw[rows],
        )
        for given in (scores, replace(scores, level=0.7))
    ]
    assert figures[0] == figures[1]


def test_later_turns_are_scored_by_what_knows_only_earlier_ones() -> None:
    scores, seen = noise(), []
    early, late = np.arange(280), np.arange(280, 400)

    def refit(learned: np.ndarray, scored: np.ndarray) -> np.ndarray:
        seen.append((learned.max(), scored.min()))
        raw: np.ndarray = scores.raw[scored]
        return raw

    figures = scores.figures(
        scores.cross_fitted([(early, late), (late, early)]), (early, late), refit
    )
    assert seen == [(279, 280)]
    assert figures["forward"]["turns"] == 120
    assert figures["forward"]["learned"] == 280
    lower = min(figures["forward"]["macro_f1"], figures["out_of_fold"]["macro_f1"])
    assert figures["headline"]["macro_f1"] == lower


def test_figures_of_an_assumed_level_promise_nothing(tmp_path: Path) -> None:
    metrics: dict[str, Any] = {"out_of_fold": {"macro_f1": 0.9}, "against": "gold"}
    metrics |= {"forward": {"reason": "no time"}, "concentration": {}}
    for headline_, known in (({"macro_f1": 0.9}, True), (None, False)):
        (tmp_path / "metrics.json").write_text(json.dumps(metrics | {"headline": headline_}))
        assert (promised(tmp_path) is not None) == known


# -- evaluation ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evaluated() -> dict[str, Any]:
    """Of logs whose recogniser loses its signal-to-noise ratio in the last part of the period."""
    records = drawn_logs()
    for record in records:
        if record["started_at"] > (_START + timedelta(days=42)).isoformat():
            record["asr"]["signals"]["snr"] -= 40
    settings = Settings(without=("text",), rounds=12, folds=2)
    return evaluate(turns_of(records), settings, 2)


def test_the_headline_is_the_lower_of_both_splits_with_its_interval(
    evaluated: dict[str, Any],
) -> None:
    later = evaluated["forward"]
    lower = min((evaluated, later), key=lambda figures: float(figures["macro_f1"]))
    assert evaluated["headline"]["macro_f1"] == lower["macro_f1"]
    assert evaluated["headline"]["interval"] == lower["intervals"]["macro_f1"]
    assert later["turns"] + later["learned"] + later["repeated"] == evaluated["turns"]
    assert later["undated"] == 0
    sentence = expected(evaluated["headline"], evaluated["macro_f1"], later)
    assert f"{lower['macro_f1']:.3f} ({lower['intervals']['macro_f1'][0]:.3f}" in sentence
    assert "March 2024 to " in period(later)


@pytest.mark.parametrize("changed", [{"labels": "behaviour"}, {"labels": "both", "judge": "j"}])
def test_a_model_of_other_labels_is_not_evaluated_as_one_of_gold(
    run: Run, tmp_path: Path, changed: dict[str, str]
) -> None:
    store = Store.create(tmp_path / "store")
    folder = store.models / "m-other"
    folder.mkdir(parents=True)
    settings = {**Settings().to_json(), **changed}
    (folder / "model.json").write_text(json.dumps({"settings": settings}), "utf-8")
    with pytest.raises(UsageError, match=r"m-other also learned from .* --labels gold"):
        evaluate_store(store, "m-other")
    assert [path.name for path in folder.iterdir()] == ["model.json"]
    must_fail(
        run("evaluate", "--model", "m-other", "--store", str(store.path)),
        "an evaluation learns from labels of people alone",
    )
    # What an earlier version stored beside it is not of this model.
    figures = {"macro_f1": 0.9, "intervals": {}, "classes": {}, "forward": {}, "headline": {}}
    figures |= {"concentration": {}, "limits": {}}
    (folder / "evaluation.json").write_text(json.dumps(figures), "utf-8")
    assert promised(folder) is None
    (folder / "model.json").write_text(json.dumps({"settings": Settings().to_json()}), "utf-8")
    assert promised(folder) == figures


def test_what_moved_is_named(evaluated: dict[str, Any]) -> None:
    shift = evaluated["forward"]["shift"]
    assert "snr" in shift["top"][0]["feature"]
    assert shift["top"][0]["psi"] > 0.25
    assert shift["large"] == 1
    assert "snr" in shifted(shift)
    for side in range(2):
        assert sum(pair[side] for pair in shift["shares"].values()) == pytest.approx(1)


def test_without_a_forward_split_the_folds_speak_and_the_reason_is_said() -> None:
    figures = {"macro_f1": 0.6, "intervals": {"macro_f1": (0.5, 0.7)}}
    later = {"reason": "all labelled dialogues begin at one instant"}
    sentence = expected(headline(figures, later), 0.6, later)
    assert "0.600 (0.500–0.700)" in sentence
    assert "because all labelled dialogues begin at one instant" in sentence


# -- known limits ----------------------------------------------------------------------------------


def test_the_bound_by_neighbours_lies_between_the_best_and_the_neighbours_own_accuracy() -> None:
    rng = np.random.default_rng(0)
    x = rng.random(3_000)
    # The best classifier names the second class from the middle on, and errs in one of five.
    p = np.where(x > 0.5, 0.8, 0.2)
    target = (rng.random(3_000) < p).astype(int)
    near = neighbours(x[:, None], np.arange(3_000), np.arange(3_000))
    assert (near[:, 0] != np.arange(3_000)).all()
    bound = by_neighbours(target, target[near[:, 0]], 2)
    assert bound["nearest"] == pytest.approx(2 * 0.8 * 0.2, abs=0.03)
    assert bound["accuracy"] == pytest.approx(0.8, abs=0.03)
    assert 0.8 < bound["macro_f1"] < 0.87
    same = by_neighbours(target, target, 2)
    assert (same["accuracy"], same["macro_f1"]) == (1.0, 1.0)


def test_neighbours_are_of_other_dialogues() -> None:
    space, group = np.arange(30.0)[:, None], np.arange(30) // 3
    near = neighbours(space, group, np.array([4, 0]))
    assert set(near[0, :2]) == {2, 6}
    assert near[1, 0] == 3
    assert near.shape == (2, 9)


def test_defects_that_look_like_correct_turns_are_counted() -> None:
    target = np.array([0] * 10 + [1] * 90)
    probability = np.column_stack([np.full(100, 0.05), np.full(100, 0.95)])
    probability[:4] = [0.9, 0.1]
    near = np.tile(np.arange(90, 100), (100, 1))
    near[4] = np.arange(10)
    rows = np.arange(100)
    assert unseen(target, rows, near, probability, ("asr", "correct")) == 0.5
    assert unseen(target, rows, near, probability, ("asr", "nlu")) is None


def test_people_agree_as_often_as_they_say_the_same() -> None:
    rows = [
        {"turn_id": f"t{i}", "annotator": who, "failure_point": point, "adjudicated": False}
        for i in range(20)
        for who, point in (("a", "asr" if i < 5 else "correct"), ("b", "correct"))
    ]
    people = agreed(pa.Table.from_pylist(rows))
    assert people is not None
    assert (people["turns"], people["accuracy"]) == (20, 0.75)
    settled = [{**row, "annotator": "c", "adjudicated": True} for row in rows]
    assert agreed(pa.Table.from_pylist([*rows, *settled])) == people
    assert agreed(pa.Table.from_pylist(rows[:38])) is None


def test_limits_are_said_with_what_they_rest_on(evaluated: dict[str, Any]) -> None:
    found = evaluated["limits"]
    assert evaluated["accuracy"] <= found["accuracy"] <= 1
    assert 0 < found["macro_f1"] <= 1
    said = " ".join(ceiling(found))
    assert f"at most about {found['accuracy']:.3f}" in said
    assert "too few turns were judged by two" in said
