"""Which signals each assistant logs, day by day, from all turns or from a sample of whole days."""

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
class Days:
    """The days that were read, and how many days with turns there are."""

    read: tuple[date, ...]
    all: int
    turns: int

    @property
    def sampled(self) -> bool:
        return len(self.read) < self.all


def days(snapshot: Snapshot, chosen: Filter, most: int = MOST_SIGNALS, seed: int = 0) -> Days:
    """The days of the filter; of more than `most` turns, days spread evenly over the period.

    Which day of each stretch is drawn depends on the seed only. At least two days are read, the
    last one always: that is where something has just stopped.
    """
    found = snapshot.query(_COUNTS, {"since": chosen.since, "until": chosen.until}).to_pylist()
    total = sum(row["turns"] for row in found)
    if total <= most or len(found) <= 2:
        return Days(tuple(row["day"] for row in found), len(found), total)
    wanted = max(2, int(len(found) * most / total))
    rng, width = random.Random(seed), len(found) / wanted
    places = {int((i + rng.random()) * width) for i in range(wanted - 1)} | {len(found) - 1}
    kept = [found[place] for place in sorted(places)]
    return Days(tuple(row["day"] for row in kept), len(found), sum(row["turns"] for row in kept))


def logged(snapshot: Snapshot, chosen: Filter, read: Days) -> pa.Table:
    """Turns with and without each signal per day and assistant, on the days `read`.

    Signals of the trace format are listed for every assistant; an assistant's own ones where it
    has logged them on at least one of the days. Of the filter, days and assistants count.
    """
    if not read.read:
        return SCHEMA.empty_table()
    bound: dict[str, Any] = {f"day_{i}": day for i, day in enumerate(read.read)}
    named = ", ".join(f"${name}" for name in bound)
    bound["assistants"] = list(chosen.assistant)
    counts = ", ".join(f'count({sql}) AS "{name}"' for name, sql in EVERY.items())
    wide = snapshot.query(_WIDE.format(counts=counts, days=named), bound).to_pylist()
    own = snapshot.query(
        "SELECT day, assistant, signal, count(value) AS logged "
        f"FROM ({_OWN.format(days=named)}) GROUP BY ALL",
        bound,
    ).to_pylist()
    had = {(row["day"], row["assistant"], row["signal"]): row["logged"] for row in own}
    extra: dict[str | None, set[str]] = {}
    for row in own:
        if row["logged"]:
            extra.setdefault(row["assistant"], set()).add(row["signal"])
    rows = []
    for row in wide:
        key = (row["day"], row["assistant"])
        found = {name: row[name] for name in EVERY}
        found |= {name: had.get((*key, name), 0) for name in sorted(extra.get(key[1], ()))}
        rows += [(*key, name, row["turns"], n) for name, n in found.items()]
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], SCHEMA)
