"""Writes that are done again when another machine was quicker."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

import pytest

from data.errors import HeadMoved
from data.store import rerun as module
from data.store.rerun import rerun

ROOT = Path(__file__).parents[2]
ROOMS = ("alerts", "annotation", "cli", "collect", "data", "labels", "parts", "rewrites", "tickets")


def test_it_is_done_again_with_the_same_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_WAIT", 0.0)
    seen: list[list[int]] = []

    @rerun
    def write(rows: Iterable[int]) -> int:
        seen.append(list(rows))
        if len(seen) < 3:
            raise HeadMoved("moved")
        return len(seen)

    assert write(number for number in range(3)) == 3
    assert seen == [[0, 1, 2]] * 3


def test_it_ends_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_WAIT", 0.0)
    tries = []

    @rerun
    def write() -> None:
        tries.append(1)
        raise HeadMoved.at(Path("store"))

    with pytest.raises(HeadMoved, match="nothing was recorded, try again in a moment"):
        write()
    assert len(tries) == 40


def test_every_function_that_commits_is_done_again() -> None:
    marked, unmarked = 0, []
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            for function in ast.walk(ast.parse(path.read_text("utf-8"))):
                if not isinstance(function, ast.FunctionDef):
                    continue
                commits = any(
                    isinstance(call, ast.Call)
                    and ast.unparse(call.func) in ("store.commit", "self._store.commit",
                                                   "store.writing_files", "self.writing_files")
                    for call in ast.walk(function)
                )  # fmt: skip
                if not commits:
                    continue
                if "rerun" in map(ast.unparse, function.decorator_list):
                    marked += 1
                else:
                    unmarked.append(f"{path.relative_to(ROOT)}: {function.name}")
    assert marked > 25
    assert not unmarked
