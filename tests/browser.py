"""The real dashboard in a real browser: a server on 127.0.0.1 and a page whose errors are noted."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, sync_playwright

from data.errors import NotInstalled
from parts.server.processes import haproxy

ROOT = Path(__file__).parents[1]
# Chromium's own traffic must stay off, or it would count as requests to other hosts.
_QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def _without_haproxy() -> bool:
    try:
        haproxy()
    except NotInstalled:
        return os.environ.get("CI") != "true"
    return False


NEEDS_HAPROXY = pytest.mark.skipif(_without_haproxy(), reason="HAProxy is not installed")


def chromium() -> str | None:
    """The path of Chromium, or None if it is not installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def served(
    store: Path | str, *options: str, port: int | None = None, processes: int = 1
) -> Iterator[str]:
    """The dashboard of a store; yields its address and stops the server at the end.

    `options` are further ones of `python -m parts.server`; several `processes` need HAProxy.
    """
    port = port or free_port()
    address = f"http://127.0.0.1:{port}"
    module = ["parts.server.processes", str(processes)] if processes > 1 else ["parts.server"]
    command = [sys.executable, "-m", *module, *options, "--server.port", str(port)]
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            [*command, "--server.address", "127.0.0.1", "--server.headless", "true"],
            cwd=ROOT,
            env={**os.environ, "FAULTLINE_STORE": str(store)},
            stdout=log,
            stderr=log,
        )
        try:
            _wait(address, server)
            yield address
        finally:
            server.terminate()
            server.wait(20)


def _wait(address: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if server.poll() is not None:
            raise RuntimeError(f"the dashboard's server ended with exit code {server.returncode}")
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the dashboard's server did not answer within a minute")


@dataclass
class Watch:
    """A browser page, and what went wrong on it."""

    page: Page
    errors: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def settle(self) -> None:
        """Wait until the script has run and nothing is drawn any more."""
        self.page.wait_for_selector("[data-testid=stAppViewContainer]", timeout=60_000)
        self.page.wait_for_selector("[data-testid=stHeading]", timeout=60_000)
        self.page.wait_for_selector(
            "[data-testid=stApp][data-test-script-state=notRunning]", timeout=60_000
        )
        self.page.wait_for_function(
            "!document.querySelector('[data-testid=stSkeleton]')"
            " && [...document.querySelectorAll('[data-testid=stPlotlyChart]')]"
            ".every(chart => chart.querySelector('.main-svg'))",
            timeout=60_000,
        )
        # Plotly and the tables draw once more when they know their width.
        self.page.wait_for_timeout(500)


@contextmanager
def browse(width: int = 1440, height: int = 1000, dark: bool = False) -> Iterator[Watch]:
    """A fresh browser with one page of the given size in pixels."""
    with tempfile.TemporaryDirectory() as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=chromium(),
            headless=True,
            args=list(_QUIET),
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            timezone_id="Europe/London",
            locale="en-GB",
        )
        page = context.pages[0]
        watch = Watch(page)
        page.on("console", lambda m: watch.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: watch.errors.append(str(error)))
        page.on("response", lambda r: watch.missing.append(r.url) if r.status >= 400 else None)
        page.on("request", lambda request: _note(watch, request.url))
        try:
            yield watch
        finally:
            context.close()


def _note(watch: Watch, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1":
        watch.strangers.append(url)
