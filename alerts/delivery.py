"""Sends a message: to a webhook, by mail, or alerts to Prometheus Alertmanager.

Errors name the channel, never an address that is a secret, a password, or what a server repeats.
"""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Mapping, Sequence
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any

from alerts.message import Message, Told
from alerts.settings import ALERTMANAGER, HOST, PASSWORD, SECURITY, USER, WEBHOOK, Mail
from charts.formatting import unlinked
from data.errors import AlertError, AlertUnsure
from data.web_requests import Deadline, WebFailure, ask

# Seconds for one message, whatever trickles in, as the next run waits for this one; for a mail,
# which may have large files; and for each answer of a mail server.
_WHOLE_S, _MAIL_S, _READ_S = 30.0, 120.0, 15.0
_WHY = {"certificate": "its certificate is not trusted", "connection": "no connection"}
# Slack cuts a text off beyond 40,000 characters, and advises 4,000.
_MOST = 4_000


def post_webhook(address: str, message: Message) -> None:
    """Post to a webhook that takes what Slack's take: JSON with a `text`.

    Raises AlertError where it does not take it.
    """
    text = f"*{_slack(unlinked(message.subject))}*\n{_slack(message.text)}"
    if len(text) > _MOST:
        text = text[: _MOST - 1] + "…"
    _post(address, {"text": text}, "The webhook", WEBHOOK, {"Idempotency-Key": message.key})


def _slack(text: str) -> str:
    """Text without a mention or a link in Slack's own marks."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def post_alertmanager(base: str, alerts: Sequence[tuple[Told, datetime, datetime]]) -> None:
    """Post the state of alerts, each with its start and end, to Alertmanager (API version 2).

    It tells new ones from known ones by their labels, so the state may be posted ever again.
    """
    if not alerts:
        return
    content = [
        {
            "labels": {
                "alertname": "Faultline",
                "rule": one.name,
                "rule_id": one.alert_id,
                "kind": one.kind,
                "failure_point": one.failure_point,
                "severity": "warning",
            },
            "annotations": {
                "summary": unlinked(one.sentence or one.words),
                "description": unlinked(one.words),
            },
            "startsAt": start.isoformat(),
            "endsAt": end.isoformat(),
            **({"generatorURL": one.link} if one.link else {}),
        }
        for one, start, end in alerts
    ]
    _post(f"{base}/api/v2/alerts", content, "Alertmanager", ALERTMANAGER, {})


def _post(
    address: str, content: Any, title: str, variable: str, headers: Mapping[str, str]
) -> None:
    try:
        # What it answers is not read, so it may be of any length.
        reply = ask("POST", address, json=content, headers=headers, whole_s=_WHOLE_S, wanted=False)
    except WebFailure as failure:
        if failure.unsure:
            problem = f"{title} did not answer in time; it is told in the next run."
        else:
            problem = (
                f"{title} cannot be reached ({_WHY.get(failure.reason, failure.cause)}); check "
                f"{variable}, the network and the proxy."
            )
        raise AlertError(problem) from None
    if not reply.ok:
        raise AlertError(f"{title} refused the message ({reply.status}); check {variable}.")


def send_mail(mail: Mail, message: Message, now: datetime) -> list[str]:
    """Send a mail to all addresses; returns those that the server refused, if not all.

    Its Message-ID follows from the message's key, so that a mail system can see what it has had.
    Raises AlertError where it cannot be sent to anybody, AlertUnsure where that is not known.
    """
    letter = EmailMessage(policy=SMTP)
    letter["Subject"] = message.subject
    letter["From"] = mail.sender
    letter["To"] = ", ".join(mail.to)
    letter["Date"] = format_datetime(now)
    letter["Message-ID"] = f"<{message.key}@{mail.sender.rpartition('@')[2]}>"
    # No out-of-office replies.
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content(message.text)
    for name, kind, content in message.files:
        main, _, sub = kind.partition("/")
        letter.add_attachment(content, maintype=main, subtype=sub, filename=name)
    where = f"The mail server {mail.host}:{mail.port}"
    connection: _Connection | None = None
    refused: dict[str, Any] | None = None
    lost = False
    try:
        with Deadline(_MAIL_S) as deadline:
            connection = _connected(mail, deadline)
            with connection:
                if mail.user:
                    connection.login(mail.user, mail.password)
                refused = connection.send_message(letter, mail.sender, list(mail.to))
    except smtplib.SMTPAuthenticationError:
        problem = f"does not accept {USER} and {PASSWORD}; check them"
    except smtplib.SMTPRecipientsRefused:
        problem = "refuses every address; check them"
    except smtplib.SMTPSenderRefused:
        problem = "refuses the sender; check its address"
    except smtplib.SMTPNotSupportedError:
        problem = f"cannot do what it is asked (TLS or sign-in); check {SECURITY} and {USER}"
    except ssl.SSLError:
        problem = f"has a certificate that is not trusted, or speaks no TLS; check {SECURITY}"
    except smtplib.SMTPServerDisconnected:
        problem = "ended the connection or did not answer in time; it may want TLS"
        lost = True
    except smtplib.SMTPException as error:
        problem = f"refuses the mail ({type(error).__name__}); try again later"
    except (OSError, ValueError):
        problem = f"cannot be reached; check {HOST}, the port and the network"
        lost = True
    else:
        return list(refused)
    if refused is not None:
        # It has the mail, whatever it said when it was left.
        return list(refused)
    # The cause may repeat what was sent.
    if connection and connection.has_the_text and lost:
        raise AlertUnsure(f"{where} {problem}; the mail may have been taken.") from None
    raise AlertError(f"{where} {problem}.") from None


class _Connection(smtplib.SMTP):
    """A connection that a deadline ends.

    Attributes
    ----------
    has_the_text: whether the server has been sent the mail's text, or some of it.
    """

    def __init__(self, deadline: Deadline, *args: Any, **more: Any) -> None:
        self._deadline = deadline
        self.has_the_text = False
        super().__init__(*args, **more)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        connected = socket.create_connection((host, port), timeout)
        self._deadline.watch(connected)
        return connected

    def data(self, msg: Any) -> tuple[int, bytes]:
        self.has_the_text = True
        return super().data(msg)


class _Encrypted(smtplib.SMTP_SSL, _Connection):
    def __init__(self, deadline: Deadline, *args: Any, **more: Any) -> None:
        self._deadline = deadline
        self.has_the_text = False
        smtplib.SMTP_SSL.__init__(self, *args, **more)


def _connected(mail: Mail, deadline: Deadline) -> _Connection:
    context = ssl.create_default_context()
    if mail.security == "ssl":
        return _Encrypted(deadline, mail.host, mail.port, timeout=_READ_S, context=context)
    server = _Connection(deadline, mail.host, mail.port, timeout=_READ_S)
    if mail.security == "starttls":
        try:
            server.starttls(context=context)
        except BaseException:
            server.close()
            raise
    return server
