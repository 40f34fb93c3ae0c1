"""Two models on the same turns: real differences are found, others are not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from classifiers import registry
from classifiers.evaluation.comparison import (
    compare,
    compare_models,
    compare_verdicts,
    out_of_fold,
)
from classifiers.metrics import summary
from classifiers.model import Model
from data.errors import ModelError, UsageError
from data.schema.trace import FAILURE_POINTS
from data.store.store import Store
from labels.rules.derived import refresh

Array = NDArray[np.float64]


def probabilities(truth: NDArray[np.int64], right: NDArray[np.bool_]) -> Array:
    """Probabilities whose largest is the truth where `right`, and the next class elsewhere."""
    p = np.full((len(truth), 6), 0.05)
    p[np.arange(len(truth)), np.where(right, truth, (truth + 1) % 6)] = 0.75
    return p


def case(n: int, a: float, b: float, seed: int = 0) -> tuple[list[str], Array, Array]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 6, n)
    names = [FAILURE_POINTS[i] for i in truth]
    return names, probabilities(truth, rng.random(n) < a), probabilities(truth, rng.random(n) < b)


def test_a_better_model_is_found() -> None:
    truth, a, b = case(600, 0.6, 0.8)
    result = compare(truth, a, b, range(600))
    assert result.better == "second"
    assert result.p_value < 0.001
    assert result.macro_f1.low < result.macro_f1.value < result.macro_f1.high
    assert result.accuracy.second == pytest.approx(0.8, abs=0.05)
    assert result.log_loss is not None
    assert result.log_loss.value < 0
    ranked = result.defect_average_precision
    assert ranked is not None
    assert 0 < ranked.low < ranked.value < ranked.high
    swapped = compare(truth, b, a, range(600))
    assert swapped.better == "first"
    assert (swapped.first_only, swapped.second_only) == (result.second_only, result.first_only)


def test_equal_models_are_not_told_apart() -> None:
    truth, a, b = case(600, 0.7, 0.7, seed=3)
    result = compare(truth, a, b, range(600))
    assert result.better is None
    assert result.p_value > 0.05
    same = compare(truth, a, a, range(600))
    assert (same.p_value, same.macro_f1.low, same.macro_f1.high) == (1.0, 0.0, 0.0)


def test_few_differences_are_tested_exactly() -> None:
    truth = np.zeros(20, int)
    a = probabilities(truth, np.arange(20) >= 8)
    b = probabilities(truth, np.arange(20) < 18)
    result = compare(["false_wake"] * 20, a, b, range(20))
    assert (result.first_only, result.second_only) == (2, 8)
    assert result.p_value == pytest.approx(2 * binom.cdf(2, 10, 0.5))


def test_turns_of_one_dialogue_are_resampled_together() -> None:
    truth, a, b = case(60, 0.6, 0.75)
    single = compare(truth, a, b, range(60)).macro_f1
    copied = compare(truth * 9, np.tile(a, (9, 1)), np.tile(b, (9, 1)), [*range(60)] * 9).macro_f1
    assert copied.high - copied.low == pytest.approx(single.high - single.low, rel=0.3)


def test_decision_weights_make_the_verdicts() -> None:
    truth, a, _ = case(100, 0.7, 0.7)
    only = np.array([1.0, 0, 0, 0, 0, 0])
    assert compare(truth, a, a, range(100), second_weights=only).accuracy.second == pytest.approx(
        truth.count("false_wake") / 100
    )


def test_verdicts_alone_are_compared_turn_by_turn() -> None:
    truth = ["asr"] * 40
    first, second = ["nlu"] * 2 + truth[2:], truth[:2] + ["nlu"] * 10 + truth[12:]
    result = compare_verdicts(truth, first, second, range(40))
    assert (result.both, result.first_only, result.second_only, result.neither) == (28, 10, 2, 0)
    assert result.p_value == pytest.approx(2 * binom.cdf(2, 12, 0.5))
    assert result.accuracy.value == pytest.approx(-8 / 40)
    assert result.accuracy.low < result.accuracy.value < result.accuracy.high < 0
    assert (list(result.f1), result.log_loss) == (["asr"], None)
    assert result.defect_average_precision is None


def test_probabilities_of_a_defect_rank_turns_beside_verdicts() -> None:
    truth = ["asr", "correct"] * 20
    alike, right = np.full(40, 0.5), np.tile([0.9, 0.1], 20)
    result = compare_verdicts(truth, truth, truth, range(40), defect=(alike, right))
    ranked = result.defect_average_precision
    assert ranked is not None
    assert (ranked.first, ranked.second) == (0.5, 1.0)
    assert ranked.low > 0.3


def test_inputs_that_do_not_fit_are_refused() -> None:
    truth, a, b = case(10, 0.5, 0.5)
    with pytest.raises(UsageError, match="compared on the same turns"):
        compare(truth, a, b[:5], range(10))
    with pytest.raises(UsageError, match="Unknown failure point 'tts'"):
        compare(["tts", *truth[1:]], a, b, range(10))
    with pytest.raises(UsageError, match="10 and 9 verdicts"):
        compare_verdicts(truth, truth, truth[1:], range(10))
    with pytest.raises(UsageError, match="9 groups"):
        compare(truth, a, b, range(9))
    with pytest.raises(UsageError, match="10 and 9 probabilities"):
        compare_verdicts(truth, truth, truth, range(10), defect=(np.ones(10), np.ones(9)))


def test_models_of_a_store_are_compared_out_of_fold(six: tuple[Store, Model]) -> None:
    store, model = six
    refresh(store)
    with store.snapshot() as snapshot:
        result = compare_models(snapshot, store.models, model.id, model.id)
        assert result.turns == model.metrics["labelled"]
        scores = out_of_fold(store.models, model.id)
        truths = {
            row["turn_id"]: FAILURE_POINTS.index(row["failure_point"])
            for row in snapshot.query("SELECT turn_id, failure_point FROM labelled").to_pylist()
        }
        target = np.array([truths[turn] for turn in scores.turn_ids.to_pylist()])
        figures = summary(scores.probability, target, scores.weights, FAILURE_POINTS)
        assert result.macro_f1.first == pytest.approx(figures["macro_f1"])
        assert result.p_value == 1.0
        with pytest.raises(ModelError, match="cannot be compared"):
            compare_models(snapshot, store.models, model.id, "m-none")


def test_a_model_has_percentiles_of_correct_turns_beside_it(six: tuple[Store, Model]) -> None:
    store, model = six
    from classifiers.reference_values import FILE, Reference

    reference = Reference.read(store.models / model.id)
    assert reference is not None
    assert reference.features == model.columns
    assert registry.load(store.models, model.id).id == model.id, "it is not part of the id"
    (store.models / model.id / FILE).rename(store.models / model.id / "gone")
    try:
        assert Reference.read(store.models / model.id) is None
        assert registry.load(store.models, model.id).id == model.id
    finally:
        (store.models / model.id / "gone").rename(store.models / model.id / FILE)
