"""Upsert of staged turns: which are new, which replace a stored turn, which are stored already.

Works on the keys of the staged turns (id, fingerprint, position), so that memory use does not
depend on their size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from data.ingest.staging import (
    GOLD_TEXT,
    Part,
    Staged,
    write_day,
)
from data.parallel import Runner
from data.schema.layout import TABLES
from data.schema.trace import schema
from data.store.delta_log import live_files
from data.store.parquet import DataFile, workbench
from data.store.predictions import forget
from data.store.snapshot import literal, scan
from data.store.store import Store
from data.store.transaction import Cycle

# Rows collected in memory for one final file.
_FILE_ROWS = 400_000


@dataclass(frozen=True)
class TurnsNow:
    """The stored turns that an input is compared with: their Delta version and files."""

    version: int
    paths: list[Path]

    @classmethod
    def of(cls, store: Store) -> TurnsNow:
        version = store.head().tables.get("turns", 0)
        return cls(
            version, [store.path / "turns" / p for p in live_files(store.path, "turns", version)]
        )

    @classmethod
    def within(cls, cycle: Cycle) -> TurnsNow:
        return cls(cycle.versions.get("turns", 0), cycle.paths("turns"))


@dataclass(frozen=True)
class Plan:
    """The final files of one input, ready to be moved into the table, and the turns they replace.

    `version` is the version of `turns` for which the plan was made.
    """

    version: int
    folder: Path
    files: list[DataFile]
    turns: int
    replaced: int
    unchanged: int

    def apply(self, cycle: Cycle) -> None:
        if self.replaced:
            ids = f"read_parquet({literal(self.folder / 'replaced.parquet')})"
            cycle.delete_rows("turns", f"turn_id IN (SELECT turn_id FROM {ids})")
            # The prediction of a turn that moved to another day would count for the wrong day.
            forget(cycle, f"turn_id IN (SELECT turn_id FROM {ids} WHERE moved)")
        cycle.adopt("turns", self.files, self.folder)


def plan(now: TurnsNow, staged: Sequence[Staged], run: Runner, folder: Path) -> Plan:
    """Write the final files of one input into the new `folder`; see `Plan`."""
    folder.mkdir()
    good = [block for block in staged if block.count]
    if not good:
        return Plan(now.version, folder, [], 0, 0, 0)
    with workbench(spill=folder / "spill") as con:
        keys = ", ".join(literal(block.keys) for block in good)
        con.execute(f"CREATE VIEW keys AS FROM read_parquet([{keys}])")
        repeated = _repeated(con)
        replaced = unchanged = 0
        if now.paths:
            replaced, unchanged = _present(con, now.paths, good, folder / "replaced.parquet")
        drops = con.sql("FROM drops").to_arrow_table()
    turns = sum(block.count for block in good) - repeated
    files: list[DataFile] = []
    if turns > unchanged:
        work = ((day, parts, folder) for day, parts in _days(good, drops))
        for day_files in run.map(write_day, work):
            files += day_files
    return Plan(now.version, folder, files, turns, replaced, unchanged)


def _repeated(con: duckdb.DuckDBPyConnection) -> int:
    """Drop the rows of turns that occur again later in the same input; returns how many."""
    con.execute("CREATE TABLE drops (block INTEGER, batch INTEGER, row INTEGER)")
    (repeated,) = con.execute("SELECT count(*) - count(DISTINCT turn_id) FROM keys").fetchall()[0]
    if repeated:
        con.execute(
            "INSERT INTO drops SELECT block, batch, row FROM keys "
            "QUALIFY row_number() OVER (PARTITION BY turn_id ORDER BY block DESC, line DESC) > 1"
        )
    return int(repeated)


def _present(
    con: duckdb.DuckDBPyConnection, paths: Sequence[Path], staged: Sequence[Staged], replaced: Path
) -> tuple[int, int]:
    """Compare with the stored turns; returns how many are changed and how many are equal.

    Equal turns are dropped; the ids of changed ones are written to `replaced`.
    """
    con.execute(f"CREATE VIEW stored AS {scan(TABLES['turns'], paths)}")
    con.execute(
        "CREATE TABLE present AS SELECT k.block, k.batch, k.row, turn_id, "
        "k.digest IS NOT DISTINCT FROM s.digest AS same, k.day <> s.day AS moved "
        "FROM (FROM keys ANTI JOIN drops USING (block, batch, row)) k "
        "JOIN (SELECT turn_id, digest, day FROM stored) s USING (turn_id)"
    )
    candidates = [
        r[0] for r in con.execute("SELECT DISTINCT block FROM present WHERE same").fetchall()
    ]
    if candidates:
        # The fingerprint does not include gold, which has to be compared separately.
        con.register("golds", _golds([item for item in staged if item.index in set(candidates)]))
        con.execute(
            f"UPDATE present SET same = false "
            f"FROM (SELECT block, batch, row, {GOLD_TEXT} AS text FROM golds) g, "
            f"(SELECT turn_id, {GOLD_TEXT} AS text FROM stored) s "
            "WHERE present.same AND present.block = g.block AND present.batch = g.batch "
            "AND present.row = g.row AND present.turn_id = s.turn_id "
            "AND g.text IS DISTINCT FROM s.text"
        )
        con.unregister("golds")
    con.execute("INSERT INTO drops SELECT block, batch, row FROM present WHERE same")
    con.execute(
        f"COPY (SELECT turn_id, moved FROM present WHERE NOT same) TO {literal(replaced)} "
        "(FORMAT parquet)"
    )
    counts = "SELECT count(*) FILTER (NOT same), count(*) FILTER (same) FROM present"
    changed, equal = con.execute(counts).fetchall()[0]
    return changed, equal


def _golds(staged: Sequence[Staged]) -> pa.RecordBatchReader:
    """A stream of the gold of staged turns and their positions."""
    position = [("block", pa.int32()), ("batch", pa.int32()), ("row", pa.int32())]
    kinds = schema([TABLES["turns"].schema.field("gold"), *position])

    def batches() -> Iterator[pa.RecordBatch]:
        for item in staged:
            for batch, (_, rows) in enumerate(item.days):
                gold = Part(item.turns, batch, None).read(["gold"])["gold"].combine_chunks()
                number = np.arange(rows, dtype=np.int32)
                constant = [np.full(rows, value, dtype=np.int32) for value in (item.index, batch)]
                columns = [gold, *(pa.array(values) for values in (*constant, number))]
                yield pa.RecordBatch.from_arrays(columns, schema=kinds)

    return pa.RecordBatchReader.from_batches(kinds, batches())


def _days(staged: Sequence[Staged], drops: pa.Table) -> Iterator[tuple[Any, list[Part]]]:
    """Day and staged rows of each final file; a file has at most about `_FILE_ROWS` rows."""
    dropped: dict[tuple[int, int], np.ndarray[Any, Any]] = {}
    if drops.num_rows:
        drops = drops.sort_by([("block", "ascending"), ("batch", "ascending")])
        block, batch, row = (drops[name].to_numpy() for name in ("block", "batch", "row"))
        starts = np.flatnonzero(np.r_[True, (np.diff(block) != 0) | (np.diff(batch) != 0)])
        for begin, dropped_rows in zip(starts, np.split(row, starts[1:]), strict=True):
            dropped[int(block[begin]), int(batch[begin])] = dropped_rows
    by_day: dict[Any, list[tuple[Part, int]]] = {}
    for item in staged:
        for index, (day, rows) in enumerate(item.days):
            drop = dropped.get((item.index, index))
            remaining = rows - (0 if drop is None else len(drop))
            if remaining:
                by_day.setdefault(day, []).append((Part(item.turns, index, drop), remaining))
    for day in sorted(by_day):
        group: list[Part] = []
        total = 0
        for part, remaining in by_day[day]:
            group.append(part)
            total += remaining
            if total >= _FILE_ROWS:
                yield day, group
                group, total = [], 0
        if group:
            yield day, group
