"""One client for all requests: servers that hang, trickle, redirect, flood and repeat secrets."""

from __future__ import annotations

import gzip
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from socket import socket

import pytest

from data.web_requests import Reply, WebFailure, ask, asked_again, retry_after_s
from tests.channels import talking, trickle
from tests.trackers import Reply as Planned
from tests.trackers import Server, serving

SECRET = "T0P-s3cret"


class Plain(Server):
    def reply(
        self, method: str, path: str, query: object, headers: object, body: object
    ) -> Planned:
        assert hasattr(headers, "items")
        self.seen = dict(headers.items())
        return Planned(200, b"ok")


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\nX-A: ", b"a"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"a"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    ],
)
def test_a_server_that_trickles_is_not_waited_for(first: bytes, then: bytes, wanted: bool) -> None:
    """Each part comes in time, and the answer never ends, be it in its status, headers or body."""
    with talking(trickle(first, then)) as port:
        url = f"http://127.0.0.1:{port}/{SECRET}"
        began = time.monotonic()
        if not wanted and b"\r\n\r\n" in first:
            assert ask("GET", url, whole_s=0.6, wanted=False).ok
        else:
            with pytest.raises(WebFailure) as failure:
                ask("POST", url, json={}, whole_s=0.6, wanted=wanted)
            assert (failure.value.reason, failure.value.unsure) == ("timeout", True)
            assert SECRET not in repr(failure.value)
        assert time.monotonic() - began < 5


def test_a_handshake_that_trickles_is_not_waited_for() -> None:
    with talking(trickle(b"\x16\x03\x03\x40\x00", b"\x02")) as port:
        began = time.monotonic()
        with pytest.raises(WebFailure, match="timeout"):
            ask("GET", f"https://127.0.0.1:{port}/{SECRET}", whole_s=0.6)
        assert time.monotonic() - began < 5


def test_malformed_headers_put_no_address_into_a_log(capfd: pytest.CaptureFixture[str]) -> None:
    headers = b"HTTP/1.1 200 OK\r\nX-A: b\r\n no colon\r\nfoo\r\nContent-Length: 0\r\n\r\n"

    def say(caller: socket, _: threading.Event) -> None:
        caller.recv(1 << 16)
        caller.sendall(headers)

    with talking(say) as port:
        assert ask("GET", f"http://127.0.0.1:{port}/{SECRET}").status == 200
    assert SECRET not in "".join(capfd.readouterr())


def test_an_answer_is_bounded_unpacked() -> None:
    packed = gzip.compress(bytes(50_000_000))
    plain = Plain()
    with serving(plain):
        plain.planned.append(Planned(200, packed, {"Content-Encoding": "gzip"}))
        with pytest.raises(WebFailure, match="too long"):
            ask("GET", plain.url, most_bytes=1 << 20)


def test_redirects_stay_within_the_host_and_netrc_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login eve password {SECRET}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    plain, other = Plain(), Plain()
    with serving(plain), serving(other):
        plain.planned.append(Planned(302, b"", {"Location": "/there"}))
        token = {"Authorization": "Bearer x"}
        assert ask("GET", plain.url, headers=token, follow=True).content == b"ok"
        assert plain.seen["Authorization"] == "Bearer x"
        plain.planned.append(Planned(302, b"", {"Location": f"{other.url}/x"}))
        assert ask("GET", plain.url, headers=token, follow=True).status == 302
        plain.planned.append(Planned(302, b"", {"Location": "http://["}))
        with pytest.raises(WebFailure, match="invalid"):
            ask("GET", plain.url, headers=token, follow=True)
        for _ in range(9):
            plain.planned.append(Planned(302, b"", {"Location": "/there"}))
        assert ask("GET", plain.url, follow=True).status == 302
        plain.planned.clear()
        plain.planned.append(Planned(307, b"", {"Location": "/there"}))
        assert ask("POST", plain.url, json={}, follow=True).status == 307
        # A user in the address itself is meant.
        assert ask("GET", plain.url.replace("//", "//ada:pw@")).ok
        assert plain.seen["Authorization"].startswith("Basic ")
    assert other.requests == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "http://no-such-host.invalid/x"])
def test_who_cannot_be_reached_has_not_acted(url: str) -> None:
    with pytest.raises(WebFailure) as failure:
        ask("POST", url, json={})
    assert (failure.value.reason, failure.value.unsure) == ("connection", False)


def reply(after: str | None) -> Reply:
    return Reply(429, "", {} if after is None else {"Retry-After": after}, b"")


def test_retry_after() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < (retry_after_s(reply(soon)) or 0) <= 30
    assert retry_after_s(reply("Wed, 21 Oct 2015 07:28:00 GMT")) == 0
    assert retry_after_s(reply("2.5")) == 2.5
    for nonsense in (None, "", "soon", "inf", "nan", "Wed, 99 Oct 99999 07:28:00 GMT"):
        assert retry_after_s(reply(nonsense)) is None
    asked: list[int] = []

    def once() -> Reply:
        asked.append(1)
        return reply("0")

    assert asked_again(once, 3, 10.0).status == 429
    assert len(asked) == 3
    # Not waited for where the waits together would be too long.
    assert asked_again(lambda: reply("3600"), 3, 10.0).status == 429


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_trickles_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    with talking(trickle(b"HTTP/1.1 200 OK\r\nX-A: ", b"a")) as port:
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://ada:{SECRET}@127.0.0.1:{port}")
        began = time.monotonic()
        with pytest.raises(WebFailure, match="timeout") as failure:
            ask("GET", f"{scheme}://somewhere.example/x", whole_s=0.6)
        assert time.monotonic() - began < 5
        assert SECRET not in repr(failure.value)
