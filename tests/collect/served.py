"""A collector that runs in processes of its own, as people start it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from data.store.store import Store
from tests.browser import free_port

ROOT = Path(__file__).parents[2]


class Collector:
    """`faultline collect otlp` for a store, with further options; a context manager."""

    def __init__(self, store: Path, *options: str, grace: float = 0.2, port: int = 0) -> None:
        self.store = store
        self.port = port or free_port()
        self._options = ("--grace", str(grace), "--every", "0", *options)

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "cli", "collect", "otlp", "--store", str(self.store)]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port), *self._options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        until(lambda: self.process.poll() is not None or self._answers())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.stop()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def post(self, body: bytes, kind: str = "application/x-protobuf") -> int:
        """The status of a request."""
        request = urllib.request.Request(f"{self.address}/v1/traces", body, {"content-type": kind})
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return int(reply.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def health(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.address}/health", timeout=60) as reply:
            answer: dict[str, Any] = json.load(reply)
            return answer

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """End it by a signal: exit code, what it printed, what it complained of."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=120)
        return self.process.returncode, out, err

    def kill(self) -> None:
        """Kill both of its processes at once."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        for each in (self.process, *children):
            os.kill(each.pid, signal.SIGKILL)
        self.process.communicate()

    def _answers(self) -> bool:
        try:
            self.health()
        except OSError:
            return False
        return True


def until(true: Callable[[], bool]) -> None:
    """Wait until something is so, for two minutes at most."""
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def stored(store: Path) -> list[dict[str, Any]]:
    """The turns of a store, in order."""
    with Store.open(store).snapshot() as snapshot:
        rows: list[dict[str, Any]] = snapshot.query(
            "SELECT * EXCLUDE (digest, day) FROM turns ORDER BY dialogue_id, turn_index"
        ).to_pylist()
        return rows


def quarantine(store: Path) -> list[dict[str, Any]]:
    """The quarantined records of a store."""
    with Store.open(store).snapshot() as snapshot:
        rows: list[dict[str, Any]] = snapshot.query("FROM quarantine").to_pylist()
        return rows
