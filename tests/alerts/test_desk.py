"""Runs of alerts against a webhook, an Alertmanager and a mail server that listen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from filelock import FileLock

from alerts import desk
from alerts.delivery import send_mail
from alerts.desk import acknowledge, add, mute, remove, run
from alerts.message import Message
from alerts.rule import Rule
from alerts.settings import settings
from data.errors import AlertError, StoreBusy, UsageError
from data.queries.filters import Filter
from data.store import workspace
from data.store.store import Store
from tests.channels import PASSWORD, SECRET, Hook, mail_server
from tests.command import Run, must_fail
from tests.trackers import Reply, serving

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
BASE = "https://faultline.example"
HOSTILE = "<!channel> & <b>*x*</b>\r\nBcc: eve@example.org $\\frac{$ \u202eevil"


@pytest.fixture
def hook() -> Iterator[Hook]:
    with serving(server := Hook()):
        yield server


def phones(name: str = "Phones", bound: float = 0.5, device: str = "phone") -> Rule:
    return Rule.of(name, "rate", Filter(device=(device,)), "asr", bound, 28)


def rows(store: Store) -> list[dict[str, object]]:
    with store.snapshot() as snapshot:
        return list(workspace.alerts(snapshot))


def loosen(store: Store, bound: float) -> None:
    """Change the bounds of all rules."""
    workspace.change_alerts(
        store, lambda rows: {key: {**row, "bound": bound} for key, row in rows.items()}
    )


def test_an_alert_is_told_once_repeated_after_a_day_and_told_to_be_over(
    own_phones_fail: Store, hook: Hook
) -> None:
    add(own_phones_fail, phones())
    add(own_phones_fail, phones("Speakers", device="speaker"))
    configured = settings(hook.environment)
    ran = run(own_phones_fail, configured, BASE, NOW)
    assert ran.told == {"webhook": 1}
    (text,) = hook.posts
    assert text.startswith("*Faultline: Firing: Phones*")
    assert "ASR: 90.0" in text
    assert f"{BASE}/?at=" in text
    # Nothing that anybody said.
    assert "play song" not in text
    version = own_phones_fail.head().version
    assert run(own_phones_fail, configured, BASE, NOW + HOUR).told == {}
    # A run that finds nothing new makes no version.
    assert own_phones_fail.head().version == version
    assert run(own_phones_fail, configured, BASE, NOW + 25 * HOUR).told == {"webhook": 1}
    loosen(own_phones_fail, 0.99)
    assert run(own_phones_fail, configured, BASE, NOW + 26 * HOUR).told == {"webhook": 1}
    assert hook.posts[-1].startswith("*Faultline: Resolved: Phones*")
    assert [row["state"] for row in rows(own_phones_fail)] == ["ok", "ok"]
    assert run(own_phones_fail, configured, BASE, NOW + 60 * HOUR).told == {}
    assert len(hook.posts) == 3
    assert len(set(hook.keys)) == 3


def test_the_link_shows_the_turns_of_the_alert(own_phones_fail: Store, hook: Hook) -> None:
    add(own_phones_fail, phones())
    run(own_phones_fail, settings(hook.environment), BASE, NOW)
    (link,) = (line for line in hook.posts[0].splitlines() if line.startswith(BASE))
    given = parse_qs(urlsplit(link.replace("&amp;", "&")).query)
    assert given["device"] == ["phone"]
    (row,) = rows(own_phones_fail)
    assert (given["since"], given["until"]) == ([str(row["since"])], [str(row["until"])])


@pytest.mark.long
def test_an_acknowledged_or_muted_alert_is_not_repeated(own_phones_fail: Store, hook: Hook) -> None:
    first, second = add(own_phones_fail, phones("One")), add(own_phones_fail, phones("Two"))
    configured = settings(hook.environment)
    with pytest.raises(UsageError, match="does not fire"):
        acknowledge(own_phones_fail, first, "Ada")
    run(own_phones_fail, configured, BASE, NOW)
    acknowledge(own_phones_fail, first, "Ada", NOW)
    mute(own_phones_fail, second, True)
    assert run(own_phones_fail, configured, BASE, NOW + 30 * HOUR).told == {}
    mute(own_phones_fail, second, False)
    assert run(own_phones_fail, configured, BASE, NOW + 31 * HOUR).told == {"webhook": 1}
    assert "Two" in hook.posts[-1]
    # It is told when it is over, and fires anew unacknowledged.
    loosen(own_phones_fail, 0.99)
    run(own_phones_fail, configured, BASE, NOW + 32 * HOUR)
    loosen(own_phones_fail, 0.5)
    assert run(own_phones_fail, configured, BASE, NOW + 33 * HOUR).told == {"webhook": 2}
    assert [row["acknowledged_by"] for row in rows(own_phones_fail)] == [None, None]
    remove(own_phones_fail, first)
    with pytest.raises(UsageError, match="no alert"):
        remove(own_phones_fail, first)


def test_quiet_hours_hold_alerts_back_and_send_them_together(
    own_phones_fail: Store, hook: Hook
) -> None:
    add(own_phones_fail, phones("One"))
    quiet = {"FAULTLINE_ALERTS_QUIET": "22:00-07:00", "FAULTLINE_ALERTS_ZONE": "Europe/Berlin"}
    configured = settings({**hook.environment, **quiet})
    # 23:30 in Berlin.
    night = datetime(2024, 6, 1, 21, 30, tzinfo=UTC)
    assert run(own_phones_fail, configured, BASE, night).held == 1
    add(own_phones_fail, phones("Two"))
    assert run(own_phones_fail, configured, BASE, night + 2 * HOUR).held == 2
    assert hook.posts == []
    assert run(own_phones_fail, configured, BASE, night + 8 * HOUR).told == {"webhook": 2}
    (text,) = hook.posts
    assert "Firing: One" in text
    assert "Firing: Two" in text


def test_a_channel_that_fails_is_told_in_the_next_run(own_phones_fail: Store, hook: Hook) -> None:
    add(own_phones_fail, phones())
    configured = settings(hook.environment)
    hook.planned.append(Reply(500, SECRET.encode()))
    ran = run(own_phones_fail, configured, BASE, NOW)
    assert ran.told == {}
    (problem,) = ran.problems
    assert problem == ("The webhook refused the message (500); check FAULTLINE_ALERTS_WEBHOOK.")
    hook.planned.append(Reply(302, b"", {"Location": "http://127.0.0.1:1/"}))
    assert run(own_phones_fail, configured, BASE, NOW + HOUR).told == {}
    assert run(own_phones_fail, configured, BASE, NOW + 2 * HOUR).told == {"webhook": 1}
    assert len(hook.posts) == 1


@pytest.mark.parametrize("step", ["post_webhook", "_told"])
def test_a_run_killed_midway_loses_nothing(
    own_phones_fail: Store, hook: Hook, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    add(own_phones_fail, phones())
    configured = settings(hook.environment)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(desk, step, killed)
        with pytest.raises(KeyboardInterrupt):
            run(own_phones_fail, configured, BASE, NOW)
    assert run(own_phones_fail, configured, BASE, NOW + HOUR).told == {"webhook": 1}
    assert run(own_phones_fail, configured, BASE, NOW + 2 * HOUR).told == {}
    # Killed after the post and before it was written down, it is sent again under the same key.
    assert len(hook.posts) == (1 if step == "post_webhook" else 2)
    assert len(set(hook.keys)) == 1


def test_two_runs_at_once_tell_once(own_phones_fail: Store, hook: Hook) -> None:
    add(own_phones_fail, phones())
    configured = settings(hook.environment)

    def one(store: Store) -> bool:
        try:
            run(store, configured, BASE, NOW)
        except StoreBusy:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(one, [Store.open(own_phones_fail.path) for _ in range(4)]))
    assert any(done)
    assert len(hook.posts) == 1
    with (
        FileLock(own_phones_fail.path / ".alerts.lock"),
        pytest.raises(StoreBusy, match="Another run"),
    ):
        run(own_phones_fail, configured, BASE, NOW)


def test_alertmanager_has_the_state_of_all_alerts_in_every_run(
    own_phones_fail: Store, hook: Hook
) -> None:
    add(own_phones_fail, phones())
    configured = settings({"FAULTLINE_ALERTMANAGER_URL": f"{hook.url}/"})
    run(own_phones_fail, configured, BASE, NOW)
    run(own_phones_fail, configured, BASE, NOW + HOUR)
    first, second = ([alert] for (alert,) in hook.alerts)
    assert first[0]["labels"] == second[0]["labels"]
    assert first[0]["startsAt"] == second[0]["startsAt"] == NOW.isoformat()
    assert datetime.fromisoformat(second[0]["endsAt"]) > NOW + 25 * HOUR
    assert second[0]["generatorURL"].startswith(f"{BASE}/?at=")
    loosen(own_phones_fail, 0.99)
    run(own_phones_fail, configured, BASE, NOW + 2 * HOUR)
    assert datetime.fromisoformat(hook.alerts[-1][0]["endsAt"]) == NOW + 2 * HOUR


def test_a_mail_has_the_chart_and_one_line_of_subject(
    own_phones_fail: Store, tmp_path: Path
) -> None:
    add(own_phones_fail, Rule.of(HOSTILE[:100], "rate", Filter(device=("phone",)), "asr", 0.5, 28))
    with mail_server(tmp_path) as (inbox, environment):
        assert run(own_phones_fail, settings(environment), BASE, NOW).told == {"mail": 1}
    (letter,) = inbox.letters
    assert inbox.to == [["ada@example.org", "grace@example.org"]]
    assert "\n" not in letter["Subject"]
    assert letter["Bcc"] is None
    assert letter["Auto-Submitted"] == "auto-generated"
    body = letter.get_body(("plain",))
    assert body
    assert "ASR: 90.0" in body.get_content()
    (picture,) = letter.iter_attachments()
    content = picture.get_content()
    assert content.startswith(b"\x89PNG")
    assert len(content) > 5_000


@pytest.mark.parametrize("tls", ["starttls", "ssl"])
def test_mail_goes_through_tls_with_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tls: str
) -> None:
    note = Message("A subject", "A text.\n", "key")
    with mail_server(tmp_path, tls) as (inbox, environment):
        mail = settings(environment).mail
        assert mail
        # It trusts no certificate of the server's own making.
        with pytest.raises(AlertError, match="not trusted"):
            send_mail(mail, note, NOW)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        wrong = settings({**environment, "FAULTLINE_SMTP_PASSWORD": "guessed"}).mail
        assert wrong
        with pytest.raises(AlertError, match="does not accept FAULTLINE_SMTP_USER") as error:
            send_mail(wrong, note, NOW)
        assert "guessed" not in str(error.value)
        assert inbox.letters == []
        assert send_mail(mail, note, NOW) == []
    (letter,) = inbox.letters
    assert letter["Message-ID"] == "<key@example.org>"
    assert PASSWORD not in letter.as_string()


def test_mail_that_is_refused(tmp_path: Path) -> None:
    note = Message("A subject", "A text.\n", "key")
    with mail_server(tmp_path) as (inbox, environment):
        inbox.refused = {"ada@example.org"}
        mail = settings(environment).mail
        assert mail
        assert send_mail(mail, note, NOW) == ["ada@example.org"]
        assert inbox.to == [["grace@example.org"]]
        inbox.refused = {"ada@example.org", "grace@example.org"}
        with pytest.raises(AlertError, match="refuses every address"):
            send_mail(mail, note, NOW)
        # A server without TLS gets neither the password nor the mail.
        secured = {
            **environment,
            "FAULTLINE_SMTP_SECURITY": "starttls",
            "FAULTLINE_SMTP_USER": "ada",
            "FAULTLINE_SMTP_PASSWORD": PASSWORD,
        }
        mail = settings(secured).mail
        assert mail
        assert PASSWORD not in repr(settings(secured)) + repr(mail)
        with pytest.raises(AlertError, match="cannot do what it is asked"):
            send_mail(mail, note, NOW)
    with pytest.raises(AlertError, match="cannot be reached"):
        send_mail(mail, note, NOW)


MAIL = {
    "FAULTLINE_SMTP_HOST": "mail.example.org",
    "FAULTLINE_ALERTS_FROM": "a@example.org",
    "FAULTLINE_ALERTS_TO": "b@example.org",
}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"FAULTLINE_ALERTS_WEBHOOK": f"http://example.org/{SECRET}"}, "https://"),
        ({"FAULTLINE_ALERTS_WEBHOOK": SECRET}, "is not a web address"),
        ({"FAULTLINE_ALERTS_QUIET": "25:00-07:00"}, "22:00-07:00"),
        ({"FAULTLINE_ALERTS_ZONE": "../../etc/passwd"}, "Europe/Berlin"),
        ({"FAULTLINE_ALERTS_REPEAT_HOURS": "nan"}, "from 0.25"),
        ({"FAULTLINE_SMTP_HOST": "mail.example.org"}, "FAULTLINE_ALERTS_FROM"),
        ({**MAIL, "FAULTLINE_ALERTS_TO": "b@example.org\nBcc: e@x.org"}, "cannot be sent"),
        ({**MAIL, "FAULTLINE_ALERTS_TO": "nobody"}, "is not an e-mail address"),
        ({**MAIL, "FAULTLINE_SMTP_USER": "ada"}, "set both"),
        (
            {
                **MAIL,
                **{"FAULTLINE_SMTP_USER": "ada", "FAULTLINE_SMTP_PASSWORD": PASSWORD},
                "FAULTLINE_SMTP_SECURITY": "none",
            },
            "use starttls or ssl",
        ),
        ({**MAIL, "FAULTLINE_SMTP_PORT": "70000"}, "to 65535"),
    ],
)
def test_settings_that_cannot_be_right(given: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words) as error:
        settings(given)
    assert SECRET not in str(error.value)
    assert PASSWORD not in str(error.value)


@pytest.mark.long
def test_the_commands(
    own_phones_fail: Store, hook: Hook, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    where = ("--store", own_phones_fail.path)
    added = run("alerts", "add", "--name", "Phones", "--bound", "0.5", "--days", "28",
                "--filter", "device=phone", "--json", *where)  # fmt: skip
    alert_id = json.loads(added.out)["alert_id"]
    must_fail(run("alerts", "add", "--name", "phones", *where), "already")
    must_fail(run("alerts", "add", "--name", "x", "--filter", "color=red", *where), "color")
    must_fail(run("alerts", "acknowledge", alert_id, "--by", "Ada", *where), "does not fire")
    must_fail(run("alerts", "test"), "No channel")
    assert "No channel" in run("alerts", "run", *where).out
    for name, value in hook.environment.items():
        monkeypatch.setenv(name, value)
    assert run("alerts", "test").out == "Sent a test message to webhook.\n"
    hook.planned.append(Reply(403))
    must_fail(run("alerts", "run", *where), "refused the message (403)", code=1)
    told = json.loads(run("alerts", "run", "--json", *where).out)
    assert told["told"] == {"webhook": 1}
    assert run("alerts", "acknowledge", alert_id, "--by", "Ada", *where).code == 0
    listed = run("alerts", "list", *where).out
    assert "firing" in listed
    assert "Ada" in listed
    assert run("alerts", "mute", alert_id, *where).code == 0
    assert run("alerts", "remove", alert_id, *where).code == 0
    must_fail(run("alerts", "mute", alert_id, *where), "faultline alerts list")
    must_fail(run("alerts", "report", *where), "FAULTLINE_SMTP_HOST")
    with mail_server(tmp_path) as (inbox, environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        sent = run("alerts", "report", "--to", "boss@example.org", "--weeks", "2", *where)
        assert sent.code == 0, sent
        must_fail(run("alerts", "report", "--to", "b@x.org, c@x.org", *where), "e-mail address")
    assert inbox.to == [["boss@example.org"]]
    (letter,) = inbox.letters
    assert letter["Subject"].startswith("Faultline, ")
    body = letter.get_body(("plain",))
    assert body
    assert "ASR: " in body.get_content()
    (file,) = letter.iter_attachments()
    assert (file.get_filename() or "").endswith(".html")
    assert "<html" in file.get_content()
