"""Tables of any system, CSV or Parquet, by a mapping file.

A row is a turn. Which column is which field, and how its cells are read, is said by the mapping
(`data.ingest.tables.mapping`); where the table has no dialogues, the pauses of a device (or caller)
divide its turns into dialogues, and where it has no positions, the turns are counted by time. Rows
are sorted by dialogue and time, so their order in the file does not matter.

Python's csv module reads CSV, as it alone says in which line a row begins that cannot be read, from
a stream that unpacks within limits; pyarrow reads Parquet, by row groups.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from data.errors import MappingError
from data.ingest.adapters.adapter import Assembled, Piece, Reading, Rejected, Settings
from data.ingest.adapters.common import pack, unpack
from data.ingest.tables.mapping import TableMapping, read_mapping
from data.ingest.tables.reading import WIDE, Ragged, is_parquet, rows
from data.ingest.tables.values import RowReader
from data.ingest.validation import Fault

_LARGEST_INDEX = 2**31 - 1


class Table:
    """Reads tables; see `data.ingest.adapters.adapter.Adapter`. Only what `bound` returns can
    read."""

    name = "table"
    title = "a table with a mapping"
    cannot_know: tuple[str, ...] = (
        "what its mapping does not name",
        "expect weaker verdicts on the stages without columns",
    )

    def __init__(self, mapping: TableMapping | None = None) -> None:
        self._mapping = mapping
        self._reader = RowReader(mapping) if mapping else None

    def bound(self, settings: Settings) -> Table:
        """The adapter for the mapping that the settings name; raises `MappingError`."""
        if settings.mapping is None:
            raise MappingError(
                "The format table needs a mapping; propose one with: faultline mapping FILE --to "
                "mapping.toml, and give it with --mapping."
            )
        return Table(read_mapping(settings.mapping))

    def recognises(self, head: bytes) -> bool:
        # Only a person can say what a column means.
        return False

    def reading(self, head: bytes) -> Reading:
        return Reading.SEEK if is_parquet(head) or head.startswith(WIDE) else Reading.WHOLE

    def records(self, stream: BinaryIO) -> Iterator[tuple[int, Any]]:
        if self._mapping is None:
            raise AssertionError("a table is read by an adapter that is bound to a mapping")
        return rows(stream, self._mapping)

    def pieces(self, record: Any) -> Iterable[Piece]:
        if self._reader is None:
            raise AssertionError("a table is read by an adapter that is bound to a mapping")
        if isinstance(record, Ragged):
            raise record.fault()
        if not isinstance(record, dict):
            raise Fault("", "expected a row of a table")
        if not self._reader.counts(record):
            return
        row = self._reader.turn(record)
        try:
            data = pack(row.turn)
        except (OverflowError, RecursionError):
            raise Fault("", "a number of more than 64 bits, or nested too deeply") from None
        yield Piece(row.group, row.at, row.turn["turn_id"], data)

    def turns(self, pieces: Iterator[Piece], settings: Settings) -> Iterator[Assembled | Rejected]:
        by = self._mapping.by if self._mapping else None
        idle = (by.idle_us if by else None) or settings.idle_us
        dialogue, number, before = "", 0, 0
        for piece in pieces:
            turn = unpack(piece.data)
            if by:
                if not dialogue or piece.at - before > idle:
                    dialogue, number = f"{piece.group} {turn['started_at']}", 0
                before = piece.at
                turn["dialogue_id"] = dialogue
            given = turn.get("turn_index")
            if not isinstance(given, int) or by:
                turn["turn_index"] = number
            number = min(turn["turn_index"], _LARGEST_INDEX - 1) + 1
            yield Assembled(turn, piece)


ADAPTER = Table()
