"""The report of the last weeks by mail: the Overview as a file, and its numbers as plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerts.message import Message
from analysis.rates import RATES
from charts.formatting import percent
from charts.sentences import period_words
from data.schema.vocabulary import NAMES
from progress import Progress, silent
from report.page import weekly

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot


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
