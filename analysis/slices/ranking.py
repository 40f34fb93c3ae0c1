"""The slices of a stage with their days: all that a ranked list of them shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from analysis.slices.cells import Progress
from analysis.slices.search import Found, find
from data.queries.dimensions import slice_columns
from data.queries.filters import Filter
from data.queries.slices import daily

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Ranked:
    """What a search found, and the days (`data.queries.slices.daily`) of each slice by its key."""

    found: Found
    days: dict[str, pa.Table]

    @property
    def weeks(self) -> float:
        """Weeks that the turns span, at least one day."""
        table = next(iter(self.days.values()), None)
        days: list[Any] = table["day"].to_pylist() if table is not None else []
        return max(1, (max(days) - min(days)).days + 1) / 7 if days else 1 / 7


def ranked(
    snapshot: Snapshot, model: str, point: str, chosen: Filter, progress: Progress
) -> Ranked:
    """Search all dimensions, up to three at a time; `progress` as in
    `analysis.slices.search.find`."""
    table, share = slice_columns(
        snapshot, model, point, chosen, progress=lambda done: progress(0.15 * done)
    )
    found = find(table, point, share=share, progress=lambda done: progress(0.15 + 0.8 * done))
    del table
    conditions = [one.conditions for one in found.slices]
    days = daily(snapshot, model, point, chosen, conditions)
    progress(1.0)
    return Ranked(found, {one.key: table for one, table in zip(found.slices, days, strict=True)})
