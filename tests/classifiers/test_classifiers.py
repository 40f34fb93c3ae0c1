"""Contracts of encoder, heads, calibration, booster and model."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from classifiers import registry
from classifiers.calibration import (
    Calibration,
    decide,
    expected_calibration_error,
    fit_weights,
)
from classifiers.context_digest import digests_sql
from classifiers.encoder import DEFAULT, Encoder, export, load_torch
from classifiers.evaluation.cross_validation import evaluate
from classifiers.metrics import bootstrap, summary
from classifiers.model import Model
from classifiers.settings import Settings
from classifiers.splits import folds, groups
from classifiers.train import train
from classifiers.training_data import training_turns
from data.errors import ModelError, NotEnoughLabels
from data.schema.trace import FAILURE_POINTS
from data.store.model_folders import trained_at
from data.store.store import Store
from features.matrix import Context
from tests.models import turns_of


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = tmp_path_factory.mktemp("encoder")
    export(DEFAULT, folder)
    return Encoder(folder)


@pytest.mark.long
def test_quantised_vectors_are_close_to_those_of_the_network(encoder: Encoder) -> None:
    import torch

    texts = ["play hunger games", "what is the weather", "no", "", "café ☕ النص"] + [
        f"set a timer for {n} minutes" for n in range(20)
    ]
    model, tokenizer = load_torch(DEFAULT)
    with torch.no_grad():
        batch = tokenizer(texts, return_tensors="pt", padding=True)
        states = model(**batch).last_hidden_state
        mask = batch.attention_mask[..., None]
        exact = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1).numpy()
    cosine = (encoder.encode(texts) * exact).sum(1)
    assert cosine.mean() > 0.99
    assert cosine.min() > 0.97


def test_a_column_is_encoded_once_per_distinct_text(encoder: Encoder) -> None:
    vectors, index = encoder.encode_column(pa.chunked_array([["a", "b"], ["a", None]]))
    assert len(vectors) == 3
    assert index[0] == index[2] != index[1]
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)


def test_order_and_other_texts_do_not_change_a_vector(encoder: Encoder) -> None:
    texts = ["yes", "play some music by queen please", "what time is it"]
    together = encoder.encode(texts)
    alone = np.vstack([encoder.encode([t]) for t in reversed(texts)])[::-1]
    assert np.allclose(together, alone, atol=1e-4)


def test_an_unknown_encoder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        export(str(tmp_path), tmp_path / "out")


def test_calibration_repairs_an_overconfident_model() -> None:
    rng = np.random.default_rng(0)
    true = rng.dirichlet([1, 1, 2], 20_000)
    target = np.array([rng.choice(3, p=p) for p in true])
    sharp = true**2 / (true**2).sum(1, keepdims=True)
    calibrated = Calibration.fit(sharp, target).apply(sharp)
    assert np.allclose(calibrated.sum(1), 1)
    for k in range(3):
        before = expected_calibration_error(sharp[:, k], target == k)
        after = expected_calibration_error(calibrated[:, k], target == k)
        assert after < 0.02 < before


@pytest.mark.parametrize("level", [0.001, 0.25, 0.9])
def test_calibration_at_a_level_keeps_the_order(level: float) -> None:
    rng = np.random.default_rng(0)
    raw = rng.dirichlet([1, 1, 2], 2_000)
    raw[:100] = [1.0, 0.0, 0.0]
    shifted = Calibration(np.array([1.0, 0.5, 2.0]), np.zeros(3)).at_level(raw, 2, level)
    p = shifted.apply(raw)
    assert 1 - p[:, 2].mean() == pytest.approx(level, abs=1e-6)
    usual = Calibration(shifted.slope, np.zeros(3)).apply(raw)
    assert np.diff(p[:, 2][usual[:, 2].argsort()]).min() > -1e-12
    # Stages keep their proportions, and decision weights divided by the prior the verdicts.
    assert np.allclose(p[:, 0] * usual[:, 1], p[:, 1] * usual[:, 0])
    weights = np.array([1.0, 0.6, 0.3])
    assert (decide(p, weights / shifted.prior) == decide(usual, weights)).all()


def test_decision_weights_name_rare_classes_without_losing_macro_f1() -> None:
    rng = np.random.default_rng(1)
    target = (rng.random(5000) < 0.06).astype(int)
    p = np.clip(0.06 + 0.25 * target + rng.normal(0, 0.1, 5000), 0.001, 0.999)
    probability = np.column_stack([1 - p, p])
    weights = fit_weights(probability, target, np.arange(5000))
    plain = summary(probability, target, None, ("correct", "asr"))
    tuned = summary(probability, target, weights, ("correct", "asr"))
    assert tuned["macro_f1"] > plain["macro_f1"] + 0.05
    assert decide(probability, weights).sum() > decide(probability, np.ones(2)).sum()


def test_folds_never_split_a_dialogue_or_a_repeated_sentence() -> None:
    turns = turns_of(
        [
            *({"dialogue_id": f"a{i // 3}", "turn_index": i % 3} for i in range(60)),
            *(
                {"dialogue_id": f"s{i}", "gold": {"transcript": f"Sentence, {i % 10}!"}}
                for i in range(50)
            ),
        ]
    )
    group = groups(turns)
    assert len(np.unique(group)) == 20 + 10
    target = np.array(["asr", "correct"] * 55, object)
    for train_rows, held_out in folds(target, group, 5, seed=0):
        assert not set(group[train_rows]) & set(group[held_out])
        assert len(train_rows) + len(held_out) == len(target)


def test_metrics_against_a_table_counted_by_hand() -> None:
    target = np.array([0, 0, 0, 1, 1, 2])
    verdict = np.array([0, 0, 1, 1, 0, 2])
    probability = np.eye(3)[verdict]
    result = summary(probability, target, None, ("asr", "nlu", "correct"), verdict)
    assert result["confusion"] == [[2, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert result["accuracy"] == pytest.approx(4 / 6)
    assert result["classes"]["asr"]["precision"] == pytest.approx(2 / 3)
    assert result["classes"]["nlu"]["recall"] == pytest.approx(1 / 2)
    assert result["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    intervals = bootstrap(target, verdict, np.arange(6), ("asr", "nlu", "correct"), seed=0)
    low, high = intervals["accuracy"]
    assert low < 4 / 6 < high


def test_one_class_or_no_label_is_refused_in_one_sentence() -> None:
    same = turns_of([{"dialogue_id": f"d{i}", "gold": {"failure_point": "asr"}} for i in range(40)])
    with pytest.raises(NotEnoughLabels, match="all 40 labelled turns are called asr"):
        train(same, Settings(without=("text",)))
    none = turns_of([{"dialogue_id": f"d{i}"} for i in range(40)])
    with pytest.raises(NotEnoughLabels, match="found none"):
        train(none, Settings(without=("text",)))


def _labelled(counts: dict[str, int], dialogues: int, unlabelled: int = 0) -> pa.Table:
    """Turns with so many labels of each kind, spread over so many dialogues."""
    points = [point for point, n in counts.items() for _ in range(n)]
    return turns_of(
        [
            *(
                {
                    "dialogue_id": f"d{i % dialogues}",
                    "turn_index": i // dialogues,
                    "asr": {"hypotheses": [{"text": f"w{i % 7}", "confidence": i % 10 / 10}]},
                    "gold": {"failure_point": point},
                }
                for i, point in enumerate(points)
            ),
            *({"dialogue_id": f"u{i}"} for i in range(unlabelled)),
        ]
    )


def test_evaluate_leaves_out_a_class_too_rare_to_learn() -> None:
    turns = _labelled({"correct": 50, "asr": 50, "nlu": 6}, dialogues=40)
    result = evaluate(turns, Settings(without=("text",), folds=3), 3)
    assert set(result["classes"]) == {"asr", "correct"}
    assert result["turns"] == 100
    low, high = result["intervals"]["macro_f1"]
    assert 0 <= low <= result["macro_f1"] <= high <= 1


def test_few_labelled_dialogues_among_many_others_suffice() -> None:
    turns = _labelled({"correct": 30, "asr": 30}, dialogues=3, unlabelled=200)
    model, _ = train(turns, Settings(without=("text",)))
    assert model.classes == ("asr", "correct")
    assert model.metrics["labelled"] == 60


def test_labels_of_one_dialogue_are_refused() -> None:
    turns = _labelled({"correct": 30, "asr": 30}, dialogues=1)
    for run in (train, evaluate):
        with pytest.raises(NotEnoughLabels, match="one dialogue"):
            run(turns, Settings(without=("text",)))


def test_one_seed_gives_one_model_which_scores_the_same_in_memory_and_saved(
    six: tuple[Store, Model], tmp_path: Path
) -> None:
    store, loaded = six
    with store.snapshot() as snapshot:
        turns = training_turns(snapshot, seed=0)
        everything = snapshot.query("SELECT * FROM turns")
    # The order in which turns were stored does not matter.
    backwards = turns.take(np.arange(turns.num_rows)[::-1])
    again, folder = train(backwards, loaded.settings)
    assert registry.save(again, folder, tmp_path) == loaded.id
    (tmp_path / loaded.id / "trained.json").write_text('{"at": "2001-01-01T00:00:00+00:00"}')
    assert trained_at(tmp_path / loaded.id) < 1e9
    assert registry.save(again, folder, tmp_path) == loaded.id
    # Vacuum must not treat it as an old model.
    assert trained_at(tmp_path / loaded.id) > time.time() - 3600
    in_memory, saved = again.score(everything), loaded.score(everything)
    assert np.array_equal(in_memory.probability, saved.probability)
    assert np.allclose(in_memory.probability.sum(1), 1)
    assert (store.models / loaded.id / "MODEL_CARD.md").read_text().startswith("# Model m-")


def test_all_six_classes_are_learned(six: tuple[Store, Model]) -> None:
    _, model = six
    assert model.classes == FAILURE_POINTS
    figures = model.metrics["out_of_fold"]["classes"]
    # The made-up logs are easy; what is hard is measured on real ones.
    assert all(row["f1"] > 0.6 for row in figures.values()), figures


@pytest.mark.parametrize("damage", ["model.json", "booster.txt", "heads.npz", "encoder.onnx"])
def test_a_damaged_model_is_refused(six: tuple[Store, Model], tmp_path: Path, damage: str) -> None:
    store, model = six
    shutil.copytree(store.models / model.id, tmp_path / model.id)
    path = tmp_path / model.id / damage
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ModelError, match="train it again"):
        registry.load(tmp_path, model.id)


def test_a_card_is_written_anew_without_loading_the_model(
    six: tuple[Store, Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, model = six
    folder = tmp_path / model.id
    shutil.copytree(store.models / model.id, folder)
    as_trained = (folder / "MODEL_CARD.md").read_text()
    (folder / "MODEL_CARD.md").write_text("out of date")
    monkeypatch.setattr(registry, "Encoder", None)
    registry.write_card(tmp_path, model.id, {})
    assert (folder / "MODEL_CARD.md").read_text() == as_trained
    (folder / "booster.txt").write_text("tree")
    with pytest.raises(ModelError, match="train it again"):
        registry.write_card(tmp_path, model.id, {})
    assert (folder / "MODEL_CARD.md").read_text() == as_trained, "no card for what is damaged"


@pytest.mark.parametrize("name", ["m-nothing", "../models", "", "."])
def test_a_missing_model_names_those_there_are(six: tuple[Store, Model], name: str) -> None:
    store, model = six
    with pytest.raises(ModelError, match=model.id):
        registry.load(store.models, name)


def test_context_digest_sees_every_change_but_gold() -> None:
    import duckdb

    def digests(rows: list[dict[str, object]], context: Context) -> dict[str, int]:
        turns = turns_of(rows)
        digest = pa.array([hash(str(r.get("asr"))) for r in rows], pa.int64())
        turns = turns.set_column(turns.column_names.index("digest"), "digest", digest)
        with duckdb.connect() as con:
            con.register("turns", turns)
            sql = digests_sql(context)
            return dict(con.sql(f"SELECT turn_id, context_digest FROM ({sql})").fetchall())

    rows: list[dict[str, object]] = [
        {"turn_id": f"t{i}", "dialogue_id": "d", "turn_index": i} for i in range(3)
    ]
    grown = [*rows, {"turn_id": "t3", "dialogue_id": "d", "turn_index": 3}]
    before, after = digests(rows, "hindsight"), digests(grown, "hindsight")
    assert all(before[t] != after[t] for t in before)
    before, after = digests(rows, "live"), digests(grown, "live")
    assert all(before[t] == after[t] for t in before)
    assert digests(rows, "hindsight") == digests(rows[::-1], "hindsight")


def test_a_text_seen_before_is_not_encoded_again(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = encoder.encode_column(pa.chunked_array([["seen before"]]))
    encoded: list[str] = []
    plain = encoder.encode

    def watched(texts: list[str], progress: None = None) -> np.ndarray:
        encoded.extend(texts)
        return plain(texts, progress)

    monkeypatch.setattr(encoder, "encode", watched)
    again, index = encoder.encode_column(pa.chunked_array([["never seen", "seen before"]]))
    assert encoded == ["never seen"]
    assert np.array_equal(again[index[1]], first[0])


def test_a_model_of_before_the_witness_is_loaded(six: tuple[Store, Model], tmp_path: Path) -> None:
    import json

    store, model = six
    folder = Path(shutil.copytree(store.models / model.id, tmp_path / "earlier"))
    (folder / "files.json").unlink()
    content = json.loads((folder / "model.json").read_text("utf-8"))
    del content["witness"]
    # It had one head for what is usual, where there are several now.
    renamed = {"usual.0": "usual", "slots.0": "slots"}
    shapes = content["heads"]["heads"]
    one = {
        renamed.get(n, n): shape for n, shape in shapes.items() if n[-2:-1] != "." or n in renamed
    }
    content["heads"]["heads"] = one
    (folder / "model.json").write_text(json.dumps(content), "utf-8")
    with np.load(folder / "heads.npz") as arrays:
        old = {
            f"{renamed.get(head, head)}/{rest}": arrays[f"{head}/{rest}"]
            for head, _, rest in (name.partition("/") for name in arrays)
            if not head.startswith("witness.")
        }
    np.savez(folder / "heads.npz", **old)
    earlier = registry.load(tmp_path, "earlier")
    assert earlier.witness is None
    with store.snapshot() as snapshot:
        turns = training_turns(snapshot, seed=0)
    _, x = earlier.matrix(turns)
    names = list(earlier.columns)
    assert np.isfinite(x[:, names.index("text.intent_usual")]).all()
    assert np.isnan(x[:, names.index("text.imitated_frame")]).all()
