"""Curves, thresholds, suspected label errors, learning curves: cases with known results."""

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


def sample(n: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hits, their true probabilities (few distinct values), and groups of three turns."""
    rng = np.random.default_rng(seed)
    p = rng.integers(0, 21, n) / 20
    return rng.random(n) < p, p, np.arange(n) // 3


def test_precision_recall_equals_scikit_learn() -> None:
    hit, p, _ = sample()
    curve = curves.precision_recall(hit, p)
    precision, recall, threshold = precision_recall_curve(hit, p)
    # Theirs has ascending thresholds and ends with a point without a threshold.
    assert np.allclose(curve.threshold, threshold[::-1])
    assert np.allclose(curve.precision, precision[:-1][::-1])
    assert np.allclose(curve.recall, recall[:-1][::-1])
    assert curve.average == pytest.approx(average_precision_score(hit, p))


def test_a_long_curve_is_thinned_but_keeps_its_ends_and_its_average() -> None:
    rng = np.random.default_rng(1)
    p = rng.random(5000)
    hit = rng.random(5000) < p
    curve = curves.precision_recall(hit, p, most=50)
    assert len(curve.recall) <= 50
    assert curve.recall[-1] == 1.0
    assert curve.average == pytest.approx(average_precision_score(hit, p))


def test_a_class_without_turns_has_no_curve() -> None:
    curve = curves.precision_recall(np.zeros(5, bool), np.linspace(0, 1, 5))
    assert len(curve.recall) == 0
    assert np.isnan(curve.average)


def test_calibration_bins_hold_every_turn_and_cover_the_truth() -> None:
    hit, p, group = sample(6000)
    bins = curves.calibration(hit, p, group)
    assert sum(b.turns for b in bins) == 6000
    assert [b.predicted for b in bins] == sorted(b.predicted for b in bins)
    covered = []
    for seed in range(30):
        hit, p, group = sample(3000, seed)
        covered += [b.low <= b.predicted <= b.high for b in curves.calibration(hit, p, group)]
    assert 0.9 <= np.mean(covered) <= 0.99
    uncalibrated = curves.calibration(hit, np.sqrt(p), group)
    assert sum(b.low <= b.predicted <= b.high for b in uncalibrated) < len(uncalibrated) / 2


def test_a_rare_class_has_a_bin_of_its_own_where_it_is_probable() -> None:
    p = np.concatenate([np.full(970, 0.001), np.full(30, 0.8)])
    bins = curves.calibration(p > 0.5, p, np.arange(1000))
    assert bins[-1].turns <= 60
    assert bins[-1].observed >= 0.5
    assert bins[0].observed == 0.0
    assert curves.calibration(np.zeros(0, bool), np.zeros(0), np.zeros(0, int)) == []


def test_a_threshold_counts_what_it_flags() -> None:
    hit = np.array([True, True, False, False, True])
    p = np.array([0.9, 0.5, 0.5, 0.1, 0.2])
    result = curves.at_threshold(hit, p, np.arange(5), 0.5)
    assert (result.flagged, result.right, result.of_class) == (3, 2, 3)
    assert result.precision == pytest.approx(2 / 3)
    assert result.recall == pytest.approx(2 / 3)
    nothing = curves.at_threshold(hit, p, np.arange(5), 0.95)
    assert nothing.precision is None
    assert nothing.precision_interval == (0.0, 1.0)


def test_independent_turns_have_wilson_s_interval_and_dependent_ones_a_wider() -> None:
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
    # With columns of classes that nobody labelled, and of one that the model did not learn.
    six = np.zeros((400, 6))
    six[:, [1, 2, 5]] = p
    names = np.array(THREE, object)[label]
    rows, suggested = suspects(names, six, FAILURE_POINTS)
    assert set(rows) == set(wrong)
    assert all(FAILURE_POINTS[r] == THREE[truth[i]] for i, r in zip(rows, suggested, strict=True))
    names[0] = "er"
    assert 0 not in suspects(names, six, FAILURE_POINTS)[0]
    assert capsys.readouterr().out == ""


def test_labels_of_one_class_are_never_suspect() -> None:
    rows, suggested = suspects(
        np.array(["correct"] * 5, object), np.eye(6)[[5] * 5], FAILURE_POINTS
    )
    assert len(rows) == len(suggested) == 0


def test_a_power_law_is_recovered() -> None:
    sizes = np.array([100.0, 200, 400, 800])
    goals = np.array([1600.0, 3200])
    assert np.allclose(
        power_law(sizes, 0.1 + 2 * sizes**-0.5, goals), 0.1 + 2 * goals**-0.5, atol=1e-6
    )
    # A flat curve is extrapolated as flat.
    assert np.allclose(power_law(sizes, np.array([0.3, 0.3, 0.3, 0.3]), goals), 0.3)


def test_more_annotations_never_cost_and_the_interval_holds_the_gain() -> None:
    rng = np.random.default_rng(0)
    sizes, groups = [200, 400, 800, 1600], 300
    truth = rng.integers(0, 2, groups)
    tables = np.zeros((4, groups, 4))
    for i, size in enumerate(sizes):
        right = rng.random(groups) < 1 - 3 * size**-0.5
        tables[i, np.arange(groups), truth * 2 + np.where(right, truth, 1 - truth)] = 1
    curve = extrapolate(sizes, tables, 1600, seed=0)
    assert [p["macro_f1"] for p in curve["points"]] == pytest.approx(
        [macro_f1(t.sum(0).reshape(2, 2)) for t in tables]
    )
    for row in curve["ahead"]:
        assert row["low"] <= row["macro_f1"] <= row["high"]
        assert 0 <= row["gain_low"] <= row["gain_high"]
    gains = [row["gain"] for row in curve["ahead"]]
    assert gains == sorted(gains)
