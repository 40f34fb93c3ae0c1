"""Sessions read in parts by an engine: each part is a file, and the parts add up to the whole."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from data.parallel import Engine, in_order
from data.software import work_id
from data.store.durability import replacing
from data.store.store import Store
from labels.feedback.sessions import GAP_S, batches, friction_of, sessions

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

# DuckDB's share of a worker's memory.
_MEMORY = "512MB"
# What friction is read from.
_TABLES = ("turns", "misdated", "predictions")


def friction_by(
    engine: Engine,
    store: Store,
    snapshot: Snapshot,
    *,
    gap_s: float = GAP_S,
    since: date | None = None,
    until: date | None = None,
) -> Iterator[pa.Table]:
    """The tables of `labels.feedback.sessions.friction`, computed by an engine, in their order.

    Those that were finished when a process was killed are not computed again, as long as the turns
    and their predictions are the same.
    """
    placed = sessions(snapshot, gap_s=gap_s, since=since, until=until)
    of = work_id(snapshot.fingerprint(*_TABLES), snapshot.model, gap_s, since, until)
    with store.unfinished(f"sessions-{of}") as folder:
        plan = folder / "plan.parquet"
        parts = list(batches(placed))
        if not parts:
            return
        # A part is a row group, so that each worker reads its own alone.
        with pq.ParquetWriter(plan, placed.schema, compression="zstd") as writer:
            for part in parts:
                writer.write_table(part, row_group_size=part.num_rows)
        files = [str(folder / f"{part}.arrow") for part in range(len(parts))]
        work = partial(read_part, str(store.path), snapshot.version, snapshot.model, str(plan))
        finished = {part: file for part, file in enumerate(files) if _is_whole(file)}
        numbers = range(len(parts))
        for file in in_order(engine, numbers, finished, work, lambda i: (i, files[i]), (plan,)):
            with pa.OSFile(file, "rb") as source:
                yield pa.ipc.open_file(source).read_all()


def _is_whole(file: str) -> bool:
    """Whether there is an Arrow file, with its end."""
    try:
        with pa.OSFile(file, "rb") as source:
            pa.ipc.open_file(source)
    except (OSError, pa.ArrowInvalid):
        return False
    return True


def read_part(store: str, version: str, model: str | None, plan: str, part: int, to: str) -> str:
    """Write the friction of one row group of a plan of `sessions` to the Arrow file `to`."""
    placed = pq.ParquetFile(plan).read_row_group(part)
    table = friction_of(_snapshot(store, version), placed, model)
    with replacing(Path(to)) as draft, pa.OSFile(str(draft), "wb") as sink:
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.ipc.new_file(sink, table.schema, options=options) as writer:
            writer.write_table(table)
    return to


@lru_cache(maxsize=1)
def _snapshot(store: str, version: str) -> Snapshot:
    return Store.open(store, memory=_MEMORY).snapshot(version)
