"""What stores of earlier versions lack, added to them when something is written to them anyway."""

from __future__ import annotations

from data.schema.layout import TABLES
from data.store.misdated import EARLIEST, Clock, record
from data.store.rollup import recompute
from data.store.snapshot import literal, scan
from data.store.transaction import Cycle


def record_misdated(cycle: Cycle, clock: Clock) -> None:
    """Record the turns whose date cannot be right, and take them out of the daily sums, once.

    When they arrived is not known; they count as new.
    """
    if cycle.versions.get("misdated", 0):
        return
    days = {file.partition["day"] for file in cycle.files("turns").values()}
    earliest, latest = str(EARLIEST.date()), str(clock.latest.date())
    impossible = sorted(day for day in days if not earliest <= day < latest)
    if not impossible:
        return
    files = cycle.paths("turns", cycle.matching("turns", {"day": impossible}))
    first, last = literal(EARLIEST.isoformat()), literal(clock.latest.isoformat())
    record(
        cycle,
        f"(SELECT turn_id, dialogue_id, day, started_at FROM ({scan(TABLES['turns'], files)}) "
        f"WHERE NOT started_at BETWEEN {first}::TIMESTAMPTZ AND {last}::TIMESTAMPTZ)",
        clock.arrived,
    )
    if cycle.files("misdated"):
        for model in {file.partition["model_id"] for file in cycle.files("predictions").values()}:
            recompute(cycle, impossible, model)
