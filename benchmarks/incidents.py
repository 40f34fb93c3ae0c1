"""How many of the demo's planted incidents are found as change points, and false alarms.

    python -m benchmarks.incidents STORE INCIDENTS

STORE is a scored store of the demo and INCIDENTS its `_incidents.json`. An incident is detected if
its failure point becomes more frequent within two days of its start. Other changes of its failure
point while it lasts, and the recovery when it ends, are further views of it; all other changes are
false alarms.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa

from analysis.change_points import Change
from analysis.change_points import changes as change_points
from data.errors import FaultlineError, UsageError
from data.schema.tables import DIMENSIONS
from data.schema.trace import FAILURES
from data.store.store import Store

WITHIN = 2

_DAYS = """
SELECT day, {dimensions}, count(*)::BIGINT AS turns, {sums}
FROM predictions
WHERE model_id = $model
GROUP BY day, {dimensions}
"""


@dataclass(frozen=True)
class Planted:
    """An incident of the demo: its failure point, its first and its last day."""

    id: str
    failure_point: str
    start: date
    end: date


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
    return [
        Planted(
            row["id"],
            row["failure_point"],
            datetime.fromisoformat(row["start"]).date(),
            datetime.fromisoformat(row["end"]).date(),
        )
        for row in json.loads(path.read_text(encoding="utf-8"))
    ]


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


def main(store: str, incidents: str) -> None:
    """Print recall and false alarms of change points."""
    result = compare(change_points(days(Store.open(store))), planted(Path(incidents)))
    for name, change in result.detected.items():
        print(f"{name}: {words(change) if change else 'missed'}")
    print(f"Recall {100 * result.recall:.0f} % of {len(result.detected)}.")
    for title, rest in (("Further views", result.views), ("False alarms", result.alarms)):
        print(f"{title}: {len(rest)}.")
        for change in rest:
            print(f"  {words(change)}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("Give a scored store of the demo and its _incidents.json: STORE INCIDENTS")
    try:
        main(sys.argv[1], sys.argv[2])
    except FaultlineError as error:
        sys.exit(str(error))
