"""What people say of turns in the dashboard: written one at a time, settled where they differ."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.errors import UsageError
from data.schema.tables import ANNOTATIONS
from data.schema.trace import FAILURE_POINTS

if TYPE_CHECKING:
    from data.store.store import Store

# How long an annotator waits for another process that writes, in seconds.
PATIENCE_S = 20.0
# One annotation is one file; so many are merged.
_MANY_FILES = 64
# What the newest state of annotating needs.
DESK = ("annotations", "settings")
SHARE = "second_opinions"
DEFAULT_SHARE = 0.2


def annotate(
    store: Store,
    turn: Mapping[str, Any],
    annotator: str,
    failure_point: str,
    *,
    transcript: str | None = None,
    intent: str | None = None,
    slots: Sequence[Mapping[str, str]] | None = None,
    note: str | None = None,
    adjudicated: bool = False,
) -> str:
    """Record one verdict on a turn (`turn_id`, `dialogue_id`, `day`); returns the annotation's id.

    Raises UsageError without an annotator's name or with an unknown failure point, and StoreBusy
    when another process writes for longer than `PATIENCE_S`.
    """
    if not annotator.strip():
        raise UsageError("An annotation needs the annotator's name; give one.")
    if failure_point not in FAILURE_POINTS:
        raise UsageError(
            f"'{failure_point}' is no failure point; choose one of {', '.join(FAILURE_POINTS)}."
        )
    made = {
        "annotation_id": uuid.uuid4().hex,
        **{key: turn[key] for key in ("turn_id", "dialogue_id", "day")},
        "annotator": annotator.strip(),
        "failure_point": failure_point,
        "transcript": transcript or None,
        "intent": intent or None,
        "slots": list(slots) if slots else None,
        "note": note or None,
        "adjudicated": adjudicated,
        "created_at": datetime.now(UTC),
    }
    add(store, pa.Table.from_pylist([made], schema=ANNOTATIONS))
    return str(made["annotation_id"])


def add(store: Store, annotations: pa.Table) -> int:
    """Append annotations (schema `data.schema.tables.ANNOTATIONS`); returns how many."""
    with store.commit(PATIENCE_S) as cycle:
        added = cycle.append("annotations", annotations)
        small = [file.path for file in cycle.files("annotations").values() if file.rows < 10_000]
        if len(small) >= _MANY_FILES:
            cycle.rewrite("annotations", small)
        return added


def withdraw(store: Store, annotation_id: str) -> bool:
    """Take one annotation back; False when it is not there."""
    ids = pa.table({"id": [annotation_id]})
    with store.commit(PATIENCE_S) as cycle:
        return bool(
            cycle.delete_rows("annotations", "annotation_id IN (SELECT id FROM ids)", {"ids": ids})
        )


def wants_second(turn_id: str, share: float) -> bool:
    """Whether a turn is to be judged by two people who do not know of each other's verdict.

    By a hash of the id: everybody comes to the same answer, and a larger share holds a smaller one.
    """
    drawn = int.from_bytes(hashlib.blake2b(turn_id.encode(), digest_size=8).digest())
    return drawn < share * 2**64


def shown_to(
    rows: Sequence[Mapping[str, Any]], annotator: str | None, share: float
) -> list[Mapping[str, Any]]:
    """Those of one turn's annotations that a person may see.

    Where a second opinion is wanted and not yet given, everybody sees only what they said.
    """
    said = {row["annotator"] for row in rows if not row["adjudicated"]}
    decided = any(row["adjudicated"] for row in rows)
    if decided or len(said) >= 2 or not any(wants_second(r["turn_id"], share) for r in rows):
        return list(rows)
    return [row for row in rows if row["annotator"] == annotator]


def parse_slots(text: str) -> list[dict[str, str]]:
    """Slots from what a person typed, one `name = value` a line; raises UsageError for others."""
    found = []
    for line in text.splitlines():
        if not line.strip():
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not name:
            raise UsageError(f"'{line.strip()}' is no slot; write one a line, like: song = yellow.")
        found.append({"name": name, "value": value})
    return found
