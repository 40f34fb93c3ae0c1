"""Visitors of the dashboard without a browser, over Streamlit's own protocol.

A browser takes more time than the server; twenty browsers would measure themselves.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

_LOOK_AGAIN_S = 0.5


@dataclass
class Visit:
    """One run of a page: `seconds` from the request until it is drawn, and what it showed.

    A page with a progress bar counts as drawn when the bar appears; `ended` is the end of the run
    that shows what the bar was for.
    """

    seconds: float
    ended: float = 0.0
    elements: int = 0
    # Exceptions and error boxes, as text.
    errors: list[str] = field(default_factory=list)
    # Data versions that the page mentioned.
    versions: set[str] = field(default_factory=set)


class Visitor:
    """A session with the server at `host:port`, like a new tab; an async context manager."""

    def __init__(self, host: str, port: int) -> None:
        self._address = f"ws://{host}:{port}/_stcore/stream"
        self._socket: ClientConnection | None = None

    async def __aenter__(self) -> Self:
        self._socket = await connect(
            self._address, subprotocols=[Subprotocol("streamlit")], max_size=None, open_timeout=60
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._socket is not None:
            await self._socket.close()

    async def open(self, page: str, query: str) -> Visit:
        """Go to a page (`` for the front page) with URL parameters; wait until it is drawn."""
        assert self._socket is not None
        request = BackMsg()
        request.rerun_script.query_string = query
        request.rerun_script.page_name = page
        request.rerun_script.context_info.timezone = "Europe/London"
        began = time.perf_counter()
        await self._socket.send(request.SerializeToString())
        visit = Visit(0.0)
        waiting = False
        while True:
            message = ForwardMsg()
            received: Any = await self._socket.recv()
            message.ParseFromString(received)
            kind = message.WhichOneof("type")
            if kind == "delta":
                _note(message, visit)
                if _has_progress_bar(message):
                    waiting = True
                    visit.seconds = visit.seconds or time.perf_counter() - began
            elif kind == "script_finished":
                if message.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                    continue
                if waiting and message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY:
                    # A browser looks again after a while, too.
                    await asyncio.sleep(_LOOK_AGAIN_S)
                    waiting, visit.elements = False, 0
                    await self._socket.send(request.SerializeToString())
                    continue
                visit.ended = time.perf_counter() - began
                visit.seconds = visit.seconds or visit.ended
                if message.script_finished != ForwardMsg.FINISHED_SUCCESSFULLY:
                    visit.errors.append(f"script ended with {message.script_finished}")
                return visit
            elif kind == "page_not_found":
                visit.errors.append(f"no page {page!r}")


def _has_progress_bar(message: ForwardMsg) -> bool:
    new = message.delta.WhichOneof("type") == "new_element"
    return new and message.delta.new_element.WhichOneof("type") == "progress"


def _note(message: ForwardMsg, visit: Visit) -> None:
    if message.delta.WhichOneof("type") != "new_element":
        return
    visit.elements += 1
    element = message.delta.new_element
    kind = element.WhichOneof("type")
    if kind == "exception":
        visit.errors.append(f"{element.exception.type}: {element.exception.message}")
    elif kind == "heading" and element.heading.body == "This cannot be shown":
        visit.errors.append("a page that says why it cannot be shown")
    elif kind == "markdown":
        for word in element.markdown.body.split(" · "):
            if word.startswith("Version "):
                visit.versions.add(word.removeprefix("Version "))
