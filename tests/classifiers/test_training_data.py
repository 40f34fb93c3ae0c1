"""Which turns are trained on: whole dialogues, with the same request on other devices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from classifiers.training_data import training_turns
from data.ingest.ingest import ingest
from data.store.store import Store
from tests.logs import trace, write_lines

GOLD: dict[str, Any] = {"gold": {"failure_point": "asr"}}


def at_once(dialogue: str, turns: int = 1, **fields: Any) -> list[dict[str, Any]]:
    """Turns of one dialogue that all begin at the same instant."""
    return [
        trace(f"{dialogue}{i}", dialogue_id=dialogue, turn_index=i, **fields) for i in range(turns)
    ]


def sampled(store: Store, path: Path, *dialogues: list[dict[str, Any]]) -> set[str]:
    """The dialogues of a training set that samples only those with gold."""
    ingest(store, [write_lines(path / "logs.jsonl", [turn for d in dialogues for turn in d])])
    with store.snapshot() as snapshot:
        turns = training_turns(snapshot, seed=0, unlabelled=0)
    return {str(name) for name in turns["dialogue_id"].to_pylist()}


@pytest.mark.parametrize("turns", [1, 5])
def test_what_another_device_heard_is_included(store: Store, tmp_path: Path, turns: int) -> None:
    """However many turns it logged at that instant: it is one device."""
    dialogues = sampled(store, tmp_path, at_once("a", **GOLD), at_once("b", turns))
    assert dialogues == {"a", "b"}


def test_four_devices_are_one_request_and_five_are_traffic(store: Store, tmp_path: Path) -> None:
    later: dict[str, Any] = {"started_at": "2024-05-01T10:00:00Z"}
    four = [at_once("a", **GOLD), *(at_once(name) for name in "bcd")]
    # With gold in two of the five, only three others would have to be included.
    five = [
        *(at_once(name, **GOLD, **later) for name in "pq"),
        *(at_once(n, **later) for n in "rst"),
    ]
    assert sampled(store, tmp_path, *four, *five) == set("abcd") | set("pq")


def test_another_user_or_assistant_is_another_request(store: Store, tmp_path: Path) -> None:
    owner: dict[str, Any] = {"user_id": "u", "assistant": "kitchen"}
    dialogues = sampled(
        store,
        tmp_path,
        at_once("a", **GOLD, **owner),
        at_once("b", **owner),
        at_once("c", **owner | {"user_id": "v"}),
        at_once("d", **owner | {"assistant": "car"}),
        at_once("e"),
    )
    assert dialogues == {"a", "b"}
