"""Gold that contradicts itself is quarantined, with what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from data.ingest.ingest import ingest
from data.store.store import Store
from tests.logs import trace, write_lines


@pytest.mark.parametrize(
    ("gold", "field", "reason"),
    [
        ({"corrects": "t0", "correction": "asr"}, "gold.corrects", "this very turn"),
        ({"correction": "command"}, "gold.correction", "needs `corrects`"),
        (
            {"ratings": [{"of": "response", "value": 5}, {"of": "boundary", "value": 3}]},
            "gold.ratings[1].value",
            "0 or 1 for a boundary, got 3",
        ),
    ],
)
def test_gold_that_contradicts_itself_is_quarantined(
    tmp_path: Path, gold: dict[str, Any], field: str, reason: str
) -> None:
    store = Store.create(tmp_path / "store")
    records = [trace("t0", gold=gold), trace("t1", gold={"corrects": "t0", "correction": "asr"})]
    ingest(store, [write_lines(tmp_path / "log.jsonl", records)])
    with store.snapshot() as snapshot:
        assert snapshot.query("SELECT turn_id FROM turns")["turn_id"].to_pylist() == ["t1"]
        (row,) = snapshot.query("FROM quarantine").to_pylist()
    assert row["field"] == field
    assert reason in row["reason"]
