"""Generated labels train the classifier: gold goes before them, and they count as they are sure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from classifiers import booster
from classifiers.settings import Settings
from classifiers.train import fit
from classifiers.training_data import training_turns
from classifiers.training_set import prepare
from data.errors import NotEnoughLabels, UsageError
from data.ingest.ingest import ingest
from data.store.store import Store
from tests.command import Run, must_fail
from tests.logs import write_lines
from tests.traces import logs

PLAIN = Settings(without=("text",), folds=2, rounds=20)


@pytest.fixture
def turns(store: Store, tmp_path: Path) -> pa.Table:
    """Turns of which every other dialogue has gold."""
    rows = logs(120)
    for row in rows:
        if int(row["dialogue_id"][1:]) % 2:
            del row["gold"]
    ingest(store, [write_lines(tmp_path / "logs.jsonl", rows)], workers=1)
    with store.snapshot() as snapshot:
        return training_turns(snapshot, 0)


def generated(turns: pa.Table, point: str = "asr", weight: float = 0.6) -> pa.Table:
    """The same failure point for the half of the turns, another for the rest."""
    ids = turns["turn_id"].to_pylist()
    points = [point if i % 2 else "correct" for i in range(len(ids))]
    return pa.table({"turn_id": ids, "failure_point": points, "weight": [weight] * len(ids)})


def test_gold_goes_before_what_was_generated(turns: pa.Table, tmp_path: Path) -> None:
    gold, _ = prepare(turns, PLAIN, tmp_path)
    both, _ = prepare(turns, replace(PLAIN, labels="both"), tmp_path, generated(turns))
    known = gold.target != None  # noqa: E711  # element-wise
    assert 0 < known.sum() < len(known)
    assert both.sure is not None
    assert (both.target[known] == gold.target[known]).all()
    assert (both.sure[known] == 1).all()
    assert (both.target[~known] != None).all()  # noqa: E711
    assert (both.sure[~known] == 0.6).all()


def test_generated_alone_leaves_gold_out(turns: pa.Table, tmp_path: Path) -> None:
    data, _ = prepare(turns, replace(PLAIN, labels="generated"), tmp_path, generated(turns))
    assert set(data.target) == {"asr", "correct"}
    model = fit(data, replace(PLAIN, labels="generated"), None)
    assert model.classes == ("asr", "correct")


def test_none_were_generated(turns: pa.Table, tmp_path: Path) -> None:
    with pytest.raises(NotEnoughLabels, match="no generated failure points"):
        prepare(turns, replace(PLAIN, labels="both"), tmp_path)


def test_a_label_counts_as_it_is_sure() -> None:
    # A hundred turns say one thing, as many the opposite, and only the first are sure of it.
    x = np.random.default_rng(0).normal(size=(400, 2))
    truth = (x[:, 0] > 0).astype(int)
    said = np.where(np.arange(400) % 2, truth, 1 - truth)
    settings = Settings(min_leaf=5, columns=1.0)
    sure = np.where(np.arange(400) % 2, 1.0, 0.05)
    fitted = [booster.fit(x, said, 40, settings, s) for s in (None, sure)]
    right = [float((np.asarray(b.predict(x)).argmax(axis=1) == truth).mean()) for b in fitted]
    assert right[0] < 0.75
    assert right[1] > 0.9


def test_labels_that_do_not_exist() -> None:
    with pytest.raises(UsageError, match="no labels 'silver'"):
        Settings.of("hindsight", 0, labels="silver")


def test_a_model_of_before_was_trained_on_gold() -> None:
    content = Settings().to_json()
    del content["labels"]
    assert Settings.from_json(content).labels == "gold"


def test_generated_labels_that_contradict_gold_count_for_less(
    turns: pa.Table, tmp_path: Path
) -> None:
    # "wake" for whatever was fine: gold on half of the dialogues shows that these are wrong.
    wrong = generated(turns, "false_wake", 0.95)
    settings = replace(PLAIN, labels="both")
    data, _ = prepare(turns, settings, tmp_path, wrong)
    assert fit(data, settings, None).metrics["generated_count"] < 1.0


def test_the_command_asks_for_generated_labels(run: Run, store: Store, tmp_path: Path) -> None:
    ingest(store, [write_lines(tmp_path / "logs.jsonl", logs(120))], workers=1)
    place = ["--store", str(store.path)]
    must_fail(
        run("train", *place, "--labels", "generated"),
        "no generated failure points",
        "faultline labels generate",
        code=NotEnoughLabels.exit_code,
    )
    must_fail(run("train", *place, "--labels", "silver"), "silver", code=UsageError.exit_code)
