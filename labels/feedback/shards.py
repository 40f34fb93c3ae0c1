"""Sessions read in parts by an engine: each part is a file, and the parts add up to the whole."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from data.parallel import in_order
from data.software import work_id
from data.store.part_files import Parts, keep_only, kept_part, read_part, write_part, write_plan
from data.store.store import Store
from labels.feedback.sessions import GAP_S, batches, friction_of, sessions

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

# DuckDB's share of a worker's memory.
_MEMORY = "512MB"
# What friction is read from.
_TABLES = ("turns", "misdated", "predictions")


def friction_by(
    kept: Parts,
    store: Store,
    snapshot: Snapshot,
    *,
    gap_s: float = GAP_S,
    since: date | None = None,
    until: date | None = None,
) -> Iterator[pa.Table]:
    """The tables of `labels.feedback.sessions.friction`, computed by an engine, in their order.

    Those that are kept already are not computed again, as long as the turns and their predictions
    are the same; others are removed.
    """
    placed = sessions(snapshot, gap_s=gap_s, since=since, until=until)
    parts = list(batches(placed))
    if not parts:
        return
    of = work_id(snapshot.fingerprint(*_TABLES), snapshot.model, gap_s, since, until)
    plan = kept.folder / "plan.parquet"
    files = [kept.folder / f"sessions-{of}-{number}.parquet" for number in range(len(parts))]
    keep_only(kept.folder, files)
    write_plan(parts, plan)
    work = partial(write_friction, str(store.path), snapshot.version, snapshot.model, str(plan))
    finished = {n: str(file) for n, file in enumerate(files) if kept_part(file) is not None}
    numbers = range(len(parts))
    for to in in_order(kept.engine, numbers, finished, work, lambda n: (n, str(files[n])), [plan]):
        yield read_part(to)


def write_friction(
    store: str, version: str, model: str | None, plan: str, part: int, to: str
) -> str:
    """Write the friction of one row group of a plan of `sessions` to the Parquet file `to`."""
    placed = pq.ParquetFile(plan).read_row_group(part)
    write_part(friction_of(_snapshot(store, version), placed, model), Path(to))
    return to


@lru_cache(maxsize=1)
def _snapshot(store: str, version: str) -> Snapshot:
    return Store.open(store, memory=_MEMORY).snapshot(version)
