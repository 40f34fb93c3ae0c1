"""Asking a tracker over HTTP, and one sentence for whatever it answers or fails to.

The secret goes to the configured address alone: redirects are followed only within the same host,
and no message contains it, whatever a server repeats.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import msgspec
import requests
import urllib3
from requests.auth import AuthBase

from charts.formatting import short
from data.errors import TicketError, TicketMissing, UsageError
from data.web_addresses import LOCAL_HOSTS, web_parts

Answer = TypeVar("Answer")

# Seconds for a connection, and for each part of an answer; then for all of it. A reader waits.
_CONNECT_S, _READ_S, _WHOLE_S = 5.0, 15.0, 30.0
# A hundred long issues are some megabytes.
_MOST_BYTES = 16 << 20
# Answers that say: not now. Only what changes nothing is asked again.
_LATER = (429, 502, 503, 504)
_TRIES, _PATIENCE_S = 3, 10.0
_REDIRECTS = (301, 302, 307, 308)
_MOST_REDIRECTS = 3


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
        left = _PATIENCE_S
        for attempt in range(_TRIES):
            response, content = self._ask("GET", path, params=params)
            wait = _wait(response, attempt)
            if not self._is_busy(response) or attempt + 1 == _TRIES or wait > left:
                break
            time.sleep(wait)
            left -= wait
        return self._read(response, content, kind)

    def post(self, path: str, kind: type[Answer], content: Mapping[str, Any]) -> Answer:
        """The answer to a request that changes something; it is sent once.

        Raises `TicketError`, in which `refused` has what the tracker said of each field.
        """
        return self._read(*self._ask("POST", path, json=content), kind)

    def _ask(self, method: str, path: str, **more: Any) -> tuple[requests.Response, bytes]:
        url = self.base + path
        for _ in range(1 + _MOST_REDIRECTS):
            response, content = self._send(method, url, **more)
            target = urljoin(url, response.headers.get("Location", ""))
            # A request with a body would be sent again as another one.
            if response.status_code not in _REDIRECTS or method != "GET":
                break
            if urlsplit(target)[:2] != urlsplit(url)[:2]:
                break
            # The target has the parameters of the request.
            url, more = target, {}
        return response, content

    def _send(self, method: str, url: str, **more: Any) -> tuple[requests.Response, bytes]:
        until = time.monotonic() + _WHOLE_S
        unsure = (
            "; whether the ticket was opened is not known: try again, it is looked for first."
            if method == "POST"
            else "; try again later."
        )
        try:
            with requests.request(
                method,
                url,
                headers=self._headers,
                auth=self._auth,
                timeout=(_CONNECT_S, _READ_S),
                allow_redirects=False,
                stream=True,
                **more,
            ) as response:
                content = b""
                # What has come, rather than a whole piece, which may never be full.
                while part := response.raw.read1(1 << 16, decode_content=True):
                    content += part
                    if len(content) > _MOST_BYTES:
                        raise TicketError(
                            f"{self.title} at {self.base} answered with more than "
                            f"{_MOST_BYTES >> 20} MB{unsure}"
                        )
                    if time.monotonic() > until:
                        raise requests.Timeout
                return response, content
        except requests.ConnectTimeout as error:
            raise self._unreachable("no answer") from error
        except requests.Timeout as error:
            raise TicketError(
                f"{self.title} at {self.base} did not answer in time{unsure}"
            ) from error
        except requests.exceptions.SSLError as error:
            raise self._unreachable("its certificate is not trusted") from error
        except urllib3.exceptions.ReadTimeoutError as error:
            raise TicketError(
                f"{self.title} at {self.base} did not answer in time{unsure}"
            ) from error
        except (requests.ConnectionError, urllib3.exceptions.HTTPError) as error:
            # One that never came about, or one that was lost after the request was sent.
            never = any(name in repr(error) for name in ("NewConnection", "NameResolution"))
            if method == "POST" and not never:
                raise TicketError(
                    f"The connection to {self.title} at {self.base} was lost{unsure}"
                ) from error
            raise self._unreachable("no connection") from error
        except (requests.RequestException, UnicodeError, ValueError) as error:
            raise TicketError(
                f"{self.title} at {self.base} cannot be asked ({type(error).__name__}); check its "
                f"address and {self.variables}."
            ) from error

    def _unreachable(self, reason: str) -> TicketError:
        return TicketError(
            f"Cannot reach {self.title} at {self.base} ({reason}); check the address, the network "
            "and the proxy."
        )

    def _read(self, response: requests.Response, content: bytes, kind: type[Answer]) -> Answer:
        if not response.ok or response.status_code in _REDIRECTS:
            raise self._refusal(response, content)
        try:
            return msgspec.json.decode(content, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise TicketError(
                f"What {self.base} answered is not as {self.title} answers; check the address."
            ) from error

    def _is_busy(self, response: requests.Response) -> bool:
        # GitHub says 403 where a limit on the rate of requests was reached.
        limited = response.status_code == 403 and "Retry-After" in response.headers
        return limited or response.status_code in _LATER

    def _refusal(self, response: requests.Response, content: bytes) -> TicketError:
        code = response.status_code
        refused = _complaints(content)
        said = self._clean("; ".join(refused.values())).rstrip(".")
        told = f": {said}" if said else ""
        where = f"{self.title} at {self.base}"
        if code == 401:
            return TicketError(f"{where} does not accept the token (401); check {self.variables}.")
        spent = response.headers.get("x-ratelimit-remaining") == "0"
        if code == 429 or (code == 403 and (spent or "Retry-After" in response.headers)):
            return TicketError(f"{where} takes no more requests now ({code}){_until(response)}.")
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
        if code in _REDIRECTS:
            target = self._clean(response.headers.get("Location", ""))
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


def _wait(response: requests.Response, attempt: int) -> float:
    """Seconds to wait before asking again: what `Retry-After` says, else 1, 2, 4."""
    try:
        seconds = float(response.headers.get("Retry-After", ""))
    except ValueError:
        return float(2**attempt)
    return max(0.0, seconds) if math.isfinite(seconds) else float(2**attempt)


def _until(response: requests.Response) -> str:
    """When a tracker says that it can be asked again."""
    after = response.headers.get("Retry-After", "")
    reset = response.headers.get("x-ratelimit-reset", "")
    seconds = (
        int(after)
        if after.isdecimal()
        else max(0, int(reset) - int(time.time()))
        if reset.isdecimal()
        else None
    )
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
