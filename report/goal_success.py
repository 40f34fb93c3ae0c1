"""How many goals are reached in the period of the Overview, since when, and how that changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from analysis.goal_success import goal_success
from analysis.period_comparison import Period
from analysis.periods import Periods, Shift, shift
from analysis.rates import ANNOTATED, Estimate
from data.queries import goals
from data.queries.filters import Filter
from data.queries.overview import Grain

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot


@dataclass(frozen=True)
class GoalSuccess:
    """Goals of a period.

    Attributes
    ----------
    rate: the share that was reached; its `turns` and `labelled` are goals. goals: all, with those
    of which the model cannot say. shift: the change between the compared periods; None where there
    is nothing to compare. trend: the rate per step of `by`, scaled so that it adds up to `rate`.
    """

    rate: Estimate
    goals: int
    shift: Shift | None
    trend: tuple[float, ...]


def success(
    snapshot: Snapshot,
    model: str | None,
    chosen: Filter,
    periods: Periods | None,
    by: Grain,
    annotated: pa.Table,
) -> GoalSuccess | None:
    """The goals of a filter; None where none was found in its period.

    Without `periods` they are those of all its days, and nothing is compared.

    `annotated` are those of `data.queries.goals.annotated`. As turns that annotators judged are a
    random sample of all turns, but not of those that a filter on `source` keeps, they are not used
    for such a filter.
    """
    hull = chosen
    if periods:
        spans = [periods.shown, *filter(None, [periods.previous])]
        hull = replace(chosen, since=min(p.since for p in spans), until=max(p.until for p in spans))
    told = None
    if annotated.num_rows and not chosen.source:
        told = goals.annotated_within(snapshot, model, hull, annotated)
    every = goals.daily(snapshot, model, hull)
    apart = every if told is None else goals.daily(snapshot, model, hull, annotated)

    def rate_of(period: Period | None) -> Estimate | None:
        corrected = None if told is None else goal_success(_of(period, apart), _of(period, told))
        if corrected and corrected.method == ANNOTATED:
            return corrected
        # With too few annotated dialogues all goals are the model's, as the trend's are.
        return goal_success(_of(period, every))

    rate = rate_of(periods.shown if periods else None)
    days = _of(periods.shown if periods else None, every)
    found = sum(_column(days, "goals"))
    if rate is None or not found:
        return None
    change = None
    if periods and periods.previous:
        compared = (periods.recent, periods.previous)
        after, before = (rate_of(period) for period in compared)
        if after and before and after.method != before.method:
            # The difference between two methods is not a change in the rate.
            after, before = (goal_success(_of(period, every)) for period in compared)
        change = shift(after, before) if after and before else None
    return GoalSuccess(rate, int(found), change, _trend(days, by, rate))


def _of(period: Period | None, table: pa.Table) -> pa.Table:
    return table if period is None else period.rows(table)


def _trend(days: pa.Table, by: Grain, rate: Estimate) -> tuple[float, ...]:
    steps: dict[Any, list[float]] = {}
    for day, judged, total in zip(
        _column(days, "day"), _column(days, "judged"), _column(days, "total"), strict=True
    ):
        step = {"day": day, "week": day.isocalendar()[:2], "month": (day.year, day.month)}[by]
        sums = steps.setdefault(step, [0.0, 0.0])
        sums[0] += judged
        sums[1] += total
    judged, total = (sum(sums[i] for sums in steps.values()) for i in (0, 1))
    factor = rate.value * judged / total if total else 1.0
    return tuple(min(factor * t / n, 1.0) for n, t in steps.values() if n)


def _column(table: pa.Table, name: str) -> Sequence[Any]:
    values: list[Any] = table[name].to_pylist()
    return values
