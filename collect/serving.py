"""The collector's two processes: the server of `collect.receiver`, and that of `collect.ingester`
behind it, which is started again whenever it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import structlog
import uvicorn

from collect.ingester import Figures, Setup
from collect.receiver import Limits, Receiver
from collect.spool import exclusive
from data.event_log import uvicorn_options

_RESTART_S = 5.0
_GRACEFUL_S = 10
_ROOT = Path(__file__).parents[1]
_LOG = structlog.get_logger()


class Ingesting:
    """The ingesting process, started again whenever it ends; tells `receiver` its figures."""

    def __init__(self, setup: Setup, receiver: Receiver) -> None:
        self._setup = setup
        self._receiver = receiver
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ingesting", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Have everything stored that has ended, and wait for it."""
        self._stopping.set()
        if self._process is not None and self._process.stdin is not None:
            # Closed while it has ended and is not started again yet.
            with suppress(OSError, ValueError):
                self._process.stdin.write(b"stop\n")
                self._process.stdin.flush()
        try:
            self._thread.join()
        except BaseException:
            if self._process is not None:
                self._process.kill()
            raise

    def _run(self) -> None:
        while True:
            try:
                code = self._live()
                problem = f"The ingesting process ended (code {code}) and is started again."
            except OSError as error:
                # Out of memory, of processes or of open files, which may pass.
                why = (error.strerror or str(error)).lower()
                problem = f"The ingesting process cannot be started: {why}; it is tried again."
            if self._stopping.is_set():
                return
            if problem != self._receiver.figures.problem:
                _LOG.warning("ingesting_ended", message=problem)
            self._receiver.figures.problem = problem
            self._stopping.wait(_RESTART_S)

    def _live(self) -> int:
        """Start the process and listen until it ends; its code."""
        with subprocess.Popen(
            [sys.executable, "-m", "collect.ingester"],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
        ) as process:
            self._process = process
            assert process.stdin is not None
            assert process.stdout is not None
            with suppress(OSError):
                process.stdin.write(msgspec.json.encode(self._setup) + b"\n")
                if self._stopping.is_set():
                    process.stdin.write(b"stop\n")
                process.stdin.flush()
            for line in process.stdout:
                self._told(line)
        return process.returncode

    def _told(self, line: bytes) -> None:
        try:
            figures = msgspec.json.decode(line, type=Figures)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # What a library has printed.
            return
        if figures.problem and figures.problem != self._receiver.figures.problem:
            _LOG.warning("store_failing", message=figures.problem)
        elif self._receiver.figures.problem and not figures.problem:
            _LOG.info("store_working")
        self._receiver.told(figures)


class _Server(uvicorn.Server):
    """A server that a signal ends in order, and not with the signal once more."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def serve(
    setup: Setup,
    host: str,
    port: int,
    hosts: tuple[str, ...],
    limits: Limits,
    ready: Callable[[], None],
) -> Receiver:
    """Receive until SIGINT or SIGTERM, then bring what has ended into the store.

    `ready` is called when the spool is this process's own. Raises `UsageError` if another collector
    uses the spool.
    """
    folder = Path(setup.spool)
    with exclusive(folder):
        receiver = Receiver(folder, limits, Path(setup.store))
        try:
            ingesting = Ingesting(setup, receiver)
            server = _Server(
                uvicorn.Config(
                    receiver.application(hosts),
                    host=host,
                    port=port,
                    timeout_graceful_shutdown=_GRACEFUL_S,
                    lifespan="off",
                    **uvicorn_options(),
                )
            )
            stopping = threading.Thread(target=_mark, args=(server, receiver), daemon=True)
            stopping.start()
            ready()
            server.run()
            receiver.stopping = True
        finally:
            receiver.close()
        ingesting.stop()
    return receiver


def _mark(server: uvicorn.Server, receiver: Receiver) -> None:
    """Refuse requests on open connections as soon as the server is to end."""
    while not server.should_exit:
        time.sleep(0.1)
    receiver.stopping = True
