"""What it costs that everything a commit names is on disk before HEAD.json names it.

    python -m benchmarks.durability

Commits with and without these syncs take turns, on one store each, so that both meet the same disk.
Without, only HEAD.json and its folder are synced.
"""

from __future__ import annotations

import shutil
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from unittest.mock import patch

import pyarrow as pa

from data.schema.trace import TURNS
from data.store.store import Store

_ROUNDS = 15
_SYNC = "data.store.transaction.sync"


def run(days: int, rows: int) -> tuple[float, float]:
    """Seconds of a commit of `rows` turns on each of `days` days, with and without the syncs.

    The fastest of 15 commits each, as other work only makes them slower; every day is a file.
    """
    folder = Path(mkdtemp(prefix="faultline-bench-"))
    try:
        stores = Store.create(folder / "with"), Store.create(folder / "without")
        seconds: tuple[list[float], list[float]] = [], []
        for number in range(_ROUNDS + 1):
            turns = _turns(days, rows, number)
            for store, taken in zip(stores, seconds, strict=True):
                began = time.perf_counter()
                if taken is seconds[0]:
                    _commit(store, turns)
                else:
                    with patch(_SYNC):
                        _commit(store, turns)
                if number:
                    taken.append(time.perf_counter() - began)
        return min(seconds[0]), min(seconds[1])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _commit(store: Store, turns: pa.Table) -> None:
    with store.commit() as cycle:
        cycle.append("turns", turns)


def _turns(days: int, rows: int, number: int) -> pa.Table:
    first = date(2024, 5, 1)
    records = [
        {
            "turn_id": f"t{number}-{n}",
            "dialogue_id": f"d{number}-{n // 4}",
            "turn_index": n % 4,
            "started_at": datetime(2024, 5, 1, tzinfo=UTC) + timedelta(days=n // rows),
            "digest": n,
            "day": first + timedelta(days=n // rows),
        }
        for n in range(days * rows)
    ]
    return pa.Table.from_pylist(records, schema=TURNS)


if __name__ == "__main__":
    for size in ((1, 1), (30, 1_000)):
        synced, unsynced = run(*size)
        print(f"{size[0]} files: {synced * 1e3:.1f} ms, without syncs {unsynced * 1e3:.1f} ms")
