"""Signal coverage: which signals each assistant logs per day, on all days or a sample of them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.queries.filters import BETWEEN, Filter
from data.queries.sampling import MOST_SIGNALS
from data.queries.signals import NUMBERS, OF_ASSISTANTS, TEXTS
from data.schema.trace import STAGES, schema

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

EVERY = {**NUMBERS, **TEXTS}

_COUNTS = f"""
SELECT day, count(*) AS turns FROM turns
WHERE {BETWEEN}
GROUP BY 1 ORDER BY 1
"""
_WIDE = f"""
SELECT day, assistant, count(*) AS turns, {{counts}} FROM turns
WHERE day IN ({{days}}) AND {OF_ASSISTANTS}
GROUP BY ALL ORDER BY ALL
"""
# Logged signal that says how sure a stage is -> its name for people.
CONFIDENCES = {
    "wake.score": "wake-word score",
    "asr.confidence": "ASR confidence",
    "nlu.confidence": "NLU confidence",
    "er.score": "entity score",
}
# Fewer values than this say nothing about a confidence.
_ENOUGH = 50
_RANGES = f"""
SELECT assistant, {{ranges}} FROM turns
WHERE day IN ({{days}}) AND {OF_ASSISTANTS}
GROUP BY 1 ORDER BY 1 NULLS FIRST
"""
_OWN = " UNION ALL ".join(
    f"SELECT day, assistant, '{stage}.signal.' || entry.key AS signal, entry.value AS value FROM "
    f"(SELECT day, assistant, unnest(map_entries({stage}.signals)) AS entry FROM turns "
    f"WHERE day IN ({{days}}) AND {OF_ASSISTANTS})"
    for stage in STAGES
)
SCHEMA = schema(
    [
        ("day", pa.date32()),
        ("assistant", pa.string()),
        ("signal", pa.string()),
        ("turns", pa.int64()),
        ("logged", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Constant:
    """A confidence that an assistant logged `turns` times, each time with the same `value`."""

    assistant: str | None
    signal: str
    value: float
    turns: int


@dataclass(frozen=True)
class Days:
    """The days that are read, the number of all days with turns, and the turns on days read."""

    read: tuple[date, ...]
    all: int
    turns: int

    @property
    def sampled(self) -> bool:
        return len(self.read) < self.all


def days(snapshot: Snapshot, chosen: Filter, most: int = MOST_SIGNALS, seed: int = 0) -> Days:
    """The days of the filter; with more than `most` turns, days spread evenly over the period.

    Which day of each stretch is drawn depends on the seed only. At least two days are read, always
    including the last one, where a signal that has just stopped shows.
    """
    rows = snapshot.query(_COUNTS, {"since": chosen.since, "until": chosen.until}).to_pylist()
    total = sum(row["turns"] for row in rows)
    if total <= most or len(rows) <= 2:
        return Days(tuple(row["day"] for row in rows), len(rows), total)
    count = max(2, int(len(rows) * most / total))
    rng, width = random.Random(seed), len(rows) / count
    indices = {int((i + rng.random()) * width) for i in range(count - 1)} | {len(rows) - 1}
    sampled = [rows[index] for index in sorted(indices)]
    return Days(
        tuple(row["day"] for row in sampled), len(rows), sum(row["turns"] for row in sampled)
    )


def logged(snapshot: Snapshot, chosen: Filter, read: Days) -> pa.Table:
    """Turns, and turns with each signal, per day and assistant, on the days `read`.

    Columns: day, assistant, signal, turns, logged. Signals of the trace format are listed for every
    assistant, its own signals only if it has logged them on at least one of the days. Only the
    assistants of the filter are used.
    """
    if not read.read:
        return SCHEMA.empty_table()
    named, bound = _bound(chosen, read)
    counts = ", ".join(f'count({sql}) AS "{name}"' for name, sql in EVERY.items())
    wide = snapshot.query(_WIDE.format(counts=counts, days=named), bound).to_pylist()
    own = snapshot.query(
        "SELECT day, assistant, signal, count(value) AS logged "
        f"FROM ({_OWN.format(days=named)}) GROUP BY ALL",
        bound,
    ).to_pylist()
    own_counts = {(row["day"], row["assistant"], row["signal"]): row["logged"] for row in own}
    own_signals: dict[str | None, set[str]] = {}
    for row in own:
        if row["logged"]:
            own_signals.setdefault(row["assistant"], set()).add(row["signal"])
    rows = []
    for row in wide:
        key = (row["day"], row["assistant"])
        by_signal = {name: row[name] for name in EVERY}
        by_signal |= {
            name: own_counts.get((*key, name), 0) for name in sorted(own_signals.get(key[1], ()))
        }
        rows += [(*key, name, row["turns"], n) for name, n in by_signal.items()]
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], SCHEMA)


def constants(snapshot: Snapshot, chosen: Filter, read: Days) -> list[Constant]:
    """Confidences that never differ on the days `read`, by assistant: they tell nothing apart.

    Of each assistant of the filter, those that it logged at least 50 times.
    """
    if not read.read:
        return []
    named, bound = _bound(chosen, read)
    ranges = ", ".join(
        f"count({sql}) AS n{i}, min({sql}) AS low{i}, max({sql}) AS high{i}"
        for i, sql in enumerate(NUMBERS[name] for name in CONFIDENCES)
    )
    rows = snapshot.query(_RANGES.format(ranges=ranges, days=named), bound).to_pylist()
    return [
        Constant(row["assistant"], name, row[f"low{i}"], row[f"n{i}"])
        for row in rows
        for i, name in enumerate(CONFIDENCES)
        if row[f"n{i}"] >= _ENOUGH and row[f"low{i}"] == row[f"high{i}"]
    ]


def _bound(chosen: Filter, read: Days) -> tuple[str, dict[str, Any]]:
    """The parameters for the days `read`, as SQL, and the values of all parameters."""
    bound: dict[str, Any] = {f"day_{i}": day for i, day in enumerate(read.read)}
    named = ", ".join(f"${name}" for name in bound)
    return named, {**bound, "assistants": list(chosen.assistant)}
