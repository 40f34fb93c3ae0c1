"""Logs of other systems: ingested for real, and spoilt in ways that must never be a traceback."""

from __future__ import annotations

import gzip
import json
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from data.errors import IngestError
from data.export.export import export
from data.ingest.adapters.adapter import Adapter, Settings
from data.ingest.ingest import ingest
from data.store.store import Store
from tests.data.adapters.in_memory import take

SOURCES = Path(__file__).parents[1].parent / "shared" / "sources"
OWN = Path(__file__).parent / "data" / "adapters" / "own"

_JSON = re.compile(rb"[\[{]")
# Values that no field expects.
HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 10**30, -(10**30), 1e308, -1e-9, 0.5, "", " ", "\0", "NaN", "null",
    "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "10000-01-01T00:00:00Z", "2026-02-30",
    "\U0001f600", "x" * 5_000, [], {}, [[]], [None], {"": {}}, [{}], {"events": [{}]},
    [[[[[[[[[]]]]]]]]], float("nan"), float("inf"), "\ud800",
)  # fmt: skip


@dataclass(frozen=True)
class Taken:
    """What a store has of logs.

    Attributes
    ----------
    turns: by dialogue and position. quarantined: field and reason of each faulty record.
    """

    turns: list[dict[str, Any]]
    quarantined: list[tuple[str, str]]


def sample(name: str) -> Path:
    """A folder of the shared samples; the test is skipped where they are missing."""
    folder = SOURCES / name
    if not folder.is_dir():
        pytest.skip(f"the samples of other systems' logs are missing: {folder}")
    return folder


def taken(
    folder: Path,
    *paths: Path,
    format: str | None = None,
    settings: Settings | None = None,
    store: Store | None = None,
) -> Taken:
    """Ingest logs into a new store in `folder`, or into `store`."""
    store = store or Store.create(folder / "store")
    ingest(store, paths, format=format, settings=settings)
    tables = {}
    for table in ("turns", "quarantine"):
        target = folder / f"{table}.jsonl"
        export(store.snapshot(), table, target)
        tables[table] = [json.loads(line) for line in target.read_text().splitlines()]
    turns = sorted(tables["turns"], key=lambda turn: (turn["dialogue_id"], turn["turn_index"]))
    faults = [(row["field"], row["reason"]) for row in tables["quarantine"]]
    return Taken(turns, faults)


def differences(expected: Path, turns: Iterable[dict[str, Any]], folder: Path) -> str:
    """What the samples' own check says of turns, a line for each difference; the last line has the
    number of turns."""
    got = folder / "got.jsonl"
    got.write_text("".join(f"{json.dumps(turn)}\n" for turn in turns))
    checked = subprocess.run(
        [sys.executable, SOURCES / "check.py", expected, got], capture_output=True, text=True
    )
    return checked.stdout + checked.stderr


def own_lines(log: Path) -> list[bytes]:
    """The lines of a log of the tests."""
    return log.read_bytes().splitlines()


def expected_of(log: Path) -> list[dict[str, Any]]:
    """The records that a log of the tests should become."""
    path = OWN.parent / "expected" / f"{log.stem}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


# How `in_form` can give a log.
FORMS = ("as it is", "folder", "gz", "twice", "shuffled")


def in_form(form: str, log: Path, lines: Sequence[bytes], folder: Path, seed: int) -> Path:
    """A log of a sample in one of `FORMS`: itself, or a folder below `folder` with it in that form;
    `lines` are its lines, to be shuffled."""
    given = folder / "given"
    given.mkdir()
    if form == "gz":
        (given / "log.gz").write_bytes(gzip.compress(log.read_bytes()))
    elif form == "shuffled":
        (given / "a.log").write_bytes(shuffled(lines, seed))
    else:
        for name in ("a.log", "b.log") if form == "twice" else ("a.log",):
            shutil.copy(log, given / name)
    return given / "a.log" if form == "as it is" else given


def shuffled(lines: Sequence[bytes], seed: int) -> bytes:
    """Lines in another order."""
    mixed = [line.rstrip(b"\n") + b"\n" for line in lines]
    random.Random(seed).shuffle(mixed)
    return b"".join(mixed)


def without_nulls(record: Any) -> Any:
    """A record without the fields that are null."""
    if isinstance(record, dict):
        kept = {name: without_nulls(value) for name, value in record.items()}
        return {name: value for name, value in kept.items() if value is not None}
    return [without_nulls(each) for each in record] if isinstance(record, list) else record


def assembled(
    adapter: Adapter, records: Iterable[Any], settings: Settings | None = None
) -> tuple[list[dict[str, Any]], int]:
    """The valid turns of records, as the frame makes them, and how many records and turns were
    faulty. Nothing but a `Fault` may be raised."""
    log = take(adapter, enumerate(records, 1), settings)
    return log.every, len(log.faults)


def spoilt(line: bytes, chance: random.Random) -> bytes:
    """A line of JSON (perhaps with something before it) of which one thing is not as it should be:
    a value, a name, or a few bytes."""
    found = _JSON.search(line)
    begin = found.start() if found else len(line)
    try:
        record = json.loads(line[begin:])
    except ValueError:
        record = None
    if not record or chance.random() < 0.3:
        at = chance.randrange(len(line) + 1)
        return chance.choice(
            [line[:at], line[at:], line[:at] + bytes([chance.randrange(256)]) + line[at + 1 :]]
        )
    places = list(_places(record))
    holder, name = chance.choice(places)
    value = chance.choice(HOSTILE)
    if isinstance(holder, dict) and chance.random() < 0.2:
        del holder[name]
    else:
        holder[name] = value
    return line[:begin] + json.dumps(record).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    names: Iterable[Any] = ()
    if isinstance(value, dict):
        names = list(value)
    elif isinstance(value, list):
        names = range(len(value))
    for name in names:
        yield value, name
        yield from _places(value[name])


def must_bear_spoilt_logs(
    adapter: Adapter, lines: Sequence[bytes], inputs: int, most_of_one: int = 1
) -> None:
    """Spoil one to three lines of a log: nothing but faults may be raised, and turns without a
    spoilt line must stay, as their number tells. `most_of_one` turns have to do with one line."""
    whole = len(assembled(adapter, lines)[0])
    for seed in range(inputs):
        chance = random.Random(seed)
        mixed = list(lines)
        changes = chance.randint(1, 3)
        for _ in range(changes):
            at = chance.randrange(len(mixed))
            mixed[at] = spoilt(lines[at], chance)
        turns, _ = assembled(adapter, mixed)
        assert len(turns) >= whole - changes * most_of_one, seed


def must_bear_spoilt_files(adapter: Adapter, content: bytes, folder: Path, inputs: int) -> None:
    """Cut a file off, or change a byte; it is ingested as far as it can be read, or refused in one
    sentence."""
    for seed in range(inputs):
        chance = random.Random(seed)
        at = chance.randrange(1, len(content))
        spoilt_content = chance.choice([content[:at], content[:at] + b"\xff" + content[at + 1 :]])
        path = folder / f"spoilt-{seed}.json"
        path.write_bytes(spoilt_content)
        store = Store.create(folder / f"store-{seed}")
        with suppress(IngestError):
            ingest(store, [path], format=adapter.name, workers=1)
