"""The commands that rewrite: one answer, JSON, and one sentence for what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rewrites.online.index_folder import of_store
from rewrites.online.rewriter import build_index
from tests.browser import free_port
from tests.command import Run, must_fail
from tests.rewrites.lamps import store_with
from tests.rewriting import LAMB, LAMP, WILKERSON, WILKINSON, world


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = store_with(tmp_path_factory.mktemp("world"), world(6))
    build_index(made)
    return made.path


def test_a_text_is_rewritten(run: Run, store: Path) -> None:
    ran = run("rewrite", LAMB, "--store", store)
    assert ran.code == 0
    assert LAMP in ran.out
    ran = run("rewrite", "what time is it", "--index", of_store(store))
    assert ran.out.startswith("Left as it is.")


def test_json_is_the_whole_answer(run: Run, store: Path) -> None:
    ran = run(
        *("rewrite", WILKINSON, "--user", "wilk", "--device", "speaker"),
        *("--before", LAMP, "--at", "2024-05-09T10:00:00", "--json", "--store", store),
    )
    answer = json.loads(ran.out)
    assert answer["rewrite"] == WILKERSON
    assert set(answer) == {"text", "rewrite", "score", "method", "candidates", "why"}


def test_without_an_index_it_says_how_to_build_one(run: Run, tmp_path: Path) -> None:
    for command in (("rewrite", "turn on"), ("serve-rewrites", "--port", free_port())):
        must_fail(run(*command, "--store", tmp_path), "faultline rewrites index", code=1)


def test_other_machines_are_let_in_on_purpose_only(run: Run, store: Path) -> None:
    ran = run("serve-rewrites", "--host", "0.0.0.0", "--store", store)
    assert ran.code == 2
    assert "--insecure" in ran.err
