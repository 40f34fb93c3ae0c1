"""Contracts of the figures and of their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from classifiers.metrics import (
    average_precision_interval,
    average_precisions,
    bootstrap,
    resamples,
    summary,
)

CLASSES = ("asr", "nlu", "correct")


def made_up(
    n: int, groups: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Truth, verdict, group and calibrated probabilities of n turns."""
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet([0.5, 0.5, 2], n).round(2) + 1e-9
    probability /= probability.sum(1, keepdims=True)
    target = np.array([rng.choice(3, p=p) for p in probability])
    return target, probability.argmax(1), rng.integers(0, groups, n), probability


def test_average_precision_of_weighted_turns_is_that_of_repeated_ones() -> None:
    rng = np.random.default_rng(0)
    hit, score = rng.random(200) < 0.3, rng.integers(0, 9, 200) / 10
    times = rng.integers(0, 3, (4, 200))
    times[3] = ~hit
    found = average_precisions(hit, score, times)
    for value, row in zip(found[:3], times, strict=False):
        rows = np.repeat(np.arange(200), row)
        assert value == pytest.approx(average_precision_score(hit[rows], score[rows]))
    assert np.isnan(found[3])


def test_every_figure_lies_in_its_interval_and_more_turns_narrow_it() -> None:
    widths = []
    for n in (400, 6400):
        target, verdict, group, probability = made_up(n, n // 4)
        figures = summary(probability, target, None, CLASSES, verdict)
        spans = bootstrap(target, verdict, group, CLASSES, seed=1, probability=probability)
        pairs = [(figures[key], spans[key]) for key in spans if key != "classes"]
        for name in CLASSES:
            row = spans["classes"][name]
            assert set(row) == {"precision", "recall", "f1", "calibration_error"}
            pairs += [(figures["classes"][name][key], span) for key, span in row.items()]
        assert len(pairs) == 16
        for value, (low, high) in pairs:
            assert 0 <= low <= value <= high <= 1
        widths.append([high - low for _, (low, high) in pairs])
    assert all(many < few for few, many in zip(*widths, strict=True))


def test_turns_that_repeat_each_other_do_not_narrow_an_interval() -> None:
    target, verdict, group, probability = made_up(300, 300)
    once = bootstrap(target, verdict, group, CLASSES, seed=0, probability=probability)
    targets, verdicts, groups = (np.tile(column, 5) for column in (target, verdict, group))
    repeated = np.tile(probability, (5, 1))
    again = bootstrap(targets, verdicts, groups, CLASSES, seed=0, probability=repeated)
    assert again["macro_f1"] == pytest.approx(once["macro_f1"])
    key = "defect_average_precision"
    assert again[key] == pytest.approx(once[key])
    alone = average_precision_interval(target != 2, 1 - probability[:, 2], group)
    assert alone == pytest.approx(once[key])


def test_without_probabilities_verdicts_alone_have_intervals() -> None:
    target, verdict, group, _ = made_up(300, 50)
    spans = bootstrap(target, verdict, group, CLASSES, seed=0)
    assert set(spans) == {"macro_f1", "accuracy", "classes"}
    assert set(spans["classes"]["asr"]) == {"precision", "recall", "f1"}


def test_resamples_hold_as_many_groups_whatever_the_number_of_draws() -> None:
    few, many = (np.concatenate(list(resamples(7, draws, 3))) for draws in (20, 120))
    assert (few.shape, many.shape) == ((20, 7), (120, 7))
    assert (many.sum(1) == 7).all()
    assert np.array_equal(few, many[:20])
