"""Turns as tables, for tests of the rooms above the store."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from data.ingest.ingest import ingest
from data.store.store import Store

_START = "2024-05-01T09:{:02d}:{:02d}Z"


def turns_of(records: list[dict[str, Any]]) -> pa.Table:
    """Trace records as the store holds them; ids and times are filled in where they are missing."""
    filled = [
        {
            "turn_id": f"turn-{i:05d}",
            "dialogue_id": f"dialogue-{i:05d}",
            "turn_index": 0,
            "started_at": _START.format(i // 60 % 60, i % 60),
            **record,
        }
        for i, record in enumerate(records)
    ]
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / "turns.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in filled), "utf-8")
        store = Store.create(Path(scratch) / "store")
        ingest(store, [path])
        with store.snapshot() as snapshot:
            return snapshot.query("SELECT * FROM turns ORDER BY turn_id")
