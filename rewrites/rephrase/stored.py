"""Rephrases of all turns of a store, and their export."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pyarrow as pa

from rewrites.rephrase.detector import REPHRASES, Detector
from rewrites.sessions import as_turns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data.store.snapshot import Snapshot

# Turns that are looked at in one go, about.
BATCH = 50_000

_READ = (
    *("turn_id", "turn_index", "started_at", "day"),
    *("prompt", "asr", "nlu", "result", "feedback"),
)
# A dialogue is in one part. Dialogue ids may recur among assistants, whose turns must not mix.
_PART = f"""
SELECT concat_ws(chr(31), coalesce(assistant, ''), dialogue_id) AS dialogue_id, {", ".join(_READ)}
FROM turns WHERE hash(dialogue_id) % $parts = $part
"""


def rephrases(logs: Snapshot | Sequence[Path], detector: Detector) -> pa.Table:
    """The rephrase of each turn of a store or of log files, or none: `REPHRASES`, by turn.

    Turns are linked within their dialogue. Memory is that of about `BATCH` turns.
    """
    if isinstance(logs, list | tuple):
        return _of_files(list(logs), detector)
    return _of_store(logs, detector)  # type: ignore[arg-type]


def _of_store(snapshot: Snapshot, detector: Detector) -> pa.Table:
    rows = snapshot.query("SELECT count(*) AS n FROM turns")["n"][0].as_py()
    parts = -(-rows // BATCH)
    found = [
        detector.predict(as_turns(snapshot.query(_PART, {"parts": parts, "part": part})))
        for part in range(parts)
    ]
    return pa.concat_tables([REPHRASES.empty_table(), *found]).sort_by("turn_id")


def _of_files(files: list[Path], detector: Detector) -> pa.Table:
    from data.ingest.ingest import ingest
    from data.store.store import Store

    with TemporaryDirectory() as temporary:
        store = Store.create(Path(temporary) / "store")
        ingest(store, files)
        with store.snapshot() as snapshot:
            return _of_store(snapshot, detector)


def export(found: pa.Table, path: Path) -> None:
    """Write JSON lines `{"turn_id", "rephrase_turn_id" | null}`, in the order of the turns."""
    rows = found.select(["turn_id", "rephrase_turn_id"]).to_pylist()
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
