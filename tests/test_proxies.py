"""The proxies of `deploy/`, really running, before a real dashboard and a real collector.

oauth2-proxy, which stands between the two, is in no package: the proxies lead straight to the
dashboard here. Their certificates are the test's own.
"""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import requests
from requests.adapters import HTTPAdapter
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from data.store.store import Store
from tests.browser import ROOT, free_port
from tests.channels import certificate
from tests.programs import program

DASHBOARD, COLLECTOR = "faultline.example.org", "collector.example.org"
TOKEN = "exporters-token"

pytestmark = pytest.mark.long


class Behind(NamedTuple):
    """Ports of the servers behind a proxy."""

    dashboard: int
    collector: int


@contextmanager
def running(command: list[str], port: int, log: Path, **environment: str) -> Iterator[None]:
    """A server, from when it listens on a port."""
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=output, stderr=output
        )
        try:
            until = time.monotonic() + 90
            while True:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.1)
            yield
        finally:
            server.terminate()
            server.wait(30)


@pytest.fixture(scope="module")
def behind(scored_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    folder = tmp_path_factory.mktemp("behind")
    ports = Behind(free_port(), free_port())
    cli = [sys.executable, "-m", "cli"]
    at = ["--store", str(scored_store.path)]
    dashboard = [*cli, "dashboard", "--host", DASHBOARD, "--port", str(ports.dashboard), *at]
    into = ["--store", str(folder / "store")]
    collector = [*cli, "collect", "otlp", "--port", str(ports.collector), *into]
    with (
        running(dashboard, ports.dashboard, folder / "dashboard.log"),
        running(collector, ports.collector, folder / "collector.log"),
    ):
        yield ports


@contextmanager
def nginx(folder: Path, port: int, behind: Behind) -> Iterator[None]:
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    for ours, here in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/ssl/faultline/fullchain.pem", str(folder / "cert.pem")),
        ("/etc/ssl/faultline/privkey.pem", str(folder / "key.pem")),
        ("127.0.0.1:4180", f"127.0.0.1:{behind.dashboard}"),
        ("127.0.0.1:4318", f"127.0.0.1:{behind.collector}"),
        ("Bearer CHANGE-ME", f"Bearer {TOKEN}"),
    ):
        assert ours in text
        text = text.replace(ours, here)
    (folder / "faultline.conf").write_text(text)
    places = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{name}_temp_path {folder}/{name};" for name in places)
    (folder / "nginx.conf").write_text(
        f"pid {folder}/pid; daemon off; error_log stderr; events {{}} "
        f"http {{ access_log off; {temporary} include {folder}/faultline.conf; }}"
    )
    command = [program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with running(command, port, folder / "nginx.log"):
        yield


@contextmanager
def caddy(folder: Path, port: int, behind: Behind) -> Iterator[None]:
    text = (ROOT / "deploy" / "Caddyfile").read_text()
    for ours, here in (
        ("127.0.0.1:4180", f"127.0.0.1:{behind.dashboard}"),
        ("127.0.0.1:4318", f"127.0.0.1:{behind.collector}"),
        *(
            (f"{name} {{", f"https://{name}:{port} {{\ntls {folder}/cert.pem {folder}/key.pem\n")
            for name in (DASHBOARD, COLLECTOR)
        ),
    ):
        assert ours in text
        text = text.replace(ours, here)
    # Neither port 80 nor its own interface.
    own = "{\nadmin off\nauto_https disable_redirects\ndefault_bind 127.0.0.1\n}\n"
    (folder / "Caddyfile").write_text(own + text)
    command = [program("caddy"), "run", "--config", str(folder / "Caddyfile")]
    more = {"COLLECTOR_TOKEN": TOKEN, "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with running(command, port, folder / "caddy.log", HOME=str(folder), **more):
        yield


class _To(HTTPAdapter):
    """Asks by the names of the certificate, on a port of this machine."""

    def __init__(self, port: int, trusted: ssl.SSLContext) -> None:
        self._port, self._trusted = port, trusted
        super().__init__()

    def get_connection_with_tls_context(self, request, verify, proxies=None, cert=None):  # type: ignore[no-untyped-def]
        name = request.headers["Host"] = request.url.split("/")[2]
        return self.poolmanager.connection_from_host(
            "127.0.0.1",
            self._port,
            "https",
            pool_kwargs={
                "ssl_context": self._trusted,
                "assert_hostname": name,
                "server_hostname": name,
            },
        )


@pytest.mark.parametrize("proxy", [nginx, caddy], ids=["nginx", "caddy"])
def test_a_proxy_leads_people_and_exporters_to_their_servers(
    proxy: object, behind: Behind, tmp_path: Path
) -> None:
    certificate(tmp_path, DASHBOARD, COLLECTOR)
    trusted = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    port = free_port()
    with proxy(tmp_path, port, behind), requests.Session() as session:  # type: ignore[operator]
        session.trust_env = False
        session.mount("https://", _To(port, trusted))
        page = session.get(f"https://{DASHBOARD}/", timeout=30)
        assert page.status_code == 200
        assert "<html" in page.text
        assert page.headers["X-Frame-Options"] == "DENY"
        # The dashboard, and not the proxy, refuses what asks under another name.
        session.headers["Origin"] = "https://evil.example"
        assert session.post(f"https://{DASHBOARD}/_stcore/upload_file/x").status_code == 403
        del session.headers["Origin"]

        def talk(origin: str) -> None:
            with (
                socket.create_connection(("127.0.0.1", port)) as plain,
                connect(
                    f"wss://{DASHBOARD}/_stcore/stream",
                    sock=plain,
                    ssl=trusted,
                    server_hostname=DASHBOARD,
                    origin=Origin(origin),
                    subprotocols=[Subprotocol("streamlit")],
                ) as stream,
            ):
                assert stream.ping().wait(20)

        talk(f"https://{DASHBOARD}")
        with pytest.raises(InvalidStatus) as refused:
            talk("https://evil.example")
        assert refused.value.response.status_code == 403

        spans = f"https://{COLLECTOR}/v1/traces"
        kind = {"Content-Type": "application/x-protobuf"}
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        for headers in ({}, {"Authorization": "Bearer guessed"}):
            assert session.post(spans, b"", headers={**kind, **headers}).status_code == 401
        assert session.post(spans, b"", headers={**kind, **bearer}).status_code == 200
        for path in ("metrics", "health", "v1/traces/x", ""):
            answer = session.get(f"https://{COLLECTOR}/{path}", headers=bearer)
            assert answer.status_code in (401, 404)
