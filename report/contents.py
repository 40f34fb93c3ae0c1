"""The contents of the Overview for a filter: the numbers, then changes, movements and budgets.

The page and the report file are built from the same two results, so they cannot disagree.
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

# The most days that are searched for change points: the work grows with their square.
HISTORY = 366
DOMAINS = 12
# Movements with a larger q-value may well be chance and are left out.
PERHAPS = 0.2


@dataclass(frozen=True)
class Headline:
    """The numbers of a period.

    Attributes
    ----------
    trend: turns, counts and sums per `by`, see `data.queries.overview.trend`. total: its sums.
    rates: estimates of the five failures and of "defect" over the period shown.
    before: the same over the period before it, estimated by the same method; empty where there is
    no period before. shifts: the change between the compared periods.
    turns: number of turns in the compared periods, the later period first. days: sums per day of
    all these periods.
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
        """The rate of the period before; None unless it is compared with the period shown."""
        before = self.before.get(name)
        if before is None or not self.periods.whole or before.method != self.rates[name].method:
            return None
        return before.value

    def budgets(self, targets: Mapping[str, float]) -> list[Budget]:
        """What is left of the error budgets of the compared period, see `analysis.error_budget`."""
        of_failures = {name: target for name, target in targets.items() if name in FAILURES}
        recent = self.periods.recent
        return budgets(self.days, of_failures, recent.since, recent.until)


@dataclass(frozen=True)
class Events:
    """What happened in a period.

    Attributes
    ----------
    releases: in the period shown. changes: those that start in it, the latest first. moved: cells
    that differ, or perhaps differ, between the compared periods, see
    `analysis.period_comparison.SCHEMA`; None where there is no period before. compared: how many
    cells were compared. domains: sums per domain, the largest first, at most `DOMAINS`.
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
    """The numbers of a filter; None if no turn passes it.

    `bounds` are the first and the last scored day. `by` is the grain of the trend, by default one
    that suits the length of the period.
    """
    compared = periods(chosen, *bounds)
    if compared is None:
        return None
    shown, recent, previous = compared.shown, compared.recent, compared.previous
    by = by or overview.grain(shown.since, shown.until)
    trend = overview.trend(snapshot, model, chosen, by)
    total = overview.totals(trend)
    if not total.turns:
        return None
    both_periods = _from(chosen, previous.since if previous else recent.since, shown)
    days = overview.sums(snapshot, model, both_periods)
    annotated = sampled(snapshot, model, both_periods)
    rates = _rates(days, annotated, shown)
    before: dict[str, Estimate] = {}
    shifts: dict[str, Shift] = {}
    turns = (0, 0)
    if previous:
        turns = (_turns(days, recent), _turns(days, previous))
        if all(turns):
            after, before = _rates(days, annotated, recent), _rates(days, annotated, previous)
            if after["defect"].method != before["defect"].method:
                # The difference between two methods is not a change in the rate.
                after, before = _rates(days, None, recent), _rates(days, None, previous)
            shifts = {name: shift(after[name], before[name]) for name in after}
    return Headline(compared, by, trend, total, rates, before, shifts, turns, days)


def events(snapshot: Snapshot, model: str, chosen: Filter, bounds: tuple[date, date]) -> Events:
    """What happened within a filter; `bounds` are the first and the last scored day."""
    domains = overview.sums(snapshot, model, chosen, ("domain",), DOMAINS)
    compared = periods(chosen, *bounds)
    if compared is None:
        return Events([], [], None, 0, domains)
    shown, recent, previous = compared.shown, compared.recent, compared.previous
    # Changes are found against what was normal before the period.
    history = max(bounds[0], shown.until - timedelta(days=HISTORY - 1))
    start = min(history, previous.since) if previous else history
    cells = overview.cells(snapshot, model, replace(chosen, since=start, until=shown.until))
    past = Period(history, shown.until).rows(cells)
    pairs = moved(cells, previous, recent, q=1.0) if previous else None
    released = releases(snapshot, model)
    return Events(
        [release for release in released if shown.since <= release.day <= shown.until],
        [change for change in reversed(changes(past)) if change.start >= shown.since],
        None if pairs is None else pairs.filter(pc.field("q_value") <= PERHAPS),
        0 if pairs is None else pairs.num_rows,
        domains,
    )


def _from(chosen: Filter, since: date, shown: Period) -> Filter:
    """The filter over the period shown and the days before it from `since`."""
    return replace(chosen, since=min(since, shown.since), until=shown.until)


def _rates(days: pa.Table, annotated: pa.Table | None, period: Period) -> dict[str, Estimate]:
    return estimate(period.rows(days), None if annotated is None else period.rows(annotated))


def _turns(days: pa.Table, period: Period) -> int:
    return int(pc.sum(period.rows(days)["turns"]).as_py() or 0)
