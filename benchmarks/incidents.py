"""How many of the demo's planted incidents are found as change points, and false alarms.

    python -m benchmarks.incidents STORE INCIDENTS

STORE is a scored store of the demo and INCIDENTS its `_incidents.json`. An incident is detected if
its failure point becomes more frequent within two days of its start. Other changes of its failure
point while it lasts, and the recovery when it ends, are further views of it; all other changes are
false alarms. A table of the trend follows: the mean probability of each incident's failure point in
the traffic that it names, in its period and at other times.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import reduce
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute

from analysis.change_points import Change
from analysis.change_points import changes as change_points
from data.errors import FaultlineError, UsageError
from data.schema.tables import DIMENSIONS
from data.schema.trace import FAILURES
from data.store.store import Store

pc: Any = pyarrow.compute
WITHIN = 2

_DAYS = """
SELECT day, {dimensions}, count(*)::BIGINT AS turns, {sums}
FROM predictions
WHERE model_id = $model
GROUP BY day, {dimensions}
"""


@dataclass(frozen=True)
class Planted:
    """An incident of the demo: its failure point, its first day and the day on which it ends.

    `last`: the last day with any of it. `where`: values by dimension of the traffic it struck, as
    far as logs tell.
    """

    id: str
    failure_point: str
    start: date
    end: date
    last: date
    where: dict[str, list[str]]


@dataclass(frozen=True)
class Result:
    """The change that shows each incident, further views of incidents, and false alarms."""

    detected: dict[str, Change | None]
    views: list[Change]
    alarms: list[Change]

    @property
    def recall(self) -> float:
        return sum(change is not None for change in self.detected.values()) / max(
            len(self.detected), 1
        )


def planted(path: Path) -> list[Planted]:
    """The incidents in the demo's `_incidents.json`."""
    incidents = []
    for row in json.loads(path.read_text(encoding="utf-8")):
        start, end = (datetime.fromisoformat(row[name]) for name in ("start", "end"))
        last = (end - timedelta(microseconds=1)).date()
        point, where = row["failure_point"], row["where"]
        incidents.append(Planted(row["id"], point, start.date(), end.date(), last, where))
    return incidents


def days(store: Store) -> pa.Table:
    """Daily sums of the promoted model's predictions, by all dimensions."""
    model = store.head().model
    if model is None:
        raise UsageError("The store has no model; run 'faultline score' on it first.")
    sums = ", ".join(
        f"sum(p_{name}::DOUBLE) AS sum_p_{name}, sum(p_{name}::DOUBLE ** 2) AS sum_pp_{name}"
        for name in FAILURES
    )
    sql = _DAYS.format(dimensions=", ".join(DIMENSIONS), sums=sums)
    with store.snapshot() as snapshot:
        return snapshot.query(sql, {"model": model})


def compare(changes: Sequence[Change], incidents: Sequence[Planted]) -> Result:
    """Assign `changes` to `incidents`; those of no incident are false alarms."""
    detected: dict[str, Change | None] = {}
    for incident in incidents:
        near = [change for change in changes if _is(change, incident)]
        detected[incident.id] = min(near, key=lambda change: change.p_value) if near else None
    rest = [change for change in changes if change not in detected.values()]
    views = [change for change in rest if any(_within(change, incident) for incident in incidents)]
    return Result(detected, views, [change for change in rest if change not in views])


def _is(change: Change, incident: Planted) -> bool:
    return (
        change.failure_point == incident.failure_point
        and change.extra_turns > 0
        and abs((change.start - incident.start).days) <= WITHIN
    )


def _within(change: Change, incident: Planted) -> bool:
    """The change starts while the incident lasts, or is the recovery at its end."""
    if change.failure_point != incident.failure_point:
        return False
    if change.extra_turns > 0:
        return incident.start <= change.start <= incident.end
    return abs((change.start - incident.end).days) <= WITHIN


def words(change: Change) -> str:
    """A change in change line."""
    where = ", ".join(f"{name} {value}" for name, value in change.where) or "all traffic"
    return (
        f"{change.failure_point}, {where}, {change.start} to {change.end or 'now'}: "
        f"{100 * change.before:.1f} % to {100 * change.after:.1f} %, q {change.q_value:.1g}"
        + (f", since {change.release}" if change.release else "")
    )


def trend(sums: pa.Table, incident: Planted) -> tuple[float, float]:
    """Mean probability of an incident's failure point where it struck, then and at other times;
    `sums` as of `days`."""
    there = pc.fill_null(
        reduce(
            pc.and_,
            (pc.is_in(sums[name], pa.array(values)) for name, values in incident.where.items()),
            pa.scalar(True),
        ),
        False,
    )
    then = pc.and_(
        pc.greater_equal(sums["day"], pa.scalar(incident.start)),
        pc.less_equal(sums["day"], pa.scalar(incident.last)),
    )

    def mean(rows: pa.Table) -> float:
        turns = pc.sum(rows["turns"]).as_py()
        total = pc.sum(rows[f"sum_p_{incident.failure_point}"]).as_py()
        return total / turns if turns else float("nan")

    within, other = pc.and_(there, then), pc.and_(there, pc.invert(then))
    return mean(sums.filter(within)), mean(sums.filter(other))


def main(store: str, incidents: str) -> None:
    """Print recall and false alarms of change points."""
    sums, known = days(Store.open(store)), planted(Path(incidents))
    result = compare(change_points(sums), known)
    for name, change in result.detected.items():
        print(f"{name}: {words(change) if change else 'missed'}")
    print(f"Recall {100 * result.recall:.0f} % of {len(result.detected)}.")
    for title, rest in (("Further views", result.views), ("False alarms", result.alarms)):
        print(f"{title}: {len(rest)}.")
        for change in rest:
            print(f"  {words(change)}")
    print("\n| incident | in its period | at other times |\n|---|---:|---:|")
    for incident in known:
        then, otherwise = trend(sums, incident)
        print(f"| {incident.id} | {then:.3f} | {otherwise:.3f} |")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("Give a scored store of the demo and its _incidents.json: STORE INCIDENTS")
    try:
        main(sys.argv[1], sys.argv[2])
    except FaultlineError as error:
        sys.exit(str(error))
