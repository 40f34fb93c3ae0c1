"""Second half of reading other systems' logs: pieces → turns, one share of conversations at a time.

A task picks the pieces of its share of the groups from the files of all units, sorts them (DuckDB
spills to disk where memory does not suffice), lets the adapter make turns of each group, and writes
these as lines of traces. Lines are then staged as those of a trace log are (`data.ingest.staging`);
a table of their origins says where each turn stood in the files that were given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from data.ingest.adapters.adapter import Adapter, Assembled, Piece, Rejected, Settings
from data.ingest.adapters.registry import named
from data.ingest.block import Block, Limits
from data.ingest.positions import moved
from data.ingest.private_records import with_pseudonym
from data.ingest.row_file import table_of
from data.ingest.staging import Staged, stage
from data.ingest.validation import Fault, excerpt
from data.parallel import without_gc
from data.schema.trace import schema
from data.store.misdated import Clock
from data.store.parquet import workbench
from data.store.privacy import Privacy
from data.store.snapshot import literal

# What the lines of a block stand for: line n of the block is row n - 1.
ORIGINS = schema([("part", pa.int32()), ("number", pa.int64())])
REJECTED = schema(
    [
        ("part", pa.int32()),
        ("number", pa.int64()),
        ("field", pa.string()),
        ("reason", pa.string()),
        ("excerpt", pa.string()),
    ]
)
# Dialogues of a share, to find what the store and other shares have of them.
DIALOGUES = schema(
    [
        ("group", pa.string()),
        ("dialogue_id", pa.string()),
        ("turn_id", pa.string()),
        ("started_at", pa.string()),
        ("turn_index", pa.int64()),
        ("row", pa.int64()),
    ]
)
# Bytes of turns that are held and staged together.
_BLOCK = 8 << 20
_FETCHED = 4_096
_MEMORY = "700MB"
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Share:
    """The groups whose hash is in [first, end)."""

    first: int
    end: int


def shares(size: int, processes: int, each: int = 48 << 20) -> list[Share]:
    """As many shares as there are processes, or as keep one near `each` bytes of pieces."""
    number = max(1, -(-size // each))
    if number > 1 or size > _BLOCK:
        number = max(number, processes)
    number = min(number, 4_096)
    cuts = [(index << 32) // number for index in range(number + 1)]
    return [Share(first, end) for first, end in pairwise(cuts)]


@dataclass(frozen=True)
class Lines:
    """Turns of a share as lines of traces.

    Attributes
    ----------
    path: the lines. origins, dialogues: of each line, as `ORIGINS` and `DIALOGUES`. rejected: what
    could not be made a turn (None: nothing), and `faulty` how many.
    """

    path: Path
    origins: Path
    dialogues: Path
    count: int
    rejected: Path | None
    faulty: int
    assistants: frozenset[str]


def assemble(
    name: str,
    share: Share,
    pieces: Sequence[Path],
    dropped: Sequence[int],
    settings: Settings,
    folder: Path,
    index: int,
) -> list[Lines]:
    """Make the turns of a share. `pieces` are the files of all units, `dropped` the parts that
    belong to files of which nothing is ingested."""
    adapter = named(name, settings)
    blocks: list[Lines] = []
    writer = _Writer(folder, f"share-{index}-{len(blocks)}")
    with without_gc():
        for group in _groups(share, pieces, dropped, folder / f"share-{index}.spill"):
            for result in turns_of(adapter, group, settings):
                writer.add(result, settings)
                if writer.size >= _BLOCK:
                    blocks.append(writer.close())
                    writer = _Writer(folder, f"share-{index}-{len(blocks)}")
    blocks.append(writer.close())
    return [block for block in blocks if block.count or block.faulty]


def turns_of(
    adapter: Adapter, group: Iterator[Piece], settings: Settings
) -> Iterator[Assembled | Rejected]:
    """The turns of a group; a piece that the adapter cannot understand is rejected, and the rest of
    the group is a conversation of its own rather than lost."""
    last: list[Piece] = []

    def watched() -> Iterator[Piece]:
        for piece in group:
            last[:] = [piece]
            yield piece

    try:
        yield from adapter.turns(watched(), settings)
    except Fault as fault:
        if not last:
            raise AssertionError(f"{adapter.name} rejects what it has not read") from fault
        yield Rejected(last[0], fault.field, fault.reason)
        yield from turns_of(adapter, group, settings)


def _groups(
    share: Share, pieces: Sequence[Path], dropped: Sequence[int], spill: Path
) -> Iterator[Iterator[Piece]]:
    files = f"[{', '.join(literal(str(path)) for path in pieces)}]"
    without = f"AND part NOT IN ({', '.join(map(str, dropped))})" if dropped else ""
    with workbench(_MEMORY, spill) as con:
        # One thread: the parallelism is in the processes.
        con.execute("SET threads = 1")
        reader = con.sql(
            'SELECT "group", "at", "key", data, part, number '
            f"FROM read_parquet({files}) WHERE hash >= {share.first} AND hash < {share.end} "
            f'{without} ORDER BY "group", "at", "key", part, number'
        ).to_arrow_reader(_FETCHED)
        for _, group in groupby(only_last(_rows(reader)), key=lambda piece: piece.group):
            yield group


def _rows(reader: pa.RecordBatchReader) -> Iterator[Piece]:
    for batch in reader:
        columns = [column.to_pylist() for column in batch.columns]
        yield from map(Piece._make, zip(*columns, strict=True))


def only_last(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """The pieces, of equal ones the last."""
    held: Piece | None = None
    for piece in pieces:
        if held is not None and not (piece.key and piece[:3] == held[:3]):
            yield held
        held = piece
    if held is not None:
        yield held


class _Writer:
    """Collects the turns of a block and writes them as lines."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"{name}.jsonl"
        self._lines: list[bytes] = []
        self._origins: list[tuple[int, int]] = []
        self._dialogues: list[tuple[str, str, str, str, int, int]] = []
        self._rejected: list[tuple[int, int, str, str, str]] = []
        self._assistants: set[str] = set()
        self.size = 0

    def add(self, result: Assembled | Rejected, settings: Settings) -> None:
        origin = result.origin
        if isinstance(result, Rejected):
            text = excerpt(_readable(origin.data))
            self._rejected.append((origin.part, origin.number, result.field, result.reason, text))
            self.size += len(text)
            return
        turn = dict(result.turn)
        if settings.privacy is not None:
            turn = with_pseudonym(turn, settings.privacy)
        if settings.assistant:
            turn["assistant"] = settings.assistant
        assistant = turn.get("assistant")
        if isinstance(assistant, str):
            self._assistants.add(assistant)
        line = _encode(turn) + b"\n"
        self._dialogues.append(
            (
                origin.group,
                str(turn.get("dialogue_id")),
                str(turn.get("turn_id")),
                str(turn.get("started_at")),
                turn["turn_index"],
                len(self._lines),
            )
        )
        self._lines.append(line)
        self._origins.append((origin.part, origin.number))
        self.size += len(line)

    def close(self) -> Lines:
        with self._path.open("wb") as file:
            file.writelines(self._lines)
        origins = self._path.with_suffix(".origins.parquet")
        dialogues = self._path.with_suffix(".dialogues.parquet")
        rejected = self._path.with_suffix(".rejected.parquet") if self._rejected else None
        pq.write_table(table_of(self._origins, ORIGINS), origins)
        pq.write_table(table_of(self._dialogues, DIALOGUES), dialogues)
        if rejected:
            pq.write_table(table_of(self._rejected, REJECTED), rejected)
        return Lines(
            self._path,
            origins,
            dialogues,
            len(self._lines),
            rejected,
            len(self._rejected),
            frozenset(self._assistants),
        )


def _readable(data: bytes) -> bytes:
    """A piece's data as JSON."""
    try:
        return _encode(msgspec.msgpack.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return data


def stage_lines(
    lines: Lines,
    moves: Path,
    index: int,
    folder: Path,
    clock: Clock,
    limits: Limits,
    privacy: Privacy | None,
) -> Staged:
    """Check a block of turns, at the positions of `positions.moves`, and write them as
    `staging.stage` does."""
    data = moved(lines.path.read_bytes(), lines.dialogues, moves)
    lines.path.unlink()
    staged = stage(Block(data, limits=limits), index, folder, clock, privacy)
    return replace(staged, origins=lines.origins)
