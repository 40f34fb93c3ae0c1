"""Slice discovery: speed on resampled traffic compared with SQL, and a test on planted incidents.

    python -m benchmarks.slices STORE [_incidents.json] [TURNS]

The truth is read from `_truth.parquet` beside the incidents.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analysis.slices.search import find
from data.queries.dimensions import DIMENSIONS, slice_columns
from data.queries.filters import Filter
from data.store.snapshot import Snapshot
from data.store.store import Store

# The ten that the requirement names.
TEN = (
    "locale", "device_type", "domain", "intent", "slot", "assistant", "version_asr",
    "confidence", "words", "hour",
)  # fmt: skip
# A slice shows an incident if enough of its excess turns are the incident's, and vice versa.
PRECISION, RECALL = 0.5, 0.2


def resampled(table: pa.Table, turns: int, seed: int = 0) -> pa.Table:
    """`turns` turns in whole dialogues, sampled from `table` with replacement under new numbers."""
    rng = np.random.default_rng(seed)
    dialogues = table["dialogue"].to_numpy()
    order = np.argsort(dialogues, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(dialogues[order]) != 0])
    sizes = np.diff(np.r_[starts, len(order)])
    sample = rng.integers(0, len(starts), int(1.1 * turns / sizes.mean()) + 10)
    lengths = sizes[sample]
    ends = np.cumsum(lengths)
    steps = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
    rows = order[np.repeat(starts[sample], lengths) + steps][:turns]
    numbers = np.repeat(np.arange(len(sample), dtype=np.uint64), lengths)[:turns]
    result = table.take(pa.array(rows)).combine_chunks()
    index = result.schema.get_field_index("dialogue")
    return result.set_column(index, "dialogue", pa.array(numbers))


def by_sql(table: pa.Table, dimensions: Sequence[str]) -> int:
    """Number of the same cells (without slots), counted by DuckDB with GROUPING SETS."""
    names = [name for name in dimensions if name != "slot"]
    sets = [c for depth in (1, 2, 3) for c in combinations(names, depth)]
    grouping = ", ".join(f"({', '.join(c)})" for c in sets)
    con = duckdb.connect(config={"threads": 2})
    con.register("coded", table.select(["p", *names]))
    sql = (
        f"SELECT count(*) FROM (SELECT {', '.join(names)}, count(*) AS n, sum(p) AS s FROM coded "
        f"GROUP BY GROUPING SETS ({grouping}) HAVING n >= {max(30, table.num_rows // 5_000)})"
    )
    (cells,) = con.execute(sql).fetchall()[0]
    return int(cells)


@dataclass(frozen=True)
class Mark:
    """The first slice that shows an incident.

    Attributes
    ----------
    over: ``period`` (the incident's days) or ``all`` (every day).
    rank: of the slice, None if no slice shows the incident.
    precision: share of the slice's excess that is the incident's.
    recall: share of the incident's excess inside the slice.
    """

    incident: str
    over: str
    rank: int | None
    words: str
    precision: float
    recall: float


def exam(
    snapshot: Snapshot, incidents: Sequence[Mapping[str, Any]], truth: pa.Table, top: int = 5
) -> list[Mark]:
    """Whether the planted incidents are among the top slices of their stage.

    An incident's turns are those of its days that its `where` selects; `truth` (turn_id, gold) has
    the intended domain. Excess is over the rate of all other turns. A slice shows the incident if
    at least half of the slice's excess is the incident's, and at least a fifth of the incident's
    excess is in the slice.
    """
    gold: Any = truth["gold"]
    columns: Any = {"turn_id": truth["turn_id"], "gold.domain": pc.struct_field(gold, "domain")}
    intended = pa.table(columns)
    truths = snapshot.query(_TRUTHS, tables={"intended": intended})
    marks = []
    for incident in incidents:
        begin, end = (datetime.fromisoformat(incident[side]) for side in ("start", "end"))
        last = (end - timedelta(seconds=1)).date()
        for over in ("period", "all"):
            chosen = Filter(since=begin.date(), until=last) if over == "period" else Filter()
            marks.append(_mark(snapshot, incident, truths, over, chosen, top))
    return marks


_SUMS = """
SELECT coalesce(sum(p - usual) FILTER (struck), 0) AS struck,
  coalesce(sum(p - usual) FILTER (inside), 0) AS inside,
  coalesce(sum(p - usual) FILTER (inside AND struck), 0) AS both
FROM (
  SELECT *, sum(p) FILTER (NOT struck) OVER () / count(*) FILTER (NOT struck) OVER () AS usual
  FROM (
    SELECT p_{point} AS p,
      coalesce({where}, false) AND started_at >= $begin AND started_at < $end AS struck,
      coalesce({inside}, false) AS inside
    FROM predictions AS facets LEFT JOIN truths USING (turn_id)
    WHERE model_id = $model AND {clause}
  )
)
"""
_TRUTHS = """
SELECT turn_id, device.type AS "device.type", intended."gold.domain",
  wake.signals['near_television'] AS "wake.signals.near_television"
FROM turns LEFT JOIN intended USING (turn_id)
"""


def _mark(
    snapshot: Snapshot,
    incident: Mapping[str, Any],
    truths: pa.Table,
    over: str,
    chosen: Filter,
    top: int,
) -> Mark:
    model, point = snapshot.model or "", incident["failure_point"]
    table, share = slice_columns(snapshot, model, point, chosen)
    clause, params = chosen.sql()
    begin, end = (datetime.fromisoformat(incident[side]) for side in ("start", "end"))
    bound = {"model": model, "begin": begin, "end": end, **params}
    where: list[str] = []
    for path, values in incident["where"].items():
        names = {f"w{len(where)}_{i}": value for i, value in enumerate(values)}
        bound |= names
        where.append(f'"{path}" IN ({", ".join("$" + name for name in names)})')
    # A symptom, such as low confidence, says that something is wrong, not where.
    for rank, candidate in enumerate(find(table, point, share=share).causes[:top], 1):
        inside, more = candidate.sql()
        sql = _SUMS.format(point=point, where=" AND ".join(where), inside=inside, clause=clause)
        sums = snapshot.query(sql, {**bound, **more}, {"truths": truths}).to_pylist()[0]
        precision = sums["both"] / max(sums["inside"], 1e-9)
        recall = sums["both"] / max(sums["struck"], 1e-9)
        if precision >= PRECISION and recall >= RECALL:
            return Mark(incident["id"], over, rank, candidate.words(), precision, recall)
    return Mark(incident["id"], over, None, "", 0.0, 0.0)


def main(store: str, incidents: str | None = None, turns: int = 1_000_000) -> None:
    """Print the speed and, with `incidents`, the test."""
    with Store.open(store).snapshot() as snapshot:
        table, _ = slice_columns(snapshot, snapshot.model or "", "asr", Filter())
        sample = resampled(table, turns)
        for label, names in (("10 dimensions", TEN), (f"{len(DIMENSIONS)} dimensions", DIMENSIONS)):
            began = time.perf_counter()
            result = find(sample, "asr", dimensions=names)
            seconds = time.perf_counter() - began
            print(
                f"{label}, {turns:,} turns: {seconds:.1f} s, {result.tested:,} tested", flush=True
            )
        began = time.perf_counter()
        cells = by_sql(sample, TEN)
        seconds = time.perf_counter() - began
        print(f"GROUPING SETS alone, 9 of the 10: {seconds:.1f} s, {cells:,} cells", flush=True)
        if incidents:
            listed = Path(incidents)
            truth = pq.read_table(listed.with_name("_truth.parquet"), columns=["turn_id", "gold"])
            marks = exam(snapshot, json.loads(listed.read_text("utf-8")), truth)
            for mark in marks:
                where = f"rank {mark.rank}: {mark.words}" if mark.rank else "not found"
                print(
                    f"{mark.incident:24} {mark.over:6} {where} (precision {mark.precision:.2f}, "
                    f"recall {mark.recall:.2f})"
                )
            for over in ("period", "all"):
                those = [mark for mark in marks if mark.over == over]
                print(f"{over}: {sum(mark.rank is not None for mark in those)} of {len(those)}")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(
        arguments[0],
        arguments[1] if len(arguments) > 1 else None,
        int(arguments[2]) if len(arguments) > 2 else 1_000_000,
    )
