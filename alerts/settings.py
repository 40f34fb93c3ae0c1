"""Who is told, and when, as the environment says: channels, quiet hours, and how often."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, tzinfo
from email.errors import MessageError
from email.headerregistry import Address
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from charts.formatting import short
from data.errors import UsageError
from data.web_addresses import LOCAL_HOSTS, web_parts

WEBHOOK = "FAULTLINE_ALERTS_WEBHOOK"
ALERTMANAGER = "FAULTLINE_ALERTMANAGER_URL"
HOST = "FAULTLINE_SMTP_HOST"
PORT = "FAULTLINE_SMTP_PORT"
SECURITY = "FAULTLINE_SMTP_SECURITY"
USER, PASSWORD = "FAULTLINE_SMTP_USER", "FAULTLINE_SMTP_PASSWORD"
SENDER, TO = "FAULTLINE_ALERTS_FROM", "FAULTLINE_ALERTS_TO"
QUIET, ZONE = "FAULTLINE_ALERTS_QUIET", "FAULTLINE_ALERTS_ZONE"
REPEAT = "FAULTLINE_ALERTS_REPEAT_HOURS"
# What a message about missing channels says.
NONE = (
    f"No channel is set up; set {WEBHOOK}, {ALERTMANAGER}, or {HOST}, {SENDER} and {TO}, as "
    "docs/alerts.md says."
)
Security = Literal["starttls", "ssl", "none"]
_PORTS: Mapping[Security, int] = {"starttls": 587, "ssl": 465, "none": 25}
_MOST_ADDRESSES = 50
_QUIET = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})")


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail server, and from whom and to whom mail goes; `password` is in no message."""

    host: str
    port: int
    security: Security
    user: str
    password: str
    sender: str
    to: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Mail({self.host}:{self.port})"


@dataclass(frozen=True, slots=True)
class Settings:
    """Channels that are set up (None: not), quiet hours (None: never) and hours until a repeat.

    Attributes
    ----------
    webhook: an address that is a secret itself. quiet: from and to, in `zone`.
    """

    webhook: str | None = None
    mail: Mail | None = None
    alertmanager: str | None = None
    quiet: tuple[time, time] | None = None
    zone: tzinfo = UTC
    repeat_hours: float = 24.0

    def __repr__(self) -> str:
        return f"Settings({', '.join(self.channels)})"

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the channels that are told once of each change."""
        given = {"webhook": self.webhook, "mail": self.mail}
        return tuple(name for name, value in given.items() if value)

    def is_quiet(self, now: datetime) -> bool:
        """Whether it is within the quiet hours, which may span midnight."""
        if self.quiet is None:
            return False
        start, end = self.quiet
        local = now.astimezone(self.zone).time()
        return start <= local < end if start <= end else local >= start or local < end


def settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """What the environment says; raises UsageError, without a secret, for what cannot be right."""
    return Settings(
        webhook=_address(WEBHOOK, environment, secret=True),
        mail=mail(environment),
        alertmanager=_address(ALERTMANAGER, environment, secret=False),
        quiet=_quiet(_value(QUIET, environment)),
        zone=zone_of(_value(ZONE, environment) or "UTC"),
        repeat_hours=_number(REPEAT, _value(REPEAT, environment) or "24", 0.25, 8760),
    )


def mail(environment: Mapping[str, str] = os.environ, to: Sequence[str] = ()) -> Mail | None:
    """The mail server of the environment; None if none is set. `to` stands for its addresses."""
    host, sender = _value(HOST, environment), _value(SENDER, environment)
    listed = [part for part in _value(TO, environment).split(",") if part.strip()]
    given = to or listed
    if not host and not sender and not listed:
        return None
    values = {HOST: host, SENDER: sender, TO: given}
    if missing := [name for name, value in values.items() if not value]:
        verb = "is" if len(missing) == 1 else "are"
        raise UsageError(
            f"Mail cannot be sent: {' and '.join(missing)} {verb} not set; set it all."
        )
    if len(given) > _MOST_ADDRESSES:
        raise UsageError(
            f"{len(given)} addresses are too many; give at most {_MOST_ADDRESSES}, or a list's."
        )
    said = (_value(SECURITY, environment) or "starttls").lower()
    security = next((one for one in _PORTS if one == said), None)
    if security is None:
        raise UsageError(f"{SECURITY} is '{said[:40]}'; give starttls, ssl or none.")
    user, password = _value(USER, environment), _value(PASSWORD, environment)
    if bool(user) != bool(password):
        raise UsageError(f"Of {USER} and {PASSWORD} only one is set; set both, or neither.")
    if password and security == "none" and host not in LOCAL_HOSTS:
        raise UsageError(
            f"{SECURITY}=none would show the password to anybody on the way; use starttls or ssl."
        )
    if not re.fullmatch(r"[A-Za-z0-9.:_-]{1,255}", host):
        raise UsageError(f"{HOST} is not the name of a host; give one such as mail.example.org.")
    port = _number(PORT, _value(PORT, environment) or str(_PORTS[security]), 1, 65_535)
    if not port.is_integer():
        raise UsageError(f"{PORT} is not a port; give one such as {_PORTS[security]}.")
    sender = mail_address(SENDER, sender)
    addresses = tuple(mail_address("--to" if to else TO, one) for one in given)
    return Mail(host, int(port), security, user, password, sender, addresses)


def _value(name: str, environment: Mapping[str, str]) -> str:
    value = environment.get(name, "").strip()
    if not value.isprintable():
        raise UsageError(f"{name} contains characters that cannot be sent; write it again.")
    return value


def _address(name: str, environment: Mapping[str, str], secret: bool) -> str | None:
    """The web address in a variable. It is not quoted in an error: it may be a secret."""
    value = _value(name, environment)
    if not value:
        return None
    parts = web_parts(value)
    if parts is None or len(value.split()) > 1:
        raise UsageError(f"{name} is not a web address; give one such as https://example.org/hook.")
    if secret and parts.scheme == "http" and parts.hostname not in LOCAL_HOSTS:
        raise UsageError(
            f"{name} starts with http://, so that anybody on the way could read it and post there; "
            "give an https:// address."
        )
    return value if secret else value.rstrip("/")


def mail_address(name: str, text: str) -> str:
    """An e-mail address from an option or a variable; raises UsageError, which names that, for
    another text."""
    text = text.strip()
    try:
        address = Address(addr_spec=text)
    except (MessageError, ValueError, IndexError):
        address = None
    # Without a domain it would stay on the mail server; a line break would begin another header.
    if (
        address is None
        or not address.username
        or not address.domain
        or not text.isascii()
        or not text.isprintable()
        or len(text) > 254
    ):
        raise UsageError(
            f"'{short(text, 60)}' in {name} is not an e-mail address; give one such as "
            "ada@example.org."
        ) from None
    return text


def _number(name: str, text: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise UsageError(f"{name} is '{text[:40]}'; give a number from {least:g} to {most:g}.")
    return value


def _quiet(text: str) -> tuple[time, time] | None:
    if not text:
        return None
    match = _QUIET.fullmatch(text)
    try:
        parts = [int(part) for part in match.groups()] if match else [-1, 0, -1, 0]
        start, end = time(parts[0], parts[1]), time(parts[2], parts[3])
    except ValueError:
        start = end = time()
    if start == end:
        raise UsageError(f"{QUIET} is '{text[:40]}'; give two times such as 22:00-07:00.")
    return start, end


def zone_of(name: str, source: str = ZONE) -> ZoneInfo:
    """A time zone by its IANA name; raises UsageError, which names `source`, for another text."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f"{source} is '{name[:60]}'; give a time zone such as Europe/Berlin."
        ) from None
