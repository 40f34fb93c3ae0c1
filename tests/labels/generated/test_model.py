"""The label model: what it learns, what it never sees, and how it behaves at the edges."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pytest
import torch

from data.errors import ModelError, NotEnoughLabels, UsageError
from labels.generated import candidates, storage
from labels.generated.model import LABELS, LabelModel
from labels.generated.settings import Settings
from labels.generated.train import train
from tests.labels.generated.talks import SCHEMA, replaced, table, talks, values

QUICK = replace(
    Settings.quick(), size=16, heads=2, rounds=10, epochs=2, folds=2, frames="none", threads=1
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[LabelModel, Path]:
    return train(talks(40), QUICK, folder=tmp_path_factory.mktemp("labels"))


@pytest.fixture(scope="module")
def model(trained: tuple[LabelModel, Path]) -> LabelModel:
    return trained[0]


@pytest.fixture(scope="module")
def meant() -> LabelModel:
    """A model of intents and slots too."""
    turns = talks(40)
    gold = [g | {"slots": [{"name": "topic", "value": "jazz"}]} for g in values(turns, "gold")]
    return train(replaced(turns, "gold", gold), replace(QUICK, network=False, frames="quick"))[0]


def _gold(turns: pa.Table, name: str) -> list[object]:
    return [g[name] for g in values(turns, "gold")]


def test_goals_defects_and_ends_are_found_in_other_dialogues(model: LabelModel) -> None:
    turns = talks(40, seed=1)
    labels = model.generate(turns)
    assert labels.schema == LABELS
    assert labels["turn_id"] == turns["turn_id"]
    for column, gold in (("goal_reached", "goal_reached"), ("turn_defect", "defect")):
        said = labels[column].to_numpy() >= model.thresholds[column]
        assert np.mean(said == np.array(_gold(turns, gold))) > 0.9
    found = np.array(values(labels, "goal_id"))
    assert np.mean(found == np.array(_gold(turns, "goal_id"))) > 0.9


def test_one_goal_has_one_probability_of_being_reached(model: LabelModel) -> None:
    labels = model.generate(talks(10, seed=2)).to_pandas()
    per_goal = labels.groupby(["dialogue_id", "goal_id"])["goal_reached"].nunique()
    assert (per_goal == 1).all()
    assert (labels.groupby("dialogue_id")["goal_start"].first() == 1).all()


def test_every_candidate_is_in_the_metrics_and_the_best_is_the_default(model: LabelModel) -> None:
    for task in ("goal_start", "goal_reached", "turn_defect"):
        figures = model.metrics[task]["candidates"]
        assert set(figures) >= {candidates.ALONE, candidates.WORDS, candidates.NETWORK}
        ap = {name: row["average_precision"] for name, row in figures.items()}
        assert ap[model.metrics[task]["default"]] >= max(ap.values()) - 0.05


@pytest.mark.parametrize("field", [f.name for f in SCHEMA.field("gold").type])
def test_gold_reaches_no_label(model: LabelModel, field: str) -> None:
    turns = talks(12, seed=3)
    gold = values(turns, "gold")
    order = np.random.default_rng(0).permutation(len(gold))
    mixed = [g | {field: gold[i][field]} for g, i in zip(gold, order, strict=True)]
    other = replaced(turns, "gold", mixed)
    assert model.generate(other).equals(model.generate(turns))
    assert model.generate(turns.drop_columns(["gold"])).equals(model.generate(turns))


def test_turns_that_were_learned_from_get_the_labels_of_other_folds(model: LabelModel) -> None:
    turns = talks(40)
    held, own = model.generate(turns), model.generate(turns, held_out=False)
    assert not held["turn_defect"].equals(own["turn_defect"])
    # A dialogue that has changed since is another dialogue.
    changed = replaced(turns, "result", [{"response": "well"}] * turns.num_rows)
    assert model.generate(changed).equals(model.generate(changed, held_out=False))


@pytest.mark.parametrize("frames", ["quick", "none"])
def test_intents_that_cannot_be_learned_are_not_remembered(
    frames: Literal["quick", "none"], tmp_path: Path
) -> None:
    turns = talks(40)
    gold = values(turns, "gold")
    intents = np.random.default_rng(0).choice(["one", "two", "three"], len(gold))
    stated = [g | {"intent": i, "slots": []} for g, i in zip(gold, intents, strict=True)]
    turns = replaced(turns, "gold", stated)
    model, encoder = train(turns, replace(QUICK, frames=frames, epochs=4))
    name = storage.save(model, encoder, tmp_path)
    said = storage.load(tmp_path, name).generate(turns)
    assert said.equals(model.generate(turns))
    if model.frames is not None:
        figures = model.frames.metrics["intent"]
        expected = figures["candidates"][figures["default"]]["accuracy"]
    else:
        expected = model.metrics["intent"]["accuracy"]
    assert np.mean(np.array(values(said, "intent")) == intents) == pytest.approx(expected)
    assert expected < 0.5
    # A dialogue that has changed since is another dialogue.
    changed = replaced(turns, "result", [{"response": "well"}] * turns.num_rows)
    assert model.generate(changed).equals(model.generate(changed, held_out=False))


@pytest.mark.parametrize("field", [f.name for f in SCHEMA.field("gold").type])
def test_gold_reaches_no_intent_and_no_slot(meant: LabelModel, field: str) -> None:
    for turns in (talks(12, seed=3), talks(40)):
        gold = values(turns, "gold")
        order = np.random.default_rng(0).permutation(len(gold))
        mixed = [g | {field: gold[i][field]} for g, i in zip(gold, order, strict=True)]
        assert meant.generate(replaced(turns, "gold", mixed)).equals(meant.generate(turns))
        assert meant.generate(turns.drop_columns(["gold"])).equals(meant.generate(turns))


@pytest.mark.parametrize(
    "dialogues",
    [
        {"one": [("play jazz", "playing jazz")]},
        {"none": [("", "")] * 3},
        {"long": [("play jazz", "playing jazz"), ("will it rain", "no")] * 250},
        {"日本": [("ジャズをかけて", "再生します")] * 2, "ไทย": [("เปิดเพลง", "ได้ครับ")]},
        {"odd": [("\x00 null", "\x1f unit"), ("🎷" * 500, "ß" * 5000)]},
    ],
    ids=["one turn", "no words", "500 turns", "other scripts", "odd characters"],
)
def test_any_dialogue_gets_labels(
    model: LabelModel, dialogues: dict[str, list[tuple[str, str]]]
) -> None:
    turns = table(dialogues)
    labels = model.generate(turns)
    assert labels.num_rows == turns.num_rows
    for column in ("goal_start", "goal_reached", "turn_defect"):
        p = labels[column].to_numpy()
        assert ((p >= 0) & (p <= 1)).all()
    assert model.generate(turns.slice(0, 0)).schema == LABELS


def test_a_long_dialogue_is_read_in_pieces_that_agree(model: LabelModel) -> None:
    turns = table({"long": [("play jazz", "playing jazz")] * 300})
    p = model.generate(turns)["turn_defect"].to_numpy()
    # Every turn but those at the ends is in the middle of the same.
    assert np.ptp(p[90:210]) < 0.3


def test_the_same_training_gives_the_same_model_on_disk(
    trained: tuple[LabelModel, Path], tmp_path: Path
) -> None:
    model, encoder = trained
    again, _ = train(talks(40), QUICK)
    first = storage.save(model, encoder, tmp_path / "models")
    assert storage.save(again, encoder, tmp_path / "models") == first
    loaded = storage.load(tmp_path / "models", first)
    turns = talks(8, seed=4)
    assert loaded.generate(turns).equals(model.generate(turns))
    assert loaded.metrics == json.loads(json.dumps(model.metrics))
    assert loaded.thresholds == model.thresholds


def test_a_damaged_model_and_a_missing_one_are_named(
    trained: tuple[LabelModel, Path], tmp_path: Path
) -> None:
    name = storage.save(*trained, tmp_path)
    arrays = tmp_path / name / "arrays.npz"
    arrays.write_bytes(arrays.read_bytes()[:100])
    with pytest.raises(ModelError, match="is damaged"):
        storage.load(tmp_path, name)
    with pytest.raises(ModelError, match=f"there are: {name}"):
        storage.load(tmp_path, "l-000000000000")
    # Saved again, it is whole.
    assert storage.save(*trained, tmp_path) == name
    storage.load(tmp_path, name)


def test_a_training_that_ended_early_goes_on_and_ends_with_the_same_weights(
    trained: tuple[LabelModel, Path], tmp_path: Path
) -> None:
    class Killed(Exception):
        pass

    epochs = 0

    def progress(done: float, total: float | None, what: str, turns: int | None = None) -> None:
        nonlocal epochs
        epochs += what == "training the network"
        if epochs == 4:
            raise Killed

    with pytest.raises(Killed):
        train(talks(40), QUICK, progress=progress, folder=tmp_path)
    assert list((tmp_path / "checkpoints").glob("*.pt"))
    # What a killed writer leaves behind is of no account.
    (tmp_path / "checkpoints" / "x.part").write_bytes(b"half")
    resumed, _ = train(talks(40), QUICK, folder=tmp_path)
    for ours, theirs in zip(resumed.networks, trained[0].networks, strict=True):
        for name, weight in ours.state_dict().items():
            assert torch.equal(weight, theirs.state_dict()[name]), name
    turns = talks(8, seed=5)
    assert resumed.generate(turns).equals(trained[0].generate(turns))


@pytest.mark.long
@pytest.mark.parametrize("stage", ["fold-", "frames-fold-"])
def test_a_killed_training_goes_on_and_ends_with_the_same_weights(
    tmp_path: Path, stage: str
) -> None:
    code = (
        "from dataclasses import replace\n"
        "from pathlib import Path\n"
        "from tests.labels.generated.test_model import QUICK\n"
        "from tests.labels.generated.talks import talks\n"
        "from labels.generated.train import train\n"
        "settings = replace(QUICK, frames='quick')\n"
        f"train(talks(40), settings, folder=Path({str(tmp_path)!r}))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        until = time.monotonic() + 300
        while not list((tmp_path / "checkpoints").glob(f"{stage}*.pt")):
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < until
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    settings = replace(QUICK, frames="quick")
    resumed, _ = train(talks(40), settings, folder=tmp_path)
    whole, _ = train(talks(40), settings)
    assert resumed.frames is not None
    assert whole.frames is not None
    for ours, theirs in (
        *zip(resumed.networks, whole.networks, strict=True),
        (resumed.frames.network.layers, whole.frames.network.layers),
    ):
        for name, weight in ours.state_dict().items():
            assert torch.equal(weight, theirs.state_dict()[name]), name


@pytest.mark.long
def test_a_damaged_checkpoint_costs_epochs_and_nothing_else(
    trained: tuple[LabelModel, Path], tmp_path: Path
) -> None:
    train(talks(40), QUICK, folder=tmp_path)
    for checkpoint in (tmp_path / "checkpoints").glob("fold-1*.pt"):
        checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    again, _ = train(talks(40), QUICK, folder=tmp_path)
    turns = talks(8, seed=6)
    assert again.generate(turns).equals(trained[0].generate(turns))


def test_without_any_gold_feedback_and_coherence_decide() -> None:
    turns = talks(40, gold=False)
    model, _ = train(turns, QUICK)
    assert not model.tasks
    assert "gold in 0 dialogues" in model.metrics["turn_defect"]["skipped"]
    labels = model.generate(turns)
    assert labels["turn_defect"].null_count == labels["goal_reached"].null_count == turns.num_rows
    assert labels["goal_start"].null_count == 0
    bad = ["sorry" in r["response"] for r in values(turns, "result")]
    feedback = pa.table(
        {"turn_id": values(turns, "turn_id"), "p_defect": [0.8 if b else None for b in bad]}
    )
    told = model.generate(turns, feedback)
    assert told["turn_defect"].null_count == bad.count(False)
    reached = [p for p, b in zip(values(told, "goal_reached"), bad, strict=True) if b]
    assert max(p for p in reached if p is not None) < 0.5


def test_where_every_dialogue_is_one_goal_no_other_begins() -> None:
    turns = talks(40)
    gold = [g | {"goal_id": "g0"} for g in values(turns, "gold")]
    turns = replaced(turns, "gold", gold)
    model, _ = train(turns, replace(QUICK, network=False))
    assert set(values(model.generate(talks(5, seed=7)), "goal_id")) == {"g0"}


def test_feedback_is_learned_from_where_gold_is_scarce() -> None:
    turns = talks(40)
    gold = values(turns, "gold")
    dialogues = values(turns, "dialogue_id")
    some = [g if d < "d022" else g | {"defect": None} for g, d in zip(gold, dialogues, strict=True)]
    scarce = replaced(turns, "gold", some)
    p = [0.9 if g["defect"] else 0.1 for g in gold]
    said = pa.table({"turn_id": values(turns, "turn_id"), "p_defect": p})
    plain = replace(QUICK, network=False)
    without, _ = train(scarce, plain)
    told, _ = train(scarce, plain, feedback=said)
    other = talks(20, seed=8)
    assert not told.generate(other)["turn_defect"].equals(without.generate(other)["turn_defect"])


def test_no_turns_and_senseless_settings_are_refused() -> None:
    with pytest.raises(NotEnoughLabels, match="no turns"):
        train(talks(1).slice(0, 0), QUICK)
    with pytest.raises(UsageError, match="at least 2"):
        Settings(folds=1)
    with pytest.raises(UsageError, match="heads"):
        Settings(size=30, heads=4)
