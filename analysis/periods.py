"""Which two periods are compared, and the interval of the difference of a rate between them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from math import hypot

from analysis.period_comparison import Period
from analysis.rates import Estimate
from data.queries.filters import Filter

# A filter without a start has no period before it: the last four weeks are then compared with the
# four before them, or the last half of the days with the first half where there are fewer.
DAYS = 28


@dataclass(frozen=True)
class Periods:
    """The days of a filter, and the two periods to compare.

    Attributes
    ----------
    shown: the days of the filter.
    recent: these days, or the last four weeks where the filter has no start.
    previous: as many days right before `recent`; None where some of them are not scored.
    """

    shown: Period
    recent: Period
    previous: Period | None

    @property
    def whole(self) -> bool:
        """Whether all days of the filter are compared."""
        return self.shown == self.recent


@dataclass(frozen=True)
class Shift:
    """The change of a rate between two periods, a difference of shares, with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


def periods(chosen: Filter, first: date, last: date) -> Periods | None:
    """The periods of a filter; `first` and `last` are the first and last scored day.

    None if the filter has no scored day, as one for turns with impossible dates.
    """
    if chosen.dates:
        return None
    since, until = chosen.since or first, min(chosen.until or last, last)
    if since > until:
        return None
    shown = recent = Period(since, until)
    if chosen.since is None:
        days = min(DAYS, ((until - first).days + 1) // 2)
        recent = Period(until - timedelta(days=max(days, 1) - 1), until)
    length = recent.until - recent.since + timedelta(days=1)
    previous = Period(recent.since - length, recent.since - timedelta(days=1))
    return Periods(shown, recent, previous if previous.since >= first else None)


def shift(now: Estimate, before: Estimate) -> Shift:
    """The difference of two independent estimates.

    Its interval is computed from the two intervals (Newcombe 1998, Statistics in Medicine 17,
    method 10; Zou and Donner 2008, Statistics in Medicine 27), so it is asymmetric where they are.
    """
    value = now.value - before.value
    return Shift(
        value,
        value - hypot(now.value - now.low, before.high - before.value),
        value + hypot(now.high - now.value, before.value - before.low),
    )
