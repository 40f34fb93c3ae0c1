"""What every adapter is: how a log is recognised, read, taken apart, and made into turns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, runtime_checkable

from data.store.privacy import Privacy

# Bytes of an (unpacked) file by which its format is recognised; a record may be cut at their end.
HEAD = 256 << 10


class Reading(Enum):
    """How the records of a file are found.

    `LINES`: one record per line. `CUT`: `Adapter.records` finds the bytes of each record without
    decoding them, which is quick, so that other processes can decode. `WHOLE`: `Adapter.records`
    decodes; a file is then read by one process. `SEEK`: as `WHOLE`, but the stream is the file as
    it is stored, which can be sought, and may begin with anything.
    """

    LINES = "lines"
    CUT = "cut"
    WHOLE = "whole"
    SEEK = "seek"


class Unfit(Exception):
    """Raised by `Adapter.records` for a file of which nothing can be read: what is wrong with it,
    as goes behind its name: "has no column 'call'; …"."""


@dataclass(frozen=True)
class Settings:
    """What a person may say about logs of other assistants.

    Attributes
    ----------
    idle_minutes: a pause after which a device's next request begins a new dialogue, where the log
    itself has no dialogues.
    assistant: the name under which turns are stored; by default what the log says.
    mapping: the mapping file of a table, see `data.ingest.adapters.table`.
    privacy: what the store redacts; ingestion sets it.
    """

    idle_minutes: float = 5.0
    assistant: str | None = None
    mapping: Path | None = None
    privacy: Privacy | None = None

    @property
    def idle_us(self) -> int:
        """`idle_minutes` in microseconds."""
        return round(self.idle_minutes * 60_000_000)


class Piece(NamedTuple):
    """A part of a turn, as one record of a log tells it.

    Attributes
    ----------
    group: pieces of one group are brought together, ordered by `at`, then `key`, then arrival.
    at: microseconds since 1970; where a log has no times, any number that orders the pieces.
    key: pieces with the same group, time and key are the same; only the last one arrives. Empty:
    no other piece is the same.
    data: what is known, as the adapter encodes it.
    part, number: where it was read, as `data.ingest.extraction` counts it: the part of the input,
    and the line or record in it.
    """

    group: str
    at: int
    key: str
    data: bytes
    part: int = 0
    number: int = 0


class Assembled(NamedTuple):
    """A turn in the trace format (`turn_index` from 0 in this input), and the piece it began
    with, by which reports name file and line."""

    turn: Mapping[str, Any]
    origin: Piece


class Rejected(NamedTuple):
    """A piece of which no turn can be made: goes to quarantine with field and reason."""

    origin: Piece
    field: str
    reason: str


class Adapter(Protocol):
    """Reads the logs of one system.

    An adapter that needs the settings before `turns` also has a method `bound(settings)`, which
    returns the adapter to use with them, and raises `FaultlineError` where they are wrong; see
    `Bindable`.

    Attributes
    ----------
    name: the value of `--format`, such as `lex-v2`.
    title: what people call these logs.
    cannot_know: what the log never says, each as a noun phrase: "ASR confidence"; and what follows
    from it for the verdicts, as the last item, a clause: "expect weaker verdicts on ASR".
    needs: optional; what a turn cannot be without, as a log may have lost it: "spans named a or b".
    """

    name: str
    title: str
    cannot_know: tuple[str, ...]

    def recognises(self, head: bytes) -> bool:
        """Whether a file that begins with `head` (unpacked, at most `HEAD` bytes, perhaps cut in
        a record) is this system's. Must be quick, and false where in doubt."""
        ...

    def reading(self, head: bytes) -> Reading:
        """How the records of a file that begins with `head` are found."""
        ...

    def records(self, stream: BinaryIO) -> Iterator[tuple[int, Any]]:
        """Number (from 1) and content of each record: bytes where it is read by `CUT`, decoded
        objects where by `WHOLE`; never called for `LINES`.

        Raises `validation.Fault` (field "", and the reason) where the rest cannot be read, after
        all that could be has been yielded. A `Fault` may instead be yielded as the content of a
        record, where reading goes on behind it.
        """
        ...

    def pieces(self, record: Any) -> Iterable[Piece]:
        """The pieces of a record: of the bytes of a line, or what `records` yields.

        None for a record that belongs to no turn. Raises `validation.Fault` for one that cannot be
        understood, with the field and the reason.
        """
        ...

    def turns(self, pieces: Iterator[Piece], settings: Settings) -> Iterator[Assembled | Rejected]:
        """The turns of one group, whose pieces come in order."""
        ...


@runtime_checkable
class Bindable(Protocol):
    """An adapter whose reading depends on the settings."""

    def bound(self, settings: Settings) -> Adapter:
        """The adapter that reads by these settings."""
        ...
