"""How many planted incidents of the demo show as change points, and what shows besides.

    python -m benchmarks.incidents STORE INCIDENTS

STORE is a scored store of the demo and INCIDENTS its `_incidents.json`. An incident is found if a
change of its failure point for the worse starts within two days of it. A change of the failure
point within the time of an incident, or back when it ends, is another view of that; the rest are
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

from analysis.change_points import Change, changes
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
    """What went wrong in the demo: its failure point and its first and last day."""

    id: str
    failure_point: str
    start: date
    end: date


@dataclass(frozen=True)
class Result:
    """Incidents with the change that shows each, other views of them, and false alarms."""

    found: dict[str, Change | None]
    views: list[Change]
    alarms: list[Change]

    @property
    def recall(self) -> float:
        return sum(one is not None for one in self.found.values()) / max(len(self.found), 1)


def planted(path: Path) -> list[Planted]:
    """The incidents that the demo wrote down."""
    return [
        Planted(
            one["id"],
            one["failure_point"],
            datetime.fromisoformat(one["start"]).date(),
            datetime.fromisoformat(one["end"]).date(),
        )
        for one in json.loads(path.read_text(encoding="utf-8"))
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


def compare(found: Sequence[Change], incidents: Sequence[Planted]) -> Result:
    """Which incidents are among the changes, and which changes are none of them."""
    shown: dict[str, Change | None] = {}
    for incident in incidents:
        near = [one for one in found if _is(one, incident)]
        shown[incident.id] = min(near, key=lambda one: one.p_value) if near else None
    rest = [one for one in found if one not in shown.values()]
    views = [one for one in rest if any(_within(one, incident) for incident in incidents)]
    return Result(shown, views, [one for one in rest if one not in views])


def _is(one: Change, incident: Planted) -> bool:
    return (
        one.failure_point == incident.failure_point
        and one.extra_turns > 0
        and abs((one.start - incident.start).days) <= WITHIN
    )


def _within(one: Change, incident: Planted) -> bool:
    """It starts while the incident lasts, or mends what the incident broke when that ends."""
    if one.failure_point != incident.failure_point:
        return False
    if one.extra_turns > 0:
        return incident.start <= one.start <= incident.end
    return abs((one.start - incident.end).days) <= WITHIN


def words(one: Change) -> str:
    """A change in one line."""
    where = ", ".join(f"{name} {value}" for name, value in one.where) or "all traffic"
    return (
        f"{one.failure_point}, {where}, {one.start} to {one.end or 'now'}: "
        f"{100 * one.before:.1f} % to {100 * one.after:.1f} %, q {one.q_value:.1g}"
        + (f", since {one.release}" if one.release else "")
    )


def main(store: str, incidents: str) -> None:
    """Print recall and false alarms of change points."""
    result = compare(changes(days(Store.open(store))), planted(Path(incidents)))
    for name, one in result.found.items():
        print(f"{name}: {words(one) if one else 'missed'}")
    print(f"Recall {100 * result.recall:.0f} % of {len(result.found)}.")
    for title, rest in (("Other views", result.views), ("False alarms", result.alarms)):
        print(f"{title}: {len(rest)}.")
        for one in rest:
            print(f"  {words(one)}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("Give a scored store of the demo and its _incidents.json: STORE INCIDENTS")
    try:
        main(sys.argv[1], sys.argv[2])
    except FaultlineError as error:
        sys.exit(str(error))
