"""Clusters of similar requests: found, named, the same in any order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from analysis.request_clusters import groups


class Bags:
    """Bag-of-words vectors: similar where texts share words."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.zeros((len(texts), 64))
        for row, text in enumerate(texts):
            for word in text.split():
                vectors[row, sum(word.encode()) % 64] += 1
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


HEARD = [
    *["play the moon audiobook"] * 4, "play my moon audiobook", "start the moon audiobook",
    *["turn on kitchen lights"] * 2, "turn off kitchen lights", "nothing like them", None, "  ",
]  # fmt: skip


def test_requests_that_share_words_form_a_cluster() -> None:
    first, second = groups(HEARD, Bags())
    assert (first.turns, len(first.texts)) == (6, 3)
    assert first.typical == "play the moon audiobook"
    assert "moon" in first.name
    assert "audiobook" in first.name
    assert second.typical == "turn on kitchen lights"
    assert "kitchen" in second.name


def test_order_does_not_matter() -> None:
    mixed = [HEARD[at] for at in np.random.default_rng(3).permutation(len(HEARD))]
    assert groups(mixed, Bags()) == groups(HEARD, Bags())


@pytest.mark.parametrize("texts", [[], [None, ""], ["only one"]])
def test_too_few_texts_give_no_cluster(texts: list[str | None]) -> None:
    assert groups(texts, Bags()) == []


def test_one_text_heard_often_is_a_cluster() -> None:
    (cluster,) = groups(["play 日本 語"] * 3, Bags())
    assert (cluster.turns, len(cluster.texts)) == (3, 1)


def test_stop_words_name_a_cluster_without_other_words() -> None:
    (cluster,) = groups(["who is it", "what is it"], Bags(), least=1, top=1)
    assert cluster.name
