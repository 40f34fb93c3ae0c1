"""Speed and memory of building features, on copies of the real logs.

    python -m benchmarks.features [TURNS]

Batches are whole dialogues of about `BATCH` turns, as in scoring. Needs the corpora beside the
repository.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data.ingest.ingest import ingest
from data.schema.trace import order_sql
from data.store.store import Store
from features.arrow import pc
from features.categories import Vocabulary
from features.matrix import (
    build,
    learn,
    open_frame,
)

CORPORA = Path(__file__).parents[1].parent / "shared" / "corpora"
BATCH = 40_000
# Copies of the logs are this far apart, so that no two of them overlap in time.
APART_US = 400 * 86_400 * 1_000_000


def run(n_turns: int, workers: int = 2) -> dict[str, float]:
    """Build hindsight features of at least `n_turns` turns in `workers` processes.

    Returns turns, columns, seconds, turns_per_second (wall clock, all workers together),
    turns_per_cpu_second (of one undisturbed core) and peak_gib (of the largest worker).
    """
    with tempfile.TemporaryDirectory() as folder:
        logs = Path(folder) / "logs.parquet"
        pq.write_table(read_corpora(Path(folder)), logs)
        jobs = [(str(logs), number) for number in range(-(-n_turns // BATCH))]
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            # Once in each process first, so that start and imports are not counted.
            list(pool.map(_batch_seconds, jobs[:1] * workers))
            began = time.perf_counter()
            batches = list(pool.map(_batch_seconds, jobs))
            seconds = time.perf_counter() - began
    turns = sum(batch[0] for batch in batches)
    return {
        "turns": turns,
        "columns": batches[0][1],
        "seconds": round(seconds, 2),
        "turns_per_second": round(turns / seconds),
        "turns_per_cpu_second": round(turns / sum(batch[2] for batch in batches)),
        "peak_gib": round(max(batch[3] for batch in batches) / 2**20, 2),
    }


def read_corpora(folder: Path) -> pa.Table:
    """All turns of the real logs, dialogue after dialogue."""
    store = Store.create(folder / "store")
    ingest(store, [str(path) for path in sorted(CORPORA.glob("*.jsonl.gz"))])
    with store.snapshot() as snapshot:
        return snapshot.query(f"SELECT * FROM turns ORDER BY assistant, dialogue_id, {order_sql()}")


def copy_of(logs: pa.Table, number: int) -> pa.Table:
    """A copy of the logs: the same words with other ids at another time."""
    for name in ("turn_id", "dialogue_id"):
        renamed = pc.binary_join_element_wise(str(number), logs[name], "-")
        logs = logs.set_column(logs.schema.get_field_index(name), name, renamed)
    index = logs.schema.get_field_index("started_at")
    offset = pa.scalar(number * APART_US, pa.duration("us"))
    shifted = pc.add(logs["started_at"], offset)
    return logs.set_column(index, logs.schema.field(index), shifted)


def batch(logs: pa.Table, number: int) -> pa.Table:
    """About `BATCH` turns in whole dialogues: all of the logs, then copies from their beginning."""
    parts: list[pa.Table] = []
    missing = BATCH
    while missing > 0:
        part = copy_of(logs, 10 * number + len(parts))
        if missing < part.num_rows:
            last = part["dialogue_id"][missing]
            part = part.slice(0, pc.index(part["dialogue_id"], last).as_py() or 1)
        parts.append(part)
        missing -= max(part.num_rows, BATCH // 9)
    return pa.concat_tables(parts)


_LOADED: dict[str, tuple[pa.Table, Vocabulary]] = {}


def _batch_seconds(job: tuple[str, int]) -> tuple[int, int, float, int]:
    """Turns, columns, processor seconds, and the peak memory (KiB) of this process so far."""
    path, number = job
    if path not in _LOADED:
        logs = pq.read_table(path)
        with open_frame(logs, "hindsight") as con:
            _LOADED[path] = logs, learn(con, "hindsight")
    logs, vocabulary = _LOADED[path]
    turns = batch(logs, number)
    began = time.process_time()
    matrix = build(turns, vocabulary)
    seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return matrix.num_rows, matrix.num_columns - 1, seconds, peak


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)))
