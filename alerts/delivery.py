"""Sends a message: to a webhook, by mail, or alerts to Prometheus Alertmanager.

Errors name the channel, never an address that is a secret, a password, or what a server repeats.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Mapping, Sequence
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any

import requests

from alerts.message import Message, Told
from alerts.settings import ALERTMANAGER, HOST, PASSWORD, SECURITY, USER, WEBHOOK, Mail
from data.errors import AlertError

_CONNECT_S, _READ_S = 5.0, 15.0
# Slack cuts a text off beyond 40,000 characters, and advises 4,000.
_MOST = 4_000


def post_webhook(address: str, message: Message) -> None:
    """Post to a webhook that takes what Slack's take: JSON with a `text`.

    Raises AlertError where it does not take it.
    """
    text = f"*{_slack(message.subject)}*\n{_slack(message.text)}"
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
            "annotations": {"summary": one.sentence or one.words, "description": one.words},
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
        with requests.post(
            address,
            json=content,
            headers={"User-Agent": "faultline", **headers},
            timeout=(_CONNECT_S, _READ_S),
            # A secret address is for its own host.
            allow_redirects=False,
            # What it answers is not read, so it may be of any length.
            stream=True,
        ) as response:
            code = response.status_code
    except requests.Timeout:
        raise AlertError(f"{title} did not answer in time; it is told in the next run.") from None
    except (requests.RequestException, UnicodeError, ValueError) as error:
        # The cause repeats the address.
        raise AlertError(
            f"{title} cannot be reached ({type(error).__name__}); check {variable}, the network "
            "and the proxy."
        ) from None
    if not 200 <= code < 300:
        raise AlertError(f"{title} refused the message ({code}); check {variable}.")


def send_mail(mail: Mail, message: Message, now: datetime) -> list[str]:
    """Send a mail to all addresses; returns those that the server refused, if not all.

    Its Message-ID follows from the message's key, so that a mail system can see what it has had.
    Raises AlertError where it cannot be sent to anybody.
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
    try:
        with _connected(mail) as server:
            if mail.user:
                server.login(mail.user, mail.password)
            return list(server.send_message(letter, mail.sender, list(mail.to)))
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
    except smtplib.SMTPException as error:
        problem = f"refuses the mail ({type(error).__name__}); try again later"
    except (OSError, ValueError):
        problem = f"cannot be reached; check {HOST}, the port and the network"
    # The cause may repeat what was sent.
    raise AlertError(f"{where} {problem}.") from None


def _connected(mail: Mail) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if mail.security == "ssl":
        return smtplib.SMTP_SSL(mail.host, mail.port, timeout=_READ_S, context=context)
    server = smtplib.SMTP(mail.host, mail.port, timeout=_READ_S)
    if mail.security == "starttls":
        try:
            server.starttls(context=context)
        except BaseException:
            server.close()
            raise
    return server
