"""What goes wrong around alerts: servers, clocks, rules that cannot be evaluated, hostile words."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alerts import delivery, desk
from alerts.delivery import post_webhook, send_mail
from alerts.desk import add, run, step
from alerts.evaluation import Finding
from alerts.message import Message
from alerts.rule import Rule
from alerts.settings import Settings, settings
from charts.formatting import unlinked
from data.errors import AlertError, AlertUnsure, UsageError
from data.queries.filters import Filter
from data.store import workspace
from data.store.store import Store
from report import contents
from tests.alerts.test_desk import BASE, HOUR, NOW, loosen, phones
from tests.channels import SECRET, Hook, speaking_smtp, talking, trickle
from tests.trackers import serving

NOTE = Message("A subject", "A text.\n", "key")


def test_a_webhook_that_trickles_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "_WHOLE_S", 0.5)
    with talking(trickle(b"HTTP/1.1 200 OK\r\nX-A: ", b"a")) as port:
        began = time.monotonic()
        with pytest.raises(AlertError, match="did not answer in time") as error:
            post_webhook(f"http://127.0.0.1:{port}/{SECRET}", NOTE)
        assert time.monotonic() - began < 5
    assert SECRET not in str(error.value)


def mailing(port: int, **more: str) -> Settings:
    return settings(
        {
            "FAULTLINE_SMTP_HOST": "127.0.0.1",
            "FAULTLINE_SMTP_PORT": str(port),
            "FAULTLINE_SMTP_SECURITY": "none",
            "FAULTLINE_ALERTS_FROM": "a@example.org",
            "FAULTLINE_ALERTS_TO": "b@example.org",
            **more,
        }
    )


@pytest.mark.parametrize("security", ["none", "ssl"])
def test_a_mail_server_that_trickles_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, security: str
) -> None:
    monkeypatch.setattr(delivery, "_MAIL_S", 0.5)
    first = b"\x16\x03\x03\x40\x00" if security == "ssl" else b"22"
    with talking(trickle(first, b"0", reads=False)) as port:
        mail = mailing(port, FAULTLINE_SMTP_SECURITY=security).mail
        assert mail
        began = time.monotonic()
        with pytest.raises(AlertError) as error:
            send_mail(mail, NOTE, NOW)
        assert time.monotonic() - began < 5
    assert not isinstance(error.value, AlertUnsure)


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ({b"QUIT": b"451 busy"}, None),
        ({b"QUIT": b""}, None),
        # It has the text, and nobody knows what it does with it.
        ({b".": b""}, AlertUnsure),
        ({b".": b"552 too large"}, AlertError),
        ({b"DATA": b"451 later"}, AlertError),
        ({b"MAIL": b""}, AlertError),
        ({b"": b"554 go away"}, AlertError),
    ],
)
def test_whether_a_mail_was_taken(
    answers: Mapping[bytes, bytes], problem: type[AlertError] | None
) -> None:
    with talking(speaking_smtp(answers)) as port:
        mail = mailing(port).mail
        assert mail
        if problem is None:
            assert send_mail(mail, NOTE, NOW) == []
            return
        with pytest.raises(AlertError) as error:
            send_mail(mail, NOTE, NOW)
    assert type(error.value) is problem


@pytest.mark.parametrize(
    "text",
    [
        "http://evil.example/login",
        "www.evil.example",
        "evil.example",
        "@channel @here <!everyone>",
        "[click](http://evil.example)",
        "![x](//evil.example/x.png)",
        "mailto:eve@evil.example",
    ],
)
def test_no_name_becomes_a_link_or_a_mention(own_phones_fail: Store, text: str) -> None:
    with serving(hook := Hook()):
        add(own_phones_fail, phones(text))
        run(own_phones_fail, settings(hook.environment), BASE, NOW)
    (post,) = hook.posts
    for mark in ("evil.example", "@c", "@h", "@e", "](", "<!", "http://e", "www.e"):
        assert mark not in post
    assert f"\n{BASE}/?at=" in post
    # Nothing else is changed.
    assert unlinked(text).replace("\u2060", "") == text


def firing(**more: object) -> dict[str, object]:
    row = {**phones().row(), "fired_at": NOW, "notified_at": NOW, "state": "firing", **more}
    return {**dict.fromkeys(("resolved_at", "acknowledged_by", "acknowledged_at")), **row}


def test_a_view_of_endless_values_makes_no_alert() -> None:
    many = tuple(f"device {number}" for number in range(1_000))
    with pytest.raises(UsageError, match="choose fewer values"):
        Rule.of("Many", "rate", Filter(device=many))


def test_a_clock_that_was_ahead_silences_nothing(own_phones_fail: Store) -> None:
    ahead = NOW + timedelta(days=900)
    configured = Settings(webhook="http://127.0.0.1:1/x")
    found = Finding(True, "It fails.")
    assert step(firing(notified_at=ahead), found, NOW, configured)["pending"] == ["webhook"]
    # Nor does the clock of another machine that is some minutes ahead repeat anything.
    soon = NOW + timedelta(minutes=5)
    assert step(firing(notified_at=soon), found, NOW, configured)["pending"] == []
    # Alertmanager refuses everything where one alert ends before it starts, as the hook checks.
    add(own_phones_fail, phones())
    add(own_phones_fail, phones("Other"))
    with serving(hook := Hook()):
        configured = settings({"FAULTLINE_ALERTMANAGER_URL": hook.url})
        run(own_phones_fail, configured, BASE, ahead)
        assert run(own_phones_fail, configured, BASE, NOW).told == {"alertmanager": 2}
        loosen(own_phones_fail, 0.99)
        assert run(own_phones_fail, configured, BASE, NOW + HOUR).problems == []


def test_an_alert_whose_turns_are_gone_is_repeated_until_somebody_looks() -> None:
    configured = Settings(webhook="http://127.0.0.1:1/x")
    gone = Finding(None, "No turn of phone in these days.")
    later = step(firing(), gone, NOW + 25 * HOUR, configured)
    assert (later["state"], later["pending"]) == ("firing", ["webhook"])
    assert later["sentence"] == gone.sentence
    seen = firing(acknowledged_at=NOW, acknowledged_by="Ada")
    assert step(seen, gone, NOW + 25 * HOUR, configured)["pending"] == []
    assert step(firing(state="ok"), gone, NOW, configured)["state"] == "no data"


def test_a_rule_that_cannot_be_evaluated_silences_no_other(
    own_phones_fail: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(own_phones_fail, phones("Fine"))
    strange = add(own_phones_fail, phones("Strange"))
    broken = add(own_phones_fail, phones("Broken"))
    late = Rule.of("Late", "late", Filter())
    add(own_phones_fail, late)
    workspace.change_alerts(
        own_phones_fail,
        lambda rows: {
            strange: {**rows[strange], "query": "failure_point=bogus"},
            broken: {**rows[broken], "kind": "no such kind"},
        },
    )
    with serving(hook := Hook()):
        configured = settings(hook.environment)
        ran = run(own_phones_fail, configured, BASE, NOW)
        assert ran.told == {"webhook": 2}
        assert len(ran.problems) == 2
        assert all("cannot be evaluated" in problem for problem in ran.problems)
        # A mistake in the evaluation of rates: what watches the data itself is told.
        monkeypatch.setattr(contents, "headline", lambda *_, **__: 1 / 0)
        loosen(own_phones_fail, 0.4)
        ran = run(own_phones_fail, configured, BASE, NOW + 25 * HOUR)
    assert "ZeroDivisionError" in " ".join(ran.problems)
    assert "Firing: Late" in hook.posts[-1]


def test_a_chart_that_cannot_be_drawn_is_left_out(
    own_phones_fail: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(own_phones_fail, phones())
    monkeypatch.setattr(desk, "chart", lambda *_: 1 / 0)
    with talking(speaking_smtp({})) as port:
        ran = run(own_phones_fail, mailing(port), BASE, NOW)
    assert ran.told == {"mail": 1}
    assert "is left out" in ran.problems[0]


def test_headlines_are_read_once_for_rules_of_one_view(
    own_phones_fail: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        add(own_phones_fail, phones(f"Phones {number}", bound=0.1 * (number + 1)))
    read, real = [], contents.headline

    def counting(*given: object, **more: object) -> object:
        read.append(given)
        return real(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(contents, "headline", counting)
    assert len(run(own_phones_fail, Settings(), BASE, NOW).rows) == 5
    assert len(read) == 1


def test_an_empty_store_and_one_without_a_model(tmp_path: Path) -> None:
    store = Store.ensure(tmp_path / "store")
    for kind in ("rate", "late", "signal", "unusual", "change", "budget"):
        add(store, Rule.of(kind, kind, Filter()))
    ran = run(store, Settings(), BASE, datetime(2030, 1, 1, tzinfo=UTC))
    assert ran.problems == []
    assert {row["state"] for row in ran.rows} == {"no data"}
