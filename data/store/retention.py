"""Deletes what is older than a number of days: turns with all that the store keeps of them, or the
rows of some tables alone, as `data.store.retention_policy` says.

As with `data.store.turn_deletion`, earlier versions hold the rows until they are vacuumed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from data.counted import counted
from data.errors import UsageError
from data.store.erasure import Eraser, own_words, written_with
from data.store.learned import retain_learned
from data.store.rerun import rerun
from data.store.retention_policy import TABLES_KEPT, checked, first_day, policy
from data.store.rewrites import tidy
from data.store.store import Store
from data.store.transaction import Cycle
from data.store.turn_deletion import VERDICTS, Deletion, finished, turns_and_ids

# What goes after as many days as turns, where no table has days of its own.
_WITH_TURNS = ("turns", "preferences", "preference_changes", "quarantine")


class _DryRun(Exception):
    """Ends a cycle that is to change nothing."""


@rerun
def retain(
    store: Store, days: int | None = None, today: date | None = None, dry_run: bool = False
) -> Deletion:
    """Delete everything older than `days` days before `today` (by default the current UTC date);
    without a number, what the store's own policy says, table by table.

    A turn whose date cannot be right is as old as its arrival: its clock neither deletes nor keeps
    it. With `dry_run` nothing is deleted, and the report says what would be; rows that models keep
    are not counted. Raises `UsageError` for a number of days outside 1 to 36,500, and where there
    is neither a number nor a policy.
    """
    if days is not None:
        checked({"turns": days})
        kept = dict.fromkeys(_WITH_TURNS, days)
        asked = {"days": days}
        nothing = f"Nothing in the store is older than {counted(days, 'day')}."
    else:
        with store.snapshot(only=("settings",)) as snapshot:
            kept = policy(snapshot)
        if not kept:
            raise UsageError(
                "Nothing says how long this store keeps its tables; give --days, or set it once "
                "with: faultline retention turns=90"
            )
        asked = {f"days of {name}": number for name, number in kept.items()}
        nothing = "Nothing in the store is older than it is to be kept."
    limits = {name: first_day(number, today) for name, number in kept.items()}
    removing = _Removing()
    with suppress(_DryRun), store.commit() as cycle:
        removing.remove(cycle, limits)
        if dry_run:
            raise _DryRun
    if dry_run:
        counts = dict(removing.others)
        quarantined = counts.pop(TABLES_KEPT["quarantine"].called, 0)
        report = Deletion(
            removing.turns,
            removing.predictions,
            quarantined,
            {name: count for name, count in counts.items() if count},
            unread=removing.unread,
            store=store.address,
            dry_run=True,
        )
    else:
        report = finished(
            store, removing.turns, removing.predictions, removing.others, removing.unread, cycle,
            "retain", asked, removing.removed,
        )  # fmt: skip
    # What lies beside the tables is of interest to whoever asked for somebody's deletion.
    unread = () if report.nothing else report.unread
    return replace(report, undated=removing.undated, sought=nothing, unread=unread)


class _Removing:
    """What was removed in a cycle; see `Deletion`."""

    def __init__(self) -> None:
        self.turns = self.predictions = self.undated = 0
        self.others: Counter[str] = Counter()
        self.unread: tuple[str, ...] = ()
        self.removed: dict[str, int] = {}

    def remove(self, cycle: Cycle, limits: Mapping[str, date]) -> None:
        """Delete what is older than the first days that are kept, by table."""
        misdated = _misdated(cycle)
        if "turns" in limits:
            self._turns(cycle, limits["turns"], misdated)
        for name, oldest in limits.items():
            tables = {"oldest": _table_of(oldest), "misdated": misdated}
            if name == "predictions":
                self.predictions += _drop_days(cycle, name, oldest, misdated)
                cycle.delete_rows("rollup", f"day < {_OLDEST}", tables)
            elif name != "turns":
                about = TABLES_KEPT[name]
                self.others[about.called] += cycle.delete_rows(name, about.old, tables)
        self.removed = cycle.removed_rows()

    def _turns(self, cycle: Cycle, oldest: date, misdated: pa.Table) -> None:
        limit = {"oldest": _table_of(oldest)}
        arrived_before = misdated.filter(pc.field("arrived_at").cast(pa.date32()) < oldest)
        self.undated = misdated.num_rows - arrived_before.num_rows
        tables = {**limit, "misdated": misdated, "arrived_before": arrived_before}
        none = pa.table({"id": pa.array([], pa.string())})
        known = {**limit, "arrived_before": arrived_before, "ids": none}
        deleted, all_ids = turns_and_ids(cycle, f"{_OLD} OR turn_id IN ({_BEFORE})", known)
        tables["deleted"] = deleted
        own = own_words(cycle, deleted)
        dropped = {}
        for name in ("turns", "predictions"):
            dropped[name] = _drop_days(cycle, name, oldest, misdated)
            if arrived_before.num_rows:
                on = {"day": [str(day) for day in arrived_before["day"].unique().to_pylist()]}
                dropped[name] += cycle.delete_rows(
                    name, f"turn_id IN ({_BEFORE})", tables, cycle.matching(name, on)
                )
        self.turns, self.predictions = dropped["turns"], dropped["predictions"]
        for name, called in VERDICTS.items():
            self.others[called] += cycle.delete_rows(
                name, f"{_OLD} OR turn_id IN ({_BEFORE})", tables
            )
        cycle.delete_rows("misdated", f"turn_id IN ({_BEFORE})", tables)
        cycle.delete_rows("rollup", f"day < {_OLDEST}", limit)
        self.others.update(retain_learned(cycle, f"{_OLD} OR turn_id IN ({_BEFORE})", tables))
        if deleted.num_rows:
            self.others["rewrites"] = tidy(cycle)
            self.others.update(Eraser(cycle, (), all_ids).everywhere())
        self.unread = tuple(written_with(cycle, own))


def _table_of(day: date) -> pa.Table:
    return pa.table({"day": pa.array([day], pa.date32())})


_OLDEST = "(SELECT day FROM oldest)"
_BEFORE = "SELECT turn_id FROM arrived_before"
_OLD = "day < (SELECT day FROM oldest) AND turn_id NOT IN (SELECT turn_id FROM misdated)"


def _misdated(cycle: Cycle) -> pa.Table:
    with cycle.snapshot("misdated") as snapshot:
        return snapshot.query("FROM misdated")


def _drop_days(cycle: Cycle, name: str, oldest: date, misdated: pa.Table) -> int:
    """Delete the turns or predictions of the days before `oldest`, but for those misdated.

    Returns the number of rows deleted. Only files of days with misdated turns are rewritten.
    """
    some = {str(day) for day in misdated["day"].unique().to_pylist()}
    old = {p: f for p, f in cycle.files(name).items() if f.partition["day"] < oldest.isoformat()}
    deleted = cycle.remove(name, [p for p, f in old.items() if f.partition["day"] not in some])
    shared = [path for path, file in old.items() if file.partition["day"] in some]
    only = "turn_id NOT IN (SELECT turn_id FROM misdated)"
    return deleted + cycle.delete_rows(name, only, {"misdated": misdated}, shared)
