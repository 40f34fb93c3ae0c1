"""When each version of a stage was first seen, from the daily sums."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from data.schema.trace import STAGES

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot


@dataclass(frozen=True)
class Release:
    """A version of a stage and the first scored day on which a turn ran through it."""

    stage: str
    version: str
    day: date


# One column at a time: five narrow reads cost less than one that unpivots every row.
_FIRST = "\nUNION ALL\n".join(
    f"SELECT {place} AS place, version_{stage} AS version, min(day) AS day\n"
    f"FROM rollup WHERE model_id = $model AND version_{stage} IS NOT NULL\n"
    f"GROUP BY version_{stage}"
    for place, stage in enumerate(STAGES)
)
_RELEASES = f"""
SELECT place, version, day FROM (
{_FIRST}
)
WHERE day > (SELECT min(day) FROM rollup WHERE model_id = $model)
ORDER BY day, place, version
"""


def releases(snapshot: Snapshot, model: str) -> list[Release]:
    """Versions in order of the day on which they appear.

    Those of the very first day are left out: nobody knows since when they had been there.
    """
    rows = snapshot.query(_RELEASES, {"model": model}).to_pylist()
    return [Release(STAGES[row["place"]], row["version"], row["day"]) for row in rows]
