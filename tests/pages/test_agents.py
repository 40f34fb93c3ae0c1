"""Where a language model chooses tools, pages say what NLU stands for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from charts.formatting import plain
from data.ingest.ingest import ingest
from data.schema.tables import RUNS
from data.schema.vocabulary import TOOL_CHOICE
from data.store.store import Store
from parts.shared.agents import words
from tests.app import Open, html, texts
from tests.logs import trace, write_lines


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


@pytest.mark.parametrize(
    ("log_format", "said"),
    [("otlp", "No tool was called."), ("rasa", "No hypothesis: nothing was understood.")],
)
def test_an_agent_without_an_intent_called_no_tool(
    opened: Open, store: Store, tmp_path: Path, log_format: str, said: str
) -> None:
    line = trace("t1", assistant="kitchen", nlu={"hypotheses": [], "latency_ms": 80.0})
    ingest(store, [write_lines(tmp_path / "log.jsonl", [line])])
    read_as(store, log_format, ["kitchen"])
    shown = html(opened(store.path, "turn", turn="t1"))
    assert said in shown
    assert ("No tool" in shown) == (log_format == "otlp")
    at = opened(store.path, "annotate")
    at.session_state["annotator_name"] = "ann"
    assert said in html(at.run())
