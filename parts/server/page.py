"""Adds the script `page.js` and the styles `page.css` to the one page that Streamlit serves.

They stand in the page itself, ahead of Streamlit's own script: steps of the browser's history have
to be counted from the first on.
"""

from __future__ import annotations

from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parts.server.guard import COMPONENTS

_HERE = Path(__file__).parent
_HEAD_ENDS = b"</head>"


class OwnHead:
    """ASGI middleware; changes answers to GET that are HTML, and no others."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        style, script = (_HERE.joinpath(name).read_bytes() for name in ("page.css", "page.js"))
        self._added = b"<style>" + style + b"</style><script>" + script + b"</script>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        framed = scope.get("path", "").startswith(COMPONENTS)
        if scope["type"] != "http" or scope["method"] != "GET" or framed:
            await self._app(scope, receive, send)
            return
        # A compressed page could not be added to; and a browser's copy may lack the addition.
        unwanted = (b"accept-encoding", b"if-none-match", b"if-modified-since", b"range")
        page = any(n == b"accept" and b"text/html" in value for n, value in scope["headers"])
        if page:
            headers = [(n, value) for n, value in scope["headers"] if n not in unwanted]
            scope = {**scope, "headers": headers, "extensions": {}}
        start: Message | None = None
        body = b""

        async def sender(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start" and _html(message):
                start = message
                return
            if start is None or message["type"] != "http.response.body":
                await send(message)
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            whole = body.replace(_HEAD_ENDS, self._added + _HEAD_ENDS, 1)
            answer = MutableHeaders(scope=start)
            answer["content-length"] = str(len(whole))
            for name in ("etag", "last-modified"):
                del answer[name]
            await send(start)
            await send({"type": "http.response.body", "body": whole})

        await self._app(scope, receive, sender if page else send)


def _html(start: Message) -> bool:
    kind = dict(start["headers"]).get(b"content-type", b"")
    return start["status"] == 200 and bytes(kind).startswith(b"text/html")
