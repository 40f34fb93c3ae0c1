"""Logs of other systems, from their files to staged turns.

All files of one system that are given together are one input, as the records of one conversation
may lie in any of them. A file that cannot be read is left out with its reason; the others go on.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from os.path import commonpath
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.counted import counted
from data.errors import IngestError, NoTurns
from data.ingest.adapters.adapter import Settings
from data.ingest.adapters.registry import named, without_turns
from data.ingest.assembly import Lines, assemble, shares, stage_lines
from data.ingest.block import LONGEST_LINE, Limits, Source
from data.ingest.extraction import Extracted, extract, units
from data.ingest.positions import moves
from data.ingest.staging import Staged
from data.parallel import Runner
from data.schema.trace import schema
from data.store.misdated import Clock
from data.store.privacy import Privacy
from progress import Progress

# Where a faulty record stood, and what is wrong with it; as the quarantine has it.
LOCATED = schema(
    [
        ("file", pa.string()),
        ("line", pa.int64()),
        ("field", pa.string()),
        ("reason", pa.string()),
        ("excerpt", pa.string()),
    ]
)
_WHAT = ("field", "reason", "excerpt")
_ROWS = 16_000


@dataclass
class OtherLogs:
    """Files of one system that are read together.

    Attributes
    ----------
    name: of the file, or of the folder that all of them lie in. failed: files that could not be
    read, and why. assistants: whose turns they are.
    """

    format: str
    sources: Sequence[Source]
    staged: list[Staged] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)
    assistants: set[str] = field(default_factory=set)
    _parts: dict[int, tuple[int, int]] = field(default_factory=dict)
    _faults: list[Path] = field(default_factory=list)
    _faulty: int = 0

    @property
    def name(self) -> str:
        names = [source.name for source in self.sources]
        read = [name for index, name in enumerate(names) if index not in self.failed]
        if len(read) == 1:
            return read[0]
        folder = commonpath(names)
        return f"{folder} ({counted(len(read), 'file')})"

    @property
    def size(self) -> int:
        return sum(source.size or 0 for source in self.sources)

    @property
    def faulty(self) -> int:
        """Records that are not in any turn, and turns that are not valid."""
        return self._faulty + sum(block.faulty for block in self.staged)

    @property
    def fault_files(self) -> list[Path]:
        """The files of all faults, which have at least the columns field and reason."""
        return [*self._faults, *(block.faults for block in self.staged if block.faults)]

    def failures(self) -> list[tuple[str, str]]:
        """Name of each file that could not be read, and why."""
        return [(self.sources[file].name, why) for file, why in sorted(self.failed.items())]

    def read(
        self,
        run: Runner,
        folder: Path,
        clock: Clock,
        settings: Settings,
        stored: Sequence[Path],
        progress: Progress,
        first: int,
        limits: Limits | None,
    ) -> None:
        """Read all files into `staged`, whose numbers begin with `first`.

        `stored` are the files of the store's turns, whose dialogues may go on. Raises `IngestError`
        if nothing of any file is a turn.
        """
        limits = limits or Limits(LONGEST_LINE)
        lines = self.turn_lines(run, folder, settings, progress, limits)
        privacy = settings.privacy
        self._stage(run, lines, folder, clock, stored, first, limits, progress, privacy)
        turns = sum(block.count for block in self.staged)
        if not turns and len(self.failed) == len(self.sources):
            raise IngestError(next(iter(self.failed.values())))
        if not turns and not self.faulty:
            raise NoTurns(without_turns(self.name, self.format))

    def where(self, part: int, number: int) -> tuple[Source, int]:
        """The file and the line (or record) that a piece's part and number stand for."""
        file, before = self._parts[part]
        return self.sources[file], before + number

    def problems(self, most: int) -> list[dict[str, Any]]:
        """The first records that could not be read, as `LOCATED`."""
        found: list[dict[str, Any]] = []
        for batch in self._located(self._faults):
            found += batch.slice(0, most).to_pylist()
            if len(found) >= most:
                break
        return found[:most]

    def turn_lines(
        self, run: Runner, folder: Path, settings: Settings, progress: Progress, limits: Limits
    ) -> list[Lines]:
        """Read all files into lines of traces, in blocks, with what could not be made a turn."""
        self._spool_stdin(folder)
        extracted = list(self._extracted(run, folder, limits, settings, progress))
        pieces = [unit.pieces for unit in extracted if unit.pieces]
        dropped = [part for part, (file, _) in self._parts.items() if file in self.failed]
        lines: list[Lines] = []
        if pieces:
            size = sum(unit.size for unit in extracted)
            work = (
                (self.format, share, pieces, dropped, settings, folder, index)
                for index, share in enumerate(shares(size, run.processes))
            )
            for blocks in run.map(assemble, work):
                lines += blocks
        for path in pieces:
            path.unlink()
        for block in lines:
            self.assistants |= block.assistants
            if block.rejected:
                self._faults.append(block.rejected)
        return lines

    def _spool_stdin(self, folder: Path) -> None:
        """Standard input is put into a file, as its records may be needed in another order."""
        sources = list(self.sources)
        for index, source in enumerate(sources):
            if source.path is None:
                path = folder / "stdin"
                with path.open("wb") as file:
                    shutil.copyfileobj(sys.stdin.buffer, file)
                sources[index] = replace(source, path=path, size=path.stat().st_size)
        self.sources = sources

    def _extracted(
        self,
        run: Runner,
        folder: Path,
        limits: Limits,
        settings: Settings,
        progress: Progress,
    ) -> Iterator[Extracted]:
        counts: dict[int, int] = {}
        files: dict[int, int] = {}
        total, done = self.size or None, 0

        def work() -> Iterator[tuple[Any, ...]]:
            adapter = named(self.format, settings)
            for index, unit in enumerate(units(adapter, self.sources, limits, self.failed)):
                files.update({part.index: part.file for part in unit})
                yield self.format, unit, index, folder, settings

        for unit in run.map(extract, work()):
            self.failed.update(unit.failed)
            counts.update(unit.lines)
            if unit.faults:
                self._faults.append(unit.faults)
            done += unit.done
            progress(done, total, self.name, 0)
            yield unit
        before: dict[int, int] = {}
        for part in sorted(files):
            file = files[part]
            self._parts[part] = (file, before.get(file, 0))
            before[file] = before.get(file, 0) + counts.get(part, 0)

    def _stage(
        self,
        run: Runner,
        lines: Sequence[Lines],
        folder: Path,
        clock: Clock,
        stored: Sequence[Path],
        first: int,
        limits: Limits,
        progress: Progress,
        privacy: Privacy | None,
    ) -> None:
        blocks = [block for block in lines if block.count]
        if blocks:
            moved = moves([block.dialogues for block in blocks], stored, folder)
        work = (
            (block, moved, index, folder, clock, limits, privacy)
            for index, block in enumerate(blocks, first)
        )
        turns = 0
        for staged in run.map(stage_lines, work):
            self.staged.append(staged)
            turns += staged.count
            progress(self.size, self.size or None, self.name, turns)
        self._faulty = sum(batch.num_rows for batch in self._located(self._faults))

    def located_faults(self, conflicts: Path | None) -> Iterator[pa.RecordBatch]:
        """All faults as `LOCATED`; `conflicts` are records with the id of another turn."""
        yield from self._located(self._faults)
        for block in self.staged:
            if block.origins is None:
                continue
            if block.faults:
                yield from self._located([block.faults], block.origins)
            if conflicts:
                kept_apart = pq.read_table(conflicts, filters=[("block", "=", block.index)])
                yield from self._batches(kept_apart.to_batches(), block.origins)

    def _located(
        self, paths: Sequence[Path], origins: Path | None = None
    ) -> Iterator[pa.RecordBatch]:
        for path in paths:
            with pq.ParquetFile(path) as file:
                yield from self._batches(file.iter_batches(_ROWS), origins)

    def _batches(
        self, batches: Iterator[pa.RecordBatch] | Sequence[pa.RecordBatch], origins: Path | None
    ) -> Iterator[pa.RecordBatch]:
        """Faults with file and line, from the part and number of a record or, with `origins`, from
        the line of a block of turns."""
        where = pq.read_table(origins) if origins else None
        for batch in batches:
            table = pa.Table.from_batches([batch])
            if where is not None:
                table = table.drop_columns(
                    [name for name in ("part", "number") if name in table.column_names]
                )
                found = where.take(pc.subtract(table["line"], 1))
                for name in ("part", "number"):
                    table = table.append_column(name, found[name])
            else:
                name = "line" if "number" not in table.column_names else "number"
                table = table.rename_columns(
                    ["number" if column == name else column for column in table.column_names]
                )
            parts: list[Any] = table["part"].to_pylist()
            numbers: list[Any] = table["number"].to_pylist()
            keep = [self._parts[part][0] not in self.failed for part in parts]
            files = [self.sources[self._parts[part][0]].name for part in parts]
            located = [
                self._parts[part][1] + number for part, number in zip(parts, numbers, strict=True)
            ]
            table = pa.table(
                {
                    "file": pa.array(files, pa.string()),
                    "line": pa.array(located, pa.int64()),
                    **{
                        name: table[name].combine_chunks()
                        for name in ("field", "reason", "excerpt")
                    },
                },
                schema=LOCATED,
            ).filter(pa.array(keep, pa.bool_()))
            yield from table.to_batches()
