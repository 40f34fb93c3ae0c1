"""What is kept of a closed browser tab, so that it can come back."""

from __future__ import annotations

import time
from collections.abc import Callable

from streamlit.runtime.session_manager import SessionInfo, SessionStorage


class ClosedTabs(SessionStorage):
    """Sessions whose connection was lost, the newest `most` of them for `seconds`.

    Every session of Streamlit holds an event loop, three file handles. Streamlit's own storage
    drops expired sessions without shutting them down, and their handles are given back when Python
    next collects all of its garbage, which in a server with large caches may take hours. Here a
    session that is dropped is shut down.
    """

    def __init__(
        self, most: int = 12, seconds: float = 120, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._seconds = seconds
        self._clock = clock
        # In order of closing.
        self._closed: dict[str, tuple[float, SessionInfo]] = {}

    def get(self, session_id: str) -> SessionInfo | None:
        self._prune()
        _, info = self._closed.get(session_id, (0.0, None))
        return info

    def save(self, session_info: SessionInfo) -> None:
        key = session_info.session.id
        self._closed.pop(key, None)
        self._closed[key] = self._clock(), session_info
        self._prune()

    def delete(self, session_id: str) -> None:
        # Whoever deletes it uses it again, or shuts it down.
        self._closed.pop(session_id, None)

    def list(self) -> list[SessionInfo]:
        return [info for _, info in self._closed.values()]

    def _prune(self) -> None:
        expired = self._clock() - self._seconds
        for key, (closed, info) in list(self._closed.items()):
            if closed >= expired and len(self._closed) <= self._most:
                return
            del self._closed[key]
            info.session.shutdown()
