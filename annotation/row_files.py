"""Files with one verdict per row: JSONL, CSV or Parquet, and the quarantine for their bad rows.

They may be packed with gzip or zstd, as logs may.
"""

from __future__ import annotations

import csv
import io
import json
import math
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from data.errors import IngestError, UsageError, machine_error
from data.export.spreadsheet import unguarded
from data.ingest.block import Limits, Source
from data.ingest.sources import unpacked_stream
from data.schema.tables import QUARANTINE
from data.store.erasure import EXCERPT
from data.store.rerun import rerun

if TYPE_CHECKING:
    from data.store.store import Store

SUFFIXES = (".jsonl", ".csv", ".parquet")
# That a name may have behind these.
PACKED = (".gz", ".zst")
# A file is read as a whole: this is a million verdicts, or half a million with their reasons.
MOST_BYTES = 256_000_000
# No more than `MOST_BYTES` is unpacked, so how far a file expands does not matter.
_LIMITS = Limits(expansion=MOST_BYTES)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that was not imported, and why.

    Attributes
    ----------
    line: from 1; in Parquet the number of the row. field: "" where it concerns the whole row.
    reason: what is wrong. excerpt: the row's ids, without its verdict.
    """

    line: int
    field: str
    reason: str
    excerpt: str

    def __str__(self) -> str:
        where = f"line {self.line}, {self.field}" if self.field else f"line {self.line}"
        return f"{where}: {self.reason}"


def rows_of(
    source: Path | bytes,
    name: str,
    problems: list[Problem],
    *,
    needed: Sequence[str],
    typed: Callable[[Row], Row],
) -> Iterator[tuple[int, Row]]:
    """The rows of a file (or its bytes) with their lines; the suffix of `name` gives the format.

    `needed` are the columns that a CSV or Parquet file must have; `typed` makes values of the texts
    of CSV cells, from which empty ones are left out. Rows that are none are added to `problems`.
    Raises UsageError for an unknown suffix or a file that cannot be opened, and IngestError for one
    whose content cannot be read, that has no row or a column twice, or more than `MOST_BYTES`.
    """
    path = Path(name)
    suffix = Path(path.stem if path.suffix.lower() in PACKED else name).suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(
            f"Verdicts cannot be read from '{name}'; its name must end in {', '.join(SUFFIXES)}, "
            f"or in one of these and {' or '.join(PACKED)}."
        )
    try:
        content = _read(source, name)
    except OSError as error:
        problem = machine_error(error, name)
        raise problem or UsageError(f"Cannot read {name}: {error.strerror}.") from error
    if len(content) > MOST_BYTES:
        raise IngestError(
            f"{name} has more than {MOST_BYTES // 1_000_000:,} MB; expected one annotation per "
            "row: check that it is the right file, or split it."
        )
    if not content.strip():
        raise IngestError(f"{name} is empty; expected one verdict per row.")
    if suffix == ".parquet":
        return _some(_from_parquet(content, name, needed), name, problems)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise IngestError(
            f"{name} is not UTF-8 text (byte {error.start}); save it as UTF-8."
        ) from error
    if suffix == ".csv":
        return _some(_from_csv(text, name, problems, needed, typed), name, problems)
    return _some(_from_jsonl(text, problems), name, problems)


def _read(source: Path | bytes, name: str) -> bytes:
    given = source if isinstance(source, bytes) else None
    file = Source(name, None if isinstance(source, bytes) else source.expanduser(), "", None)
    with unpacked_stream(file, _LIMITS, given) as stream:
        return stream.read(MOST_BYTES + 1)


def _some(
    rows: Iterator[tuple[int, Row]], name: str, problems: list[Problem]
) -> Iterator[tuple[int, Row]]:
    """The rows; raises IngestError where there is none, good or bad."""
    empty = True
    for row in rows:
        empty = False
        yield row
    if empty and not problems:
        raise IngestError(f"{name} has no rows; expected one verdict per row.")


def _from_jsonl(text: str, problems: list[Problem]) -> Iterator[tuple[int, Row]]:
    for line, text_line in enumerate(text.split("\n"), 1):
        if not text_line.strip():
            continue
        try:
            row = json.loads(text_line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            yield line, row
        else:
            problems.append(Problem(line, "", "not a JSON object", ""))


def _from_csv(
    text: str,
    name: str,
    problems: list[Problem],
    needed: Sequence[str],
    typed: Callable[[Row], Row],
) -> Iterator[tuple[int, Row]]:
    # A transcript may be longer than the module expects of a cell.
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    reader = csv.DictReader(io.StringIO(text), strict=True)
    _has_columns(name, list(reader.fieldnames or ()), needed)
    line = 2
    try:
        for cells in reader:
            # What the export did to keep spreadsheets from running a text is undone.
            row: Row = {k: unguarded(v) for k, v in cells.items() if k and v}
            if None in cells:
                reason = "more cells than the header has"
                problems.append(Problem(line, "", reason, excerpt_of(row)))
            elif row:
                yield line, typed(row)
            # A cell may run over several lines; a row is named by its first.
            line = reader.line_num + 1
    except csv.Error as error:
        raise IngestError(f"{name} is not valid CSV from line {line} on: {error}.") from error


def _from_parquet(content: bytes, name: str, needed: Sequence[str]) -> Iterator[tuple[int, Row]]:
    try:
        file = pq.ParquetFile(io.BytesIO(content))
        _has_columns(name, file.schema_arrow.names, needed)
        table = file.read()
    except (pa.ArrowException, OSError) as error:
        raise IngestError(f"{name} is not a Parquet file, or it is damaged.") from error
    for line, row in enumerate(table.to_pylist(), 1):
        yield line, {key: _present(value) for key, value in row.items()}


def _present(value: Any) -> Any:
    """A value of Parquet; None for NaN, which pandas writes for a number that is missing."""
    if isinstance(value, dict):
        return {key: _present(part) for key, part in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def _has_columns(name: str, columns: list[str], needed: Sequence[str]) -> None:
    for column in needed:
        if column not in columns:
            raise IngestError(
                f"{name} has no column '{column}'; it has {', '.join(columns[:12]) or 'none'}."
            )
    for column, count in Counter(filter(None, columns)).items():
        if count > 1:
            raise IngestError(
                f"{name} has {count} columns named '{column[:80]}'; expected one of each name."
            )


def excerpt_of(row: Mapping[str, Any]) -> str:
    """What the quarantine keeps of a row: not the verdict, which its turn's next judge may not see
    (`data.queries.visibility`)."""
    named = {key: row[key] for key in ("annotation_id", "turn_id") if row.get(key)}
    return json.dumps(named, ensure_ascii=False, default=str)[:EXCERPT]


def storable(text: str) -> str:
    """`text` with a question mark for each half of a character, which JSON allows alone."""
    return text.encode("utf-8", "replace").decode()


@rerun
def quarantine(store: Store, name: str, problems: Sequence[Problem]) -> None:
    """Replace the quarantined rows of an earlier import of the same file by these."""
    run, now = uuid.uuid4().hex, datetime.now(UTC)
    rows = [
        {
            "run_id": run,
            "file": name,
            "line": problem.line,
            "field": storable(problem.field),
            "reason": storable(problem.reason),
            "excerpt": storable(problem.excerpt),
            "quarantined_at": now,
        }
        for problem in problems
    ]
    these = {"these": pa.table({"file": [name]})}
    with store.commit() as cycle:
        cycle.delete_rows("quarantine", "file IN (SELECT file FROM these)", these)
        if rows:
            cycle.append("quarantine", pa.Table.from_pylist(rows, schema=QUARANTINE))
