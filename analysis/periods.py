"""Which two periods are compared, and how sure one can be that a rate differs between them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from math import hypot

from analysis.period_comparison import Period
from analysis.rates import Estimate
from data.queries.filters import Filter

# Without a start there is no period before: the last four weeks are then set against the four
# before them, or half of the days against the other half where there are fewer.
DAYS = 28


@dataclass(frozen=True)
class Periods:
    """What is looked at, and what is compared.

    Attributes
    ----------
    shown: the days of the filter. recent: these, or the last four weeks where the filter has no
    start. previous: as many days before `recent`; None where the scored days do not hold them all.
    """

    shown: Period
    recent: Period
    previous: Period | None

    @property
    def whole(self) -> bool:
        """Whether all that is shown is what is compared."""
        return self.shown == self.recent


@dataclass(frozen=True)
class Shift:
    """The change of a rate between two periods, a difference of shares, with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether chance alone would hardly have made it."""
        return self.low > 0 or self.high < 0


def periods(chosen: Filter, first: date, last: date) -> Periods | None:
    """The periods of a filter, `first` and `last` being the scored days; None if it has no day."""
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

    Its interval is put together from theirs (Newcombe 1998, Statistics in Medicine 17, method 10;
    Zou and Donner 2008, Statistics in Medicine 27), so it is as lopsided as they are.
    """
    value = now.value - before.value
    return Shift(
        value,
        value - hypot(now.value - now.low, before.high - before.value),
        value + hypot(now.high - now.value, before.value - before.low),
    )
