"""Annotations from files: JSONL, CSV or Parquet, as `faultline export annotations` writes them.

An invalid row is reported by line and field and stored in `quarantine`, without its verdict; the
valid rows of the same file are imported all the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import pyarrow as pa

from annotation.row_files import Problem, excerpt_of, quarantine, rows_of
from data.ingest.validation import explain
from data.schema.tables import ANNOTATIONS
from data.schema.trace import FAILURE_POINTS, NonEmpty
from data.store.annotations import add
from data.store.judges import is_judge, reserved

if TYPE_CHECKING:
    from data.store.store import Store

__all__ = ["Imported", "Problem", "import_annotations"]

# Columns that the store fills in from the turn; values in a file are ignored.
_FROM_TURN = ("dialogue_id", "day")
# Fields that say what somebody thinks of a turn.
_VERDICT = (
    "failure_point", "transcript", "intent", "slots", "note", "goal_start", "goal_reached",
)  # fmt: skip


class Slot(msgspec.Struct, forbid_unknown_fields=True):
    name: NonEmpty
    value: str | None = None


class Annotation(msgspec.Struct, forbid_unknown_fields=True):
    """One row of a file; optional fields have a default."""

    turn_id: NonEmpty
    annotator: NonEmpty
    failure_point: Annotated[str, msgspec.Meta(pattern=f"^({'|'.join(FAILURE_POINTS)})$")]
    annotation_id: NonEmpty | None = None
    transcript: str | None = None
    intent: str | None = None
    slots: list[Slot] | None = None
    note: str | None = None
    adjudicated: bool = False
    created_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    goal_start: bool | None = None
    goal_reached: bool | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of an import: annotations added, those already present, rows not imported."""

    added: int
    present: int
    problems: tuple[Problem, ...]


def import_annotations(store: Store, source: Path | bytes, name: str) -> Imported:
    """Import the annotations of a file (or its bytes); the suffix of `name` gives the format.

    A row without an id gets one from its content, so importing a file twice adds nothing. Raises
    UsageError for an unknown suffix or a file that cannot be opened, and IngestError for a file
    whose content cannot be read.
    """
    problems: list[Problem] = []
    annotations: dict[str, tuple[int, dict[str, Any]]] = {}
    repeated = 0
    for line, row in rows_of(
        source,
        name,
        problems,
        needed=("turn_id", "annotator", "failure_point"),
        typed=_typed,
    ):
        try:
            annotation = _annotation(row)
        except msgspec.ValidationError as error:
            field, reason = explain(str(error), row)
            if reason.startswith("object contains unknown field"):
                field, reason = reason.split("`")[1], "there is no such field"
            # The reason quotes the value: a part of a verdict must not stand beside its turn.
            excerpt = "" if field.partition(".")[0] in _VERDICT else excerpt_of(row)
            problems.append(Problem(line, field, reason, excerpt))
            continue
        if is_judge(annotation["annotator"]):
            reason = reserved(annotation["annotator"])
            problems.append(Problem(line, "annotator", reason, excerpt_of(row)))
            continue
        repeated += annotation["annotation_id"] in annotations
        annotations.setdefault(annotation["annotation_id"], (line, annotation))
    new, present, unknown = _split_by_store(store, annotations)
    problems += unknown
    problems.sort(key=lambda problem: problem.line)
    if new:
        add(store, pa.Table.from_pylist(new, schema=ANNOTATIONS))
    quarantine(store, name, problems)
    return Imported(len(new), present + repeated, tuple(problems))


def _annotation(row: Mapping[str, Any]) -> dict[str, Any]:
    """The annotation of a row, complete but for the columns of the turn.

    Raises msgspec.ValidationError for an invalid row.
    """
    fields = {
        key: value for key, value in row.items() if value is not None and key not in _FROM_TURN
    }
    parsed = msgspec.convert(fields, Annotation)
    annotation = msgspec.to_builtins(parsed, builtin_types=(datetime,))
    annotation["annotator"] = annotation["annotator"].strip()
    if not annotation["annotator"]:
        raise msgspec.ValidationError("Expected `str` of length >= 1 - at `$.annotator`")
    for key in ("transcript", "intent", "slots", "note"):
        annotation[key] = annotation[key] or None
    if annotation["annotation_id"] is None:
        # Fields that earlier versions had not do not change an id where they are empty.
        content = {
            key: value
            for key, value in annotation.items()
            if value is not None or not key.startswith("goal_")
        } | {"created_at": str(parsed.created_at or "")}
        encoded = json.dumps(content, sort_keys=True, default=str).encode()
        annotation["annotation_id"] = hashlib.blake2b(encoded, digest_size=16).hexdigest()
    annotation["created_at"] = parsed.created_at or datetime.now(UTC)
    return dict(annotation)


def _split_by_store(
    store: Store, annotations: Mapping[str, tuple[int, dict[str, Any]]]
) -> tuple[list[dict[str, Any]], int, list[Problem]]:
    """Split annotations, by id with their lines, into new, present and unknown ones.

    Returns the new ones complete with the columns of their turn, how many the store has already,
    and the problems of those whose turn is not in the store.
    """
    ids = [(annotation["turn_id"], key) for key, (_, annotation) in annotations.items()]
    imported = pa.table(
        {
            "turn_id": pa.array([turn for turn, _ in ids], pa.string()),
            "annotation_id": pa.array([key for _, key in ids], pa.string()),
        }
    )
    with store.snapshot(only=("turns", "annotations")) as snapshot:
        turns = snapshot.query(
            "SELECT turn_id, dialogue_id, day FROM turns "
            "WHERE turn_id IN (SELECT turn_id FROM imported)",
            tables={"imported": imported},
        ).to_pylist()
        stored = snapshot.query(
            "SELECT annotation_id FROM annotations SEMI JOIN imported USING (annotation_id)",
            tables={"imported": imported},
        )
    stored_ids = set(stored["annotation_id"].to_pylist())
    by_id = {row["turn_id"]: row for row in turns}
    new, unknown = [], []
    for key, (line, annotation) in annotations.items():
        if annotation["turn_id"] not in by_id:
            reason = f"the store has no turn '{annotation['turn_id'][:80]}'"
            unknown.append(Problem(line, "turn_id", reason, excerpt_of(annotation)))
        elif key not in stored_ids:
            new.append({**annotation, **by_id[annotation["turn_id"]]})
    return new, len(annotations) - len(new) - len(unknown), unknown


def _typed(row: dict[str, Any]) -> dict[str, Any]:
    """The values of CSV cells; a cell that cannot be parsed stays text and is then rejected."""
    if "slots" in row:
        with suppress(ValueError):
            row["slots"] = json.loads(row["slots"])
    flags = {"true": True, "1": True, "false": False, "0": False}
    for key in ("adjudicated", "goal_start", "goal_reached"):
        if key in row:
            row[key] = flags.get(row[key].lower(), row[key])
    return row
