"""What stands between the network and the dashboard: allowed names, no frames, no metrics.

A web page that someone visits can make their browser send requests to servers on their own machine,
under a name of its choosing that it lets point there (DNS rebinding), or show such a server in a
frame and let them click through it. The dashboard therefore answers only to the names it was given,
only to pages of its own, and not inside frames.

One thing is shown in a frame, by the dashboard's own pages: the code editor, a component that
Streamlit serves as files of their own. It holds nothing of the store, and may talk to no server.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from data.web_addresses import LOCAL_HOSTS

WILDCARDS = frozenset({"0.0.0.0", "::"})
# Streamlit would answer there without any sign-in.
_METRICS = "/_stcore/metrics"
_CLOSED = ("/_stcore/agent", _METRICS)
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
COMPONENTS = "/component/"
_HEADERS = {
    # Of other sites, and of the dashboard itself.
    "Content-Security-Policy": "frame-ancestors 'none'; object-src 'none'; base-uri 'self'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # Links hold the ids of turns and users.
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# Scripts and styles from its own files and its index page; no request to anywhere, forms included.
_COMPONENT_HEADERS = {
    **_HEADERS,
    "Content-Security-Policy": (
        "frame-ancestors 'self'; default-src 'none'; script-src 'self' 'unsafe-inline'; "
        "style-src 'self' 'unsafe-inline'; font-src 'self' data:; img-src 'self' data:; "
        "connect-src 'none'; form-action 'none'; object-src 'none'; base-uri 'self'"
    ),
    "X-Frame-Options": "SAMEORIGIN",
}


class Guard:
    """ASGI middleware; refuses with one sentence and status 400, 403, 404 or 421.

    Parameters
    ----------
    app
        What is guarded.
    hosts
        Names and addresses that browsers may use, without port, besides those of loopback. A
        wildcard address allows any numeric one: rebinding needs a name.
    metrics
        Whether Streamlit's metrics may be read, by whoever reaches the server.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = (), metrics: bool = False) -> None:
        self._app = app
        names = {_bare(host) for host in hosts}
        self._numeric = bool(names & WILDCARDS)
        self._hosts = (names - WILDCARDS) | LOCAL_HOSTS
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, _with_headers(send, _HEADERS))
        else:
            # By the path that Streamlit routes by: decoded, not resolved.
            component = scope["path"].startswith(COMPONENTS)
            headers = _COMPONENT_HEADERS if component else _HEADERS
            await self._app(scope, receive, _with_headers(send, headers))

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        given = headers.getlist("host")
        name = _name_of(given[0]) if len(given) == 1 else None
        if name is None:
            return PlainTextResponse("Expected one Host header with a name.\n", 400)
        if not self._allowed(name):
            return PlainTextResponse(
                f"The dashboard does not answer to the name {name!r}; if it is its own, start it "
                "with: faultline dashboard --host NAME\n",
                421,
            )
        if not self._own_origin(scope, headers, given[0]):
            return PlainTextResponse("Pages of other sites may not use the dashboard.\n", 403)
        if _closed(scope["path"], self._metrics):
            return PlainTextResponse("Not found.\n", 404)
        return None

    def _allowed(self, name: str) -> bool:
        if name in self._hosts:
            return True
        try:
            address = ip_address(name)
        except ValueError:
            return False
        return self._numeric or address.is_loopback

    def _own_origin(self, scope: Scope, headers: Headers, host: str) -> bool:
        """Whether a request that changes something, or opens a session, is from a page of ours.

        Programs that are not browsers send no Origin; browsers always do. A proxy may put a Host of
        its own in place of the name that browsers use, so a page of a name given is ours as well,
        at the scheme's own port: at others there may be other servers.
        """
        origin = headers.get("origin")
        if origin is None or (scope["type"] == "http" and scope["method"] in _SAFE):
            return True
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        if parts.scheme not in ("http", "https"):
            return False
        page = _netloc(parts.netloc, parts.scheme)
        return page == _netloc(host, parts.scheme) or _bare(page) in self._hosts - LOCAL_HOSTS


def _closed(path: str, metrics: bool) -> bool:
    folded = path.rstrip("/")
    if metrics and folded == _METRICS:
        return False
    return any(part in folded for part in _CLOSED)


def _netloc(netloc: str, scheme: str) -> str:
    """Lower case, without the scheme's own port."""
    return netloc.lower().removesuffix(":443" if scheme == "https" else ":80")


def _name_of(host: str) -> str | None:
    """The name in a Host header, without port and brackets; None if it is not one."""
    try:
        parts = urlsplit(f"//{host}")
        # Reading the port checks it.
        if parts.port is not None and parts.port < 1:
            return None
    except ValueError:
        return None
    if parts.path or parts.query or parts.fragment or "@" in host or not parts.hostname:
        return None
    return _bare(parts.hostname)


def _bare(host: str) -> str:
    """A name or address in the one way it is compared: `[::1]` is `::1`, `A.example.` a.example."""
    name = host.strip("[]").rstrip(".").lower()
    try:
        return str(ip_address(name))
    except ValueError:
        return name


def _with_headers(send: Send, values: Mapping[str, str]) -> Send:
    async def sender(message: Message) -> None:
        # The answer to a refused websocket counts as well.
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            headers = MutableHeaders(scope=message)
            for name, value in values.items():
                headers[name] = value
        await send(message)

    return sender
