"""Releases: the day on which each version of a stage was first seen, from the daily sums."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from data.schema.trace import STAGES

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot


@dataclass(frozen=True)
class Release:
    """A version of a stage and the first scored day with a turn on it."""

    stage: str
    version: str
    day: date


# One column at a time: five narrow reads cost less than one that unpivots every row.
_FIRST = "\nUNION ALL\n".join(
    f"SELECT {number} AS stage, version_{stage} AS version, min(day) AS day\n"
    f"FROM rollup WHERE model_id = $model AND version_{stage} IS NOT NULL\n"
    f"GROUP BY version_{stage}"
    for number, stage in enumerate(STAGES)
)
_RELEASES = f"""
SELECT stage, version, day FROM (
{_FIRST}
)
WHERE day > (SELECT min(day) FROM rollup WHERE model_id = $model)
ORDER BY day, stage, version
"""


def releases(snapshot: Snapshot, model: str) -> list[Release]:
    """Versions ordered by the day on which they appear.

    Versions of the very first day are left out: when they were released is unknown.
    """
    rows = snapshot.query(_RELEASES, {"model": model}).to_pylist()
    return [Release(STAGES[row["stage"]], row["version"], row["day"]) for row in rows]
