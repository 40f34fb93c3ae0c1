"""The reader of the corpora with gold of goals and meaning."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.labels.corpora import read

MOVIE = {"name": "movie", "value": "Heat"}


def _turn(index: int, gold: dict[str, Any]) -> dict[str, Any]:
    at = "2024-03-01T08:00:00+00:00"
    row = {"turn_id": f"d-{index}", "dialogue_id": "d", "turn_index": index, "started_at": at}
    return row | {"gold": gold}


@pytest.mark.parametrize(
    ("gold", "slots"),
    [
        # Some turn has slots: where they are left out beside an intent, there are none.
        ([{"intent": "find", "slots": [MOVIE]}, {"intent": "thank"}, {}], [[MOVIE], [], None]),
        ([{"intent": "find"}, {"intent": "thank"}], [None, None]),
    ],
    ids=["with slots", "without any"],
)
def test_slots_left_out_are_none_where_the_corpus_has_slots(
    tmp_path: Path, gold: list[dict[str, Any]], slots: list[Any]
) -> None:
    (tmp_path / "goals").mkdir()
    lines = "".join(json.dumps(_turn(i, g)) + "\n" for i, g in enumerate(gold))
    (tmp_path / "goals" / "sgd.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    found: list[Any] = read(tmp_path, "sgd")["gold"].to_pylist()
    assert [g["slots"] if g else None for g in found] == slots
