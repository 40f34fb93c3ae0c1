"""Two releases of a stage against each other: rates of the turns that ran on them, and slices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from analysis.period_comparison import Period, differing
from analysis.periods import Shift, shift
from analysis.rates import Estimate, estimate
from charts.formatting import short
from data.errors import UsageError
from data.queries import overview
from data.queries.filters import Filter
from data.queries.ground_truth import sampled
from data.schema.trace import STAGES
from report.contents import PERHAPS

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot


@dataclass(frozen=True)
class Side:
    """One of the releases: its first and last day within the filter, its turns and their rates."""

    version: str
    days: Period
    turns: int
    rates: dict[str, Estimate]


@dataclass(frozen=True)
class ReleaseComparison:
    """Release B of a stage against release A, both within one filter.

    Attributes
    ----------
    shifts: the change of each rate from A to B. cells: slices that differ, or perhaps differ, see
    `analysis.period_comparison.SCHEMA`; "before" is A, rates are the model's own. compared: how
    many slices were compared. missing: the versions without a turn; if any, there is no shift.
    """

    stage: str
    a: Side
    b: Side
    shifts: dict[str, Shift]
    cells: pa.Table
    compared: int

    @property
    def missing(self) -> list[str]:
        return [side.version for side in (self.a, self.b) if not side.turns]

    @property
    def together(self) -> int:
        """The number of days from the first to the last on which both may have run."""
        start = max(self.a.days.since, self.b.days.since)
        return max((min(self.a.days.until, self.b.days.until) - start).days + 1, 0)


def parse_releases(a: str, b: str) -> tuple[str, str, str]:
    """Stage and versions of two releases written `stage:version`.

    Raises UsageError unless they are two releases of one stage.
    """
    stage, colon, version_a = a.partition(":")
    other, colon_b, version_b = b.partition(":")
    if stage not in STAGES or other != stage or not (colon and colon_b) or version_a == version_b:
        raise UsageError(
            f"The releases {short(a, 40)} and {short(b, 40)} cannot be compared; give two releases "
            "of one stage, such as asr:4.1 and asr:4.2."
        )
    return stage, version_a, version_b


def compare_releases(
    snapshot: Snapshot, model: str, chosen: Filter, stage: str, a: str, b: str
) -> ReleaseComparison:
    """Compare two releases of a stage within a filter, whose own versions of it are left out."""
    others = tuple(v for v in chosen.version if not v.startswith(f"{stage}:"))

    def only(version: str) -> Filter:
        return replace(chosen, version=(*others, f"{stage}:{version}"))

    old, new = (overview.cells(snapshot, model, only(version)) for version in (a, b))
    before, after = (
        estimate(rows, sampled(snapshot, model, only(version)))
        for rows, version in ((old, a), (new, b))
    )
    if before["defect"].method != after["defect"].method:
        # The difference between two methods is not a difference between releases.
        before, after = estimate(old), estimate(new)
    side_a, side_b = _side(a, old, before), _side(b, new, after)
    both = side_a.turns and side_b.turns
    pairs = differing(old, new, q=1.0, without=f"version_{stage}")
    return ReleaseComparison(
        stage,
        side_a,
        side_b,
        {name: shift(after[name], before[name]) for name in before} if both else {},
        pairs.filter(pc.field("q_value") <= PERHAPS),
        pairs.num_rows,
    )


def _side(version: str, rows: pa.Table, rates: dict[str, Estimate]) -> Side:
    if not rows.num_rows:
        return Side(version, Period(date.max, date.min), 0, rates)
    days: list[Any] = rows["day"].unique().to_pylist()
    turns = int(pc.sum(rows["turns"]).as_py() or 0)
    return Side(version, Period(min(days), max(days)), turns, rates)
