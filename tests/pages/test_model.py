"""The Model page: every look at it, what is missing, what is odd."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from charts.formatting import percent, plain
from charts.markdown import inert
from classifiers import registry
from classifiers.evaluation.learning_curve import FIXED
from classifiers.metrics import bootstrap, headline, summary
from classifiers.model import Model
from classifiers.settings import Settings
from classifiers.shap_sample import explain
from data.errors import UsageError
from data.queries.filters import Filter
from data.queries.ground_truth import labelled
from data.queries.sampling import one_in
from data.queries.thresholds import (
    STEPS,
    flagged,
    heard,
)
from data.schema.trace import FAILURE_POINTS
from data.store.annotations import annotate
from data.store.store import Store
from labels.rules.derived import refresh
from parts.model import quality
from tests.app import Open, follow, texts, turn_rows
from tests.scored import MODEL, fill, score


@pytest.fixture(scope="module")
def labelled_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two models' hand-made predictions, and annotations of every failure point but one."""
    store = fill(tmp_path_factory.mktemp("labelled") / "store")
    score(store, "model-b", seed=5)
    with store.snapshot() as snapshot:
        turns = snapshot.query(
            "SELECT turn_id, dialogue_id, day, failure_point FROM predictions "
            "WHERE model_id = $model ORDER BY turn_id",
            {"model": MODEL},
        ).to_pylist()
    for i, turn in enumerate(turns[:60]):
        label = turn["failure_point"] if i % 3 else FAILURE_POINTS[i % 5 + 1]
        annotate(store, turn, "ann", "asr" if label == "false_wake" else label)
    return store


def looked(opened: Open, store: Store, look: str, **query: str) -> AppTest:
    return opened(store.path, "model", look=look, **({"model": MODEL} | query))


def described_charts(at: AppTest) -> int:
    """The number of charts, each of which must be described in words."""
    charts = at.get("plotly_chart")
    assert all(chart.proto.alt for chart in charts)
    return len(charts)


def test_the_quality_is_shown_with_intervals(opened: Open, labelled_store: Store) -> None:
    at = looked(opened, labelled_store, "quality")
    assert "turns of known truth" in texts(at)
    assert described_charts(at) == 4
    for metric in at.metric[:3]:
        assert " to " in metric.value
    assert "No turn is known to be False wake here" in texts(at)
    assert "Of ten verdicts it gets right" in texts(at)


def test_a_sample_of_dialogues_is_called_a_sample(
    opened: Open, own_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality, "labelled", partial(labelled, most=10))
    monkeypatch.setattr(quality, "one_in", partial(one_in, most=10))
    store = own_store
    refresh(store)
    with store.snapshot() as snapshot:
        part = one_in(snapshot, MODEL, Filter(), 10)
        read = labelled(snapshot, MODEL, most=10).num_rows
    assert part > 1
    at = looked(opened, store, "quality")
    assert f"{read} turns of known truth, one dialogue in {part} drawn at random" in texts(at)


def test_a_threshold_counts_the_whole_traffic(opened: Open, labelled_store: Store) -> None:
    at = looked(opened, labelled_store, "thresholds", target="nlu")
    with labelled_store.snapshot() as snapshot:
        counts = flagged(snapshot, MODEL, Filter(), "nlu")
        some = snapshot.query(
            "SELECT count(*) AS n FROM predictions WHERE model_id = $m AND p_nlu >= 0.3",
            {"m": MODEL},
        )["n"].to_pylist()[0]
        total = snapshot.query(
            "SELECT count(*) AS n FROM predictions WHERE model_id = $m", {"m": MODEL}
        )["n"].to_pylist()[0]
        with pytest.raises(UsageError, match="Unknown target"):
            flagged(snapshot, MODEL, Filter(), "nobody")
    assert counts[0] == total
    assert counts[30] == some
    assert counts == sorted(counts, reverse=True)
    assert described_charts(at) == 1
    assert at.metric[0].value.startswith(f"{counts[STEPS // 2]} ")
    at.slider(key="threshold").set_value(30).run()
    assert at.metric[0].value.startswith(f"{some} ")
    assert not at.exception


def test_what_was_heard_is_found_by_turn(labelled_store: Store) -> None:
    with labelled_store.snapshot() as snapshot:
        rows = snapshot.query(
            "SELECT turn_id, day FROM predictions WHERE turn_id = 'd001-0' AND model_id = $m",
            {"m": MODEL},
        ).to_pylist()
        assert heard(snapshot, MODEL, [(r["turn_id"], r["day"]) for r in rows]) == {
            "d001-0": "play song 1"
        }
        assert heard(snapshot, MODEL, []) == {}


@pytest.mark.parametrize("look", ["reasons", "later", "learning", "card"])
def test_a_missing_model_folder_is_one_sentence(
    opened: Open,
    labelled_store: Store,
    tmp_path: Path,
    look: str,
) -> None:
    shutil.copytree(labelled_store.path, tmp_path / "store")
    store = Store.open(tmp_path / "store")
    shutil.rmtree(store.models / MODEL)
    assert f"There is no model '{MODEL}'" in texts(looked(opened, store, look))


def test_damaged_files_beside_a_model_are_one_sentence_each(
    opened: Open,
    labelled_store: Store,
    tmp_path: Path,
) -> None:
    shutil.copytree(labelled_store.path, tmp_path / "store")
    store = Store.open(tmp_path / "store")
    (store.models / MODEL / registry.EXPLAINED).write_bytes(b"PK\x03\x04 nonsense")
    (store.models / MODEL / registry.LEARNING).write_text("[]", "utf-8")
    (store.models / MODEL / registry.CARD).write_bytes(b"\xff\xfe\x00")
    for look in ("reasons", "learning"):
        assert "damaged" in texts(looked(opened, store, look))
    assert "cannot be read" in texts(looked(opened, store, "card"))


def test_a_model_without_explanations_offers_them(opened: Open, labelled_store: Store) -> None:
    at = looked(opened, labelled_store, "reasons")
    assert [button.label for button in at.button if "Explain" in button.label]
    at = looked(opened, labelled_store, "learning")
    assert [button.label for button in at.button if "learning curve" in button.label]


def test_explanations_learning_curve_and_card_are_shown(
    opened: Open,
    labelled_store: Store,
    six: tuple[Store, Model],
    tmp_path: Path,
) -> None:
    shutil.copytree(labelled_store.path, tmp_path / "store")
    store = Store.open(tmp_path / "store")
    source, model = six
    with source.snapshot() as snapshot:
        ids, x = model.matrix(snapshot.query("SELECT * FROM turns"))
    explain(model, ids.to_numpy()[:60], x[:60]).write(store.models / MODEL / registry.EXPLAINED)
    ahead = {"low": 0.4, "high": 0.7, "gain": 0.02, "gain_low": 0.0, "gain_high": 0.1}
    curve = {
        "labelled": 100,
        "points": [{"labels": 50, "macro_f1": 0.5, "low": 0.4, "high": 0.6, "share": 0.5}],
        "ahead": [{"more": 500, "labels": 600, "macro_f1": 0.55, **ahead}],
        "fixed": FIXED,
    }
    (store.models / MODEL / registry.LEARNING).write_text(json.dumps(curve), "utf-8")
    card = "# M :red[x]\n\n[a](http://x.example) ![p](http://x.example/p.png) <b>b</b>\n"
    (store.models / MODEL / registry.CARD).write_text(card, "utf-8")
    at = looked(opened, store, "reasons", speaking="er")
    assert len(at.get("plotly_chart")) == 4
    assert "log-odds of ER" in at.get("plotly_chart")[0].proto.spec
    assert "500 more annotations" in texts(looked(opened, store, "learning"))
    assert "](" not in texts(looked(opened, store, "card"))


def figures(seed: int, n: int = 300) -> dict[str, Any]:
    """Made-up figures with intervals, of verdicts on n turns."""
    rng = np.random.default_rng(seed)
    classes = ("asr", "correct")
    p = rng.random(n)
    probability, target = np.column_stack([p, 1 - p]), (rng.random(n) > p).astype(int)
    verdict, group = probability.argmax(1), np.arange(n) // 3
    spans = bootstrap(target, verdict, group, classes, seed=0, probability=probability)
    return {**summary(probability, target, None, classes, verdict), "intervals": spans}


def test_later_logs_are_promised_by_the_lower_of_two_splits(
    opened: Open, labelled_store: Store, tmp_path: Path
) -> None:
    store = Store.open(shutil.copytree(labelled_store.path, tmp_path / "store"))
    folder = store.models / MODEL
    assert "Evaluate on later logs" in [b.label for b in looked(opened, store, "later").button]

    folds, forward = figures(0), {**figures(1), "learned": 200}
    bursts = {"asr": {"share": 0.31, "heaviest": [9, 8, 7, 6, 5], "turns": 113, "groups": 80}}
    metrics = {
        "out_of_fold": folds,
        "forward": forward,
        "headline": headline(folds, forward),
        "concentration": bursts,
    }
    (folder / "metrics.json").write_text(json.dumps(metrics), "utf-8")
    at = looked(opened, store, "later")
    assert "From the training" in texts(at)
    assert "Five dialogues" in texts(at)
    assert described_charts(at) == 1
    lower = min(folds["macro_f1"], forward["macro_f1"])
    expected = f"Expect a macro-F1 of {percent(lower)} on later logs"
    assert expected in texts(at)
    assert expected in texts(looked(opened, store, "quality"))

    people = {"turns": 40, "accuracy": 0.9, "macro_f1": 0.8}
    limits = {"accuracy": 0.9, "macro_f1": 0.8, "nearest": 0.15, "space": "logged features"}
    limits |= {"suspects": 0.05, "unseen": 0.1, "reading": people, "people": people}
    reason = {"reason": "all labelled dialogues begin at one instant"}
    evaluation = {**folds, "folds": 5, "version": "t1", "made_at": 0.0, "limits": limits}
    evaluation |= {"forward": reason, "headline": headline(folds, reason), "concentration": {}}
    (folder / registry.EVALUATION).write_text(json.dumps(evaluation), "utf-8")
    at = looked(opened, store, "later")
    assert "because all labelled dialogues begin at one instant" in texts(at)
    assert "5 random folds of 300 labelled turns" in texts(at)
    assert "Two people agree on 90.0\u2009% of 40 turns" in texts(at)
    assert "Evaluate again" in [button.label for button in at.button]

    # Of a model of other labels, neither an evaluation that was made before nor the offer of one.
    settings = {**Settings().to_json(), "labels": "both", "judge": "judge:*gpt*"}
    (folder / "model.json").write_text(json.dumps({"settings": settings}), "utf-8")
    at = looked(opened, store, "later")
    assert "From the training" in texts(at)
    assert not [button.label for button in at.button if "Evaluat" in button.label]
    why = plain("This model cannot be evaluated: it also learned from the judge judge:*gpt*")
    assert [caption.value for caption in at.caption if caption.value.startswith(why)]
    (folder / "model.json").unlink()
    (folder / registry.EVALUATION).write_text("{", "utf-8")
    assert "damaged" in texts(looked(opened, store, "later"))


def test_a_card_keeps_its_shape_and_becomes_inert() -> None:
    card = inert("# Title\n\n| a | b |\n|---|---:|\n| `c_d` | <img src=x> |\n![p](http://x)\n$x$")
    assert card.splitlines()[0] == "### Title"
    assert "|---|---:|" in card
    assert "`c_d`" in card
    assert "<img" not in card.replace("\\<", "")
    assert "![" not in card
    assert "](" not in card


def test_two_models_are_compared_on_the_turns_of_both(
    opened: Open,
    labelled_store: Store,
) -> None:
    at = looked(opened, labelled_store, "comparison", other="model-b")
    assert described_charts(at) == 1
    assert "McNemar" in texts(at)
    assert "By macro-F1" in texts(at)


def test_one_model_and_one_label_are_enough_for_every_look(opened: Open, own_store: Store) -> None:
    store = own_store
    with store.snapshot() as snapshot:
        turn = snapshot.query("SELECT turn_id, dialogue_id, day FROM turns LIMIT 1").to_pylist()[0]
    annotate(store, turn, "ann", "er")
    for look in ("quality", "thresholds", "labels"):
        assert "1 turn" in texts(looked(opened, store, look))
    at = looked(opened, store, "comparison")
    assert "1 turn" in texts(at)
    assert "faultline train --no-promote" in texts(at)


def test_a_doubted_label_opens_its_turn(opened: Open, labelled_store: Store) -> None:
    at = looked(opened, labelled_store, "labels")
    assert "labels are suspected" in texts(at)
    follow(at, turn_rows(at)[0]["href"])
    assert at.query_params["turn"]


@pytest.mark.parametrize(
    ("look", "words"),
    [
        ("quality", "Take a filter away"),
        ("thresholds", "Take a filter away"),
        ("comparison", "Take a filter away"),
        ("labels", "Take a filter away"),
        ("reasons", "no explanations beside it"),
        ("learning", "What more annotations would buy"),
        ("later", "nothing is known of how it does on later logs"),
        ("card", "cannot be read"),
    ],
)
def test_filters_without_a_known_turn_leave_only_looks_that_need_none(
    opened: Open, labelled_store: Store, look: str, words: str
) -> None:
    assert words in texts(looked(opened, labelled_store, look, text="no such words"))


@pytest.mark.parametrize(
    ("look", "query"),
    [
        ("<b>", {}),
        ("quality", {"target": "\u202e"}),
        ("thresholds", {"threshold": "x"}),
        ("thresholds", {"threshold": "100"}),
        ("labels", {"labelled": "x"}),
    ],
)
def test_invalid_choices_in_a_link_are_named(
    opened: Open, labelled_store: Store, look: str, query: dict[str, str]
) -> None:
    key, value = next(iter(query.items()), ("look", look))
    assert f"{key}={value}" in texts(looked(opened, labelled_store, look, **query))


def test_without_any_truth_it_says_how_to_get_some(opened: Open, scored_store: Store) -> None:
    at = looked(opened, scored_store, "quality")
    assert "turns of known truth" in texts(at)
    if not at.metric:
        assert "nobody can say how right the model is" in texts(at)
