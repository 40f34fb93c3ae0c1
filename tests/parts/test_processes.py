"""Several server processes behind one port: sticky, healed, and gone when they are told to go."""

from __future__ import annotations

import asyncio
import http.client
import http.server
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest

from benchmarks.visitors import Visitor
from data.store.store import Store
from parts.server.processes import configuration, haproxy
from tests.browser import NEEDS_HAPROXY, free_port
from tests.command import Run, must_fail
from tests.power import command, environment

pytestmark = NEEDS_HAPROXY


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.2)


def status(port: int, path: str = "/_stcore/health", host: str = "127.0.0.1") -> int:
    """The status of an answer; 0 where nobody answers."""
    return ask(port, path, host)[0]


def ask(port: int, path: str, host: str = "127.0.0.1", cookie: str = "") -> tuple[int, str]:
    """Status of an answer, and the server that it says the browser is to stay with."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        try:
            headers = {"Host": host, **({"Cookie": cookie} if cookie else {})}
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read()
        except OSError:
            return 0, ""
        return answer.status, (answer.getheader("Set-Cookie") or "").partition(";")[0]


@contextmanager
def two(store: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`faultline dashboard` with two processes; yields it and its port."""
    port = free_port()
    process = subprocess.Popen(
        command("dashboard", "--port", port, "--store", store, "--processes", 2),
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        until(lambda: process.poll() is not None or status(port) == 200)
        assert process.poll() is None, process.communicate()
        yield process, port
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    children: list[psutil.Process] = psutil.Process(process.pid).children(recursive=True)
    return children


async def _visit(port: int) -> int:
    async with Visitor("127.0.0.1", port) as visitor:
        visit = await visitor.open("", "")
    assert not visit.errors
    return visit.elements


@pytest.mark.long
def test_browsers_stay_with_a_server_and_a_dead_one_comes_back(scored_store: Store) -> None:
    with two(scored_store.path) as (process, port):
        named = {ask(port, "/")[1] for _ in range(6)}
        assert named == {f"faultline-{port}=s1", f"faultline-{port}=s2"}
        for cookie in named:
            # No other server is named to a browser that has one.
            assert ask(port, "/", cookie=cookie) == (200, "")
        assert ask(port, "/", cookie=f"faultline-{port}=s9")[1] in named
        assert status(port, "/", host="evil.example") == 421
        assert asyncio.run(_visit(port)) > 20
        servers = [child for child in family(process) if "haproxy" not in child.name()]
        assert len(servers) == 2
        servers[0].kill()
        # Whoever was there is handed on.
        assert [ask(port, "/", cookie=cookie)[0] for cookie in named] == [200, 200]
        until(lambda: {ask(port, "/")[1] for _ in range(6)} == named)
        children = family(process)
        assert len(children) == 3
        process.terminate()
        _, problems = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "Server process 1 ended with exit code -9; it is started again." in problems
        assert "Traceback" not in problems
        assert not any(child.is_running() for child in children)


@pytest.mark.long
def test_nothing_outlives_the_command_or_the_proxy(scored_store: Store) -> None:
    with two(scored_store.path) as (process, port):
        children = family(process)
        process.kill()
        until(lambda: not any(child.is_running() for child in children), 30)
        assert status(port) == 0
    with two(scored_store.path) as (process, _):
        children = family(process)
        next(child for child in children if "haproxy" in child.name()).send_signal(signal.SIGKILL)
        _, problems = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "HAProxy ended with exit code -9. The dashboard has stopped." in problems
        assert not any(child.is_running() for child in children)


def test_a_server_that_ends_at_once_ends_all(tmp_path: Path) -> None:
    missing = tmp_path / "sign-in.toml"
    options = [
        *("--server.address", "127.0.0.1", "--server.port", str(free_port())),
        *("--server.headless", "true", "--sign-in", str(missing)),
    ]
    module = [sys.executable, "-m", "parts.server.processes", "2", *options]
    ran = subprocess.run(module, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 1


class _Health(http.server.BaseHTTPRequestHandler):
    """Answers at once, or not while `busy` is set; what else is asked for stays open."""

    busy = threading.Event()

    def do_GET(self) -> None:
        while self.busy.is_set():
            time.sleep(0.05)
        if self.path == "/_stcore/health":
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")
            return
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        self.end_headers()
        while said := self.connection.recv(100):
            self.connection.sendall(said)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def health() -> Iterator[int]:
    """The port of a server that answers, as Streamlit's does when it is healthy."""
    _Health.busy.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Health)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    _Health.busy.clear()
    server.shutdown()
    server.server_close()
    thread.join()


def test_health_is_not_asked_for_through_a_proxy(
    health: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    code = (
        f"from parts.server.processes import _Server; print(_Server(1, {health}, None).healthy())"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.stdout == "True\n", ran.stderr


@pytest.mark.long
def test_a_server_that_is_busy_for_seconds_keeps_its_tabs(health: int, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "haproxy.cfg").write_text(configuration("127.0.0.1", port, [health]))
    proxy = subprocess.Popen(
        [haproxy(), "-db", "-f", str(tmp_path / "haproxy.cfg")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: status(port) == 200)
        with socket.create_connection(("127.0.0.1", port), timeout=30) as tab:
            tab.sendall(
                b"GET /_stcore/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                b"Sec-WebSocket-Version: 13\r\n\r\n"
            )
            assert b" 101 " in tab.recv(1000)
            _Health.busy.set()
            time.sleep(8)
            _Health.busy.clear()
            tab.sendall(b"still here?")
            assert tab.recv(100) == b"still here?"
        assert status(port) == 200
    finally:
        proxy.terminate()
        proxy.wait(30)


def test_what_it_needs_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    must_fail(run("dashboard", "--processes", 2, "--metrics"), "--metrics", code=2)
    monkeypatch.setattr("parts.server.processes.shutil.which", lambda *_, **__: None)
    must_fail(run("dashboard", "--processes", 2), "apt install haproxy")
