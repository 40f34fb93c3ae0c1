"""What is retrieved: the same vectors one by one and in bulk, and nobody else's texts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewrites.online.lookup import Lookup
from rewrites.online.retrieval import HABITS, PATHS, REQUESTS, Index
from rewrites.online.vectors import Kind, NGrams

_TEXTS = ["turn on the lamp", "tirn on the lamb", "play some jazz", "打开 客厅 的 灯", ""]


def _index(users: tuple[int, ...] = (3, 3, 3, 3, 3)) -> Index:
    n = len(_TEXTS)
    requests = pa.table(
        {
            "assistant": [""] * n,
            "text": _TEXTS,
            "interpretation": ["home|on|what=lamp", "home|on|what=lamb", "music|play", "x", "y"],
            "turns": [9.0, 3.0, 5.0, 4.0, 2.0],
            "failure": [0.0, 0.9, 0.0, 0.0, 0.0],
            "successes": [9.0, 0.3, 5.0, 4.0, 2.0],
            "users": list(users),
            "last": [1.0] * n,
        },
        schema=REQUESTS,
    )
    habits = pa.table(
        {
            "user_id": ["a", "a", "b"],
            "row": [0, 4, 2],
            "turns": [2.0, 1.0, 5.0],
            "failed": [0.0] * 3,
            "last": [1.0] * 3,
            "hour_x": [0.0] * 3,
            "hour_y": [0.0] * 3,
        },
        schema=HABITS,
    )
    paths = pa.table({"row": [1], "outcome": ["home|on|what=lamp"], "score": [0.8]}, schema=PATHS)
    return Index.of(requests, habits, paths)


@pytest.mark.parametrize("kind", ["letters", "sounds"])
def test_one_text_has_the_vector_that_it_has_among_others(kind: Kind) -> None:
    vectors = NGrams.of(kind, _TEXTS)
    together = vectors.encode(_TEXTS)
    alone = np.concatenate([vectors.encode([text]) for text in _TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    lengths = np.linalg.norm(together, axis=1)
    assert lengths[:4] == pytest.approx(1.0)
    assert lengths[4] == 0


@pytest.mark.parametrize(
    ("kind", "said", "near", "far"),
    [
        ("letters", "turn on the lamp", "turn on the lmp", "play some jazz"),
        ("sounds", "call kathy", "call cathie", "call bruno"),
    ],
)
def test_what_is_alike_is_near(kind: Kind, said: str, near: str, far: str) -> None:
    a, b, c = NGrams.of(kind, [said, near, far]).encode([said, near, far])
    assert a @ b > a @ c + 0.2


def test_failures_vote_for_where_they_ended() -> None:
    found = _index().candidates("tirn on the lam", "", None)
    assert found.rows.tolist()[0] == 0
    assert 1 not in found.rows
    assert found.votes[0] > 0.8


def test_what_one_user_said_is_offered_to_nobody_else() -> None:
    index = _index(users=(1, 1, 1, 1, 1))
    assert not len(index.candidates("turn on the lam", "", "b").rows.tolist()[1:])
    assert 0 not in index.candidates("turn on the lam", "", "b").rows
    assert 0 in index.candidates("turn on the lam", "", "a").rows
    assert 0 not in index.candidates("turn on the lam", "", None).rows


def test_other_assistants_are_others() -> None:
    assert not len(_index().candidates("turn on the lamp", "car", None).rows)
    assert _index().find("turn on the lamp", "car") == -1


def test_an_empty_index_finds_nothing() -> None:
    index = Index.of(REQUESTS.empty_table(), HABITS.empty_table(), PATHS.empty_table())
    assert not len(index.candidates("turn on", "", "a").rows)
    assert index.find("turn on", "") == -1


@settings(deadline=None, max_examples=15)
@given(st.lists(st.text(max_size=8), unique=True, max_size=30), st.text(max_size=8))
def test_names_are_found_at_their_places(names: list[str], other: str) -> None:
    names = [name.encode("utf-8", "replace").decode() for name in names]
    names = list(dict.fromkeys(names))
    lookup = Lookup.of(pa.array(names, pa.string()))
    assert [lookup.find(name) for name in names] == list(range(len(names)))
    other = other.encode("utf-8", "replace").decode()
    assert lookup.find(other) == (names.index(other) if other in names else -1)
