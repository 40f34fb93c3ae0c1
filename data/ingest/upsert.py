"""Upsert of staged turns: the files to write, and the stored turns that they replace.

`data.ingest.versions` decides which are new, which replace a stored turn, and which are stored
already.

Works on the keys of the staged turns (id, fingerprint, position), so that memory use does not
depend on their size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from data.ingest.staging import STAGED, Part, Staged, write_day
from data.ingest.versions import ON_CONFLICT, Resolved, of_stored, quarantined, resolve, stream
from data.parallel import Runner
from data.store.delta_log import live_files
from data.store.misdated import record
from data.store.parquet import BATCH, DataFile, fitted, split, workbench
from data.store.predictions import forget
from data.store.snapshot import literal
from data.store.store import Store
from data.store.transaction import Cycle

# Rows, and bytes of them, collected in memory for one final file.
_FILE_ROWS = 400_000
_FILE_BYTES = 256 << 20


@dataclass(frozen=True)
class TurnsNow:
    """The stored turns that an input is compared with: their Delta version and files."""

    version: int
    paths: list[Path]

    @classmethod
    @contextmanager
    def of(cls, store: Store) -> Iterator[TurnsNow]:
        """Those of the newest version, which can be read until the end."""
        version = store.head().tables.get("turns", 0)
        files = live_files(store.path, "turns", version)
        with store.holding("turns", files.values()) as paths:
            yield cls(version, paths)

    @classmethod
    def within(cls, cycle: Cycle) -> TurnsNow:
        return cls(cycle.versions.get("turns", 0), cycle.paths("turns"))


@dataclass(frozen=True)
class Plan:
    """The final files of one input, ready to be moved into the table, and the turns they replace.

    Attributes
    ----------
    version: of `turns`, for which the plan was made. files: the final files, in `folder`. turns:
    distinct valid turns of the input, without those in conflict. resolved: what became of turns
    that were given twice. quarantine: records in conflict that are not stored, as faults. misdated:
    turns whose date cannot be right.
    """

    version: int
    folder: Path
    files: list[DataFile]
    turns: int
    resolved: Resolved
    quarantine: Path | None = None
    misdated: Misdated | None = None

    def apply(self, cycle: Cycle, arrived: datetime) -> None:
        differ = None
        if self.resolved.replaced:
            ids = f"read_parquet({literal(self.folder / 'replaced.parquet')})"
            cycle.delete_rows("turns", f"turn_id IN (SELECT turn_id FROM {ids})")
            # The prediction of a turn that moved to another day would count for the wrong day.
            forget(cycle, f"turn_id IN (SELECT turn_id FROM {ids} WHERE moved)")
            differ = f"SELECT turn_id FROM {ids} WHERE differs"
        cycle.adopt("turns", self.files, self.folder)
        if self.misdated or differ:
            rows = f"read_parquet({literal(self.misdated.file)})" if self.misdated else None
            record(cycle, rows, arrived, differ)


@dataclass(frozen=True)
class Misdated:
    """Turns whose date cannot be right: the file of those to be recorded, and how many they are in
    the input."""

    file: Path
    turns: int


def plan(
    now: TurnsNow,
    staged: Sequence[Staged],
    run: Runner,
    folder: Path,
    on_conflict: str = ON_CONFLICT[0],
) -> Plan:
    """Write the final files of one input into the new `folder`; see `Plan`."""
    folder.mkdir()
    good = [block for block in staged if block.count]
    if not good:
        return Plan(now.version, folder, [], 0, Resolved())
    sources = [(block.index, block.turns, block.days) for block in good]
    quarantine = misdated = None
    with workbench(spill=folder / "spill") as con:
        resolved = resolved_keys(con, now, good, on_conflict)
        if resolved.replaced:
            target = literal(folder / "replaced.parquet")
            con.execute(f"COPY replaced TO {target} (FORMAT parquet)")
        if resolved.conflicts and on_conflict == "keep":
            quarantine = quarantined(con, good, folder / "conflicts.parquet")
        if any(block.misdated for block in good):
            misdated = _misdated(con, good, folder / "misdated.parquet")
        merged = _write_merged(con, now.paths, good, folder / "merged.arrow")
        if merged:
            # No block has this number, so that none of its rows is dropped.
            sources.append((-1, folder / "merged.arrow", merged))
        drops = con.sql("FROM drops").to_arrow_table()
    turns = sum(block.count for block in good) - resolved.given + resolved.turns
    files: list[DataFile] = []
    if turns > resolved.unchanged:
        work = ((day, parts, folder) for day, parts in _days(sources, drops))
        for day_files in run.map(write_day, work):
            files += day_files
    return Plan(now.version, folder, files, turns, resolved, quarantine, misdated)


def resolved_keys(
    con: duckdb.DuckDBPyConnection, now: TurnsNow, staged: Sequence[Staged], on_conflict: str
) -> Resolved:
    """Compare staged turns with each other and with what is stored, see `resolve`."""
    keys = ", ".join(literal(block.keys) for block in staged)
    con.execute(f"CREATE VIEW keys AS FROM read_parquet([{keys}])")
    return resolve(con, now.paths, staged, on_conflict)


def _misdated(con: duckdb.DuckDBPyConnection, staged: Sequence[Staged], to: Path) -> Misdated:
    """Write down the turns whose date cannot be right and that are not stored yet."""
    files = ", ".join(literal(block.misdated) for block in staged if block.misdated)
    con.execute(
        f"CREATE VIEW impossible AS FROM read_parquet([{files}]) "
        "ANTI JOIN conflicts USING (block, batch, row)"
    )
    con.execute(
        "COPY (SELECT turn_id, any_value(dialogue_id) AS dialogue_id, any_value(day) AS day, "
        "any_value(started_at) AS started_at FROM impossible "
        "WHERE turn_id NOT IN (SELECT turn_id FROM known) "
        "OR turn_id IN (SELECT turn_id FROM replaced WHERE differs) "
        f"GROUP BY turn_id) TO {literal(to)} (FORMAT parquet)"
    )
    ((number,),) = con.execute("SELECT count(DISTINCT turn_id) FROM impossible").fetchall()
    return Misdated(to, int(number))


def _write_merged(
    con: duckdb.DuckDBPyConnection, stored: Sequence[Path], staged: Sequence[Staged], to: Path
) -> list[tuple[Any, int, int]]:
    """Write the turns of the table `merged` as staged ones; returns (day, rows) per batch."""
    blocks = {block for (block,) in con.execute("SELECT DISTINCT block FROM merged").fetchall()}
    names = ", ".join(f"r.{name}" for name in STAGED.names if name != "gold")
    sources = []
    if None in blocks:
        sources.append(
            f"SELECT {names}, m.gold, m.day FROM ({of_stored(con, stored, 'merged')}) r "
            "JOIN merged m USING (turn_id)"
        )
    if blocks - {None}:
        con.register("stream", stream([s for s in staged if s.index in blocks], STAGED.names))
        sources.append(
            f"SELECT {names}, m.gold, m.day FROM stream r JOIN merged m USING (block, batch, row)"
        )
    if not sources:
        return []
    rows = con.sql(f"{' UNION ALL '.join(sources)} ORDER BY day").to_arrow_reader(BATCH)
    days: list[tuple[Any, int, int]] = []
    with pa.OSFile(str(to), "wb") as sink, pa.ipc.new_file(sink, STAGED) as writer:
        for batch in rows:
            for partition, part in split(batch, ("day",)):
                table = pa.Table.from_batches([part]).select(STAGED.names)
                writer.write_table(fitted(table, STAGED))
                day = date.fromisoformat(partition["day"])
                days.append((day, part.num_rows, table.nbytes))
    if blocks - {None}:
        con.unregister("stream")
    return days


def _days(
    sources: Sequence[tuple[int, Path, Sequence[tuple[Any, int, int]]]], drops: pa.Table
) -> Iterator[tuple[Any, list[Part]]]:
    """Day and staged rows of each final file: about `_FILE_ROWS` rows or `_FILE_BYTES` bytes.

    `sources` are number of the block, file, and (day, rows, bytes) of each of its record batches.
    """
    dropped: dict[tuple[int, int], np.ndarray[Any, Any]] = {}
    if drops.num_rows:
        drops = drops.sort_by([("block", "ascending"), ("batch", "ascending")])
        block, batch, row = (drops[name].to_numpy() for name in ("block", "batch", "row"))
        starts = np.flatnonzero(np.r_[True, (np.diff(block) != 0) | (np.diff(batch) != 0)])
        for begin, dropped_rows in zip(starts, np.split(row, starts[1:]), strict=True):
            dropped[int(block[begin]), int(batch[begin])] = dropped_rows
    by_day: dict[Any, list[tuple[Part, int, int]]] = {}
    for number, file, days in sources:
        for index, (day, rows, width) in enumerate(days):
            drop = dropped.get((number, index))
            remaining = rows - (0 if drop is None else len(drop))
            if remaining:
                by_day.setdefault(day, []).append((Part(file, index, drop), remaining, width))
    for day in sorted(by_day):
        group: list[Part] = []
        total = size = 0
        for part, remaining, width in by_day[day]:
            group.append(part)
            total += remaining
            size += width
            if total >= _FILE_ROWS or size >= _FILE_BYTES:
                yield day, group
                group, total, size = [], 0, 0
        if group:
            yield day, group
