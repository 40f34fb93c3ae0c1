"""Rephrases on real logs, and with fine-tuned encoders: slow."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmarks.rephrase import Links, crossed, read
from classifiers.encoder import DEFAULT, load_torch
from rewrites.rephrase import Detector, Means
from tests.rewrites.test_rephrase import errands


@pytest.mark.long
@pytest.mark.parametrize(("name", "least"), [("dstc1", 0.45), ("dstc2", 0.55), ("saif", 0.8)])
def test_rephrases_of_real_logs(corpora: Path, name: str, least: float) -> None:
    assert f1(crossed(read(corpora, name), "pair features", folds=3)) > least


@pytest.mark.long
@pytest.mark.parametrize("method", ["pairwise encoder", "contextual encoder"])
def test_encoders_learn_and_are_deterministic(method: str) -> None:
    means = Means(load=partial(load_torch, DEFAULT))
    turns, truth = errands(60)
    asked = truth["turn_id"].to_pylist()
    first = Detector(method, means=means).fit(turns, truth).predict(turns, asked)
    again = Detector(method, means=means).fit(turns, truth).predict(turns, asked)
    assert first.equals(again)
    pairs = zip(first["rephrase_turn_id"], truth["rephrase_turn_id"], strict=True)
    assert np.mean([a.as_py() == b.as_py() for a, b in pairs]) > 0.5


def f1(links: Links) -> float:
    hit, linked, rephrased, _ = zip(*links.rows, strict=True)
    return 2 * sum(hit) / (sum(linked) + sum(rephrased))
