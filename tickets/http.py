"""Asking a tracker over HTTP, and one sentence for whatever it answers or fails to.

The secret goes to the configured address alone: redirects are followed only within the same host,
and no message contains it, whatever a server repeats.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import msgspec
from requests.auth import AuthBase

from charts.formatting import short
from data.errors import TicketError, TicketMissing, UsageError
from data.web_addresses import LOCAL_HOSTS, web_parts
from data.web_requests import (
    LATER,
    REDIRECTS,
    Reply,
    WebFailure,
    ask,
    asked_again,
    retry_after_s,
)

Answer = TypeVar("Answer")

# A reader waits.
_WHOLE_S = 30.0
# A hundred long issues are some megabytes.
_MOST_BYTES = 16 << 20
# Only what changes nothing is asked again.
_TRIES, _PATIENCE_S = 3, 10.0


class Client:
    """Sends requests to one tracker.

    Parameters
    ----------
    title: what the tracker is called in messages.
    base: its address, without a slash at the end. secret: its token, which no message shows.
    auth: puts the secret into a request. headers: of every request.
    variables: environment variables to look at when it lets nobody in, as "A and B".
    """

    def __init__(
        self,
        title: str,
        base: str,
        secret: str,
        auth: AuthBase,
        headers: Mapping[str, str],
        variables: str,
    ) -> None:
        self.title = title
        self.base = base
        self.variables = variables
        self._secret = secret
        self._auth = auth
        self._headers = {"User-Agent": "faultline", **headers}

    def get(self, path: str, kind: type[Answer], params: Mapping[str, str | int]) -> Answer:
        """The answer to a request that changes nothing; a busy tracker is asked again, for some
        seconds. Raises `TicketMissing` for 404 and 410, `TicketError` for other refusals."""
        reply = asked_again(
            lambda: self._ask("GET", path, params=params), _TRIES, _PATIENCE_S, _is_busy
        )
        return self._read(reply, kind)

    def post(self, path: str, kind: type[Answer], content: Mapping[str, Any]) -> Answer:
        """The answer to a request that changes something; it is sent once.

        Raises `TicketError`, in which `refused` has what the tracker said of each field.
        """
        return self._read(self._ask("POST", path, json=content), kind)

    def _ask(self, method: Literal["GET", "POST"], path: str, **more: Any) -> Reply:
        unsure = (
            "; whether the ticket was opened is not known: try again, it is looked for first."
            if method == "POST"
            else "; try again later."
        )
        where = f"{self.title} at {self.base}"
        try:
            return ask(
                method, self.base + path, headers=self._headers, auth=self._auth,
                whole_s=_WHOLE_S, most_bytes=_MOST_BYTES, follow=True, **more,
            )  # fmt: skip
        except WebFailure as error:
            failure = error
        if failure.reason == "too long":
            problem = TicketError(f"{where} answered with more than {_MOST_BYTES >> 20} MB{unsure}")
        elif failure.reason == "timeout":
            problem = TicketError(f"{where} did not answer in time{unsure}")
        elif failure.reason == "certificate":
            problem = self._unreachable("its certificate is not trusted")
        elif failure.reason == "lost" and method == "POST":
            problem = TicketError(f"The connection to {where} was lost{unsure}")
        elif failure.reason in ("connection", "lost"):
            problem = self._unreachable("no connection")
        else:
            problem = TicketError(
                f"{where} cannot be asked ({failure.cause}); check its address and "
                f"{self.variables}."
            )
        raise problem from failure

    def _unreachable(self, reason: str) -> TicketError:
        return TicketError(
            f"Cannot reach {self.title} at {self.base} ({reason}); check the address, the network "
            "and the proxy."
        )

    def _read(self, reply: Reply, kind: type[Answer]) -> Answer:
        if not reply.ok:
            raise self._refusal(reply)
        try:
            return msgspec.json.decode(reply.content, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise TicketError(
                f"What {self.base} answered is not as {self.title} answers; check the address."
            ) from error

    def _refusal(self, reply: Reply) -> TicketError:
        code = reply.status
        refused = _complaints(reply.content)
        said = self._clean("; ".join(refused.values())).rstrip(".")
        told = f": {said}" if said else ""
        where = f"{self.title} at {self.base}"
        if code == 401:
            return TicketError(f"{where} does not accept the token (401); check {self.variables}.")
        spent = reply.headers.get("x-ratelimit-remaining") == "0"
        if code == 429 or (code == 403 and (spent or "Retry-After" in reply.headers)):
            return TicketError(f"{where} takes no more requests now ({code}){_until(reply)}.")
        if code == 403:
            return TicketError(
                f"{where} does not allow this (403){told}; give the token the right to read and "
                f"write issues, or check {self.variables}."
            )
        if code in (404, 410):
            return TicketMissing(
                f"{where} has nothing there, or does not show it with this token ({code}){told}; "
                f"check {self.variables}."
            )
        if code in REDIRECTS:
            target = self._clean(reply.headers.get("Location", ""))
            return TicketError(
                f"{where} answered that it moved to {target} ({code}); if you trust that address, "
                f"use it in {self.variables}."
            )
        if code >= 500:
            return TicketError(f"{where} has a problem of its own ({code}); try again later.")
        error = TicketRefused(f"{where} refused it ({code}){told}.")
        error.refused = refused
        return error

    def _clean(self, text: str) -> str:
        """What a server said, short, on one line and without the secret."""
        return short(text.replace(self._secret, "…"), 300)


class TicketRefused(TicketError):
    """A tracker found a mistake in what it was sent; `refused`: field -> what it said of it."""

    refused: Mapping[str, str] = {}


def web_base(name: str, value: str) -> str:
    """The address in an environment variable, without a slash at its end.

    Raises UsageError, which names the variable, where it is none to send a secret to.
    """
    parts = web_parts(value)
    if parts is None or parts.query or parts.fragment:
        raise UsageError(
            f"{name} is not a web address; give one such as https://tracker.example.org."
        )
    if parts.username is not None or parts.password is not None:
        raise UsageError(f"{name} must not contain a user or a password; give the address alone.")
    if parts.scheme == "http" and parts.hostname not in LOCAL_HOSTS:
        raise UsageError(
            f"{name} starts with http://, so that anybody on the way could read the token; give an "
            "https:// address."
        )
    return value.rstrip("/")


def _is_busy(reply: Reply) -> bool:
    # GitHub says 403 where a limit on the rate of requests was reached.
    return (reply.status == 403 and "Retry-After" in reply.headers) or reply.status in LATER


def _until(reply: Reply) -> str:
    """When a tracker says that it can be asked again."""
    seconds = retry_after_s(reply)
    reset = reply.headers.get("x-ratelimit-reset", "")
    if seconds is None and reset.isdecimal() and len(reset) < 12:
        seconds = max(0.0, int(reset) - time.time())
    if seconds is None or seconds > 86_400:
        return "; try again later"
    return f"; try again in {max(1, round(seconds / 60))} min"


def _complaints(content: bytes) -> dict[str, str]:
    """What an answer says is wrong, by field; as GitHub and Jira put it."""
    try:
        said = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    if not isinstance(said, dict):
        return {}
    complaints = {}
    if isinstance(message := said.get("message"), str):
        complaints["message"] = message
    messages = said.get("errorMessages")
    for number, message in enumerate(messages if isinstance(messages, list) else ()):
        complaints[f"message {number}"] = str(message)
    errors = said.get("errors")
    if isinstance(errors, dict):
        complaints |= {str(field): str(message) for field, message in errors.items()}
    elif isinstance(errors, list):
        for error in errors:
            if isinstance(error, dict):
                words = [error.get(name) for name in ("field", "code", "message")]
                complaints[str(error.get("field"))] = " ".join(str(w) for w in words if w)
    return complaints
