"""Rephrases of all turns of a store, and their export."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.errors import UsageError, machine_error
from data.store.durability import replacing
from labels.feedback.sessions import as_turns
from rewrites.rephrase.detector import REPHRASES, Detector

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

_JUDGED = pa.schema([("turn_id", pa.string()), ("rephrase_turn_id", pa.string())])
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


def rephrases(snapshot: Snapshot, detector: Detector) -> pa.Table:
    """The rephrase of each turn of a snapshot, or none: `REPHRASES`, by turn.

    Turns are linked within their dialogue. Memory is that of about `BATCH` turns.
    """
    found = [detector.predict(part) for part in dialogues(snapshot)]
    return pa.concat_tables([REPHRASES.empty_table(), *found]).sort_by("turn_id")


def dialogues(snapshot: Snapshot) -> Iterator[pa.Table]:
    """All turns of a snapshot in the shape of `TURNS`, about `BATCH` at once, dialogues whole."""
    parts = max(1, -(-snapshot.counts()["turns"] // BATCH))
    for part in range(parts):
        yield as_turns(snapshot.query(_PART, {"parts": parts, "part": part}))


def judgements(path: Path) -> pa.Table:
    """Judged turns from JSON lines `{"turn_id", "rephrase_turn_id" | null}`, maybe gzipped.

    Turns with the state "undecidable" are left out. Raises UsageError for a file that is not so.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    rows: list[dict[str, Any]] = []
    try:
        with opened(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                if row.get("state") != "undecidable":
                    rows.append({name: row[name] for name in _JUDGED.names})
        return pa.Table.from_pylist(rows, _JUDGED)
    except (ValueError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
        raise UsageError(
            f"{path} is not a file of judged turns; each line must be a JSON object with turn_id "
            "and rephrase_turn_id (null for none)."
        ) from error
    except OSError as error:
        raise machine_error(error, path) or UsageError(
            f"Cannot read {path}: {error.strerror}."
        ) from error


def export(found: pa.Table, path: Path) -> None:
    """Write JSON lines `{"turn_id", "rephrase_turn_id" | null}`, in the order of the turns.

    Raises UsageError for a file that cannot be written.
    """
    rows = found.select(_JUDGED.names).to_pylist()
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"Cannot write {path}; give a file in a folder that exists.")
    with replacing(path) as draft:
        draft.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
