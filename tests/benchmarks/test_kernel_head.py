"""Likeness to known turns: what it learns, and that it is kernel ridge regression."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.kernel_head import _RIDGE, _SHARPNESS, KernelHead

FIELDS = ("heard", "frame")
CLASSES = ("nlu", "correct")


def encoded(topics: np.ndarray, seed: int = 0) -> Any:
    """Texts of turns whose fields are about `topics` (n, 2): unit vectors near that of a topic."""
    rng = np.random.default_rng(seed)
    middle = np.linalg.qr(rng.normal(size=(16, 16)))[0][: topics.max() + 1]
    matrix = middle[topics.T.ravel()] + rng.normal(scale=0.05, size=(topics.size, 16))
    matrix = (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)
    index = dict(zip(FIELDS, np.arange(topics.size).reshape(2, -1), strict=True))
    return SimpleNamespace(matrix=dict.fromkeys(FIELDS, matrix), index=index)


@pytest.fixture(scope="module")
def turns() -> tuple[Any, np.ndarray]:
    """400 turns, half of them with a frame about what was said, and their 0/1 targets."""
    rng = np.random.default_rng(1)
    topics = rng.integers(0, 4, (400, 2))
    topics[::2, 1] = topics[::2, 0]
    fits = topics[:, 0] == topics[:, 1]
    return encoded(topics), np.column_stack([~fits, fits]).astype(float)


def test_it_learns_whether_a_frame_fits_the_words(turns: tuple[Any, np.ndarray]) -> None:
    vectors, target = turns
    train, test = np.arange(300), np.arange(300, 400)
    head = KernelHead.fit(vectors, train, target[train], CLASSES, FIELDS)
    right = head.scores(vectors, test).argmax(1) == target[test].argmax(1)
    assert right.mean() > 0.95
    # A head of one field cannot know.
    alone = KernelHead.fit(vectors, train, target[train], CLASSES, ("frame",))
    assert (alone.scores(vectors, test).argmax(1) == target[test].argmax(1)).mean() < 0.75


def test_it_is_kernel_ridge_regression_in_which_repeated_turns_count(
    turns: tuple[Any, np.ndarray],
) -> None:
    vectors, target = turns
    rows = np.r_[np.arange(40), np.repeat(7, 5)]
    head = KernelHead.fit(vectors, rows, target[rows], CLASSES, FIELDS)
    cosine = {n: vectors.matrix[n][i] @ vectors.matrix[n][i].T for n, i in vectors.index.items()}
    kernel = np.prod([1 + np.exp(_SHARPNESS * (c - 1)) for c in cosine.values()], axis=0) - 1
    bias = target[rows].mean(axis=0)
    dual = np.linalg.solve(
        kernel[np.ix_(rows, rows)] + _RIDGE * np.eye(len(rows)), target[rows] - bias
    )
    expected = kernel[:, rows] @ dual + bias
    np.testing.assert_allclose(head.scores(vectors, np.arange(400)), expected, atol=2e-3)


def test_the_score_of_a_turn_does_not_depend_on_others(turns: tuple[Any, np.ndarray]) -> None:
    vectors, target = turns
    rows = np.arange(300)
    head = KernelHead.fit(vectors, rows, target[rows], CLASSES, FIELDS)
    together = head.scores(vectors, np.arange(400))
    np.testing.assert_allclose(head.scores(vectors, np.array([350])), together[[350]], atol=1e-5)
    assert head.scores(vectors, np.array([], int)).shape == (0, 2)


def test_few_centres_stand_for_many_turns(
    turns: tuple[Any, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, target = turns
    train, test = np.arange(300), np.arange(300, 400)
    monkeypatch.setattr("benchmarks.kernel_head._CENTRES", 60)
    head = KernelHead.fit(vectors, train, target[train], CLASSES, FIELDS)
    assert head.weights.shape == (60, 2)
    right = head.scores(vectors, test).argmax(1) == target[test].argmax(1)
    assert right.mean() > 0.9
    again = KernelHead.fit(vectors, train, target[train], CLASSES, FIELDS)
    assert (again.weights == head.weights).all()
