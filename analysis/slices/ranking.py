"""The slices of a stage with their daily figures, as a ranked list shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from analysis.slices.search import SearchResult, find
from data.queries.dimensions import slice_columns
from data.queries.filters import Filter
from data.queries.slices import daily
from progress import Progress, portion

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Ranked:
    """The result of a search, and the days (`data.queries.slices.daily`) of each slice by key."""

    found: SearchResult
    days: dict[str, pa.Table]

    @property
    def weeks(self) -> float:
        """Weeks from the first to the last day with turns; at least one day."""
        table = next(iter(self.days.values()), None)
        days: list[Any] = table["day"].to_pylist() if table is not None else []
        return max(1, (max(days) - min(days)).days + 1) / 7 if days else 1 / 7


def ranked(
    snapshot: Snapshot, model: str, point: str, chosen: Filter, progress: Progress
) -> Ranked:
    """Search all dimensions, up to three at a time, and read the days of each slice.

    `progress` is that of `analysis.slices.search.find`.
    """
    table, share = slice_columns(
        snapshot, model, point, chosen, progress=portion(progress, 0, 0.15)
    )
    search = find(table, point, share=share, progress=portion(progress, 0.15, 0.95))
    del table
    conditions = [slice_.conditions for slice_ in search.slices]
    progress(0.95, 1, "reading their days")
    days = daily(snapshot, model, point, chosen, conditions)
    progress(1, 1, "reading their days")
    return Ranked(
        search, {slice_.key: table for slice_, table in zip(search.slices, days, strict=True)}
    )
