"""The report of the last weeks by mail: the Overview as a file, and its numbers as plain text.

A store can have it sent every week, by the first run of alerts after a day and time. What is about
to be sent is written down before: killed in between, a run leaves a report that nobody may have,
and says so, rather than one that everybody has twice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Self

from alerts.delivery import send_mail
from alerts.message import Message
from alerts.settings import HOST, SENDER, TO, Settings, mail_address, zone_of
from analysis.rates import RATES
from charts.formatting import percent, short
from charts.sentences import period_words
from data.errors import AlertError, AlertUnsure, FaultlineError, UsageError
from data.schema.vocabulary import NAMES
from data.store import workspace
from progress import Progress, silent
from report.page import weekly

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot
    from data.store.store import Store

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MOST_WEEKS = 520
# Settings of the store: when the report is sent, and what became of the last one.
_PLAN, _SENT = "weekly_report", "weekly_report_sent"
_TIME = re.compile(r"(\d{1,2}):(\d{2})")
_WEEK = timedelta(days=7)
# A report that is done for a later time than this is of a clock that was wrong.
_FAR = 5 * _WEEK


def report_message(
    snapshot: Snapshot, weeks: int, base: str = "", progress: Progress = silent
) -> Message:
    """The mail of a report on the last `weeks`; raises as `report.page.weekly` does.

    `base`: the dashboard's address, for a link; without it there is none.
    """
    html, head = weekly(snapshot, weeks, progress)
    period = head.periods.shown
    words = period_words(period)
    rates = [
        f"{NAMES.get(name, 'Any failure')}: {percent(rate.value)} ({percent(rate.low)} to "
        f"{percent(rate.high)})"
        for name in RATES
        for rate in [head.rates[name]]
    ]
    link = (
        f"\n{base}/?at={snapshot.version}&since={period.since}&until={period.until}\n"
        if base
        else ""
    )
    figures = "\n".join(rates)
    text = (
        f"{head.lead}\n\nShare of {head.rates['defect'].turns} turns, with 95 % intervals:\n"
        f"{figures}\n{link}\nThe whole report is attached; it opens in a browser, offline.\n"
    )
    name = f"faultline-{period.since}-{period.until}.html"
    key = f"report-{snapshot.version}-{period.since}-{period.until}"
    subject = f"Faultline, {words}: {percent(head.rates['defect'].value)} of turns fail"
    return Message(subject, text, key, [(name, "text/html", html.encode())])


@dataclass(frozen=True)
class Plan:
    """When the report is mailed.

    Attributes
    ----------
    to: addresses; where there is none, those of the environment. day: a name of `DAYS`. at: the
    time, in the time zone `zone` (an IANA name). weeks: how many the report is about.
    made_at: from when on it counts; no report is due for a day before.
    """

    to: tuple[str, ...]
    day: str
    at: time
    zone: str
    weeks: int
    made_at: datetime

    @classmethod
    def of(
        cls,
        to: Sequence[str],
        day: str,
        at: str,
        zone: str,
        weeks: int,
        made_at: datetime | None = None,
    ) -> Self:
        """A plan as it is given; raises UsageError for what none can be."""
        match = _TIME.fullmatch(at.strip())
        if not match or int(match[1]) > 23 or int(match[2]) > 59:
            raise UsageError(f"'{at[:40]}' is not a time; give one such as 07:00.")
        if day.strip().lower() not in DAYS:
            raise UsageError(f"'{day[:40]}' is not a day; choose one of {', '.join(DAYS)}.")
        if not 1 <= weeks <= MOST_WEEKS:
            raise UsageError(f"A report cannot be about {weeks} weeks; give 1 to {MOST_WEEKS}.")
        addresses = tuple(dict.fromkeys(mail_address("--to", one) for one in to))
        if len(addresses) > 50:
            raise UsageError(f"{len(addresses)} addresses are too many; give at most 50.")
        at_time = time(int(match[1]), int(match[2]))
        name = zone_of(zone.strip(), "--zone").key
        made_at = made_at or datetime.now(UTC)
        return cls(addresses, day.strip().lower(), at_time, name, weeks, made_at)

    def last(self, now: datetime) -> datetime:
        """The last time up to `now` (with a time zone) at which a report was due."""
        local = now.astimezone(zone_of(self.zone))
        back = (local.weekday() - DAYS.index(self.day)) % 7
        due = datetime.combine(local.date() - timedelta(days=back), self.at, local.tzinfo)
        if due > local:
            # By the calendar: a week in which clocks change is an hour longer or shorter.
            due = datetime.combine(due.date() - _WEEK, self.at, local.tzinfo)
        return due.astimezone(UTC)

    def words(self) -> str:
        """`The report of the last week is mailed on Mondays at 07:00 (UTC) to …`."""
        period = "the last week" if self.weeks == 1 else f"the last {self.weeks} weeks"
        to = ", ".join(self.to) or f"those of {TO}"
        return (
            f"The report of {period} is mailed on {self.day.capitalize()}s at {self.at:%H:%M} "
            f"({self.zone}) to {to}, by alerts run."
        )


def plan(snapshot: Snapshot) -> Plan | None:
    """When the store's report is mailed; None if it is not."""
    kept: dict[str, Any] | None = workspace.setting(snapshot, _PLAN, None)
    if not kept:
        return None
    made_at = datetime.fromisoformat(kept["made_at"])
    return Plan.of(kept["to"], kept["day"], kept["at"], kept["zone"], kept["weeks"], made_at)


def set_plan(store: Store, planned: Plan | None) -> None:
    """Have the report mailed every week, or no longer (None)."""
    kept = planned and {
        "to": list(planned.to),
        "day": planned.day,
        "at": f"{planned.at:%H:%M}",
        "zone": planned.zone,
        "weeks": planned.weeks,
        "made_at": planned.made_at.isoformat(),
    }
    workspace.put_setting(store, _PLAN, kept)


def send_due(
    store: Store, snapshot: Snapshot, configured: Settings, base: str, now: datetime
) -> tuple[int, list[str]]:
    """Mail the report if it is due: once for each time of the plan, the last one that has passed.

    Only one process at a time may call it. Returns how many addresses it was sent to, and
    problems, as sentences.
    """
    problems: list[str] = []
    try:
        planned = plan(snapshot)
    except (UsageError, KeyError, TypeError, ValueError) as error:
        return 0, [
            f"The plan of the weekly report cannot be read ({short(str(error), 200)}); set it "
            "again with: faultline alerts weekly"
        ]
    before: dict[str, Any] = workspace.setting(snapshot, _SENT, {})
    if before.get("sending"):
        problems.append(
            "A run that was mailing the weekly report was killed, so whether it arrived is not "
            "known; it is not sent again. To send it: faultline alerts report"
        )
        before = {**before, "sending": False}
        workspace.put_setting(store, _SENT, before)
    if planned is None:
        return 0, problems
    due = planned.last(now)
    done = datetime.fromisoformat(before["due"]) if before.get("due") else None
    if due <= planned.made_at or (done and due <= done and done - now < _FAR):
        return 0, problems
    mail = configured.mail
    if mail is None:
        return 0, [
            *problems, f"The weekly report is due, but no mail is set up; set {HOST}, {SENDER} and "
            f"{TO}.",
        ]  # fmt: skip
    try:
        letter = report_message(snapshot, planned.weeks, base)
        workspace.put_setting(store, _SENT, {"due": due.isoformat(), "sending": True})
        to = planned.to or mail.to
        try:
            refused = send_mail(replace(mail, to=to), letter, now)
        except AlertUnsure:
            workspace.put_setting(store, _SENT, {"due": due.isoformat(), "sending": False})
            raise
        except AlertError:
            workspace.put_setting(store, _SENT, before)
            raise
        workspace.put_setting(store, _SENT, {"due": due.isoformat(), "sending": False})
    except AlertUnsure as error:
        return 0, [*problems, f"{error} The weekly report is not sent again by itself."]
    except FaultlineError as error:
        return 0, [*problems, f"The weekly report was not sent: {error}"]
    if refused:
        problems.append(f"The mail server refused {', '.join(refused)} for the weekly report.")
    return len(to) - len(refused), problems
