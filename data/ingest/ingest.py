"""Ingestion of log files into the store, each file completely or not at all.

A file is parsed and checked outside the lock, in blocks, by a few processes; the results are staged
inside the store. Then one pass identifies repeated, unchanged and replaced turns by their keys, the
final files are written, and one write cycle makes turns, quarantine and run record visible
together.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.errors import IngestError
from data.ingest.block import Limits, Source
from data.ingest.folders import Skipped
from data.ingest.sources import blocks, discover
from data.ingest.staging import Staged, stage
from data.ingest.upsert import TurnsNow, plan
from data.ingest.validation import NOT_A_NUMBER, OUT_OF_RANGE, Notes
from data.parallel import Runner, runner
from data.schema.layout import TABLES
from data.store.parquet import write_batches
from data.store.store import Store
from data.store.transaction import Cycle
from progress import Progress, silent

# Below this many bytes of input, starting processes costs more than it saves.
_POOL_FROM = 48 << 20
# Single-file tables are rewritten into one file when they have this many.
_MANY_FILES = 24
# Quarantined lines that are held at a time.
_FAULTS = 16_000


@dataclass(frozen=True)
class FileReport:
    """The result for one input.

    `turns` counts distinct valid turns; of these, `replaced` replaced a different stored turn and
    `unchanged` were already stored. `not_numbers` (NaN and infinity) and `out_of_range` count the
    values that were left out of them, by field.
    """

    file: str
    format: str
    turns: int = 0
    replaced: int = 0
    unchanged: int = 0
    quarantined: int = 0
    unknown: dict[str, int] = field(default_factory=dict)
    not_numbers: dict[str, int] = field(default_factory=dict)
    out_of_range: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    # Why nothing of this input was ingested; None when it was.
    error: str | None = None


@dataclass(frozen=True)
class IngestReport:
    """The results of all inputs, in the order in which they were read.

    `skipped`: what was passed over in folders.
    """

    files: list[FileReport]
    skipped: list[Skipped] = field(default_factory=list)

    @property
    def turns(self) -> int:
        return sum(file.turns for file in self.files)

    @property
    def replaced(self) -> int:
        return sum(file.replaced for file in self.files)

    @property
    def quarantined(self) -> int:
        return sum(file.quarantined for file in self.files)

    @property
    def failed(self) -> list[FileReport]:
        return [file for file in self.files if file.error is not None]

    @property
    def unknown(self) -> dict[str, int]:
        return _summed(file.unknown for file in self.files)

    @property
    def not_numbers(self) -> dict[str, int]:
        return _summed(file.not_numbers for file in self.files)

    @property
    def out_of_range(self) -> dict[str, int]:
        return _summed(file.out_of_range for file in self.files)


def _summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counts by name added up, the largest first."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total.most_common())


def ingest(
    store: Store,
    paths: Sequence[str | Path],
    format: str | None = None,
    progress: Progress = silent,
    workers: int | None = None,
    limits: Limits | None = None,
) -> IngestReport:
    """Bring log files into the store.

    Parameters
    ----------
    paths
        Files (.jsonl, .ndjson, .json, each also .gz or .zst; .parquet), folders, or `-` for JSONL
        on standard input.
    format
        `jsonl` or `parquet`, overriding the suffix.
    progress
        Called with the bytes read of each file, its name, and its turns so far.
    workers
        Processes; by default one per core, and none of its own for small inputs.
    limits
        Of a line's length and of what a compressed file may expand to; see `Limits`.

    An input that cannot be read at all is reported (`IngestReport.failed`) and the others continue;
    if no input can be read, the first one's `IngestError` is raised.
    """
    skipped: list[Skipped] = []
    sources = discover(paths, format, skipped)
    store.clear_staging()
    reports: list[FileReport] = []
    errors: list[IngestError] = []
    with runner(_processes(sources, workers)) as run:
        for source in sources:
            try:
                reports.append(_ingest_one(store, source, run, progress, limits))
            except IngestError as error:
                errors.append(error)
                reports.append(FileReport(source.name, source.format, error=str(error)))
    if len(errors) == len(sources):
        raise errors[0]
    return IngestReport(reports, skipped)


def _ingest_one(
    store: Store, source: Source, run: Runner, progress: Progress, limits: Limits | None
) -> FileReport:
    began, clock = datetime.now(UTC), time.monotonic()
    with store.staging() as folder:
        staged = _stage_all(source, run, folder, progress, limits)
        planned = plan(TurnsNow.of(store), staged, run, folder / "plan")
        run_id = uuid.uuid4().hex
        with store.commit() as cycle:
            if cycle.versions.get("turns", 0) != planned.version:
                # Another process has committed meanwhile: the plan has to be made again.
                planned = plan(TurnsNow.within(cycle), staged, run, folder / "plan-again")
            planned.apply(cycle)
            _quarantine(cycle, source.name, run_id, staged)
            notes = _notes(staged)
            _left_out(cycle, source.name, run_id, notes)
            report = FileReport(
                source.name,
                source.format,
                turns=planned.turns,
                replaced=planned.replaced,
                unchanged=planned.unchanged,
                quarantined=sum(block.faulty for block in staged),
                unknown=dict(notes.unknown.most_common()),
                not_numbers=_by_path(notes, NOT_A_NUMBER),
                out_of_range=_by_path(notes, OUT_OF_RANGE),
                seconds=time.monotonic() - clock,
            )
            _record(cycle, report, run_id, began)
        return report


def _stage_all(
    source: Source, run: Runner, folder: Path, progress: Progress, limits: Limits | None
) -> list[Staged]:
    staged: list[Staged] = []
    turns = 0
    work = ((block, index, folder) for index, block in enumerate(blocks(source, limits)))
    for block in run.map(stage, work):
        staged.append(block)
        turns += block.count
        progress(block.done, source.size, source.name, turns)
    faulty = sum(block.faulty for block in staged)
    cut = next((block.cut for block in staged if block.cut), None)
    if turns == 0 and cut:
        raise IngestError(f"{source.name} {cut}; nothing was ingested.")
    if turns == 0 and faulty == 0:
        raise IngestError(f"{source.name} is empty; expected one JSON object per line.")
    if turns == 0 and faulty == sum(block.junk for block in staged):
        raise IngestError(
            f"{source.name} is not JSONL: none of its {faulty} lines is a JSON object; expected "
            "one per line, not one over many lines."
        )
    return staged


# -- the other tables ------------------------------------------------------------------------------


def _quarantine(cycle: Cycle, name: str, run_id: str, staged: Sequence[Staged]) -> None:
    """Replace the faults from earlier runs of the same file by those of this run."""
    cycle.delete_rows(
        "quarantine", "file IN (SELECT file FROM these)", {"these": pa.table({"file": [name]})}
    )
    # Already in the table's order, and perhaps millions: written as they are read.
    layout = TABLES["quarantine"]
    faults = _faults(name, run_id, staged)
    cycle.add("quarantine", write_batches(faults, layout, cycle.root / "quarantine"))
    _tidy(cycle, "quarantine")


def _faults(name: str, run_id: str, staged: Sequence[Staged]) -> Iterator[pa.RecordBatch]:
    """The faults of all blocks as rows of the table, with the lines of the whole file."""
    now = pa.scalar(datetime.now(UTC), pa.timestamp("us", tz="UTC"))
    constant = {"run_id": run_id, "file": name, "quarantined_at": now}
    kinds = TABLES["quarantine"].schema
    before = 0
    for block in staged:
        if block.faults is not None:
            with pq.ParquetFile(block.faults) as file:
                for batch in file.iter_batches(_FAULTS):
                    columns: dict[str, Any] = {key: batch[key] for key in batch.schema.names}
                    columns["line"] = pc.add(columns["line"], before)
                    columns |= {k: pa.repeat(v, batch.num_rows) for k, v in constant.items()}
                    yield pa.record_batch([columns[key] for key in kinds.names], schema=kinds)
        before += block.lines


def _notes(staged: Sequence[Staged]) -> Notes:
    notes = Notes()
    for block in staged:
        notes.add(block.notes.unknown, block.notes.left_out)
    return notes


def _by_path(notes: Notes, cause: str) -> dict[str, int]:
    """How many values were left out for this cause, by field, the most frequent first."""
    return {path: n for (why, path), n in notes.left_out.most_common() if why == cause}


def _left_out(cycle: Cycle, name: str, run_id: str, notes: Notes) -> None:
    """Replace the counts from earlier runs of the same file by those of this run."""
    cycle.delete_rows(
        "left_out", "file IN (SELECT file FROM these)", {"these": pa.table({"file": [name]})}
    )
    rows = [
        {"run_id": run_id, "file": name, "field": path, "cause": cause, "values": count}
        for (cause, path), count in notes.left_out.items()
    ]
    if rows:
        cycle.append("left_out", pa.Table.from_pylist(rows, schema=TABLES["left_out"].schema))
    _tidy(cycle, "left_out")


def _record(cycle: Cycle, report: FileReport, run_id: str, began: datetime) -> None:
    row = {
        "run_id": run_id,
        "file": report.file,
        "format": report.format,
        "turns": report.turns,
        "replaced": report.replaced,
        "quarantined": report.quarantined,
        "unknown_fields": json.dumps(report.unknown, ensure_ascii=False),
        "started_at": began,
        "finished_at": datetime.now(UTC),
    }
    cycle.append("runs", pa.Table.from_pylist([row], schema=TABLES["runs"].schema))
    _tidy(cycle, "runs")


def _tidy(cycle: Cycle, name: str) -> None:
    small = [file.path for file in cycle.files(name).values() if file.rows < 10_000]
    if len(small) >= _MANY_FILES:
        cycle.rewrite(name, small)


def _processes(sources: Sequence[Source], workers: int | None) -> int:
    count = workers if workers is not None else min(os.cpu_count() or 1, 16)
    size = sum(source.size or _POOL_FROM for source in sources)
    return count if size >= _POOL_FROM else 1
