"""Small logs, made by hand, for the tests of ingestion and export."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any


def trace(turn_id: str = "t1", **fields: Any) -> dict[str, Any]:
    """A trace record with the required fields, and whatever else is given."""
    record = {
        "turn_id": turn_id,
        "dialogue_id": "d1",
        "turn_index": 0,
        "started_at": "2024-05-01T09:30:00Z",
    }
    return {**record, **fields}


def write_lines(path: Path, records: list[Any]) -> Path:
    """Write records (objects, or raw bytes) as lines; `.gz` compresses."""
    lines = [
        record if isinstance(record, bytes) else json.dumps(record).encode() for record in records
    ]
    data = b"".join(line + b"\n" for line in lines)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path
