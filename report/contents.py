"""What the Overview says of a filter: the numbers, then what changed, moved and was spent.

The page and the file are made of the same two answers, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from analysis.change_points import Change, changes
from analysis.error_budget import Budget, budgets
from analysis.period_comparison import Period, moved
from analysis.periods import Periods, Shift, periods, shift
from analysis.rates import Estimate, estimate
from data.queries import overview
from data.queries.filters import Filter
from data.queries.ground_truth import sampled
from data.queries.releases import Release, releases
from data.schema.trace import FAILURES

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

# Change points are looked for in at most so many days: the work grows with their square.
HISTORY = 366
DOMAINS = 12
# What may well be chance is not worth a line.
PERHAPS = 0.2


@dataclass(frozen=True)
class Headline:
    """The numbers of a period.

    Attributes
    ----------
    trend: turns, counts and sums per `by`, see `data.queries.overview.trend`. total: its sums.
    rates: estimates of the five failures and of "defect" over the period shown.
    before: the same over the period before, as far as it is estimated the same way; empty where
    there is none. shifts: the change between the compared periods.
    turns: of the compared periods, the later one first. days: sums per day of all these.
    """

    periods: Periods
    by: overview.Grain
    trend: pa.Table
    total: overview.Totals
    rates: dict[str, Estimate]
    before: dict[str, Estimate]
    shifts: dict[str, Shift]
    turns: tuple[int, int]
    days: pa.Table

    @property
    def worst(self) -> str:
        """The failure point with the largest rate; the earliest of equals."""
        return max(FAILURES, key=lambda name: self.rates[name].value)

    def earlier(self, name: str) -> float | None:
        """The rate of the period before, where the shown one is what it is compared with."""
        found = self.before.get(name)
        if found is None or not self.periods.whole or found.method != self.rates[name].method:
            return None
        return found.value

    def budgets(self, targets: Mapping[str, float]) -> list[Budget]:
        """What is left of the error budgets of the compared period, see `analysis.error_budget`."""
        known = {name: target for name, target in targets.items() if name in FAILURES}
        recent = self.periods.recent
        return budgets(self.days, known, recent.since, recent.until)


@dataclass(frozen=True)
class Events:
    """What happened in a period.

    Attributes
    ----------
    releases: of the period shown. changes: that start in it, the latest first. moved: cells that
    differ between the compared periods or perhaps do, see `analysis.period_comparison.SCHEMA`; None
    where there is no period before. compared: how many cells were. domains: sums per domain, the
    largest first, at most `DOMAINS`.
    """

    releases: list[Release]
    changes: list[Change]
    moved: pa.Table | None
    compared: int
    domains: pa.Table


def headline(
    snapshot: Snapshot,
    model: str,
    chosen: Filter,
    bounds: tuple[date, date],
    by: overview.Grain | None = None,
) -> Headline | None:
    """The numbers of a filter, `bounds` being the scored days; None if it lets no turn through."""
    found = periods(chosen, *bounds)
    if found is None:
        return None
    shown, recent, previous = found.shown, found.recent, found.previous
    by = by or overview.grain(shown.since, shown.until)
    trend = overview.trend(snapshot, model, chosen, by)
    total = overview.totals(trend)
    if not total.turns:
        return None
    wide = _over(chosen, previous.since if previous else recent.since, shown)
    days = overview.sums(snapshot, model, wide)
    # People were asked about turns at random, but a filter on them is no random part of these.
    known = None if chosen.source else sampled(snapshot, model, wide)
    rates = _rates(days, known, shown)
    before: dict[str, Estimate] = {}
    shifts: dict[str, Shift] = {}
    turns = (0, 0)
    if previous:
        turns = (_turns(days, recent), _turns(days, previous))
        if all(turns):
            now, before = _rates(days, known, recent), _rates(days, known, previous)
            if now["defect"].method != before["defect"].method:
                # Two methods differ by more than what happened.
                now, before = _rates(days, None, recent), _rates(days, None, previous)
            shifts = {name: shift(now[name], before[name]) for name in now}
    return Headline(found, by, trend, total, rates, before, shifts, turns, days)


def events(snapshot: Snapshot, model: str, chosen: Filter, bounds: tuple[date, date]) -> Events:
    """What happened within a filter, `bounds` being the scored days."""
    found = periods(chosen, *bounds)
    if found is None:
        return Events([], [], None, 0, overview.sums(snapshot, model, chosen, ("domain",), DOMAINS))
    shown, recent, previous = found.shown, found.recent, found.previous
    # Changes need to know what was normal before the period.
    history = max(bounds[0], shown.until - timedelta(days=HISTORY - 1))
    start = min(history, previous.since) if previous else history
    cells = overview.cells(snapshot, model, replace(chosen, since=start, until=shown.until))
    past = Period(history, shown.until).rows(cells)
    pairs = moved(cells, previous, recent, q=1.0) if previous else None
    return Events(
        [one for one in releases(snapshot, model) if shown.since <= one.day <= shown.until],
        [one for one in reversed(changes(past)) if one.start >= shown.since],
        None if pairs is None else pairs.filter(pc.field("q_value") <= PERHAPS),
        0 if pairs is None else pairs.num_rows,
        overview.sums(snapshot, model, chosen, ("domain",), DOMAINS),
    )


def _over(chosen: Filter, since: date, shown: Period) -> Filter:
    return replace(chosen, since=min(since, shown.since), until=shown.until)


def _rates(days: pa.Table, known: pa.Table | None, period: Period) -> dict[str, Estimate]:
    return estimate(period.rows(days), period.rows(known) if known is not None else None)


def _turns(days: pa.Table, period: Period) -> int:
    return int(pc.sum(period.rows(days)["turns"]).as_py() or 0)
