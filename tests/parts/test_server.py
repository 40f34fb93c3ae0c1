"""The dashboard's server answers to its own names and pages only, and gives handles back."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from benchmarks.visitors import Visitor
from data.errors import UsageError
from data.store.store import Store
from parts.server.sign_in import SignIn, address_in
from tests.browser import ROOT, free_port, served
from tests.command import Run, must_fail

OWN = "faultline.example.org"


@pytest.fixture(scope="module")
def port(scored_store: Store) -> Iterator[int]:
    with served(scored_store.path, "--host", OWN) as address:
        yield urlsplit(address).port or 0


@dataclass
class Answer:
    status: int
    headers: Message
    text: str


def ask(
    port: int,
    hosts: str | Sequence[str],
    path: str = "/",
    method: str = "GET",
    origin: str | None = None,
) -> Answer:
    """The answer to a request with these Host headers."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.putrequest(method, path, skip_host=True)
        for host in [hosts] if isinstance(hosts, str) else hosts:
            connection.putheader("Host", host)
        if origin is not None:
            connection.putheader("Origin", origin)
        connection.endheaders()
        with connection.getresponse() as response:
            return Answer(response.status, response.headers, response.read().decode())


# -- names -----------------------------------------------------------------------------------------

PATHS = ["/", "/turn?turn=d001-0", "/_stcore/health", "/_stcore/host-config", "/static/x.js"]


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1:{}", "localhost:{}", "LocalHost:{}", "localhost.", "[::1]:{}", "127.1.2.3"),
        *(OWN, f"{OWN}:443", f"{OWN}.:{{}}"),
    ],
)
def test_its_own_names_are_answered(port: int, host: str) -> None:
    assert ask(port, host.format(port), "/_stcore/health").status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 421),
        ("evil.example:{}", 421),
        (f"{OWN}.evil.example", 421),
        (f"evil-{OWN}", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("127.0.0.1.nip.io:{}", 421),
        ("192.168.1.5:{}", 421),
        ("[::ffff:10.0.0.1]", 421),
        ("0.0.0.0:{}", 421),
        ("2130706434", 421),
        ("localhost%00.evil.example", 421),
        ("user@localhost", 400),
        ("localhost@evil.example", 400),
        ("localhost/evil", 400),
        ("localhost:port", 400),
        ("localhost:99999", 400),
        ("[::1", 400),
        ("", 400),
    ],
)
@pytest.mark.parametrize("path", PATHS)
def test_other_names_are_refused(port: int, host: str, status: int, path: str) -> None:
    answer = ask(port, host.format(port), path)
    assert answer.status == status, answer.text
    assert answer.text.count("\n") == 1
    assert "streamlit" not in answer.text.lower()


@pytest.mark.parametrize("hosts", [(), ("localhost", "evil.example"), ("localhost",) * 2])
def test_one_host_header_is_expected(port: int, hosts: tuple[str, ...]) -> None:
    assert ask(port, hosts).status == 400


@pytest.mark.parametrize(
    ("host", "origin", "admitted"),
    [
        ("localhost:{}", None, True),
        ("localhost:{}", "http://localhost:{}", True),
        (OWN, f"https://{OWN}", True),
        (f"{OWN}:443", f"https://{OWN}", True),
        # As a proxy may pass it on.
        ("127.0.0.1:{}", f"https://{OWN}", True),
        ("127.0.0.1:{}", f"https://{OWN}:8443", False),
        ("localhost:{}", "http://localhost:1", False),
        ("localhost:{}", "http://localhost", False),
        ("localhost:{}", "http://127.0.0.1:{}", False),
        ("localhost:{}", "http://evil.example", False),
        ("localhost:{}", "http://evil.example:{}", False),
        ("localhost:{}", "null", False),
        ("localhost:{}", "file://", False),
        ("localhost:{}", "http://[", False),
        ("evil.example:{}", "http://evil.example:{}", False),
    ],
)
def test_a_session_opens_from_its_own_pages_only(
    port: int, host: str, origin: str | None, admitted: bool
) -> None:
    def attempt() -> None:
        with connect(
            f"ws://{host.format(port)}/_stcore/stream",
            address=("127.0.0.1", port),
            origin=Origin(origin.format(port)) if origin else None,
            subprotocols=[Subprotocol("streamlit")],
            proxy=None,
        ):
            pass

    if admitted:
        attempt()
    else:
        with pytest.raises(InvalidStatus) as refusal:
            attempt()
        assert refusal.value.response.status_code in (403, 421)


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
def test_changes_come_from_its_own_pages_only(port: int, method: str) -> None:
    path = "/_stcore/upload_file/session/file"
    assert ask(port, "localhost", path, method, "http://evil.example").status == 403


# -- frames and figures ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*PATHS, "/_stcore/metrics", "/no/such/page"])
@pytest.mark.parametrize("host", ["localhost", "evil.example"])
def test_no_other_site_can_frame_it(port: int, path: str, host: str) -> None:
    headers = ask(port, host, path).headers
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers.get_all("Access-Control-Allow-Origin") in (None, [])


EDITOR = "/component/code_editor.code_editor"


@pytest.fixture(scope="module")
def framed(port: int) -> int:
    """The port of the server once a page has drawn the editor, which registers its files."""

    async def visit() -> None:
        async with Visitor("127.0.0.1", port) as visitor:
            assert (await visitor.open("explore", "show=sql")).errors == []

    asyncio.run(visit())
    return port


@pytest.mark.parametrize("path", ["/index.html", "/bootstrap.min.css"])
def test_the_editor_is_framed_by_the_dashboard_only_and_talks_to_nobody(
    framed: int, path: str
) -> None:
    answer = ask(framed, "localhost", EDITOR + path)
    policy = answer.headers["Content-Security-Policy"]
    assert answer.status == 200
    assert "frame-ancestors 'self'" in policy
    assert "connect-src 'none'" in policy
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
    refused = ask(framed, "evil.example", EDITOR + path)
    assert refused.status == 421
    assert "frame-ancestors 'none'" in refused.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/",
            "/explore",
            "/explore?show=sql",
            "/component",
            "/components/x",
            "/explore/component/x",
        ),
        *("//component/x", "/Component/x", "/static/component/", "/?/component/"),
    ],
)
def test_no_page_can_be_framed_by_looking_like_the_editor(framed: int, path: str) -> None:
    headers = ask(framed, "localhost", path).headers
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/component/",
            "/component/x",
            "/component/../",
            "/component/../explore",
            "/component/..",
        ),
        *("/component/%2e%2e/", "/component//explore", f"{EDITOR}/../../explore"),
        *(f"{EDITOR}/../../../../../../../../etc/passwd", f"{EDITOR}/%2e%2e/__init__.py"),
    ],
)
def test_under_the_editors_path_there_is_no_page_and_no_other_file(framed: int, path: str) -> None:
    answer = ask(framed, "localhost", path)
    assert answer.status in (400, 404), answer.text[:200]
    assert "<html" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/_stcore/metrics",
        "/_stcore/metrics/",
        "//_stcore/metrics",
        "/_stcore/metrics?format=x",
        "/%5fstcore/metrics",
        "/turn/_stcore/metrics",
        "/_stcore/agent/interact",
        "/_stcore/agent/openapi.json",
        "/_stcore/agent/mcp",
    ],
)
def test_metrics_and_agents_are_closed(port: int, path: str) -> None:
    answer = ask(port, "localhost", path)
    assert answer.status in (400, 404)
    assert "active_sessions" not in answer.text


def test_metrics_are_served_when_asked_for(scored_store: Store) -> None:
    with served(scored_store.path, "--metrics") as address:
        port = urlsplit(address).port or 0
        answer = ask(port, "localhost", "/_stcore/metrics")
        assert answer.status == 200
        assert "active_sessions" in answer.text
        assert ask(port, "evil.example", "/_stcore/metrics").status == 421


# -- where it listens ------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_other_machines_need_a_sign_in_or_consent(run: Run, address: str) -> None:
    must_fail(run("dashboard", "--address", address), "--sign-in", "--insecure", code=2)


@pytest.mark.parametrize("name", ["http://a.example", "a.example:80", "a b", "*", "", "a/b"])
def test_a_host_is_a_name(run: Run, name: str) -> None:
    must_fail(run("dashboard", "--host", name), "--host", code=2)


AUTH = """
[auth]
redirect_uri = "https://faultline.example.org/oauth2callback"
cookie_secret = "0123456789abcdef0123456789abcdef"
client_id = "faultline"
client_secret = "s"
server_metadata_url = "https://login.example.org/.well-known/openid-configuration"
"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("auth = [", "not TOML"),
        ("", "redirect_uri, cookie_secret"),
        ("auth = 3", "redirect_uri"),
        (AUTH.replace('"s"', "7"), "client_secret"),
        (AUTH.replace("0123456789abcdef", "x"), "2 characters"),
        (AUTH.replace("/oauth2callback", ""), "oauth2callback"),
        (AUTH.replace("faultline.example.org", "[faultline"), "oauth2callback"),
        (AUTH + "[faultline]\n", "allow"),
        (AUTH + "[faultline]\nallow = []", "allow"),
        (AUTH + "[faultline]\nallow = 'a@b.c'", "allow"),
        *(
            (AUTH + f"[faultline]\nallow = ['ada@example.org', '{everyone}']", "leave out")
            for everyone in ("*", "*@*", "*@*.*", "**", " * ")
        ),
    ],
)
def test_bad_sign_in_files_are_refused(tmp_path: Path, run: Run, text: str, reason: str) -> None:
    file = tmp_path / "sign-in.toml"
    file.touch(0o600)
    file.write_text(text)
    file.chmod(0o600)
    must_fail(run("dashboard", "--sign-in", file), "sign-in.toml", reason, code=2)
    with pytest.raises(UsageError):
        SignIn.read(file)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o622])
def test_a_sign_in_file_that_others_reach_is_refused(tmp_path: Path, run: Run, mode: int) -> None:
    file = tmp_path / "sign-in.toml"
    file.write_text(AUTH)
    file.chmod(mode)
    must_fail(run("dashboard", "--sign-in", file), f"chmod 600 {file}", code=2)


def test_a_missing_sign_in_file_is_refused(tmp_path: Path, run: Run) -> None:
    must_fail(run("dashboard", "--sign-in", tmp_path / "none.toml"), "none.toml", code=2)


@pytest.mark.parametrize(
    ("claims", "admitted"),
    [
        ({"email": "ada@example.org"}, True),
        ({"email": "Ada@Example.ORG", "email_verified": True}, True),
        ({"email": "bo@voice.example.org"}, True),
        ({"email": "ada@example.org", "email_verified": "true"}, True),
        ({"email": "ada@example.org", "email_verified": False}, False),
        ({"email": "ada@example.org", "email_verified": "false"}, False),
        ({"email": "ada@example.org", "email_verified": None}, False),
        ({"email": "ada@example.org.evil.example"}, False),
        ({"email": "bo@example.org"}, False),
        ({"email": ""}, False),
        ({"email": None}, False),
        ({"email": ["ada@example.org"]}, False),
        ({"name": "ada@example.org"}, False),
        ({}, False),
    ],
)
def test_who_is_admitted(tmp_path: Path, claims: dict[str, object], admitted: bool) -> None:
    file = tmp_path / "sign-in.toml"
    file.touch(0o600)
    file.write_text(AUTH + '[faultline]\nallow = ["ada@example.org", "*@voice.example.org"]')
    file.chmod(0o600)
    settings = SignIn.read(file)
    assert settings.host == OWN
    address = address_in(claims)
    assert (address is not None and settings.admits(address)) == admitted


def test_a_role_for_everybody_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "sign-in.toml"
    file.touch(0o600)
    file.write_text(AUTH + '[faultline]\nrole = "viewer"')
    assert SignIn.read(file).role == "viewer"
    assert SignIn.read(file).admits("anybody@example.org")
    file.write_text(AUTH + '[faultline]\nrole = "king"')
    with pytest.raises(UsageError, match="king"):
        SignIn.read(file)


# -- words ---------------------------------------------------------------------------------------


@pytest.mark.long
def test_only_faultline_says_where_it_is(tmp_path: Path) -> None:
    """Not Streamlit as well, whose address may be another; a missing store is named."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["dashboard", "--store", str(tmp_path / "nope"), "--port", str(port)]
    with subprocess.Popen(
        [sys.executable, "-m", "cli", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as server:
        for _ in range(300):
            try:
                if ask(port, "127.0.0.1", "/_stcore/health").status == 200:
                    break
            except OSError:
                time.sleep(0.1)
        ask(port, "127.0.0.1", "/")
        server.terminate()
        assert server.stdout is not None
        lines = server.stdout.read().decode().splitlines()
    assert [line.split(" ")[0] for line in lines[:2]] == ["Faultline", "No"]
    assert str(tmp_path / "nope") in lines[1]
    assert not any("streamlit" in line.lower() or "option" in line for line in lines)


# -- the page's own script and styles --------------------------------------------------------------


def fetch(port: int, path: str, **headers: str) -> Answer:
    """The answer to a browser's request."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=20) as response:
        return Answer(response.status, response.headers, response.read().decode())


@pytest.mark.parametrize("path", ["/", "/turn?turn=a", "/explore"])
def test_a_page_has_its_script_and_styles_in_its_head(port: int, path: str) -> None:
    own = [(ROOT / "parts/server" / name).read_text("utf-8") for name in ("page.css", "page.js")]
    wanted = {"Accept": "text/html", "Accept-Encoding": "gzip", "If-None-Match": "*"}
    answer = fetch(port, path, **wanted)
    head = answer.text.partition("</head>")[0]
    assert [head.count(text) for text in own] == [1, 1]
    assert int(answer.headers["Content-Length"]) == len(answer.text.encode())
    assert answer.headers["ETag"] is None


def test_nothing_else_is_changed(port: int) -> None:
    assert fetch(port, "/_stcore/health", Accept="text/html").text == "ok"
    page = fetch(port, "/", Accept="text/html").text
    script = re.search(r'src="\./(static/[^"]+\.js)"', page)
    assert script
    assert "kept-name" not in fetch(port, f"/{script[1]}", Accept="*/*").text


# -- handles ---------------------------------------------------------------------------------------

SCRIPTS = ["", "triage", "turn", "model", "annotate", "explore", "data", "rewrites"]


async def load(port: int, times: int) -> list[int]:
    """Open the pages in new tabs, one after the other; the server's handles after each."""
    process = next(
        process
        for process in psutil.process_iter(["cmdline"])
        if "parts.server" in (process.info["cmdline"] or ())
        and str(port) in process.info["cmdline"]
    )
    handles = []
    for number in range(times):
        async with Visitor("127.0.0.1", port) as visitor:
            visit = await visitor.open(SCRIPTS[number % len(SCRIPTS)], "")
            assert visit.errors == []
        handles.append(len(os.listdir(f"/proc/{process.pid}/fd")))
    return handles


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="handles are counted in /proc")
@pytest.mark.long
def test_a_thousand_page_loads_keep_few_handles(scored_store: Store) -> None:
    with served(scored_store.path) as address:
        handles = asyncio.run(load(urlsplit(address).port or 0, 1_000))
    assert max(handles) < 100
    # Nor do they still grow.
    assert max(handles[500:]) <= max(handles[:500])


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="handles are counted in /proc")
def test_closed_tabs_give_their_handles_back(port: int) -> None:
    handles = asyncio.run(load(port, 35))
    assert max(handles) < 100
    assert handles[-1] <= max(handles[:20])


@pytest.mark.long
def test_all_that_the_server_logs_can_be_json(tmp_path: Path) -> None:
    port = free_port()
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "cli", "dashboard", "--log-format", "json"),
            *("--store", str(tmp_path / "none"), "--port", str(port)),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        end = time.monotonic() + 120
        while time.monotonic() < end and process.poll() is None:
            with suppress(OSError):
                if ask(port, "localhost", "/_stcore/health").status == 200:
                    break
            time.sleep(0.2)
        process.terminate()
        out, err = process.communicate(timeout=60)
    events = [json.loads(line) for line in err.splitlines()]
    assert out == ""
    assert events[0]["event"] == "started"
    assert f":{port}" in events[0]["message"]
    assert any(event.get("logger") == "uvicorn.error" for event in events)
    assert all(event["time"] and event["level"] for event in events)
