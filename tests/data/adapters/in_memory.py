"""An adapter and the frame around it, without files: what a log becomes, piece by piece."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import msgspec

from data.ingest.adapters.adapter import Adapter, Piece, Reading, Rejected, Settings
from data.ingest.assembly import only_last, turns_of
from data.ingest.validation import Fault, Notes, check


@dataclass
class Log:
    """What an adapter made of a log: turns as stored, all and by id; faults; groups of records."""

    every: list[dict[str, Any]] = field(default_factory=list)
    turns: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: list[tuple[int, str]] = field(default_factory=list)
    groups: dict[int, set[str]] = field(default_factory=dict)
    # Group of each turn.
    group_of: dict[str, str] = field(default_factory=dict)


def read(adapter: Adapter, data: bytes, settings: Settings | None = None) -> Log:
    """Read a log as ingestion does; raises nothing but what a defect of the adapter raises."""
    return take(adapter, _records(adapter, data), settings)


def take(
    adapter: Adapter, records: Iterable[tuple[int, Any]], settings: Settings | None = None
) -> Log:
    """What becomes of records with their numbers, as `read` has it."""
    log = Log()
    pieces: list[Piece] = []
    for number, record in records:
        try:
            if isinstance(record, Fault):
                raise record
            for piece in adapter.pieces(record):
                # As the file in between demands.
                assert isinstance(piece.group, str)
                assert isinstance(piece.key, str)
                assert isinstance(piece.data, bytes)
                assert -(2**63) <= piece.at < 2**63
                piece.group.encode()
                piece.key.encode()
                pieces.append(piece._replace(number=number))
                log.groups.setdefault(number, set()).add(piece.group)
        except Fault as fault:
            log.faults.append((number, str(fault)))
    pieces.sort(key=lambda piece: (piece.group, piece.at, piece.key, piece.number))
    for name, group in groupby(only_last(iter(pieces)), key=lambda piece: piece.group):
        for result in turns_of(adapter, group, settings or Settings()):
            if isinstance(result, Rejected):
                log.faults.append((result.origin.number, f"{result.field}: {result.reason}"))
                continue
            try:
                checked = check(msgspec.json.encode(result.turn), Notes())
            except Fault as fault:
                log.faults.append((result.origin.number, str(fault)))
                continue
            assert checked.extra is None, f"unknown fields: {checked.extra}"
            turn = json.loads(checked.json)
            log.every.append(turn)
            log.turns[turn["turn_id"]] = turn
            log.group_of[turn["turn_id"]] = name
    return log


def _records(adapter: Adapter, data: bytes) -> Iterator[tuple[int, Any]]:
    if adapter.reading(data[: 256 << 10]) is Reading.LINES:
        for number, line in enumerate(data.split(b"\n"), 1):
            if line and not line.isspace():
                yield number, line
        return
    number = 0
    try:
        for number, record in adapter.records(io.BufferedReader(io.BytesIO(data))):
            yield number, record
    except Fault as fault:
        yield number + 1, fault
