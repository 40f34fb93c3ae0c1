"""`python -m parts.server.processes N [options of parts.server]`: one port, N server processes.

A server of Streamlit is one Python process, which computes on one core. Here HAProxy listens at the
address, and hands each browser on to one of N servers on this machine. A browser has to stay with
its server: the server holds the state of its tabs, the files that it uploads and downloads, and the
sign-in under way. So the first answer sets a cookie that names the server. What is kept in the
store is the same in all, as each looks for a new version before it draws a page.

A server that ends is started again; meanwhile its browsers are handed on to another, where their
tabs begin anew with what their address says.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import structlog

from data.errors import NotInstalled
from data.event_log import VARIABLE, LogFormat, configure

MOST = 64
_READY_S = 180.0
_GRACE_S = 20.0
_LOOK_S = 0.25
# A server that ends this often within so many seconds ends again.
_ENDS, _WITHIN_S = 5, 120.0
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1

# Never through the proxy that the environment names for other hosts.
_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))

_HAPROXY = """
global
    # Answers of a provider of sign-in hold large cookies.
    tune.bufsize 65536
defaults
    mode http
    # A server that has just ended is noticed by the request that it does not answer, if not before.
    option redispatch 1
    retry-on conn-failure empty-response
    option forwardfor if-none
    retries 3
    timeout connect 5s
    timeout http-request 30s
    timeout client 5m
    timeout server 5m
    # A tab may be quiet for long.
    timeout tunnel 25h
frontend dashboard
    bind {bind}
    default_backend servers
backend servers
    balance leastconn
    cookie faultline-{port} insert indirect nocache httponly attr "SameSite=Lax"
    http-request disable-l7-retry unless METH_GET
    option httpchk
    http-check send meth GET uri /_stcore/health ver HTTP/1.1 hdr Host 127.0.0.1
    # Python answers nothing while it computes: a server that is slow keeps its tabs. One that ends
    # closes its connections by itself.
    timeout check 10s
    default-server check inter 2s fall 3 rise 1
{servers}
"""


@dataclass
class _Server:
    """One of the servers, at a port of the loopback address."""

    number: int
    port: int
    process: subprocess.Popen[bytes]
    ends: list[float] = field(default_factory=list)

    def healthy(self) -> bool:
        with suppress(OSError):
            url = f"http://127.0.0.1:{self.port}/_stcore/health"
            with _DIRECTLY.open(url, timeout=2) as answer:
                return bool(answer.status == 200)
        return False


class Ended(Exception):
    """A process that all depends on has ended; the message says which."""


class _Stopped(Exception):
    """A signal asks for the end."""


def haproxy() -> str:
    """The path of HAProxy; raises `NotInstalled` without it."""
    # Debian's is where only administrators look by default.
    path = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
    if path is None:
        raise NotInstalled(
            "Several server processes need HAProxy before them; install it, on Debian and Ubuntu "
            "with: apt install haproxy"
        )
    return path


def configuration(address: str, port: int, ports: Sequence[int]) -> str:
    """HAProxy's configuration: listen at an address and port, hand on to the servers at `ports`."""
    listed = (f"    server s{i} 127.0.0.1:{p} cookie s{i}" for i, p in enumerate(ports, 1))
    # What follows the last colon is the port, so that IPv6 needs no brackets.
    return _HAPROXY.format(bind=f"{address}:{port}", port=port, servers="\n".join(listed))


def main(arguments: Sequence[str]) -> int:
    """Serve until a signal asks for the end; returns the exit code."""
    configure(LogFormat(os.environ.get(VARIABLE, LogFormat.text)), _tell)
    log = structlog.get_logger()
    count, rest = int(arguments[0]), list(arguments[1:])
    address = _taken(rest, "--server.address")
    port = int(_taken(rest, "--server.port"))
    open_browser = _taken(rest, "--server.headless") == "false"
    here = _taken(list(rest), "--browser.serverAddress") if open_browser else ""
    # The servers answer to the address at which HAProxy listens, too.
    rest = ["--host", address, *rest, "--server.headless", "true"]
    for number in _STOPS:
        signal.signal(number, _stop)
    ports = _free_ports(count)
    servers: list[_Server] = []
    proxy: subprocess.Popen[bytes] | None = None
    try:
        with tempfile.TemporaryDirectory(prefix="faultline-haproxy-") as folder:
            for n, free in enumerate(ports, 1):
                servers.append(_Server(n, free, _start(rest, free)))
            _wait(servers)
            file = Path(folder) / "haproxy.cfg"
            file.write_text(configuration(address, port, ports))
            said = Path(folder) / "said"
            with said.open("wb") as out:
                proxy = _run([haproxy(), "-db", "-f", str(file)], out)
            if open_browser:
                webbrowser.open(f"http://{f'[{here}]' if ':' in here else here}:{port}")
            while True:
                time.sleep(_LOOK_S)
                if (code := proxy.poll()) is not None:
                    alerts = [line for line in said.read_text().splitlines() if "ALERT" in line]
                    raise Ended("\n".join([*alerts, f"HAProxy ended with exit code {code}."]))
                for server in servers:
                    _keep(server, rest)
    except _Stopped:
        return 0
    except Ended as error:
        log.error("failed", message=f"{error} The dashboard has stopped.")
        return 1
    finally:
        with _undisturbed():
            _end([process for process in (proxy, *(s.process for s in servers)) if process])


def _keep(server: _Server, options: Sequence[str]) -> None:
    """Start a server that has ended again; raises `Ended` if it ends again and again."""
    code = server.process.poll()
    if code is None:
        return
    now = time.monotonic()
    server.ends = [*(end for end in server.ends if now - end < _WITHIN_S), now]
    if len(server.ends) >= _ENDS:
        raise Ended(f"Server process {server.number} ended {_ENDS} times in a row, with {code}.")
    structlog.get_logger().warning(
        "process_ended",
        number=server.number,
        code=code,
        message=f"Server process {server.number} ended with exit code {code}; it is started again.",
    )
    server.process = _start(options, server.port)


def _wait(servers: Sequence[_Server]) -> None:
    """Wait until all servers answer; raises `Ended` if one ends or takes too long."""
    until = time.monotonic() + _READY_S
    for server in servers:
        while not server.healthy():
            if (code := server.process.poll()) is not None:
                raise Ended(f"Server process {server.number} ended with exit code {code}.")
            if time.monotonic() > until:
                raise Ended(f"Server process {server.number} does not answer.")
            time.sleep(_LOOK_S)


def _start(options: Sequence[str], port: int) -> subprocess.Popen[bytes]:
    own = ("--server.address", "127.0.0.1", "--server.port", str(port))
    return _run([sys.executable, "-m", "parts.server", *options, *own])


def _run(command: Sequence[str], out: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
    # In a group of its own: Ctrl-C is for this process, which then ends the others in order.
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=out,
        process_group=0,
        preexec_fn=_end_with_parent,
    )


def _end_with_parent() -> None:
    """Have the kernel end this process if the one that started it is killed (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End processes, the first of which is told first; kill those that do not end."""
    for process in processes:
        process.terminate()
    until = time.monotonic() + _GRACE_S
    for process in processes:
        try:
            process.wait(max(until - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C must not leave servers behind."""
    for number in _STOPS:
        signal.signal(number, signal.SIG_IGN)
    yield


def _tell(sentence: str, problem: bool) -> None:
    print(sentence, file=sys.stderr if problem else sys.stdout, flush=True)


def _stop(number: int, frame: object) -> None:
    raise _Stopped


def _taken(options: list[str], name: str) -> str:
    """The value of an option, which is taken out of the list."""
    index = options.index(name)
    _, value = options.pop(index), options.pop(index)
    return value


def _free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nothing listens at."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main(sys.argv[1:]))
