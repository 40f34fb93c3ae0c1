"""Rewrites of new texts: who votes, for what, and that many requests take no longer than that."""

from __future__ import annotations

import random
import time

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp

from rewrites.interpretations import Counts
from rewrites.mining import Mined, from_counts
from rewrites.neighbours import NEAREST, Neighbours
from tests.rewrites.lamps import friction_of

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _misheard(text: str, rng: random.Random) -> str:
    place = rng.randrange(len(text))
    return text[:place] + rng.choice(_LETTERS) + text[place + 1 :]


def _mined(count: int) -> tuple[Mined, list[str]]:
    """Requests of which every other one is misheard first, with a barge-in; and those meant."""
    rng = random.Random(0)
    words = ["".join(rng.choices(_LETTERS, k=rng.randint(3, 8))) for _ in range(400)]
    texts: list[str] = []
    sessions: list[str] = []
    meant = [" ".join(rng.choices(words, k=5)) for _ in range(count)]
    for i, text in enumerate(meant):
        said = [_misheard(text, rng), text] if i % 2 else [text]
        texts += said
        sessions += [f"s{i:06}"] * len(said)
    follows = [a == b for a, b in zip(sessions, [*sessions[1:], ""], strict=True)]
    return from_counts(Counts.of(friction_of(texts, sessions, follows))), meant


def _neighbours(mined: Mined) -> Neighbours:
    neighbours = Neighbours.of(mined)
    assert neighbours is not None
    return neighbours


def test_those_found_are_the_nearest() -> None:
    mined, meant = _mined(300)
    neighbours = _neighbours(mined)
    rng = random.Random(1)
    asked = [_misheard(text, rng) + "s" for text in meant[:40]]
    assert neighbours.rows.keys().isdisjoint(asked)
    every = (sp.csr_array(neighbours.vectoriser.transform(asked)) @ neighbours.vectors.T).toarray()
    for similarity, (near, found) in zip(every, neighbours._nearest(asked), strict=True):
        assert found == pytest.approx(np.sort(similarity)[::-1][: len(found)])
        assert similarity[near] == pytest.approx(found)
        assert len(near) == NEAREST


def test_a_request_has_no_vote_on_its_own_text() -> None:
    # Two interpretations of one text are two requests: neither is news of the other.
    texts = ["turn on the lamp"] * 2 + ["turn on the lamps", "turn off the lamp"]
    table = friction_of(texts, list("abcd"), [True] + [False] * 3)
    table = table.set_column(
        table.column_names.index("frame"), "frame", pa.array(["on|lamp", "on|lamb", "x", "y"])
    )
    neighbours = _neighbours(from_counts(Counts.of(table)))
    assert len(neighbours.rows["turn on the lamp"]) == 2
    (near, similarity), (others, _) = neighbours._nearest(["turn on the lamp", "turn on the tap"])
    assert {neighbours.texts[i] for i in near} == {"turn on the lamps", "turn off the lamp"}
    assert similarity.max() < 1
    assert [neighbours.texts[i] for i in others].count("turn on the lamp") == 2


def test_what_resembles_nothing_is_left_alone() -> None:
    neighbours = _neighbours(_mined(300)[0])
    assert neighbours.trust is not None
    outcomes, features = neighbours._features(["照明をつけて", "0123"], [None, "nothing known"])
    assert outcomes.tolist() == [-1, -1]
    assert not features.any()
    assert neighbours.rewrites(["照明をつけて", "0123", ""], [None, None, None]).num_rows == 0


def test_many_requests_are_asked_in_little_time() -> None:
    mined, meant = _mined(20_000)
    began = time.perf_counter()
    neighbours = _neighbours(mined)
    assert neighbours.trust is not None
    rng = random.Random(1)
    asked = [_misheard(text, rng) for text in meant[:500]]
    found = [near[0] for near, _ in neighbours._nearest(asked)]
    # Comparing everything with everything took 40 s.
    assert time.perf_counter() - began < 20
    alike = [meant[i] in neighbours.texts[row] for i, row in enumerate(found)]
    assert np.mean(alike) > 0.3
