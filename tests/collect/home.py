"""A Home Assistant as far as its Assist pipelines go: a real WebSocket server on 127.0.0.1.

It answers as release 2024.3 does: authentication first, then lists of pipelines and of the last ten
runs of each, and the events of a run; what is asked of it, it is told by `say`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

TOKEN = "a-long-lived-token-of-an-administrator"
_KEPT = 10
_BEGAN = datetime(2026, 5, 1, 9, 0, tzinfo=UTC)


@dataclass
class Home:
    """Its state.

    Attributes
    ----------
    administrator: whether the token is one's. installed: whether there are pipelines at all.
    refuses: the code with which it refuses every command.
    runs: of each pipeline, events by id of the run, oldest first. asked: the commands so far.
    """

    administrator: bool = True
    refuses: str | None = None
    installed: bool = True
    runs: dict[str, dict[str, list[dict[str, Any]]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    connections: list[ServerConnection] = field(default_factory=list)
    number: int = 0

    def say(
        self,
        text: str,
        at: float,
        pipeline: str = "kitchen",
        ended: bool = True,
        device: str = "satellite-1",
    ) -> str:
        """A request, `at` seconds after the beginning; returns the id of the run."""
        self.number += 1
        start = _BEGAN + timedelta(seconds=at)

        def event(kind: str, after: float, data: Any) -> dict[str, Any]:
            time = (start + timedelta(seconds=after)).isoformat(timespec="microseconds")
            return {"type": kind, "data": data, "timestamp": time}

        asked = {
            **{"engine": "homeassistant", "language": "en", "intent_input": text},
            **{"conversation_id": None, "device_id": device},
        }
        answer = {
            "speech": {"plain": {"speech": f"Done: {text}", "extra_data": None}},
            **{"card": {}, "language": "en", "response_type": "action_done"},
            "data": {"targets": [], "success": [], "failed": []},
        }
        events = [
            event("run-start", 0, {"pipeline": pipeline, "language": "en"}),
            event("intent-start", 0.01, asked),
        ]
        if ended:
            output = {"intent_output": {"response": answer, "conversation_id": None}}
            events += [event("intent-end", 0.1, output), event("run-end", 0.2, None)]
        id = f"01RUN{self.number:021d}"
        runs = self.runs.setdefault(pipeline, {})
        runs[id] = events
        while len(runs) > _KEPT:
            del runs[next(iter(runs))]
        return id

    def end(self, pipeline: str, run: str) -> None:
        """A run that was still going ends."""
        events = self.runs[pipeline][run]
        last = datetime.fromisoformat(events[-1]["timestamp"]) + timedelta(seconds=1)
        events.append({"type": "run-end", "data": None, "timestamp": last.isoformat()})

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """The result of a command, as a message without its id."""
        kind = command["type"].removeprefix("assist_pipeline/")
        self.asked.append(kind)
        if self.refuses:
            return _failed(self.refuses, "It is not ready.")
        if not self.installed:
            return _failed("unknown_command", "Unknown command.")
        if kind == "pipeline/list":
            pipelines = [{"id": name, "name": name.title()} for name in self.runs]
            return _result({"pipelines": pipelines, "preferred_pipeline": None})
        if not self.administrator:
            return _failed("unauthorized", "Unauthorized")
        runs = self.runs.get(command["pipeline_id"], {})
        if kind == "pipeline_debug/list":
            listed = [
                {"pipeline_run_id": id, "timestamp": events[0]["timestamp"]}
                for id, events in runs.items()
            ]
            return _result({"pipeline_runs": listed})
        if command["pipeline_run_id"] not in runs:
            return _failed("not_found", "pipeline_run_id not found")
        return _result({"events": runs[command["pipeline_run_id"]]})

    def serve(self, connection: ServerConnection) -> None:
        """Talk to one client."""
        self.connections.append(connection)
        try:
            connection.send(json.dumps({"type": "auth_required", "ha_version": "2024.3.3"}))
            given = json.loads(connection.recv())
            if given != {"type": "auth", "access_token": TOKEN}:
                connection.send(json.dumps({"type": "auth_invalid", "message": "Invalid"}))
                return
            connection.send(json.dumps({"type": "auth_ok", "ha_version": "2024.3.3"}))
            for text in connection:
                command = json.loads(text)
                connection.send(json.dumps({"id": command["id"], **self.answer(command)}))
        except ConnectionClosed:
            pass


def _result(content: dict[str, Any]) -> dict[str, Any]:
    return {"type": "result", "success": True, "result": content}


def _failed(code: str, message: str) -> dict[str, Any]:
    return {"type": "result", "success": False, "error": {"code": code, "message": message}}


@contextmanager
def listening(home: Home, port: int = 0) -> Iterator[str]:
    """The home answers at the URL that this yields."""
    server: Server = serve(home.serve, "127.0.0.1", port)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
    finally:
        server.shutdown()
        for connection in home.connections:
            connection.close()
        thread.join()
