"""Which two periods are compared, and the interval of the difference of a rate between them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from math import hypot
from typing import Literal

from analysis.period_comparison import Period
from analysis.rates import Estimate
from data.errors import UsageError
from data.queries.filters import Filter, day_of
from data.schema.trace import STAGES

# A filter without a start has no period before it: the last four weeks are then compared with the
# four before them, or the last half of the days with the first half where there are fewer.
DAYS = 28


@dataclass(frozen=True)
class Against:
    """With what the period shown is compared.

    Attributes
    ----------
    mode: "previous", as many days right before it; "weekdays", as many days a whole number of weeks
    before it, so that a Monday is compared with Mondays; "release", the days since a release with
    the days before it; "days", any days.
    release: stage and version, of the mode "release". days: those of the mode "days".
    """

    mode: Literal["previous", "weekdays", "release", "days"] = "previous"
    release: tuple[str, str] | None = None
    days: Period | None = None

    @classmethod
    def parse(cls, text: str | None) -> Against:
        """Parse `previous`, `weekdays`, `asr:4.2` or `2024-10-01..2024-10-14`.

        None and an empty text are `previous`. Raises UsageError for anything else.
        """
        if not text or text == "previous":
            return cls()
        if text == "weekdays":
            return cls("weekdays")
        stage, colon, version = text.partition(":")
        if stage in STAGES and colon and version:
            return cls("release", release=(stage, version))
        since, dots, until = text.partition("..")
        if dots:
            days = Period(day_of("against", since), day_of("against", until))
            if days.since <= days.until:
                return cls("days", days=days)
            raise UsageError(f"against={text} ends before it starts; swap the two days.")
        raise UsageError(
            f"Unknown against={text}; give previous, weekdays, a release such as asr:4.2, or days "
            "such as 2024-10-01..2024-10-14."
        )

    def __str__(self) -> str:
        if self.release:
            return ":".join(self.release)
        return f"{self.days.since}..{self.days.until}" if self.days else self.mode


PREVIOUS = Against()


@dataclass(frozen=True)
class Periods:
    """The days of a filter, and the two periods to compare.

    Attributes
    ----------
    shown: the days of the filter.
    recent: these days, or the last four weeks where the filter has no start, or those of these days
    that are not before the release.
    previous: the days that `recent` is compared with; None where they are not scored or overlap it.
    against: how they were chosen. released: the day of its release.
    """

    shown: Period
    recent: Period
    previous: Period | None
    against: Against = PREVIOUS
    released: date | None = None

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


def periods(
    chosen: Filter,
    first: date,
    last: date,
    against: Against = PREVIOUS,
    released: date | None = None,
) -> Periods | None:
    """The periods of a filter; `first` and `last` are the first and last scored day.

    `released` is the first day of the release that `against` names. None if the filter has no
    scored day, as one for turns with impossible dates.
    """
    if chosen.dates:
        return None
    since, until = chosen.since or first, min(chosen.until or last, last)
    if since > until:
        return None
    shown = recent = Period(since, until)
    if against.mode == "release" and released:
        recent = Period(min(max(since, released), until), until)
    elif chosen.since is None and against.mode != "days":
        days = min(DAYS, shown.days // 2)
        recent = Period(until - timedelta(days=max(days, 1) - 1), until)
    previous = _previous(recent, first, last, against, released)
    return Periods(shown, recent, previous, against, released)


def _previous(
    recent: Period, first: date, last: date, against: Against, released: date | None
) -> Period | None:
    if against.days:
        days = against.days
        scored = Period(max(days.since, first), min(days.until, last))
        apart = days.until < recent.since or days.since > recent.until
        return scored if apart and scored.since <= scored.until else None
    if against.mode == "release":
        # Rates need no equal length, so a release soon after the first day can be compared too.
        if released is None or not first < released <= recent.until:
            return None
        start = max(first, released - timedelta(days=recent.days))
        return Period(start, released - timedelta(days=1))
    back = timedelta(days=recent.days)
    if against.mode == "weekdays":
        back = timedelta(days=-(-recent.days // 7) * 7)
    previous = Period(recent.since - back, recent.until - back)
    return previous if previous.since >= first else None


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
