"""What a user taught is evidence for their own requests, at once, and until it is forgotten."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from data.store.store import Store
from labels.teaching.dialogue import Lesson
from labels.teaching.preferences import forget, put, row_of
from rewrites.online.concepts import Concepts
from rewrites.online.index_folder import of_store
from rewrites.online.rewriter import build_index
from rewrites.online.server import Live
from tests.rewrites.lamps import store_with
from tests.rewriting import LAMB, LAMP, world

AT = datetime(2024, 5, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = store_with(tmp_path_factory.mktemp("world"), world(6))
    build_index(made)
    return made


def test_what_was_taught_goes_first_for_its_user(store: Store) -> None:
    live = Live(of_store(store.path))
    assert live.rewriter.rewrite(LAMB, "u1", at=AT).rewrite == LAMP
    lesson = Lesson("concept", LAMB, "turn on the big lamp")
    (taught,) = put(store, [row_of(lesson, "u1", AT)])
    assert live.refresh()
    answer = live.rewriter.rewrite(LAMB.upper(), "u1", "speaker", AT)
    assert (answer.rewrite, answer.method, answer.score) == ("turn on the big lamp", "taught", 1.0)
    for user in ("u2", None):
        assert live.rewriter.rewrite(LAMB, user, at=AT).rewrite == LAMP
    forget(store, [taught])
    assert live.refresh()
    assert not live.refresh()
    assert live.rewriter.rewrite(LAMB, "u1", at=AT).rewrite == LAMP


def test_an_index_without_a_store_knows_no_concepts(tmp_path: Path) -> None:
    assert len(Concepts.beside(tmp_path / "index").taught) == 0
    assert len(Concepts.beside(of_store(tmp_path)).taught) == 0
