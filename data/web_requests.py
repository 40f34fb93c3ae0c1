"""One request to a web server: every time and size is bounded, and no error repeats a secret.

Redirects are followed only where the caller allows it and only within the same host, so that a
secret in an address or a header goes to the configured host alone. Proxies and certificates are
those of the environment (`HTTPS_PROXY`, `REQUESTS_CA_BUNDLE`).
"""

from __future__ import annotations

import logging
import math
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, Self
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from requests.structures import CaseInsensitiveDict

# Seconds for a connection, and for each part of an answer.
_CONNECT_S, _READ_S = 5.0, 15.0
# Answers that say: not now.
LATER = (429, 502, 503, 504)
REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 3
# Of a server that answers with malformed headers, urllib3 logs the whole address as a warning.
logging.getLogger("urllib3.connection").setLevel(logging.CRITICAL)

Reason = Literal["timeout", "too long", "certificate", "connection", "lost", "invalid"]


class WebFailure(Exception):
    """No answer came; `reason` says why, and nothing in it repeats an address.

    Attributes
    ----------
    reason: "timeout"; "too long", of an answer; "certificate", which is not trusted; "connection",
    which never came about; "lost", a connection; "invalid", an address, a header or an answer that
    cannot be. cause: the name of the error's type. unsure: whether the server may have acted on
    the request.
    """

    def __init__(self, reason: Reason, cause: BaseException | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.cause = type(cause).__name__ if cause else reason
        self.unsure = reason in ("timeout", "too long", "lost")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered; `content` is empty where the caller did not want it."""

    status: int
    reason: str
    headers: Mapping[str, str]
    content: bytes = field(repr=False)

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def kind(self) -> str:
        """The media type of the content, without its parameters."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


class Deadline:
    """Ends connections at a time, whatever trickles in: timeouts of sockets are per part.

    A context manager; sockets are handed to `watch` as soon as they are connected, TLS or not.
    """

    def __init__(self, seconds: float) -> None:
        self.passed = False
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            for each in self._sockets:
                each.close()
            self._sockets.clear()

    def watch(self, connected: socket.socket) -> None:
        """Shut this connection down when the time is over."""
        # Another handle of the same connection: TLS takes over the first one.
        copy = connected.dup()
        with self._lock:
            self._sockets.append(copy)
            passed = self.passed
        if passed:
            self._end()

    def _end(self) -> None:
        with self._lock:
            self.passed = True
            for each in self._sockets:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)


class _Adapter(HTTPAdapter):
    """Connections that a deadline ends."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        super().__init__()

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        super().init_poolmanager(*args, **more)
        self.poolmanager.pool_classes_by_scheme = self._pools()

    def proxy_manager_for(self, proxy: str, **more: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **more)
        manager.pool_classes_by_scheme = self._pools()
        return manager

    def _pools(self) -> dict[str, type[urllib3.HTTPConnectionPool]]:
        deadline = self._deadline

        class Plain(urllib3.connection.HTTPConnection):
            def _new_conn(self) -> socket.socket:
                connected = super()._new_conn()
                deadline.watch(connected)
                return connected

        class Encrypted(urllib3.connection.HTTPSConnection):
            # Before the handshake, which can trickle as well.
            def _new_conn(self) -> socket.socket:
                connected = super()._new_conn()
                deadline.watch(connected)
                return connected

            def _tunnel(self) -> None:
                super()._tunnel()
                if deadline.passed:
                    # What was cut off looks like its end; TLS would begin on a dead connection.
                    raise TimeoutError

        class PlainPool(urllib3.HTTPConnectionPool):
            ConnectionCls = Plain

        class EncryptedPool(urllib3.HTTPSConnectionPool):
            ConnectionCls = Encrypted

        return {"http": PlainPool, "https": EncryptedPool}


def ask(
    method: Literal["GET", "POST"],
    url: str,
    *,
    params: Mapping[str, str | int] | None = None,
    json: Any = None,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    auth: Callable[[requests.PreparedRequest], requests.PreparedRequest] | None = None,
    whole_s: float = 30.0,
    most_bytes: int = 1 << 20,
    follow: bool = False,
    wanted: bool = True,
) -> Reply:
    """The answer to one request, whatever its status.

    Parameters
    ----------
    json, body: what is sent, at most one of them. auth: puts a secret into the request; what
    ~/.netrc says of the host is never sent. whole_s: seconds for all of it, to the last byte.
    most_bytes: of the answer, unpacked. follow: redirects of a GET within the same scheme, host
    and port; all others are answers. wanted: whether the answer's content is read.

    Raises `WebFailure` if no whole answer came.
    """
    more: dict[str, Any] = {"params": params, "json": json, "data": body}
    sent = {"User-Agent": "faultline", **(headers or {})}
    with Deadline(whole_s) as deadline:
        for _ in range(1 + _MOST_REDIRECTS):
            reply = _send(deadline, method, url, sent, auth, most_bytes, wanted, more)
            target = _target(url, reply)
            # A request with a body would be sent again as another one.
            if not follow or method != "GET" or target is None:
                break
            if urlsplit(target)[:2] != urlsplit(url)[:2]:
                break
            # The target has the parameters of the request.
            url, more = target, {}
    return reply


def _target(url: str, reply: Reply) -> str | None:
    if reply.status not in REDIRECTS or not reply.headers.get("Location"):
        return None
    try:
        target = urljoin(url, reply.headers["Location"])
        _ = urlsplit(target)
    except ValueError:
        return None
    return target


def _auth(url: str) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    """The user and password in an address, or nothing: without an `auth`, requests would look into
    ~/.netrc, and put that before the headers."""
    user, password = requests.utils.get_auth_from_url(url)
    return HTTPBasicAuth(user, password) if user or password else lambda request: request


def _send(
    deadline: Deadline,
    method: str,
    url: str,
    headers: Mapping[str, str],
    auth: Callable[[requests.PreparedRequest], requests.PreparedRequest] | None,
    most_bytes: int,
    wanted: bool,
    more: Mapping[str, Any],
) -> Reply:
    try:
        with requests.Session() as session:
            session.mount("http://", _Adapter(deadline))
            session.mount("https://", _Adapter(deadline))
            with session.request(
                method,
                url,
                headers=dict(headers),
                auth=auth or _auth(url),
                timeout=(_CONNECT_S, _READ_S),
                allow_redirects=False,
                stream=True,
                **more,
            ) as response:
                content = _content(response, most_bytes) if wanted else b""
                if deadline.passed:
                    # What was cut off looks like an end where no length was stated.
                    raise requests.Timeout
                reason = str(response.reason or "")
                return Reply(
                    response.status_code, reason, CaseInsensitiveDict(response.headers), content
                )
    # None of the causes is kept: they repeat the address.
    except (requests.ConnectTimeout, urllib3.exceptions.ConnectTimeoutError) as error:
        failure = WebFailure("connection", error)
    except (UnicodeError, ValueError, EOFError, urllib3.exceptions.DecodeError) as error:
        failure = WebFailure("invalid", error)
    except (requests.Timeout, urllib3.exceptions.ReadTimeoutError) as error:
        failure = WebFailure("timeout", error)
    except requests.exceptions.SSLError as error:
        failure = WebFailure("certificate", error)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        # One that never came about, or one that was lost after the request was sent.
        never = any(name in repr(error) for name in ("NewConnection", "NameResolution", "ProxyErr"))
        late = "ReadTimeoutError" in repr(error)
        failure = WebFailure("connection" if never else "timeout" if late else "lost", error)
    if deadline.passed:
        failure = WebFailure("timeout")
    raise failure from None


def _content(response: requests.Response, most: int) -> bytes:
    content = bytearray()
    # What has come, rather than a whole piece, which may never be full.
    while part := response.raw.read1(1 << 16, decode_content=True):
        content += part
        if len(content) > most:
            raise WebFailure("too long")
    return bytes(content)


def asked_again(
    once: Callable[[], Reply],
    tries: int,
    patience_s: float,
    busy: Callable[[Reply], bool] = lambda reply: reply.status in LATER,
) -> Reply:
    """The answer of `once`, which is called again while the server is busy.

    At most `tries` times, and as long as the waits together do not exceed `patience_s` seconds.
    """
    left = patience_s
    attempt = 0
    while True:
        reply = once()
        wait = wait_s(reply, attempt)
        attempt += 1
        if not busy(reply) or attempt >= tries or wait > left:
            return reply
        time.sleep(wait)
        left -= wait


def retry_after_s(reply: Reply) -> float | None:
    """The seconds that `Retry-After` asks for, given as a number or as a date (RFC 9110, section
    10.2.3); None if it says nothing that can be understood."""
    text = reply.headers.get("Retry-After", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            date = parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        # A date without a zone is in UTC.
        at = date if date.tzinfo else date.replace(tzinfo=UTC)
        seconds = (at - datetime.now(UTC)).total_seconds()
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def wait_s(reply: Reply, attempt: int) -> float:
    """Seconds to wait before asking again: as `Retry-After` says, else 1, 2, 4 and so on."""
    seconds = retry_after_s(reply)
    return float(2**attempt) if seconds is None else seconds
