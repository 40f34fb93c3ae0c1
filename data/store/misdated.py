"""Turns whose date cannot be right: later than their arrival by more than a day, or before 2000.

A clock that has lost its battery says 1970, one that overflowed says 2106. Such a turn is stored,
scored, found and exported as any other, but it belongs to no day: one of them would otherwise be
"the newest turn", and a report on the last week a report on it alone.

Whether a date is possible is decided when the turn arrives, because only then is it known what
"later than now" means; a turn that arrives in time stays possible, and one that came from the
future stays impossible when its date is reached. What was decided is a row of the table `misdated`,
not a column of `turns`: stores of earlier versions have no such column in their files, and open as
stores in which nothing is misdated; and a store without misdated turns, nearly every one, pays
nothing for it. When the turn arrived is in the row too, which is its age for `retain`.

The rule is applied in two places: the daily sums (`data.store.rollup`) leave these turns out, and
every query over single rows of `turns` or `predictions` that speaks of days has the condition
`DATED` (`data.queries.filters.Filter.where` adds it to a filter).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from data.errors import UsageError
from data.schema.layout import TABLES
from data.store.snapshot import scan

if TYPE_CHECKING:
    from data.store.transaction import Cycle

# No voice assistant logs this module is for are older; unset clocks say 1970, 1980 or 1900.
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
# A day: the widest error that a wrong time zone, or local time logged as UTC, makes.
AHEAD_HOURS = 24.0
_TIME = pa.timestamp("us", tz="UTC")
_MOST_HOURS = 24.0 * 36_500

# Conditions over any rows with a `turn_id`, in the SQL of a snapshot, which defines `dated`.
DATED = "dated(turn_id)"
MISDATED = "turn_id IN (SELECT turn_id FROM misdated)"


def words(turns: int, number: str) -> str:
    """`12 turns have impossible dates`; `number` is how the number is written."""
    if turns == 1:
        return "1 turn has an impossible date"
    return f"{number} turns have impossible dates"


@dataclass(frozen=True)
class Clock:
    """When turns arrive, and how far ahead of that their own clocks may be."""

    arrived: datetime
    ahead_hours: float = AHEAD_HOURS

    def __post_init__(self) -> None:
        if not 0 <= self.ahead_hours <= _MOST_HOURS:
            raise UsageError(
                f"Clocks cannot be {self.ahead_hours:g} hours ahead; give 0 to {_MOST_HOURS:.0f}."
            )

    @classmethod
    def now(cls, ahead_hours: float = AHEAD_HOURS) -> Clock:
        """The clock of turns that arrive now."""
        return cls(datetime.now(UTC), ahead_hours)

    @property
    def latest(self) -> datetime:
        """The latest possible time of a turn."""
        try:
            return self.arrived + timedelta(hours=self.ahead_hours)
        except OverflowError:
            return datetime.max.replace(tzinfo=UTC)

    def impossible(self, started_at: pa.ChunkedArray[Any]) -> np.ndarray[Any, Any]:
        """Which of some times (microseconds, UTC) cannot be right: a mask."""
        microseconds = started_at.cast(pa.int64()).to_numpy()
        early = microseconds < _microseconds(EARLIEST)
        mask: np.ndarray[Any, Any] = early | (microseconds > _microseconds(self.latest))
        return mask


def _microseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def record(cycle: Cycle, rows: str | None, arrived: datetime, differ: str | None = None) -> None:
    """Record that turns which arrived just now are misdated.

    `rows` is a source (SQL) with their turn_id, dialogue_id, day and started_at; for a turn that is
    recorded already, the earlier arrival stays. The ids that `differ` selects now name another
    turn: what is recorded of them is forgotten first.
    """
    if differ:
        cycle.delete_rows("misdated", f"turn_id IN ({differ})")
    if rows:
        cycle.con.register("arrival", pa.table({"arrived_at": pa.array([arrived], _TIME)}))
        new = f"SELECT m.*, arrived_at FROM {rows} m, arrival"
        cycle.append_query("misdated", f"{new} WHERE {without(cycle, 'turn_id')}")
        cycle.con.unregister("arrival")


def without(cycle: Cycle, turn_id: str) -> str:
    """A condition of a cycle's own SQL: the turn is not recorded as misdated."""
    if not (paths := cycle.paths("misdated")):
        return "true"
    return f"{turn_id} NOT IN (SELECT turn_id FROM ({scan(TABLES['misdated'], paths)}))"
