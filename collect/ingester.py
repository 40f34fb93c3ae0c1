"""The process behind the receiver: spool → finished turns → store.

    python -m collect.ingester    (`collect.serving` starts it and writes its settings to stdin)

It runs beside the HTTP server, so that acknowledgements do not wait for it. It prints its figures,
one JSON object per line, and ends when standard input does: after `stop` with everything that has
ended in the store, without it (the server was killed) at once.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import tempfile
import threading
import time
import uuid
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pyarrow as pa
from filelock import FileLock

from collect.open_traces import Batch, Limits, OpenTraces
from collect.otlp_bodies import JSON, TYPES, Received, Refused, document, spans_of
from collect.spool import Reader, Record, carry
from collect.stored_traces import StoredTraces
from data.errors import FaultlineError, NoTurns, machine_error
from data.event_log import configure_as_told
from data.ingest import block
from data.ingest.adapters.adapter import Settings
from data.ingest.ingest import ingest
from data.ingest.private_records import redact_faults
from data.ingest.validation import excerpt
from data.schema.tables import QUARANTINE
from data.store.durability import sync
from data.store.privacy import privacy_of
from data.store.rerun import rerun
from data.store.store import Store

# Kinds of records of the spool: a request in one of the encodings, or what was refused.
KINDS = TYPES
REFUSED = len(KINDS)
_ENDINGS = {kind: ".jsonl" if kind == JSON else ".pb" for kind in KINDS}
# Spans that are ingested together at most.
_MOST_SPANS = 120_000
# Spans of one resource and scope that are written as one message, which is a line in JSON: so many
# at most, and so many bytes where one span alone does not have more.
_MESSAGE, _MESSAGE_BYTES = 500, 4 << 20
# Bytes of the spool that are read before looking for what is due.
_READ = 16 << 20
_POLL_S = 0.2
_RETRY_S = 5.0
# Attempts to store something when the collector ends, and the seconds between them.
_LAST_ATTEMPTS, _LAST_RETRY_S = 3, 1.0
# The spool is rewritten without what is done with when it is this many times what is held.
_CARRY_FROM, _CARRY_TIMES = 256 << 20, 4
# Bounds of the histogram of how long a batch takes to be stored, in seconds; above them is a last
# bucket.
COMMIT_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Setup(msgspec.Struct):
    """What the process is told: `name` is that of the runs, times are seconds, `held` bytes."""

    store: str
    spool: str
    name: str
    grace: float
    idle: float
    every: float
    held: int
    assistant: str | None = None


class Figures(msgspec.Struct):
    """What has happened since the process began, and how far behind it is.

    `lag`: seconds since the oldest turn was due that is not stored yet. `stored_at`: when a batch
    was stored last, in seconds since 1970; 0 if none was. `problem`: why nothing can be stored at
    the moment. `commits`: how many batches took up to each of `COMMIT_BOUNDS`, and longer;
    `commit_seconds`: how long all of them took.
    """

    spans: int = 0
    turns: int = 0
    replaced: int = 0
    quarantined: int = 0
    late: int = 0
    runs: int = 0
    open_traces: int = 0
    held_bytes: int = 0
    spool_bytes: int = 0
    unread_bytes: int = 0
    damaged_bytes: int = 0
    lag: float = 0.0
    stored_at: float = 0.0
    problem: str | None = None
    commit_seconds: float = 0.0
    commits: list[int] = msgspec.field(default_factory=lambda: [0] * (len(COMMIT_BOUNDS) + 1))


class RefusedBody(msgspec.Struct):
    """What a record of the kind `REFUSED` holds: why something was refused, and what it was."""

    field: str
    reason: str
    excerpt: bytes


@dataclass
class Ingester:
    """Reads the spool and ingests what is finished; `report` is told the figures.

    `stop`: set when the collector is to end.
    """

    setup: Setup
    report: Callable[[Figures], None]
    stop: threading.Event = field(default_factory=threading.Event)
    figures: Figures = field(default_factory=Figures)
    ending: bool = False

    def __post_init__(self) -> None:
        self._spool = Path(self.setup.spool)
        self._reader = Reader(self._spool)
        limits = Limits(self.setup.grace, self.setup.idle, self.setup.held)
        self._traces = OpenTraces(limits, StoredTraces(self._spool))
        # Not made anew: where it is gone, it has to be put back.
        self._store = Store.open(self.setup.store)
        # For the quarantine, with the times of arrival.
        self._faults: list[tuple[float, RefusedBody]] = []
        self._read_since = 0
        self._last = 0.0
        # When the first turn was due of what is being ingested.
        self._since: float | None = None

    def step(self) -> bool:
        """Read on, and ingest if something is due; whether there is more to do at once."""
        before = self.figures.spans
        records = self._reader.read(_READ)
        for record in records:
            self._take(record)
        # What has not been read may still belong to what is due, and one large ingestion costs less
        # than several small ones.
        behind = sum(len(record.body) for record in records) >= _READ
        self._read_since += self.figures.spans - before
        now = time.time()
        worked = False
        waits = behind and self._read_since < _MOST_SPANS
        if not waits and (self.ending or now - self._last >= self.setup.every):
            batch = self._traces.due(now, _MOST_SPANS, self.ending and not behind)
            if batch.spans or batch.closed or self._faults:
                self._last, self._read_since = now, 0
                self._store_batch(batch)
                worked = True
            elif self._removable():
                # Nothing new of what an earlier process had stored.
                self._last = now
                self._remove_segments()
        self._tell()
        return worked or bool(records)

    def _take(self, record: Record) -> None:
        at = record.arrived / 1e6
        if record.kind == REFUSED:
            self._faults.append((at, msgspec.msgpack.decode(record.body, type=RefusedBody)))
            return
        for span in spans_of(record.body, KINDS[record.kind]):
            if isinstance(span, Refused):
                self._faults.append((at, RefusedBody(*span)))
                continue
            self.figures.spans += 1
            if not self._traces.add(span, at, record.segment):
                why = "came after its trace had ended; a longer --grace waits longer"
                fault = RefusedBody("", why, f"a span named {span.name}".encode())
                self._faults.append((at, fault))

    def _store_batch(self, batch: Batch) -> None:
        """Ingest a batch, as often as it takes; while the collector ends, a few times."""
        self._since = batch.since
        last_attempts = 0
        while True:
            last_attempts += self.stop.is_set()
            began = time.monotonic()
            try:
                for kind in KINDS:
                    spans = [s for trace in batch.spans for s in trace if s.kind == kind]
                    if spans:
                        self._ingest(spans, kind)
                batch.spans = []
                self._quarantine()
                break
            except (FaultlineError, OSError) as error:
                self.figures.problem = self._problem(error)
                self._tell()
                if last_attempts >= _LAST_ATTEMPTS:
                    # It is in the spool for the next start.
                    raise SystemExit(1) from error
                if last_attempts:
                    time.sleep(_LAST_RETRY_S)
                else:
                    self.stop.wait(_RETRY_S)
        self.figures.problem = self._since = None
        self._count(time.monotonic() - began)
        self._traces.forget(batch.closed)
        self._remove_segments()

    def _problem(self, error: Exception) -> str:
        """Why nothing can be stored, as a sentence."""
        if gone := missing(self._store.path, self._spool):
            return gone
        return str(machine_error(error, self._store.path) or error)

    def _count(self, seconds: float) -> None:
        """A batch has been stored, in so many seconds."""
        self.figures.commits[bisect_left(COMMIT_BOUNDS, seconds)] += 1
        self.figures.commit_seconds += seconds
        self.figures.stored_at = time.time()

    def _ingest(self, spans: Sequence[Received], kind: str) -> None:
        name = f"{self.setup.name} {datetime.now(UTC).isoformat(timespec='milliseconds')}"
        with tempfile.TemporaryDirectory(prefix="faultline-", dir=self._spool) as folder:
            path = Path(folder) / f"turns{_ENDINGS[kind]}"
            longest = block.LONGEST_LINE
            with path.open("wb") as file:
                for message in _messages(spans):
                    file.write(message)
                    # What was acknowledged is stored, however large `--largest` let it be.
                    longest = max(longest, len(message))
            try:
                result = ingest(
                    self._store,
                    [path],
                    format="otlp",
                    workers=1,
                    name=name,
                    limits=block.Limits(longest),
                    settings=Settings(assistant=self.setup.assistant),
                )
            except NoTurns:
                # Spans of other things than conversations.
                return
        self.figures.runs += 1
        self.figures.turns += result.turns - sum(f.unchanged + f.replaced for f in result.files)
        self.figures.replaced += result.replaced
        self.figures.quarantined += result.quarantined

    @rerun
    def _quarantine(self) -> None:
        if not self._faults:
            return
        now, run = datetime.now(UTC), uuid.uuid4().hex
        privacy = privacy_of(self._store)
        rows = [
            {
                "run_id": run,
                "file": f"{self.setup.name} {datetime.fromtimestamp(at, UTC).isoformat()}",
                "line": 1,
                "field": fault.field,
                "reason": fault.reason,
                "excerpt": excerpt(fault.excerpt),
                "quarantined_at": now,
            }
            for at, fault in self._faults
        ]
        table = pa.Table.from_pylist(rows, schema=QUARANTINE)
        if privacy is not None:
            table = pa.Table.from_batches(redact_faults(table.to_batches(), privacy))
        # Those of a record that is read again after a crash.
        these = {"these": pa.table({"file": list({row["file"] for row in rows})})}
        with self._store.commit() as cycle:
            cycle.delete_rows("quarantine", "file IN (SELECT file FROM these)", these)
            cycle.append("quarantine", table)
        self.figures.quarantined += len(rows)
        self._faults = []

    def _removable(self) -> list[str]:
        """The segments that were read to their end and of which all is stored."""
        if self._faults:
            return []
        return [name for name in self._reader.passed if not self._traces.needs(name)]

    def _remove_segments(self) -> None:
        """Remove what can be, and take note before of what is stored."""
        try:
            if not self._faults:
                self._carry()
            names = self._removable()
            if not names:
                return
            self._traces.stored.write()
            for name in names:
                (self._spool / name).unlink(missing_ok=True)
                self._reader.forget(name)
            sync([self._spool])
            self._traces.stored.prune()
        except OSError as error:
            problem = machine_error(error, self._spool)
            self.figures.problem = str(problem or f"The spool cannot be written: {error.strerror}.")

    def _carry(self) -> None:
        """Take what is still needed over into a new segment, where little of the spool is: one long
        conversation would otherwise keep all that others have said meanwhile."""
        total, _ = self._reader.sizes()
        if total < max(_CARRY_FROM, _CARRY_TIMES * self._traces.held):
            return
        needed = {name for name in self._reader.passed if self._traces.needs(name)}
        records = (
            (number, round(at * 1e6), message)
            for at, spans in self._traces.of_segments(needed)
            for number, kind in enumerate(KINDS)
            for message in _messages([span for span in spans if span.kind == kind])
        )
        name = carry(self._spool, records)
        self._traces.moved(needed, name)
        self._reader.own.add(name)
        self._reader.passed.add(name)

    def finish(self) -> None:
        """Store all that has ended; the spans of other turns stay in the spool."""
        self.ending = True
        self.stop.set()
        while self.step():
            pass
        self._reader.finish()
        self._remove_segments()
        self._tell()

    def _tell(self) -> None:
        figures, now = self.figures, time.time()
        figures.open_traces = len(self._traces)
        figures.held_bytes = self._traces.held
        figures.late = self._traces.late
        figures.damaged_bytes = self._reader.damaged
        figures.spool_bytes, figures.unread_bytes = self._reader.sizes()
        due = self._since if self._since is not None else self._traces.oldest_due()
        figures.lag = max(0.0, now - due) if due is not None else 0.0
        self.report(figures)


def missing(*folders: Path) -> str:
    """Which of these folders is not where it was, as a sentence; empty if all are there."""
    gone = next((folder for folder in folders if not folder.is_dir()), None)
    return (
        f"The folder {gone} is gone; put it back, or restore the store from a backup."
        if gone
        else ""
    )


def _messages(spans: Sequence[Received]) -> Iterator[bytes]:
    """Spans of one encoding as requests, those of one resource and scope together."""
    waiting: dict[tuple[bytes, bytes], list[bytes]] = {}
    sizes: Counter[tuple[bytes, bytes]] = Counter()
    for span in spans:
        context, size = span.context, len(span.data)
        together = waiting.setdefault(context, [])
        full = sizes[context] + sum(map(len, context)) + size > _MESSAGE_BYTES
        if together and (full or len(together) >= _MESSAGE):
            yield document(span.kind, context, together)
            together.clear()
            sizes[context] = 0
        together.append(span.data)
        sizes[context] += size
    for context, together in waiting.items():
        yield document(spans[0].kind, context, together)


def main() -> None:
    """Run until standard input ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # The server is told, and tells this process.
        signal.signal(number, signal.SIG_IGN)
    # Unbuffered: a thread that waits in a buffer cannot be left behind at the end.
    orders = io.FileIO(sys.stdin.fileno(), closefd=False)
    setup = msgspec.json.decode(orders.readline(), type=Setup)
    stop = threading.Event()

    def listen() -> None:
        if orders.readline().strip() == b"stop":
            stop.set()
        else:
            os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    encode = msgspec.json.Encoder().encode
    told = 0.0

    def report(figures: Figures) -> None:
        nonlocal told
        if time.monotonic() - told > 0.5 or figures.problem or stop.is_set():
            told = time.monotonic()
            with suppress(BrokenPipeError):
                sys.stdout.buffer.write(encode(figures) + b"\n")
                sys.stdout.buffer.flush()

    configure_as_told()
    spool = Path(setup.spool)
    while gone := missing(spool):
        # The lock would make the folder anew, and be in the way of whoever puts it back.
        report(Figures(problem=gone))
        if stop.wait(_RETRY_S):
            sys.exit(1)
    # That of a server which was killed may not have ended yet.
    with FileLock(spool / ".ingester.lock"):
        ingester = None
        while ingester is None:
            try:
                ingester = Ingester(setup, report, stop)
            except FaultlineError as error:
                report(Figures(problem=missing(Path(setup.store)) or str(error)))
                if stop.wait(_RETRY_S):
                    sys.exit(1)
        while not stop.is_set():
            if not ingester.step():
                stop.wait(_POLL_S)
        ingester.finish()


if __name__ == "__main__":
    main()
