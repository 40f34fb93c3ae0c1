"""What ingestion would store of an input, shown beside the lines that it comes from."""

from __future__ import annotations

import heapq
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data.errors import IngestError
from data.ingest.adapters.adapter import Settings
from data.ingest.adapters.registry import NAMES, named, without_turns
from data.ingest.assembly import Lines
from data.ingest.block import LONGEST_LINE, Block, Limits, Source
from data.ingest.extraction import record_texts
from data.ingest.ingest import read_together
from data.ingest.other_logs import OtherLogs
from data.ingest.positions import moved, moves
from data.ingest.sources import blocks, discover
from data.ingest.staging import split_lines
from data.ingest.validation import Fault, Notes, check, excerpt
from data.parallel import runner
from data.store.privacy import Privacy
from progress import silent

# Turns, and faulty records, that are shown of an input.
SHOWN = 3


@dataclass(frozen=True)
class Example:
    """A turn and its origin.

    Attributes
    ----------
    source: the beginning of the line or record that the turn begins with. turn: the record that
    would be stored. problem: why it would go to quarantine instead.
    """

    file: str
    line: int
    source: str
    turn: dict[str, Any] | None = None
    problem: str | None = None


@dataclass(frozen=True)
class DryRun:
    """What would become of some files that are read together.

    `examples` are the first turns in the order of the files, `problems` the first faulty records.
    `hint`: what another system's logs were taken for, if no turn of them can be stored.
    """

    format: str
    title: str
    files: Sequence[str]
    examples: list[Example] = field(default_factory=list)
    problems: list[Example] = field(default_factory=list)
    cannot_know: Sequence[str] = ()
    error: str | None = None
    hint: str | None = None


def dry_run(
    paths: Sequence[str | Path],
    format: str | None = None,
    settings: Settings | None = None,
    limits: Limits | None = None,
    shown: int = SHOWN,
) -> list[DryRun]:
    """Read inputs as `ingest` does, but store nothing.

    A trace log is read until enough turns are found; another system's log as a whole, as the
    records of a turn may lie anywhere in it. Raises `IngestError` and `UsageError` as `discover`.
    """
    limits = limits or Limits(LONGEST_LINE)
    results: list[DryRun] = []
    settings = settings or Settings()
    for group in read_together(discover(paths, format, assistant=settings.assistant)):
        kind, names = group[0].format, [source.name for source in group]
        title = named(kind).title if kind in NAMES else "traces"
        try:
            if kind in NAMES:
                examples, problems = _other(group, settings, limits, shown)
            else:
                examples, problems = _traces(group[0], settings, limits, shown)
        except IngestError as error:
            results.append(DryRun(kind, title, names, error=str(error)))
            continue
        if kind not in NAMES:
            results.append(DryRun(kind, title, names, examples, problems))
            continue
        # Where fewer are shown than may be, there are no more.
        none = len(examples) < shown and all(example.problem for example in examples)
        where = names[0] if len(names) == 1 else f"The input of {len(names)} files"
        hint = without_turns(where, kind) if none else None
        cannot_know = named(kind).cannot_know
        results.append(DryRun(kind, title, names, examples, problems, cannot_know, hint=hint))
    return results


def _traces(
    source: Source, settings: Settings, limits: Limits, shown: int
) -> tuple[list[Example], list[Example]]:
    examples: list[Example] = []
    problems: list[Example] = []
    for number, line in _numbered(blocks(source, limits)):
        try:
            checked = check(line, Notes(), settings.privacy)
        except Fault as fault:
            if len(problems) < shown:
                problems.append(Example(source.name, number, excerpt(line), problem=str(fault)))
            continue
        turn = json.loads(checked.json)
        if gold := json.loads(checked.gold):
            turn["gold"] = gold
        examples.append(Example(source.name, number, excerpt(line), turn))
        if len(examples) == shown:
            break
    return examples, problems


def _numbered(blocks: Iterator[Block]) -> Iterator[tuple[int, bytes]]:
    number = 0
    for block in blocks:
        for line in split_lines(block.load()):
            number += 1
            if line and not line.isspace():
                yield number, line


def _other(
    group: Sequence[Source], settings: Settings, limits: Limits, shown: int
) -> tuple[list[Example], list[Example]]:
    logs = OtherLogs(group[0].format, group)
    with tempfile.TemporaryDirectory(prefix="faultline-") as folder, runner(1) as run:
        lines = logs.turn_lines(run, Path(folder), settings, silent, limits)
        if not lines and len(logs.failed) == len(group):
            raise IngestError(next(iter(logs.failed.values())))
        first = heapq.nsmallest(shown, _origins(lines), key=lambda origin: origin[:2])
        # Nothing is known of a store here.
        filled = [block.dialogues for block in lines if block.count]
        placed = moves(filled, [], Path(folder)) if filled else None
        adapter = named(logs.format, settings)
        examples: list[Example] = []
        for part, number, block, row in first:
            source, line = logs.where(part, number)
            assert placed is not None
            turns = moved(block.path.read_bytes(), block.dialogues, placed)
            text = turns.splitlines()[row]
            record = record_texts(adapter, source, limits, {line})
            shown_turn, problem = _checked(text, settings.privacy)
            examples.append(Example(source.name, line, record.get(line, ""), shown_turn, problem))
        problems = [
            Example(
                each["file"],
                each["line"],
                each["excerpt"],
                problem=str(Fault(each["field"], each["reason"])),
            )
            for each in logs.problems(shown)
        ]
        return examples, problems


def _origins(lines: Sequence[Lines]) -> Iterator[tuple[int, int, Lines, int]]:
    """Part and number of each turn's first piece, its block, and its row in that."""
    for block in lines:
        origins = pq.read_table(block.origins)
        parts: list[Any] = origins["part"].to_pylist()
        numbers: list[Any] = origins["number"].to_pylist()
        for row, (part, number) in enumerate(zip(parts, numbers, strict=True)):
            yield part, number, block, row


def _checked(line: bytes, privacy: Privacy | None) -> tuple[dict[str, Any], str | None]:
    """The record as it would be stored, or as the adapter made it and why it is not valid."""
    try:
        return json.loads(check(line, Notes(), privacy).json), None
    except Fault as fault:
        return json.loads(line), str(fault)
