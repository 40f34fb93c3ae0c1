"""With a provider to sign in with, nobody sees a turn before they have signed in."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benchmarks.visitors import Visitor
from data.store.store import Store
from parts.shared.view import PAGES
from tests.browser import NEEDS_HAPROXY, Watch, browse, chromium, free_port, served
from tests.provider import provider

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        chromium() is None and os.environ.get("CI") != "true", reason="Chromium is not installed"
    ),
]


@contextmanager
def guarded(store: Store, folder: Path, email: str, processes: int = 1) -> Iterator[str]:
    """A dashboard that lets in ada@example.org, and a provider that says who `email` is."""
    port = free_port()
    file = folder / "sign-in.toml"
    file.touch(0o600)
    with provider(email) as metadata:
        file.write_text(
            f"""
            [auth]
            redirect_uri = "http://localhost:{port}/oauth2callback"
            cookie_secret = "{os.urandom(32).hex()}"
            client_id = "faultline"
            client_secret = "secret"
            server_metadata_url = "{metadata}"

            [faultline]
            allow = ["ada@example.org"]
            """
        )
        with served(store.path, "--sign-in", str(file), port=port, processes=processes):
            yield f"http://localhost:{port}"


def settle(watch: Watch) -> None:
    watch.page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    watch.page.wait_for_selector("[data-testid=stHeading]")


async def shown(port: int, page: str) -> tuple[int, set[str], list[str]]:
    async with Visitor("127.0.0.1", port) as visitor:
        visit = await visitor.open(page, "turn=d001-0")
        return visit.elements, visit.versions, visit.errors


def test_strangers_see_nothing(scored_store: Store, tmp_path: Path) -> None:
    with guarded(scored_store, tmp_path, "ada@example.org") as address:
        port = urlsplit(address).port or 0
        # A page by its name first: Streamlit then runs its script without app.py.
        for page in ["data", *(name for name, _, _ in PAGES[1:]), ""]:
            elements, versions, errors = asyncio.run(shown(port, page))
            assert elements <= 3, page
            assert versions == set(), page
            assert errors == [], page
        with browse() as watch:
            watch.page.goto(f"{address}/turn?turn=d001-0")
            settle(watch)
            body = watch.page.locator("body").inner_text()
            assert "Sign in" in body
            assert "d001" not in body
            assert "Triage" not in body


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=NEEDS_HAPROXY)])
def test_ada_signs_in_and_bo_does_not(scored_store: Store, tmp_path: Path, processes: int) -> None:
    for email, admitted in [("ada@example.org", True), ("bo@example.org", False)]:
        with guarded(scored_store, tmp_path, email, processes) as address, browse() as watch:
            watch.page.goto(address)
            settle(watch)
            watch.page.get_by_role("button", name="Sign in").click()
            if admitted:
                watch.page.wait_for_selector("[data-testid=stPlotlyChart]", timeout=60_000)
                assert "Version" in watch.page.locator("body").inner_text()
            else:
                watch.page.get_by_text("bo@example.org").wait_for(timeout=60_000)
                body = watch.page.locator("body").inner_text()
                assert "may not see" in body
                assert "Version" not in body
