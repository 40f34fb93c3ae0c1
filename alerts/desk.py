"""One run over all alerts: evaluate, write down what changed, tell, write down who was told.

A change of state is in the store before anybody is told of it, with the channels that still have to
be. A run that is killed in between loses nothing: the next one tells the rest. It can tell a
channel twice, if it is killed after the message was taken and before that was written down; then
the second message has the key of the first (`Idempotency-Key`, `Message-ID`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from filelock import FileLock, Timeout

from alerts.delivery import post_alertmanager, post_webhook, send_mail
from alerts.evaluation import Figures, Finding, evaluate
from alerts.message import Message, Told, address, chart, message, told
from alerts.rule import MOST, Rule
from alerts.settings import Settings
from alerts.weekly import send_due
from charts.formatting import short
from data.errors import AlertError, FaultlineError, StoreBusy, UsageError, machine_error
from data.store import workspace
from data.store.store import Store

Row = dict[str, Any]
# How long Alertmanager shows an alert of which it hears nothing more: over a day, so that a run a
# day suffices. It is told of a resolved one for as long.
_HEARD = timedelta(hours=25)
_LOCK = ".alerts.lock"
_NAME_LENGTH = 100
# Of one mail: some servers take no more than 10 MB.
_MOST_CHARTS = 50


@dataclass
class Ran:
    """What a run did: the alerts' rows after it, how many were told to whom, and problems.

    Attributes
    ----------
    held: alerts that wait for the end of the quiet hours. report: how many were sent the weekly
    report, if it was due.
    """

    rows: list[Row] = field(default_factory=list)
    told: dict[str, int] = field(default_factory=dict)
    held: int = 0
    report: int = 0
    problems: list[str] = field(default_factory=list)


def add(store: Store, rule: Rule) -> str:
    """Keep a rule; returns its id. Raises UsageError if there are too many, or one of its name."""
    row = rule.row()

    def change(rows: dict[str, Row]) -> dict[str, Row]:
        if len(rows) >= MOST:
            raise UsageError(f"There are {len(rows)} alerts already; remove one first.")
        if any(other["name"].casefold() == rule.name.casefold() for other in rows.values()):
            raise UsageError(f"There is an alert called '{rule.name}' already; give another name.")
        return {row["alert_id"]: row}

    workspace.change_alerts(store, change)
    return str(row["alert_id"])


def remove(store: Store, alert_id: str) -> None:
    """Delete an alert; raises UsageError if there is none of this id."""
    _change(store, alert_id, lambda _: None)


def acknowledge(store: Store, alert_id: str, by: str, now: datetime | None = None) -> None:
    """Say that somebody looks at a firing alert: it is not repeated until it fires anew.

    Raises UsageError if there is none of this id, if it does not fire, and without a name.
    """
    name = short(by, _NAME_LENGTH)
    if not name:
        raise UsageError("Somebody acknowledges an alert; give a name.")

    def change(row: Row) -> Row:
        if row["state"] != "firing":
            raise UsageError(f"'{row['name']}' does not fire, so there is nothing to acknowledge.")
        at = now or datetime.now(UTC)
        return {**row, "acknowledged_by": name, "acknowledged_at": at, "pending": []}

    _change(store, alert_id, change)


def mute(store: Store, alert_id: str, muted: bool) -> None:
    """Stop telling anybody of an alert, or tell again; raises UsageError if there is none."""
    _change(store, alert_id, lambda row: {**row, "muted": muted, "pending": []})


def _change(store: Store, alert_id: str, change: Callable[[Row], Row | None]) -> None:
    def changes(rows: dict[str, Row]) -> dict[str, Row | None]:
        if alert_id not in rows:
            raise UsageError(
                f"There is no alert {short(alert_id, 40)}; see them with: faultline alerts list"
            )
        return {alert_id: change(rows[alert_id])}

    workspace.change_alerts(store, changes)


def step(row: Row, finding: Finding, now: datetime, configured: Settings) -> Row:
    """An alert's row after an evaluation. One that fires goes on until it is known to be over."""
    after = {
        **row,
        **{name: getattr(finding, name) for name in ("sentence", "value", "low", "high")},
        **{name: getattr(finding, name) for name in ("since", "until")},
    }
    firing = row["state"] == "firing"
    tell = {"pending": [] if row["muted"] else list(configured.channels), "pending_at": now}
    if finding.firing is None and not firing:
        return {**after, "state": "no data"}
    if finding.firing and not firing:
        fresh = dict.fromkeys(("resolved_at", "notified_at", "acknowledged_by", "acknowledged_at"))
        return {**after, **fresh, "state": "firing", "fired_at": now, **tell}
    if firing and finding.firing is False:
        return {**after, "state": "ok", "resolved_at": now, **tell}
    if not firing:
        return {**after, "state": "ok"}
    # It still fires, or nobody can tell: a reminder, unless somebody looks at it or one is on its
    # way. A time far ahead is of a clock that was wrong.
    last = row["notified_at"]
    repeat = timedelta(hours=configured.repeat_hours)
    due = last is None or abs(now - last) >= repeat
    quiet = row["acknowledged_at"] is not None or row["pending"] or not tell["pending"]
    return {**after, **tell} if due and not quiet else after


def run(store: Store, configured: Settings, base: str = "", now: datetime | None = None) -> Ran:
    """Evaluate all alerts and tell of what changed; one run at a time.

    `base`: the dashboard's address for links. Raises StoreBusy while another run is at work.
    """
    now = now or datetime.now(UTC)
    with _alone(store):
        ran = Ran()
        with store.snapshot() as snapshot:
            figures = Figures(snapshot)
            rows = workspace.alerts(snapshot)
            findings = _evaluated(store, figures, rows, now, ran)
            _record(store, rows, findings, now, configured)
            with store.snapshot(only=("alerts",)) as newest:
                ran.rows = workspace.alerts(newest)
            usable = [row for row in ran.rows if row["alert_id"] in findings]
            # With the figures of the snapshot that they were evaluated on.
            _tell(store, figures, usable, ran, configured, base, now)
            ran.report, problems = send_due(store, snapshot, configured, base, now)
            ran.problems += problems
        with store.snapshot(only=("alerts",)) as newest:
            ran.rows = workspace.alerts(newest)
    return ran


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    lock = FileLock(store.path / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise StoreBusy(
            "Another run of alerts is at work on this store; it tells what there is to tell."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _evaluated(
    store: Store, figures: Figures, rows: Sequence[Row], now: datetime, ran: Ran
) -> dict[str, Finding]:
    findings = {}
    for row in rows:
        name = short(row["name"], _NAME_LENGTH)
        try:
            findings[row["alert_id"]] = evaluate(figures, Rule.of_row(row), now)
        except FaultlineError as error:
            # Of a filter that this version no longer knows, or a table that is damaged; the others
            # are evaluated.
            ran.problems.append(f"'{name}' cannot be evaluated: {error}")
        except Exception as error:
            # A mistake in one kind must not silence the others.
            why = machine_error(error, store.path) or f"{type(error).__name__}: {error}."
            ran.problems.append(f"'{name}' cannot be evaluated: {short(str(why), 300)}")
    return findings


def _record(
    store: Store,
    rows: Sequence[Row],
    findings: Mapping[str, Finding],
    now: datetime,
    configured: Settings,
) -> None:
    """Write what changed, and nothing if nothing did: a commit makes a version."""

    def changes(current: Mapping[str, Row]) -> dict[str, Row]:
        after = {
            key: step(row, findings[key], now, configured)
            for key, row in current.items()
            if key in findings
        }
        return {key: row for key, row in after.items() if row != current[key]}

    if changes({row["alert_id"]: row for row in rows}):
        # Somebody may have acknowledged or removed one in the meantime.
        workspace.change_alerts(store, changes)


def _tell(
    store: Store,
    figures: Figures,
    rows: Sequence[Row],
    ran: Ran,
    configured: Settings,
    base: str,
    now: datetime,
) -> None:
    if configured.alertmanager:
        _tell_alertmanager(figures, rows, ran, configured.alertmanager, base, now)
    for channel in configured.channels:
        due = [row for row in rows if channel in (row["pending"] or ()) and not row["muted"]]
        if not due:
            continue
        if configured.is_quiet(now):
            ran.held = max(ran.held, len(due))
            continue
        content = message([told(row, address(base, figures, row)) for row in due])
        try:
            _send(channel, configured, figures, content, due, now, ran)
        except AlertError as error:
            ran.problems.append(str(error))
            continue
        ran.told[channel] = len(due)
        _told(store, channel, due, now)


def _send(
    channel: str,
    configured: Settings,
    figures: Figures,
    content: Message,
    due: Sequence[Row],
    now: datetime,
    ran: Ran,
) -> None:
    if channel == "webhook" and configured.webhook:
        post_webhook(configured.webhook, content)
    elif configured.mail:
        files = []
        for row in due[:_MOST_CHARTS]:
            try:
                png = chart(figures, row)
            except Exception as error:
                # The words are what matters.
                why = f"{type(error).__name__}: {error}"
                ran.problems.append(
                    f"The chart of '{row['name']}' is left out ({short(why, 200)})."
                )
                continue
            if png:
                files.append((f"{row['alert_id']}.png", "image/png", png))
        whole = Message(content.subject, content.text, content.key, files)
        refused = send_mail(configured.mail, whole, now)
        if refused:
            ran.problems.append(
                f"The mail server refused {', '.join(refused)}; the others have the mail."
            )


def _told(store: Store, channel: str, due: Sequence[Row], now: datetime) -> None:
    """Write down that a channel was told of these states."""
    when = {row["alert_id"]: row["pending_at"] for row in due}

    def change(current: Mapping[str, Row]) -> dict[str, Row]:
        return {
            key: {
                **row,
                "pending": [name for name in row["pending"] or () if name != channel],
                "notified_at": now,
            }
            for key, row in current.items()
            # Not where it has another state by now.
            if key in when and row["pending_at"] == when[key]
        }

    workspace.change_alerts(store, change)


def _tell_alertmanager(
    figures: Figures, rows: Sequence[Row], ran: Ran, url: str, base: str, now: datetime
) -> None:
    """Post the whole present state: Alertmanager has its own repeats, silences and quiet hours."""
    posted = []
    for row in rows:
        if row["fired_at"] is None:
            continue
        if row["state"] == "firing":
            end = now if row["muted"] else now + _HEARD
        elif row["resolved_at"] and abs(now - row["resolved_at"]) < _HEARD:
            end = min(row["resolved_at"], now)
        else:
            continue
        # It refuses all of them where one ends before it starts, as after a clock that was ahead.
        start = min(row["fired_at"], end)
        posted.append((told(row, address(base, figures, row)), start, end))
    try:
        post_alertmanager(url, posted)
    except AlertError as error:
        ran.problems.append(str(error))
    else:
        if posted:
            ran.told["alertmanager"] = len(posted)


def send_test(configured: Settings, base: str = "", now: datetime | None = None) -> Ran:
    """Send a test message to every channel."""
    now = now or datetime.now(UTC)
    ran = Ran()
    key = f"test{now:%Y%m%d%H%M%S%f}"
    text = "Faultline can reach this channel. Nothing is wrong.\n" + (f"{base}\n" if base else "")
    content = Message("Faultline: a test message", text, key)
    for channel in configured.channels:
        try:
            if channel == "webhook" and configured.webhook:
                post_webhook(configured.webhook, content)
            elif configured.mail and (refused := send_mail(configured.mail, content, now)):
                ran.problems.append(f"The mail server refused {', '.join(refused)}.")
        except AlertError as error:
            ran.problems.append(str(error))
        else:
            ran.told[channel] = 1
    if configured.alertmanager:
        try:
            sample = Told(
                key, "test", "Test", "test", "", True, content.subject, text.strip(), base
            )
            post_alertmanager(configured.alertmanager, [(sample, now, now + timedelta(minutes=1))])
        except AlertError as error:
            ran.problems.append(str(error))
        else:
            ran.told["alertmanager"] = 1
    return ran
