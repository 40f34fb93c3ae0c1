"""Where a language model chooses tools, pages say what NLU stands for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from charts.formatting import plain
from data.schema.tables import RUNS
from data.schema.vocabulary import TOOL_CHOICE
from data.store.store import Store
from parts.shared.agents import words
from tests.app import Open, texts


@pytest.mark.parametrize(
    ("agents", "every", "chosen", "said"),
    [
        ((), False, (), ""),
        (("a",), True, (), f"NLU: {TOOL_CHOICE}."),
        (("a",), False, (), f"NLU of a: {TOOL_CHOICE}."),
        (("a",), False, ("a",), f"NLU: {TOOL_CHOICE}."),
        (("a",), False, ("a", "b"), f"NLU of a: {TOOL_CHOICE}."),
        (("a",), False, ("b",), ""),
        ((None,), False, (), f"NLU of not named: {TOOL_CHOICE}."),
        (("a", "b", "c", "d"), False, (), f"NLU of a, b, c and 1 more: {TOOL_CHOICE}."),
    ],
)
def test_the_caption_names_agents_among_others(
    agents: Sequence[str | None], every: bool, chosen: Sequence[str], said: str
) -> None:
    assert words(agents, every, chosen) == said


def read_as(store: Store, log_format: str, assistants: list[str]) -> None:
    """Note that a log of this format was read."""
    now = datetime.now(UTC)
    row = {
        "run_id": "r", "file": "f", "format": log_format, "turns": 1, "replaced": 0,
        "quarantined": 0, "started_at": now, "finished_at": now, "assistants": assistants,
    }  # fmt: skip
    with store.commit() as cycle:
        cycle.append("runs", pa.Table.from_pylist([row], RUNS))


@pytest.mark.parametrize("page", ["overview", "triage", "turn", "explore", "model", "annotate"])
def test_pages_say_what_nlu_stands_for(opened: Open, own_store: Store, page: str) -> None:
    assert plain(TOOL_CHOICE) not in texts(opened(own_store.path, page))
    read_as(own_store, "otlp", ["kitchen"])
    version = own_store.head().version
    said = plain(f"NLU of kitchen: {TOOL_CHOICE}.")
    assert said in texts(opened(own_store.path, page, at=version))
    others = opened(own_store.path, page, at=version, assistant="car")
    assert plain(TOOL_CHOICE) not in texts(others)
