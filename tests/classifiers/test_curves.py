"""Curves, thresholds, doubtful labels, learning curves: known cases."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve

from classifiers.evaluation import curves
from classifiers.evaluation.label_errors import suspects
from classifiers.evaluation.learning_curve import extrapolate, power_law
from classifiers.metrics import macro_f1
from data.intervals import wilson
from data.schema.trace import FAILURE_POINTS

THREE = ("asr", "nlu", "correct")


def drawn(n: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hits, their true probabilities (of few distinct values), and groups of three."""
    rng = np.random.default_rng(seed)
    p = rng.integers(0, 21, n) / 20
    return rng.random(n) < p, p, np.arange(n) // 3


def test_precision_recall_is_scikit_learn_s() -> None:
    hit, p, _ = drawn()
    made = curves.precision_recall(hit, p)
    precision, recall, threshold = precision_recall_curve(hit, p)
    # Theirs ascends in the threshold and ends with a point that no threshold gives.
    assert np.allclose(made.threshold, threshold[::-1])
    assert np.allclose(made.precision, precision[:-1][::-1])
    assert np.allclose(made.recall, recall[:-1][::-1])
    assert made.average == pytest.approx(average_precision_score(hit, p))


def test_a_long_curve_is_thinned_but_keeps_its_ends_and_its_average() -> None:
    rng = np.random.default_rng(1)
    p = rng.random(5000)
    hit = rng.random(5000) < p
    made = curves.precision_recall(hit, p, most=50)
    assert len(made.recall) <= 50
    assert made.recall[-1] == 1.0
    assert made.average == pytest.approx(average_precision_score(hit, p))


def test_a_class_without_turns_has_no_curve() -> None:
    made = curves.precision_recall(np.zeros(5, bool), np.linspace(0, 1, 5))
    assert len(made.recall) == 0
    assert np.isnan(made.average)


def test_calibration_bins_hold_every_turn_and_tell_the_truth() -> None:
    hit, p, group = drawn(6000)
    bins = curves.calibration(hit, p, group)
    assert sum(b.turns for b in bins) == 6000
    assert [b.said for b in bins] == sorted(b.said for b in bins)
    fair = []
    for seed in range(30):
        hit, p, group = drawn(3000, seed)
        fair += [b.low <= b.said <= b.high for b in curves.calibration(hit, p, group)]
    assert 0.9 <= np.mean(fair) <= 0.99
    crooked = curves.calibration(hit, np.sqrt(p), group)
    assert sum(b.low <= b.said <= b.high for b in crooked) < len(crooked) / 2


def test_a_rare_class_has_a_bin_of_its_own_where_it_is_probable() -> None:
    p = np.concatenate([np.full(970, 0.001), np.full(30, 0.8)])
    bins = curves.calibration(p > 0.5, p, np.arange(1000))
    assert bins[-1].turns <= 60
    assert bins[-1].happened >= 0.5
    assert bins[0].happened == 0.0
    assert curves.calibration(np.zeros(0, bool), np.zeros(0), np.zeros(0, int)) == []


def test_a_threshold_counts_what_it_flags() -> None:
    hit = np.array([True, True, False, False, True])
    p = np.array([0.9, 0.5, 0.5, 0.1, 0.2])
    made = curves.at(hit, p, np.arange(5), 0.5)
    assert (made.flagged, made.right, made.of_class) == (3, 2, 3)
    assert made.precision == pytest.approx(2 / 3)
    assert made.recall == pytest.approx(2 / 3)
    nothing = curves.at(hit, p, np.arange(5), 0.95)
    assert nothing.precision is None
    assert nothing.precision_interval == (0.0, 1.0)


def test_independent_turns_have_wilson_s_interval_and_like_ones_a_wider() -> None:
    part = np.arange(200) < 60
    whole = np.ones(200)
    assert curves.share_interval(part, whole, np.arange(200)) == pytest.approx(wilson(60, 200))
    low, high = curves.share_interval(part, whole, np.arange(200) // 4)
    assert (low, high) == pytest.approx(wilson(15, 50))


def test_intervals_of_shares_cover_the_truth() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(400):
        # Dialogues of one to four turns whose rates differ.
        size = rng.integers(1, 5, 150)
        rate = rng.beta(2, 6, 150)
        group = np.repeat(np.arange(150), size)
        part = rng.random(len(group)) < rate[group]
        low, high = curves.share_interval(part, np.ones(len(group)), group)
        covered += low <= 0.25 <= high
    assert 0.92 <= covered / 400 <= 0.985


def test_planted_label_errors_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    truth = rng.choice(3, 400, p=[0.2, 0.2, 0.6])
    p = np.full((400, 3), 0.05)
    p[np.arange(400), truth] = 0.9
    label = truth.copy()
    wrong = rng.permutation(400)[:20]
    label[wrong] = (truth[wrong] + 1) % 3
    # Columns of classes that nobody labelled, and of one that the model does not know.
    every = np.zeros((400, 6))
    every[:, [1, 2, 5]] = p
    names = np.array(THREE, object)[label]
    rows, rather = suspects(names, every, FAILURE_POINTS)
    assert set(rows) == set(wrong)
    assert all(FAILURE_POINTS[r] == THREE[truth[i]] for i, r in zip(rows, rather, strict=True))
    names[0] = "er"
    assert 0 not in suspects(names, every, FAILURE_POINTS)[0]
    assert capsys.readouterr().out == ""


def test_one_class_doubts_nobody() -> None:
    rows, rather = suspects(np.array(["correct"] * 5, object), np.eye(6)[[5] * 5], FAILURE_POINTS)
    assert len(rows) == len(rather) == 0


def test_a_power_law_is_found_again() -> None:
    sizes = np.array([100.0, 200, 400, 800])
    at = np.array([1600.0, 3200])
    assert np.allclose(power_law(sizes, 0.1 + 2 * sizes**-0.5, at), 0.1 + 2 * at**-0.5, atol=1e-6)
    # A curve that does not fall is not taken to rise or fall beyond.
    assert np.allclose(power_law(sizes, np.array([0.3, 0.3, 0.3, 0.3]), at), 0.3)


def test_more_annotations_never_cost_and_the_interval_holds_the_gain() -> None:
    rng = np.random.default_rng(0)
    sizes, groups = [200, 400, 800, 1600], 300
    truth = rng.integers(0, 2, groups)
    tables = np.zeros((4, groups, 4))
    for i, size in enumerate(sizes):
        right = rng.random(groups) < 1 - 3 * size**-0.5
        tables[i, np.arange(groups), truth * 2 + np.where(right, truth, 1 - truth)] = 1
    made = extrapolate(sizes, tables, 1600, seed=0)
    assert [p["macro_f1"] for p in made["points"]] == pytest.approx(
        [macro_f1(t.sum(0).reshape(2, 2)) for t in tables]
    )
    for row in made["ahead"]:
        assert row["low"] <= row["macro_f1"] <= row["high"]
        assert 0 <= row["gain_low"] <= row["gain_high"]
    gains = [row["gain"] for row in made["ahead"]]
    assert gains == sorted(gains)
