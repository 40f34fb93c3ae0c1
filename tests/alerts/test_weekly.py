"""The report that runs of alerts mail every week: when it is due, once, and never twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alerts import weekly
from alerts.desk import Ran, run
from alerts.settings import settings
from alerts.weekly import Plan, plan, set_plan
from data.store.store import Store
from tests.channels import mail_server, speaking_smtp, talking
from tests.command import Run, must_fail

# A Saturday.
NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("zone", "now", "due"),
    [
        ("UTC", "2024-06-01T12:00+00:00", "2024-05-27T07:00+00:00"),
        ("UTC", "2024-06-03T06:59+00:00", "2024-05-27T07:00+00:00"),
        ("UTC", "2024-06-03T07:00+00:00", "2024-06-03T07:00+00:00"),
        # Already Monday there.
        ("Pacific/Auckland", "2024-06-02T19:00+00:00", "2024-06-02T19:00+00:00"),
        ("America/Los_Angeles", "2024-06-03T07:00+00:00", "2024-05-27T14:00+00:00"),
        # Clocks went forward on 31 March.
        ("Europe/Berlin", "2024-04-01T05:00+00:00", "2024-04-01T05:00+00:00"),
        ("Europe/Berlin", "2024-04-01T04:59+00:00", "2024-03-25T06:00+00:00"),
    ],
)
def test_when_a_report_was_due_last(zone: str, now: str, due: str) -> None:
    planned = Plan.of([], "monday", "07:00", zone, 1)
    assert planned.last(datetime.fromisoformat(now)) == datetime.fromisoformat(due)


def planned(store: Store, made_at: datetime = NOW - 30 * DAY, **more: object) -> None:
    given = {"to": ["boss@example.org"], "day": "Monday", "at": "7:00", "zone": "UTC", "weeks": 1}
    set_plan(store, Plan.of(**{**given, **more}, made_at=made_at))  # type: ignore[arg-type]


def test_a_report_is_mailed_once_a_week_also_after_downtime(
    own_phones_fail: Store, tmp_path: Path
) -> None:
    planned(own_phones_fail)
    with mail_server(tmp_path) as (inbox, environment):
        configured = settings(environment)

        def sent(now: datetime) -> int:
            ran = run(own_phones_fail, configured, "", now)
            assert ran.problems == []
            return ran.report

        assert [sent(NOW), sent(NOW), sent(NOW + DAY)] == [1, 0, 0]
        # Off for three weeks: one report, the last one.
        assert [sent(NOW + 24 * DAY), sent(NOW + 25 * DAY)] == [1, 0]
        # The clock goes back, over the time at which it was due, and forward again.
        assert [sent(NOW + 22 * DAY), sent(NOW + 15 * DAY), sent(NOW + 25 * DAY)] == [0, 0, 0]
        # A clock that was far ahead once.
        assert [sent(NOW + 900 * DAY), sent(NOW + 26 * DAY), sent(NOW + 27 * DAY)] == [1, 1, 0]
        # Set up after it was due: not before the next one.
        planned(own_phones_fail, NOW + 30 * DAY)
        assert [sent(NOW + 30 * DAY + timedelta(hours=1)), sent(NOW + 37 * DAY)] == [0, 1]
        set_plan(own_phones_fail, None)
        assert sent(NOW + 60 * DAY) == 0
    assert inbox.to == [["boss@example.org"]] * 5
    assert "of turns fail" in inbox.letters[0]["Subject"]


def test_a_report_that_was_refused_is_tried_again_and_one_in_doubt_is_not(
    own_phones_fail: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(own_phones_fail)

    def sent(port: int, now: datetime) -> Ran:
        environment = {
            "FAULTLINE_SMTP_HOST": "127.0.0.1",
            "FAULTLINE_SMTP_PORT": str(port),
            "FAULTLINE_SMTP_SECURITY": "none",
            "FAULTLINE_ALERTS_FROM": "a@example.org",
            "FAULTLINE_ALERTS_TO": "b@example.org",
        }
        return run(own_phones_fail, settings(environment), "", now)

    with talking(speaking_smtp({b".": b"451 later"})) as port:
        assert "was not sent" in sent(port, NOW).problems[0]
    with talking(speaking_smtp({})) as port:
        assert sent(port, NOW).report == 1
    with talking(speaking_smtp({b".": b""})) as port:
        assert "not sent again by itself" in sent(port, NOW + 7 * DAY).problems[0]
    with talking(speaking_smtp({})) as port:
        again = sent(port, NOW + 7 * DAY)
        assert (again.report, again.problems) == (0, [])

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(weekly, "send_mail", killed)
            with pytest.raises(KeyboardInterrupt):
                sent(port, NOW + 14 * DAY)
        after = sent(port, NOW + 14 * DAY)
        assert after.report == 0
        assert "was killed" in after.problems[0]
        assert sent(port, NOW + 14 * DAY).problems == []
        assert sent(port, NOW + 21 * DAY).report == 1


def test_a_report_that_nobody_can_mail_is_a_problem(own_phones_fail: Store) -> None:
    planned(own_phones_fail)
    assert "no mail is set up" in run(own_phones_fail, settings({}), "", NOW).problems[0]


def test_the_command_that_sets_it_up(own_phones_fail: Store, run: Run) -> None:
    at = ("--store", own_phones_fail.path)
    assert "is not mailed" in run("alerts", "weekly", *at).out
    told = run("alerts", "weekly", "--to", "boss@example.org", "--zone", "Europe/Berlin", *at)
    assert "Mondays at 07:00 (Europe/Berlin) to boss@example.org" in told.out
    assert "Fridays at 18:30" in run("alerts", "weekly", "--on", "friday", "--at", "18:30", *at).out
    with own_phones_fail.snapshot() as snapshot:
        kept = plan(snapshot)
    assert kept
    assert (kept.to, kept.zone) == (("boss@example.org",), "Europe/Berlin")
    for wrong in (("--on", "someday"), ("--at", "25:00"), ("--zone", "../x"), ("--weeks", "0"),
                  ("--to", "a@x.org\nBcc: e@x.org"), ("--off", "--on", "monday")):  # fmt: skip
        must_fail(run("alerts", "weekly", *wrong, *at))
    assert "no longer" in run("alerts", "weekly", "--off", *at).out
    with own_phones_fail.snapshot() as snapshot:
        assert plan(snapshot) is None
