"""Ingestion of log files into the store, each file completely or not at all.

A file is parsed and checked outside the lock, in blocks, by a few processes; the results are staged
inside the store. Then one pass identifies repeated, unchanged and replaced turns by their keys (see
`data.ingest.versions`), the final files are written, and one write cycle makes turns, quarantine
and run record visible together.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.errors import IngestError, TurnConflict, UsageError
from data.ingest.adapters.adapter import Settings
from data.ingest.adapters.registry import NAMES, without_turns
from data.ingest.block import Limits, Source
from data.ingest.folders import Skipped
from data.ingest.other_logs import OtherLogs
from data.ingest.private_records import redact_faults, redacted_text
from data.ingest.sources import blocks, discover
from data.ingest.staging import Staged, stage
from data.ingest.upsert import TurnsNow, plan, resolved_keys
from data.ingest.validation import NOT_A_NUMBER, OUT_OF_RANGE, Notes
from data.ingest.versions import ON_CONFLICT
from data.parallel import Runner, runner
from data.schema.layout import TABLES
from data.store.earlier import record_misdated
from data.store.misdated import AHEAD_HOURS, Clock
from data.store.parquet import workbench, write_batches
from data.store.paths import printable
from data.store.privacy import Privacy, privacy_of
from data.store.quarantine import FIELD_KIND, REASON_WORDS, reason_kind
from data.store.rerun import rerun
from data.store.snapshot import literal
from data.store.store import Store
from data.store.transaction import Cycle
from progress import Progress, silent

# Below this many bytes of input, starting processes costs more than it saves.
_POOL_FROM = 48 << 20
# Single-file tables are rewritten into one file when they have this many.
_MANY_FILES = 24
# Quarantined lines that are held at a time.
_FAULTS = 16_000
# Kinds of reasons for quarantine that a report names per input.
MOST_REASONS = 50
# Assistants that the record of a run names.
_MOST_ASSISTANTS = 100
_REASONS = f"""
SELECT {FIELD_KIND} AS place, {REASON_WORDS} AS words, count(*) AS lines
FROM read_parquet({{files}})
GROUP BY place, {reason_kind()} ORDER BY lines DESC, place, words LIMIT $most
"""


@dataclass(frozen=True)
class Reason:
    """Why lines were quarantined: the field (empty for the whole line), the reason, how many."""

    field: str
    reason: str
    lines: int

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}" if self.field else self.reason


@dataclass(frozen=True)
class FileReport:
    """The result for one input.

    `turns` counts distinct valid turns; of these, `replaced` replaced a different stored turn and
    `unchanged` were already stored. `conflicts` counts records with the id of another turn,
    `interim` those that did not replace a final one (see `data.ingest.versions`), and `misdated`
    the turns whose date cannot be right (see `data.store.misdated`). Conflicts that are kept apart
    are among `quarantined`.
    `not_numbers` (NaN and infinity) and `out_of_range` count the
    values that were left out of turns, by field, and `redacted` what was redacted, by kind
    (`data.store.privacy`).
    """

    file: str
    format: str
    turns: int = 0
    replaced: int = 0
    unchanged: int = 0
    quarantined: int = 0
    conflicts: int = 0
    interim: int = 0
    misdated: int = 0
    unknown: dict[str, int] = field(default_factory=dict)
    not_numbers: dict[str, int] = field(default_factory=dict)
    out_of_range: dict[str, int] = field(default_factory=dict)
    redacted: dict[str, int] = field(default_factory=dict)
    reasons: tuple[Reason, ...] = ()
    seconds: float = 0.0
    # Why nothing of this input was ingested; None when it was.
    error: str | None = None

    @property
    def hint(self) -> str | None:
        """What another system's log without a turn was taken for; None where there is nothing to
        say."""
        if self.turns or not self.quarantined or self.format not in NAMES:
            return None
        return without_turns(self.file, self.format)


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
    def conflicts(self) -> int:
        return sum(file.conflicts for file in self.files)

    @property
    def interim(self) -> int:
        return sum(file.interim for file in self.files)

    @property
    def misdated(self) -> int:
        return sum(file.misdated for file in self.files)

    @property
    def failed(self) -> list[FileReport]:
        return [file for file in self.files if file.error is not None]

    @property
    def reasons(self) -> list[Reason]:
        """Why lines were quarantined, the most frequent reason first."""
        lines: Counter[tuple[str, str]] = Counter()
        for file in self.files:
            lines.update({(each.field, each.reason): each.lines for each in file.reasons})
        return [Reason(*reason, n) for reason, n in lines.most_common()]

    @property
    def unread(self) -> list[Skipped]:
        """What lies in the folders and could not be read."""
        return [skipped for skipped in self.skipped if skipped.unread]

    @property
    def unknown(self) -> dict[str, int]:
        return _summed(file.unknown for file in self.files)

    @property
    def not_numbers(self) -> dict[str, int]:
        return _summed(file.not_numbers for file in self.files)

    @property
    def out_of_range(self) -> dict[str, int]:
        return _summed(file.out_of_range for file in self.files)

    @property
    def redacted(self) -> dict[str, int]:
        return _summed(file.redacted for file in self.files)


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
    on_conflict: str = ON_CONFLICT[0],
    ahead_hours: float = AHEAD_HOURS,
    now: datetime | None = None,
    limits: Limits | None = None,
    name: str | None = None,
    settings: Settings | None = None,
) -> IngestReport:
    """Bring log files into the store.

    Parameters
    ----------
    paths
        Files (.jsonl, .ndjson, .json, each also .gz or .zst; .parquet), folders, or `-` for JSONL
        on standard input.
    format
        `jsonl`, `parquet`, or the name of an adapter (`data.ingest.adapters.registry.NAMES`),
        overriding what the suffix and the first bytes say.
    progress
        Called with the bytes read of each file, its name, and its turns so far.
    workers
        Processes; by default one per core, and none of its own for small inputs.
    on_conflict
        What happens to a record with the id of another turn, see `data.ingest.versions`: `keep`
        (that turn stays, the record goes to quarantine), `replace`, or `refuse` (nothing of the run
        is stored, and `TurnConflict` is raised).
    ahead_hours
        How far a turn's clock may be ahead of its arrival; beyond it, its date cannot be right.
    now
        When the turns arrive; by default now.
    limits
        Of a line's length and of what a compressed file may expand to; see `Limits`.
    name
        What the only input is called in reports and in quarantine, instead of its path.
    settings
        How logs of other systems are read.

    An input that cannot be read at all is reported (`IngestReport.failed`) and the others continue;
    if no input can be read, the first one's `IngestError` is raised. Where the store redacts,
    nothing is written before that is done; raises `PrivacyError` if it cannot be, before anything
    is read (`data.store.privacy.privacy_of`). Raises `UsageError` for an
    unknown `on_conflict`, for negative hours, for a `name` of several inputs, and for an assistant
    that is named for traces in Faultline's own format.
    """
    if on_conflict not in ON_CONFLICT:
        raise UsageError(
            f"'{on_conflict}' is no way to treat conflicts; give one of {', '.join(ON_CONFLICT)}."
        )
    clock = Clock(now or datetime.now(UTC), ahead_hours)
    skipped: list[Skipped] = []
    privacy = privacy_of(store)
    settings = replace(settings or Settings(), privacy=privacy)
    sources = discover(paths, format, skipped, settings.assistant)
    if name is not None:
        sources = [_called(name, sources)]
    store.must_be_whole()
    store.clear_staging()
    reports: list[FileReport] = []
    errors: list[IngestError] = []
    with (
        store.naming_damage(),
        runner(_processes(sources, workers)) as run,
        ExitStack() as folders,
    ):
        inputs = _inputs(store, sources, run, clock, progress, folders, limits, settings)
        if on_conflict == "refuse":
            # All are compared before the first one is committed.
            inputs = iter(_without_conflict(store, list(inputs)))
        for item in inputs:
            failed = item.other.failures() if item.other else []
            if item.error:
                failed = failed or [(item.name, str(item.error))]
                errors.append(item.error)
            else:
                reports.append(_commit(store, item, run, clock, on_conflict, privacy))
            reports += [FileReport(name, item.source.format, error=why) for name, why in failed]
            item.folder.close()
    if all(report.error for report in reports):
        raise errors[0]
    return IngestReport(reports, skipped)


def _called(name: str, sources: Sequence[Source]) -> Source:
    """The only source, under another name."""
    if len(sources) > 1:
        raise UsageError(
            f"One name was given for {len(sources)} inputs; give a name only with a single input."
        )
    if not name.strip():
        raise UsageError("The name of the input is empty; leave it out, or give one.")
    return replace(sources[0], name=printable(name))


@dataclass
class _Input:
    """A source whose blocks are staged in a folder that lasts until `folder` is closed; with
    `other`, some sources of another system, read together."""

    source: Source
    folder: ExitStack
    path: Path
    began: datetime
    staged: list[Staged] = field(default_factory=list)
    seconds: float = 0.0
    error: IngestError | None = None
    other: OtherLogs | None = None

    @property
    def name(self) -> str:
        return self.other.name if self.other else self.source.name

    @property
    def faulty(self) -> int:
        return self.other.faulty if self.other else sum(block.faulty for block in self.staged)

    @property
    def fault_files(self) -> list[Path]:
        """The files of all faults, with the columns field and reason."""
        if self.other:
            return self.other.fault_files
        return [block.faults for block in self.staged if block.faults is not None]


def _inputs(
    store: Store,
    sources: Sequence[Source],
    run: Runner,
    clock: Clock,
    progress: Progress,
    folders: ExitStack,
    limits: Limits | None,
    settings: Settings,
) -> Iterator[_Input]:
    """Stage one source after the other, those of another system together; the numbers of their
    blocks follow each other."""
    first = 0
    for group in read_together(sources):
        source = group[0]
        folder = folders.enter_context(ExitStack())
        item = _Input(source, folder, folder.enter_context(store.staging()), datetime.now(UTC))
        started = time.monotonic()
        try:
            if source.format in NAMES:
                item.other = OtherLogs(source.format, group)
                with TurnsNow.of(store) as now:
                    item.other.read(
                        run, item.path, clock, settings, now.paths, progress, first, limits
                    )
                item.staged = item.other.staged
            else:
                item.staged = _stage_all(
                    source, run, item.path, clock, progress, first, limits, settings.privacy
                )
        except IngestError as error:
            item.error = error
        item.seconds = time.monotonic() - started
        first += len(item.staged)
        yield item


def read_together(sources: Sequence[Source]) -> Iterator[list[Source]]:
    """The sources one by one, those of each other system together where its first one stands."""
    groups: dict[str, list[Source]] = {}
    for index, source in enumerate(sources):
        group = source.format if source.format in NAMES else str(index)
        groups.setdefault(group, []).append(source)
    yield from groups.values()


def _without_conflict(store: Store, inputs: list[_Input]) -> list[_Input]:
    """The inputs; raises `TurnConflict` if any record has the id of another turn."""
    staged = [block for item in inputs for block in item.staged if block.count]
    if staged:
        with TurnsNow.of(store) as now, workbench() as con:
            resolved = resolved_keys(con, now, staged, "refuse")
            if resolved.conflicts:
                first = "SELECT turn_id FROM conflicts ORDER BY block, line LIMIT 1"
                ((turn_id,),) = con.execute(first).fetchall()
                each = con.execute("SELECT block, count(*) FROM conflicts GROUP BY block")
                blocks_of = dict(each.fetchall())
                found = {
                    item.name: sum(blocks_of.get(block.index, 0) for block in item.staged)
                    for item in inputs
                }
                raise TurnConflict.of({name: n for name, n in found.items() if n}, turn_id)
    return inputs


@rerun
def _commit(
    store: Store,
    item: _Input,
    run: Runner,
    clock: Clock,
    on_conflict: str,
    privacy: Privacy | None,
) -> FileReport:
    started, run_id = time.monotonic(), uuid.uuid4().hex
    source, staged, folder = item.source, item.staged, item.path
    name = item.name
    with TurnsNow.of(store) as now:
        planned = plan(now, staged, run, folder / f"plan-{run_id}", on_conflict)
    with store.commit() as cycle:
        if cycle.versions.get("turns", 0) != planned.version:
            # Another process has committed meanwhile: the plan has to be made again.
            again = folder / f"plan-again-{run_id}"
            planned = plan(TurnsNow.within(cycle), staged, run, again, on_conflict)
        resolved = planned.resolved
        if on_conflict == "refuse" and resolved.conflicts:
            raise TurnConflict.of({name: resolved.conflicts}, None)
        record_misdated(cycle, clock)
        planned.apply(cycle, clock.arrived)
        kept_apart = resolved.conflicts if planned.quarantine else 0
        _quarantine(cycle, item, run_id, planned.quarantine, privacy)
        notes = _notes(staged)
        _left_out(cycle, name, run_id, notes)
        report = FileReport(
            name,
            source.format,
            turns=planned.turns,
            replaced=resolved.replaced,
            unchanged=resolved.unchanged,
            quarantined=item.faulty + kept_apart,
            conflicts=resolved.conflicts,
            interim=resolved.interim,
            misdated=planned.misdated.turns if planned.misdated else 0,
            unknown=dict(notes.unknown.most_common()),
            not_numbers=_by_path(notes, NOT_A_NUMBER),
            out_of_range=_by_path(notes, OUT_OF_RANGE),
            redacted=dict(notes.redacted.most_common()),
            reasons=_reasons(item, planned.quarantine, privacy),
            seconds=item.seconds + time.monotonic() - started,
        )
        _record(cycle, report, run_id, item)
    return report


def _stage_all(
    source: Source,
    run: Runner,
    folder: Path,
    clock: Clock,
    progress: Progress,
    first: int,
    limits: Limits | None,
    privacy: Privacy | None,
) -> list[Staged]:
    staged: list[Staged] = []
    turns = 0
    work = (
        (block, index, folder, clock, privacy)
        for index, block in enumerate(blocks(source, limits), first)
    )
    for block in run.map(stage, work):
        if block.rows not in (None, block.count + block.faulty):
            raise IngestError(
                f"{source.name}: of {block.rows:,} rows {block.count + block.faulty:,} could be "
                "read, and nothing says what became of the others, so that nothing was ingested; "
                "write the file anew."
            )
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


def _quarantine(
    cycle: Cycle,
    item: _Input,
    run_id: str,
    conflicts: Path | None,
    privacy: Privacy | None,
) -> None:
    """Replace the faults from earlier runs of the same file by those of this run.

    `conflicts` is the file of records with the id of another turn, which count as faults.
    """
    names = [source.name for source in item.other.sources] if item.other else [item.name]
    cycle.delete_rows(
        "quarantine", "file IN (SELECT file FROM these)", {"these": pa.table({"file": names})}
    )
    # Perhaps millions, nearly in the table's order: written as they are read.
    layout = TABLES["quarantine"]
    faults: Iterator[pa.RecordBatch]
    if item.other:
        faults = (
            _of_run(batch, 0, {"run_id": run_id}) for batch in item.other.located_faults(conflicts)
        )
    else:
        faults = _faults(item.name, run_id, item.staged, conflicts)
    if privacy is not None:
        faults = redact_faults(faults, privacy)
    cycle.add("quarantine", write_batches(faults, layout, cycle.root / "quarantine"))
    _tidy(cycle, "quarantine")


def _reasons(item: _Input, conflicts: Path | None, privacy: Privacy | None) -> tuple[Reason, ...]:
    """The most frequent reasons for quarantine, of all blocks."""
    files = item.fault_files + ([conflicts] if conflicts else [])
    if not files:
        return ()
    sql = _REASONS.format(files=f"[{', '.join(literal(file) for file in files)}]")
    with workbench() as con:
        rows = con.execute(sql, {"most": MOST_REASONS}).fetchall()
    if privacy is not None:
        rows = [(redacted_text(p, privacy), redacted_text(w, privacy), n) for p, w, n in rows]
    return tuple(Reason(*row) for row in rows)


def _faults(
    name: str, run_id: str, staged: Sequence[Staged], conflicts: Path | None
) -> Iterator[pa.RecordBatch]:
    """The faults of all blocks as rows of the table, with the lines of the whole file."""
    constant = {"run_id": run_id, "file": name}
    before = 0
    for block in staged:
        if block.faults is not None:
            with pq.ParquetFile(block.faults) as file:
                for batch in file.iter_batches(_FAULTS):
                    yield _of_run(batch, before, constant)
        if conflicts:
            kept_apart = pq.read_table(conflicts, filters=[("block", "=", block.index)])
            for batch in kept_apart.drop_columns(["block"]).to_batches():
                yield _of_run(batch, before, constant)
        before += block.lines


def _of_run(batch: pa.RecordBatch, before: int, constant: Mapping[str, Any]) -> pa.RecordBatch:
    """Faults of a block as rows of `quarantine`; `before` lines of the file precede the block."""
    schema = TABLES["quarantine"].schema
    columns: dict[str, Any] = {key: batch[key] for key in batch.schema.names}
    columns["line"] = pc.add(columns["line"], before).cast(schema.field("line").type)
    now = pa.scalar(datetime.now(UTC), pa.timestamp("us", tz="UTC"))
    constant = {**constant, "quarantined_at": now}
    columns |= {key: pa.repeat(value, batch.num_rows) for key, value in constant.items()}
    return pa.record_batch([columns[key] for key in schema.names], schema=schema)


def _notes(staged: Sequence[Staged]) -> Notes:
    notes = Notes()
    for block in staged:
        notes.add(block.notes.unknown, block.notes.left_out)
        notes.redacted += block.notes.redacted
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


def _record(cycle: Cycle, report: FileReport, run_id: str, item: _Input) -> None:
    row = {
        "run_id": run_id,
        "file": report.file,
        "format": report.format,
        "turns": report.turns,
        "replaced": report.replaced,
        "quarantined": report.quarantined,
        "unknown_fields": json.dumps(report.unknown, ensure_ascii=False),
        "started_at": item.began,
        "finished_at": datetime.now(UTC),
        "conflicts": report.conflicts,
        "interim": report.interim,
        "misdated": report.misdated,
        "assistants": sorted(item.other.assistants)[:_MOST_ASSISTANTS] if item.other else None,
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
