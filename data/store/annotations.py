"""Annotations: annotators' verdicts on turns, written one at a time from the dashboard."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.errors import UsageError
from data.schema.tables import ANNOTATIONS
from data.schema.trace import FAILURE_POINTS
from data.store.judges import is_judge, reserved
from data.store.rerun import rerun

if TYPE_CHECKING:
    from data.store.store import Store

# How long an annotation waits for another process that writes, in seconds.
PATIENCE_S = 20.0
# Each annotation is a file of its own; they are merged when there are this many.
_MANY_FILES = 64
# The tables that annotating reads at their newest version.
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
    goal_start: bool | None = None,
    goal_reached: bool | None = None,
) -> str:
    """Record one verdict on a turn (`turn_id`, `dialogue_id`, `day`); returns the annotation's id.

    `goal_start`: a goal of the user begins at this turn; `goal_reached`: the goal that the turn
    serves was reached in the end; None where the annotator says neither.

    Raises UsageError for an annotator's name that is empty or a judge's (`data.store.judges`) or an
    unknown failure point, and StoreBusy if another process writes for longer than `PATIENCE_S`.
    """
    (annotation_id,) = annotate_all(
        store,
        [turn],
        annotator,
        failure_point,
        transcript=transcript,
        intent=intent,
        slots=slots,
        note=note,
        adjudicated=adjudicated,
        goal_start=goal_start,
        goal_reached=goal_reached,
    )
    return annotation_id


def annotate_all(
    store: Store,
    turns: Sequence[Mapping[str, Any]],
    annotator: str,
    failure_point: str,
    *,
    transcript: str | None = None,
    intent: str | None = None,
    slots: Sequence[Mapping[str, str]] | None = None,
    note: str | None = None,
    adjudicated: bool = False,
    goal_start: bool | None = None,
    goal_reached: bool | None = None,
) -> list[str]:
    """Record the same verdict on several turns in one commit; returns the annotations' ids.

    Raises what `annotate` raises; then nothing is recorded.
    """
    if not annotator.strip():
        raise UsageError("An annotation needs the annotator's name; give one.")
    if is_judge(annotator):
        raise UsageError(reserved(annotator))
    if failure_point not in FAILURE_POINTS:
        raise UsageError(
            f"Unknown failure point '{failure_point}'; choose one of {', '.join(FAILURE_POINTS)}."
        )
    verdict = {
        "annotator": annotator.strip(),
        "failure_point": failure_point,
        "transcript": transcript or None,
        "intent": intent or None,
        "slots": list(slots) if slots else None,
        "note": note or None,
        "adjudicated": adjudicated,
        "created_at": datetime.now(UTC),
        "goal_start": goal_start,
        "goal_reached": goal_reached,
    }
    keys = ("turn_id", "dialogue_id", "day")
    rows = [
        {"annotation_id": uuid.uuid4().hex, **{key: turn[key] for key in keys}, **verdict}
        for turn in turns
    ]
    if rows:
        add(store, pa.Table.from_pylist(rows, schema=ANNOTATIONS))
    return [str(row["annotation_id"]) for row in rows]


@rerun
def add(store: Store, annotations: pa.Table) -> int:
    """Append annotations (schema `data.schema.tables.ANNOTATIONS`); returns how many."""
    with store.commit(PATIENCE_S) as cycle:
        added = cycle.append("annotations", annotations)
        small = [file.path for file in cycle.files("annotations").values() if file.rows < 10_000]
        if len(small) >= _MANY_FILES:
            cycle.rewrite("annotations", small)
        return added


@rerun
def withdraw(store: Store, *annotation_ids: str) -> bool:
    """Delete annotations in one commit; returns False if none of them exists."""
    ids = pa.table({"id": pa.array(annotation_ids, pa.string())})
    with store.commit(PATIENCE_S) as cycle:
        return bool(
            cycle.delete_rows("annotations", "annotation_id IN (SELECT id FROM ids)", {"ids": ids})
        )


def wants_second(turn_id: str, share: float) -> bool:
    """Whether a turn gets two independent annotations, neither annotator seeing the other's.

    Decided by a hash of the id, so that the answer is the same everywhere; a larger `share` (0 to
    1) includes the turns of a smaller one.
    """
    number = int.from_bytes(hashlib.blake2b(turn_id.encode(), digest_size=8).digest())
    return number < share * 2**64


def complete(rows: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the annotations of one turn are of two people, or one of them is a decision."""
    rows = list(rows)
    annotators = {row["annotator"] for row in rows if not row["adjudicated"]}
    return len(annotators) >= 2 or any(row["adjudicated"] for row in rows)


def shown_to(
    rows: Sequence[Mapping[str, Any]], annotator: str | None, share: float
) -> list[Mapping[str, Any]]:
    """The annotations of one turn that a person may see.

    While a turn waits for its second opinion, everybody sees only their own. The same for whole
    tables is `data.queries.visibility`.
    """
    if complete(rows) or not any(wants_second(row["turn_id"], share) for row in rows):
        return list(rows)
    return [row for row in rows if row["annotator"] == annotator]


def parse_slots(text: str) -> list[dict[str, str]]:
    """Parse slots, one `name = value` per line; raises UsageError for any other line."""
    slots = []
    for line in text.splitlines():
        if not line.strip():
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not name:
            raise UsageError(
                f"'{line.strip()}' is not a slot; write one per line, for example: song = yellow."
            )
        slots.append({"name": name, "value": value})
    return slots
