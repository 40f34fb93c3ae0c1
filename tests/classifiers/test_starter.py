"""Labels of stores that nobody annotated: signs, text fit, the packaged guess, the first model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from classifiers.first_model import train_first
from classifiers.model_card import card
from classifiers.settings import Settings
from classifiers.starter.labels import RATE, derive
from classifiers.starter.signs import ranks, signs
from classifiers.starter.stages import ABOUT, BOOSTER, FOLDER, stages
from classifiers.starter.text_fit import DIRECTIONS, text_fit
from classifiers.train import fit, train, train_store
from classifiers.training_data import training_turns
from classifiers.training_set import prepare
from data.errors import NotEnoughLabels
from data.ingest.ingest import ingest
from data.schema.trace import FAILURE_POINTS
from data.store.annotations import annotate_all
from data.store.store import Store
from features.catalogue import catalogue
from tests.command import Run, must_fail
from tests.logs import write_lines
from tests.traces import logs

PLAIN = Settings(without=("text",), folds=2, rounds=20, labels="behaviour")
ROOT = Path(__file__).parents[2]


def _without_gold(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "gold"} for row in rows]


def _filled(folder: Path, rows: list[dict[str, Any]]) -> Store:
    store = Store.create(folder / "store")
    ingest(store, [write_lines(folder / "logs.jsonl", rows)], workers=1)
    return store


def _turns(store: Store) -> pa.Table:
    with store.snapshot() as snapshot:
        return training_turns(snapshot, 0)


# -- signs -----------------------------------------------------------------------------------------


def _planted(n: int = 2_000) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Signs of three stages that follow a hidden defect, one that is noise, one that misleads."""
    rng = np.random.default_rng(0)
    hidden = rng.random(n) < 0.3
    columns = {
        "asr.confidence": 0.8 - 0.3 * hidden + rng.normal(0, 0.15, n),
        "asr.entropy": 0.5 + 0.5 * hidden + rng.normal(0, 0.4, n),
        "nlu.confidence": 0.8 - 0.2 * hidden + rng.normal(0, 0.15, n),
        "dialogue.sim_after": 0.2 + 0.2 * hidden + rng.normal(0, 0.2, n),
        "er.unresolved": rng.normal(0, 1, n),
        "result.apology": rng.normal(0, 1, n) - 0.5 * hidden,
    }
    return columns, hidden


def test_signs_that_agree_count_more_than_noise_and_what_misleads() -> None:
    columns, hidden = _planted()
    added = signs(ranks(columns, np.zeros(len(hidden), int)))
    assert added.weights["asr.confidence"] > 3 * added.weights["er.unresolved"]
    assert added.weights["result.apology"] == 0
    alone = max(
        average_precision_score(hidden, s * columns[name])
        for name, s in (("asr.confidence", -1), ("asr.entropy", 1), ("nlu.confidence", -1))
    )
    assert average_precision_score(hidden, added.score) > alone + 0.05
    assert added.score.mean() == pytest.approx(0)
    assert added.score.std() == pytest.approx(1)


def test_only_the_order_within_a_source_counts() -> None:
    columns, _ = _planted(1_000)
    source = np.repeat([0, 1], 500)
    plain = ranks(columns, source)
    # The second source logs another scale, as another recogniser would.
    rescaled = {name: np.where(source == 1, 100 + 7 * v, v) for name, v in columns.items()}
    for name, values in ranks(rescaled, source).items():
        assert np.array_equal(values, plain[name])
        assert (values > 0).all()
        assert (values < 1).all()


def test_missing_and_constant_columns_say_nothing() -> None:
    columns, hidden = _planted()
    source = np.zeros(len(hidden), int)
    without = signs(ranks(columns, source))
    dumb = {
        **columns,
        "asr.rank": np.full(len(hidden), np.nan),
        "wake.score": np.full(len(hidden), 3.0),
        "device=phone": columns["er.unresolved"],
    }
    assert np.allclose(signs(ranks(dumb, source)).score, without.score)
    nothing = signs(ranks({"wake.score": np.full(9, 3.0)}, np.zeros(9, int)))
    assert nothing.weights == {}
    assert (nothing.score == 0).all()


# -- text fit --------------------------------------------------------------------------------------


def test_a_misheard_request_fits_less_than_a_usual_one() -> None:
    usual = [f"play {song} by queen" for song in ("innuendo", "jealousy", "bijou")] * 30
    columns = text_fit([*usual, "play innuendo buy green", None, ""], None)
    assert set(columns) == {name for name in DIRECTIONS if "intent" not in name} - {
        "fit.similar_meaning"
    }
    for values in columns.values():
        assert np.isnan(values[-2:]).all()
    heard = {name: values[:-2] for name, values in columns.items()}
    for name in ("fit.surprise", "fit.surprise_max", "fit.similar_commoner"):
        assert heard[name][-1] > heard[name][:-1].max(), name
    for name in ("fit.word_frequency", "fit.word_frequency_min", "fit.text_frequency"):
        assert heard[name][-1] < heard[name][:-1].min(), name


@pytest.mark.parametrize(
    "texts",
    [
        [None] * 60,
        [""] * 60,
        ["a"] * 60,
        ["今日の天気を教えて", "今日の天気は", "明日の天気を教えて"] * 20,
        ["طقس اليوم", "شغل الموسيقى", "ما الطقس غدا"] * 20,
        ["play music"],
    ],
)
def test_any_script_and_none_at_all(texts: list[str | None]) -> None:
    columns = text_fit(texts, None)
    for values in columns.values():
        assert len(values) == len(texts)
        assert not np.isinf(values).any()
        assert np.isnan(values).all() == (not any(texts))


def test_scripts_without_spaces_are_read_by_character() -> None:
    usual = ["今日の天気を教えて", "明日の天気を教えて", "今日の予定を教えて"] * 20
    surprise = text_fit([*usual, "教天をの気明えて日"], None)["fit.surprise"]
    assert surprise[-1] > 2 * surprise[:-1].max()


# -- the packaged model ----------------------------------------------------------------------------


def test_the_packaged_model_is_small_and_reads_what_there_is() -> None:
    assert (FOLDER / BOOSTER).stat().st_size + (FOLDER / ABOUT).stat().st_size < 3_000_000
    model = stages()
    known = {*catalogue(), *DIRECTIONS}
    assert set(model.columns) <= known
    assert model.shares.sum() == pytest.approx(1, abs=1e-4)
    p = model.probability({"asr.confidence": np.array([0.02, 0.98], np.float32)})
    assert p.shape == (2, len(FAILURE_POINTS))
    among = model.among_defects(p)
    assert np.allclose(among.sum(axis=1), 1)
    assert (among[:, FAILURE_POINTS.index("correct")] == 0).all()
    # Little confidence says rather ASR than the prior does.
    asr = FAILURE_POINTS.index("asr")
    assert among[0, asr] > among[1, asr]


# -- labels ----------------------------------------------------------------------------------------


def test_derived_labels_have_the_assumed_rate_and_no_rare_stage() -> None:
    columns, hidden = _planted()
    found = derive(columns, np.zeros(len(hidden), int), np.full(len(hidden), np.nan), 10)
    assert found.p_defect.mean() == pytest.approx(RATE, abs=1e-6)
    assert ((found.failure_point != "correct") == (found.p_defect >= 0.5)).all()
    assert (found.sure >= 0.5).all()
    assert found.about["feedback"] == 0
    names, counts = np.unique(found.failure_point.astype(str), return_counts=True)
    assert len(names) > 1
    assert counts.min() >= 10
    rare = derive(columns, np.zeros(len(hidden), int), np.full(len(hidden), np.nan), 300)
    assert len(set(rare.failure_point)) == 2


def test_feedback_is_heard_where_there_is_some() -> None:
    columns, hidden = _planted()
    source, silent = np.zeros(len(hidden), int), np.full(len(hidden), np.nan)
    told = np.where(np.arange(len(hidden)) % 2, np.where(hidden, 0.9, 0.1), np.nan)
    without = derive(columns, source, silent, 10).p_defect
    with_it = derive(columns, source, told, 10)
    assert with_it.about["feedback"] == 0.5
    better = average_precision_score(hidden, with_it.p_defect)
    assert better > average_precision_score(hidden, without) + 0.02


def test_turns_that_differ_in_nothing_are_one_sentence() -> None:
    same = {"asr.confidence": np.full(80, 0.5)}
    with pytest.raises(NotEnoughLabels, match="differ in no signal"):
        derive(same, np.zeros(80, int), np.full(80, np.nan), 10)


@pytest.mark.long
def test_gold_does_not_leak_into_derived_labels(tmp_path: Path) -> None:
    rows = logs(80)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    stripped = _turns(_filled(tmp_path / "a", _without_gold(rows)))
    # The same turns; half of them with gold, all of it wrong.
    wrong = {"correct": "asr"}
    for row in rows:
        if int(row["dialogue_id"][1:]) % 2:
            del row["gold"]
        else:
            point = row["gold"]["failure_point"]
            row["gold"] = {"failure_point": wrong.get(point, "correct")}
    judged = _turns(_filled(tmp_path / "b", rows))
    without, _ = prepare(stripped, PLAIN, tmp_path)
    with_gold, _ = prepare(judged, PLAIN, tmp_path)
    assert without.sure is not None
    assert with_gold.sure is not None
    gold = np.equal(with_gold.sure, 1.0)
    assert 0 < gold.sum() < len(gold)
    assert (without.target[~gold] == with_gold.target[~gold]).all()
    assert np.array_equal(without.sure[~gold], with_gold.sure[~gold])
    assert (without.sure < 1).all()
    # A person's label wins.
    assert (with_gold.target[gold] != without.target[gold]).mean() > 0.5


@pytest.mark.long
def test_live_models_learn_from_labels_in_hindsight(tmp_path: Path) -> None:
    turns = _turns(_filled(tmp_path, _without_gold(logs(80))))
    hindsight, _ = prepare(turns, PLAIN, tmp_path)
    live, _ = prepare(turns, replace(PLAIN, context="live"), tmp_path)
    assert (hindsight.target == live.target).all()
    assert not any(name.endswith("_after") for name in live.logged)


# -- models ----------------------------------------------------------------------------------------


@pytest.mark.long
def test_few_verdicts_name_the_stage_and_count_as_much_as_all_derived_labels(
    tmp_path: Path,
) -> None:
    rows = logs(240)
    for row in rows:
        if int(row["dialogue_id"][1:]) % 4:
            del row["gold"]
    store = _filled(tmp_path, rows)
    data, _ = prepare(_turns(store), PLAIN, tmp_path)
    model = fit(data, PLAIN, None)
    gold = sum("gold" in row for row in rows)
    # But for verdicts of failure points with too few turns.
    assert 50 <= int(model.metrics["gold"]) <= gold
    assert model.metrics["against"] == "gold"
    assert model.metrics["level"] == "verdicts"
    assert model.metrics["generated_count"] == pytest.approx(gold / (len(rows) - gold))
    assert {"asr", "nlu", "correct"} <= set(model.classes)


@pytest.mark.long
def test_stages_drawn_by_lot_are_not_foreseen_out_of_fold(tmp_path: Path) -> None:
    data, _ = prepare(_turns(_filled(tmp_path, _without_gold(logs(200)))), PLAIN, tmp_path)
    n, settings = len(data.ids), replace(PLAIN, rounds=60, min_leaf=2, folds=3)
    areas = []
    for lot in range(4):
        rng = np.random.default_rng(lot)
        # Every fifth defect is annotated; the four before it are as much like it as can be.
        defect = np.arange(n) < 5 * 60
        gold = np.where(defect, np.arange(n) % 5 == 4, np.arange(n) % 2 == 0)
        place = np.where(defect, np.arange(n) // 5, rng.integers(100, 200, n))
        logged = {
            name: rng.permutation(200)[place] + rng.normal(0, 0.01, n)
            for name in ("asr.confidence", "nlu.confidence", "er.score")
        }
        drawn = rng.choice(np.array(["asr", "nlu"], object), n)
        target = np.where(defect, np.where(gold, drawn, "asr"), "correct").astype(object)
        planted = replace(
            data,
            logged=logged,
            target=target,
            sure=np.where(gold, 1.0, 0.9),
            group=np.arange(n),
        )
        model = fit(planted, settings, None)
        assert model.metrics["against"] == "gold"
        assert model.held_out is not None
        row = {turn: i for i, turn in enumerate(model.held_out.turn_ids.to_pylist())}
        mine = np.flatnonzero(defect & gold)
        p = model.held_out.probability[[row[turn] for turn in data.ids[mine]]]
        score = p[:, model.classes.index("nlu")] - p[:, model.classes.index("asr")]
        areas.append(roc_auc_score(target[mine] == "nlu", score))
    # The standard error of the mean is 0.04.
    assert np.mean(areas) < 0.6, areas


@pytest.mark.long
@pytest.mark.parametrize("drawn", [False, True])
def test_verdicts_of_the_queue_do_not_decide_how_many_turns_fail(
    tmp_path: Path, drawn: bool
) -> None:
    rows = logs(240)
    failed = {row["turn_id"]: row["gold"]["failure_point"] for row in rows}
    # Gold in the logs represents all turns; what the queue chose are defects, with few exceptions.
    known = {row["turn_id"] for row in rows if drawn and int(row["dialogue_id"][1:]) % 4 == 0}
    unknown = [row for row in rows if row["turn_id"] not in known]
    logged = [row if row["turn_id"] in known else _without_gold([row])[0] for row in rows]
    store = _filled(tmp_path, logged)
    for point in FAILURE_POINTS:
        most = 10 if point == "correct" else 25
        judged = [row for row in unknown if failed[row["turn_id"]] == point][:most]
        turns = [{**row, "day": date.fromisoformat(row["started_at"][:10])} for row in judged]
        annotate_all(store, turns, "anna", point)
    model = train_store(store, replace(PLAIN, labels="auto"), promote=False)
    assert model.metrics["against"] == "gold"
    assert model.metrics["level"] == ("verdicts" if drawn else "assumed")
    assert (model.metrics["headline"] is not None) == drawn
    assert ("Expect macro-F1" in card(model)) == drawn
    assert model.held_out is not None
    p = 1 - model.held_out.probability[:, model.classes.index("correct")]
    ids = model.held_out.turn_ids.to_pylist()
    represent = np.array([turn in known for turn in ids]) if drawn else np.ones(len(ids), bool)
    share = np.mean([failed[turn] != "correct" for turn in known]) if drawn else RATE
    assert p[represent].mean() == pytest.approx(share, abs=0.01)
    # The order is that of the verdicts all the same.
    assert roc_auc_score([failed[turn] != "correct" for turn in ids], p) > 0.7


@pytest.mark.long
def test_auto_learns_from_gold_alone_once_there_is_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _filled(tmp_path, logs(60))
    few = train_store(store, replace(PLAIN, labels="auto"), promote=False)
    assert few.settings.labels == "behaviour"
    monkeypatch.setattr("classifiers.training_labels.FEW_GOLD", 20)
    many = train_store(store, replace(PLAIN, labels="auto"), promote=False)
    assert many.settings.labels == "gold"
    assert many.metrics["gold"] == many.metrics["labelled"]


@pytest.mark.long
def test_auto_is_resolved_without_a_store_too(tmp_path: Path) -> None:
    turns = _turns(_filled(tmp_path, logs(60)))
    model, _ = train(turns, replace(PLAIN, labels="auto"), folder=tmp_path / "encoder")
    assert model.settings.labels == "behaviour"
    assert model.metrics["against"] == "gold"


@pytest.mark.parametrize("turns", [1, 5, 49])
def test_too_few_turns_are_one_sentence(run: Run, tmp_path: Path, turns: int) -> None:
    store = _filled(tmp_path, _without_gold(logs(60))[:turns])
    must_fail(run("score", "--store", store.path), f"{turns} turn", "ingest more", code=1)
    assert store.head().model is None


def test_train_without_labels_names_the_way_without(run: Run, tmp_path: Path) -> None:
    store = _filled(tmp_path, _without_gold(logs(20)))
    must_fail(run("train", "--store", store.path), "faultline score", "--labels behaviour", code=1)


@pytest.mark.long
def test_turns_that_hold_nothing_but_an_id(run: Run, tmp_path: Path) -> None:
    bare = [
        {
            "turn_id": f"t{i}",
            "dialogue_id": f"d{i}",
            "turn_index": 0,
            "started_at": f"2026-05-01T09:{i % 60:02d}:00Z",
        }
        for i in range(90)
    ]
    store = _filled(tmp_path, bare)
    must_fail(run("score", "--store", store.path), "annotate turns", code=1)


@pytest.mark.long
def test_score_trains_once_and_says_so(run: Run, tmp_path: Path) -> None:
    store = _filled(tmp_path, _without_gold(logs(120)))
    scored = run("score", "--store", store.path)
    assert scored.code == 0, scored.err
    assert "No model yet: trained m-" in scored.out
    assert "nobody has checked them. Annotate 50 turns on the page Annotate." in scored.out
    with store.snapshot() as snapshot:
        counts = snapshot.query("SELECT count(*) AS n, count(p_defect) AS p FROM predictions")
        turns = snapshot.counts()["turns"]
    assert counts.to_pylist() == [{"n": turns, "p": turns}]
    again = run("score", "--store", store.path)
    assert "No model yet" not in again.out
    assert train_first(store) is None


@pytest.mark.long
def test_score_with_a_few_annotations_says_what_nobody_checked(run: Run, tmp_path: Path) -> None:
    records = logs(120)
    store = _filled(tmp_path, records[:30] + _without_gold(records[30:]))
    scored = run("score", "--store", store.path)
    assert scored.code == 0, scored.err
    assert "nobody has checked the derived ones. Annotate " in " ".join(scored.out.split())
    assert " more turns on the page Annotate." in " ".join(scored.out.split())


@pytest.mark.long
def test_score_without_a_model_prefers_gold(run: Run, tmp_path: Path) -> None:
    store = _filled(tmp_path, logs(120))
    scored = run("score", "--store", store.path)
    assert scored.code == 0, scored.err
    assert "annotated turns" in scored.out
    assert "nobody has checked" not in scored.out


@pytest.mark.long
def test_verdicts_that_are_too_few_are_used_beside_derived_labels(tmp_path: Path) -> None:
    rows = logs(120)
    for row in rows[3:]:
        del row["gold"]
    first = train_first(_filled(tmp_path, rows))
    assert first is not None
    assert first.against == "behaviour"
    assert "3 annotated turns and labels derived from" in first.sentence


@pytest.mark.long
@pytest.mark.parametrize(
    "change",
    [
        lambda row: row.pop("asr"),
        lambda row: row["asr"]["hypotheses"][0].update(text="今日の天気を教えて"),
    ],
)
def test_turns_without_words_and_in_other_scripts(tmp_path: Path, change: Any) -> None:
    rows = _without_gold(logs(120))
    for row in rows:
        change(row)
    first = train_first(_filled(tmp_path, rows))
    assert first is not None
    assert first.against == "behaviour"


def _score(store: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cli", "score", "--store", str(store)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.long
def test_two_that_start_at_once_train_one_model(tmp_path: Path) -> None:
    store = _filled(tmp_path, _without_gold(logs(120)))
    both = [_score(store.path), _score(store.path)]
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sum("No model yet" in out for out, _ in said) == 1
    assert len(list(store.models.glob("m-*"))) == 1


@pytest.mark.long
def test_one_that_was_killed_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    store = _filled(tmp_path, _without_gold(logs(120)))
    process = _score(store.path)
    # Killed in the middle of the training, whose folder exists by then.
    while process.poll() is None and not list((store.path / ".staging").glob("*/*")):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert store.head().model is None
    assert not list(store.models.glob("m-*"))
    again = _score(store.path)
    out, err = again.communicate()
    assert again.returncode == 0, err
    assert "No model yet" in out
