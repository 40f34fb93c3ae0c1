"""Annotations from files: JSONL, CSV or Parquet, as `faultline export annotations` writes them.

What is wrong with a row is told by line and field, and the row is kept in `quarantine`; the good
rows of the same file are taken all the same.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from data.errors import IngestError, UsageError
from data.ingest.validation import EXCERPT, explain
from data.schema.tables import ANNOTATIONS, QUARANTINE
from data.schema.trace import FAILURE_POINTS, NonEmpty
from data.store.annotations import add

if TYPE_CHECKING:
    from data.store.store import Store

SUFFIXES = (".jsonl", ".csv", ".parquet")
# The store knows these of the turn, and what a file says of them does not matter.
_KNOWN = ("dialogue_id", "day")


class Slot(msgspec.Struct, forbid_unknown_fields=True):
    name: NonEmpty
    value: str | None = None


class Annotation(msgspec.Struct, forbid_unknown_fields=True):
    """One row of a file; what may be left out has a default."""

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


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that was not taken: line (from 1; row in Parquet), field ("" for all of it), reason."""

    line: int
    field: str
    reason: str
    excerpt: str

    def __str__(self) -> str:
        where = f"line {self.line}, {self.field}" if self.field else f"line {self.line}"
        return f"{where}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of a file: annotations added, those that were there already, rows not taken."""

    added: int
    present: int
    problems: tuple[Problem, ...]


def import_annotations(store: Store, source: Path | bytes, name: str) -> Imported:
    """Take the annotations of a file (or its bytes); `name` says the format by its suffix.

    A row without an id gets one from its content, so a file that is read twice adds nothing. Raises
    UsageError for another suffix or a missing file, and IngestError for a file that cannot be read.
    """
    problems: list[Problem] = []
    found: dict[str, tuple[int, dict[str, Any]]] = {}
    repeated = 0
    for line, row in _rows(source, name, problems):
        try:
            made = _annotation(row)
        except msgspec.ValidationError as error:
            field, reason = explain(str(error), row)
            if reason.startswith("object contains unknown field"):
                field, reason = reason.split("`")[1], "there is no such field"
            problems.append(Problem(line, field, reason, _excerpt(row)))
            continue
        repeated += made["annotation_id"] in found
        found.setdefault(made["annotation_id"], (line, made))
    good, present, unknown = _placed(store, found)
    problems += unknown
    problems.sort(key=lambda problem: problem.line)
    if good:
        add(store, pa.Table.from_pylist(good, schema=ANNOTATIONS))
    _quarantine(store, name, problems)
    return Imported(len(good), present + repeated, tuple(problems))


def _annotation(row: Mapping[str, Any]) -> dict[str, Any]:
    given = {key: value for key, value in row.items() if value is not None and key not in _KNOWN}
    said = msgspec.convert(given, Annotation)
    made = msgspec.to_builtins(said, builtin_types=(datetime,))
    made["annotator"] = made["annotator"].strip()
    if not made["annotator"]:
        raise msgspec.ValidationError("Expected `str` of length >= 1 - at `$.annotator`")
    for key in ("transcript", "intent", "slots", "note"):
        made[key] = made[key] or None
    if made["annotation_id"] is None:
        content = json.dumps({**made, "created_at": str(said.created_at or "")}, sort_keys=True,
                             default=str)  # fmt: skip
        made["annotation_id"] = hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
    made["created_at"] = said.created_at or datetime.now(UTC)
    return dict(made)


def _placed(
    store: Store, found: Mapping[str, tuple[int, dict[str, Any]]]
) -> tuple[list[dict[str, Any]], int, list[Problem]]:
    """The annotations of turns that the store holds and that are new; how many are not; others."""
    rows = [(made["turn_id"], key) for key, (_, made) in found.items()]
    asked = pa.table(
        {
            "turn_id": pa.array([turn for turn, _ in rows], pa.string()),
            "annotation_id": pa.array([key for _, key in rows], pa.string()),
        }
    )
    with store.snapshot(only=("turns", "annotations")) as snapshot:
        places = snapshot.query(
            "SELECT turn_id, dialogue_id, day FROM turns "
            "WHERE turn_id IN (SELECT turn_id FROM asked)",
            tables={"asked": asked},
        ).to_pylist()
        there = snapshot.query(
            "SELECT annotation_id FROM annotations SEMI JOIN asked USING (annotation_id)",
            tables={"asked": asked},
        )
    held = set(there["annotation_id"].to_pylist())
    place = {row["turn_id"]: row for row in places}
    good, unknown = [], []
    for key, (line, made) in found.items():
        if made["turn_id"] not in place:
            said = f"the store has no turn '{made['turn_id'][:80]}'"
            unknown.append(Problem(line, "turn_id", said, _excerpt(made)))
        elif key not in held:
            good.append({**made, **place[made["turn_id"]]})
    return good, len(found) - len(good) - len(unknown), unknown


def _quarantine(store: Store, name: str, problems: list[Problem]) -> None:
    """Put what was not taken in the place of what an earlier import of the same file left."""
    run, now = uuid.uuid4().hex, datetime.now(UTC)
    rows = [
        {
            "run_id": run,
            "file": name,
            "line": problem.line,
            "field": problem.field,
            "reason": problem.reason,
            "excerpt": problem.excerpt,
            "quarantined_at": now,
        }
        for problem in problems
    ]
    these = {"these": pa.table({"file": [name]})}
    with store.commit() as cycle:
        cycle.delete_rows("quarantine", "file IN (SELECT file FROM these)", these)
        if rows:
            cycle.append("quarantine", pa.Table.from_pylist(rows, schema=QUARANTINE))


def _rows(
    source: Path | bytes, name: str, problems: list[Problem]
) -> Iterator[tuple[int, dict[str, Any]]]:
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(
            f"Annotations cannot be read from '{name}'; its name must end in {', '.join(SUFFIXES)}."
        )
    try:
        content = source if isinstance(source, bytes) else source.expanduser().read_bytes()
    except OSError as error:
        raise UsageError(f"Cannot read {name}: {error.strerror}.") from error
    if not content.strip():
        raise IngestError(f"{name} is empty; expected one annotation per row.")
    if suffix == ".parquet":
        return _from_parquet(content, name)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise IngestError(
            f"{name} is not UTF-8 text (byte {error.start}); save it as UTF-8."
        ) from error
    return (_from_csv if suffix == ".csv" else _from_jsonl)(text, name, problems)


def _from_jsonl(
    text: str, name: str, problems: list[Problem]
) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, said in enumerate(text.split("\n"), 1):
        if not said.strip():
            continue
        try:
            row = json.loads(said)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            yield line, row
        else:
            problems.append(Problem(line, "", "not a JSON object", said[:EXCERPT]))


def _from_csv(
    text: str, name: str, problems: list[Problem]
) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text), strict=True)
    _has_columns(name, list(reader.fieldnames or ()))
    line = 2
    try:
        for said in reader:
            row: dict[str, Any] = {key: value for key, value in said.items() if key and value}
            if None in said:
                excerpt = json.dumps(row, ensure_ascii=False)[:EXCERPT]
                problems.append(Problem(line, "", "more cells than the header has", excerpt))
            elif row:
                yield line, _typed(row)
            # A cell may run over several lines; a row is named by its first.
            line = reader.line_num + 1
    except csv.Error as error:
        raise IngestError(f"{name} is no CSV from line {line} on: {error}.") from error


def _typed(row: dict[str, Any]) -> dict[str, Any]:
    """What a cell of a CSV means; one that means nothing stays text, and is then refused."""
    if "slots" in row:
        with suppress(ValueError):
            row["slots"] = json.loads(row["slots"])
    flags = {"true": True, "1": True, "false": False, "0": False}
    if "adjudicated" in row:
        row["adjudicated"] = flags.get(row["adjudicated"].lower(), row["adjudicated"])
    return row


def _from_parquet(content: bytes, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        table = pq.read_table(io.BytesIO(content))
    except (pa.ArrowInvalid, OSError) as error:
        raise IngestError(f"{name} is not a Parquet file, or a damaged one.") from error
    _has_columns(name, table.column_names)
    yield from enumerate(table.to_pylist(), 1)


def _has_columns(name: str, columns: list[str]) -> None:
    for needed in ("turn_id", "annotator", "failure_point"):
        if needed not in columns:
            raise IngestError(
                f"{name} has no column '{needed}'; it has {', '.join(columns[:12]) or 'none'}."
            )


def _excerpt(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, default=str)[:EXCERPT]
