"""With a provider to sign in with, each sees what their role allows, and strangers nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import WebSocket

from benchmarks.visitors import Visitor
from data.schema.access import Role
from data.store.people import audited, set_user
from data.store.store import Store
from parts.shared.view import PAGES
from tests.browser import NEEDS_HAPROXY, Watch, browse, chromium, free_port, served
from tests.canaries import turn, words_in
from tests.provider import provider

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        chromium() is None and os.environ.get("CI") != "true", reason="Chromium is not installed"
    ),
]


PEOPLE: dict[str, Role] = {
    "vera@example.org": "viewer",
    "tom@example.org": "triager",
    "ann@example.org": "analyst",
    "ada@example.org": "admin",
}
# What the provider says of each; "mallory" claims an address that it has not verified.
CLAIMS = [
    *({"sub": address, "email": address, "email_verified": True} for address in PEOPLE),
    {"sub": "bo", "email": "bo@example.org", "email_verified": True},
    {"sub": "mallory", "email": "ada@example.org", "email_verified": False},
]
# The pages that the navigation offers.
OFFERED = {
    "vera@example.org": {"Overview", "Triage", "Model"},
    "tom@example.org": {"Overview", "Triage", "Model", "Turn", "Rewrites", "Labels", "Annotate"},
}


@contextmanager
def guarded(store: Store, folder: Path, processes: int = 1) -> Iterator[str]:
    """A dashboard behind a provider, which knows the people above."""
    port = free_port()
    file = folder / "sign-in.toml"
    file.touch(0o600)
    with provider(CLAIMS) as metadata:
        file.write_text(
            f"""
            [auth]
            redirect_uri = "http://localhost:{port}/oauth2callback"
            cookie_secret = "{os.urandom(32).hex()}"
            client_id = "faultline"
            client_secret = "secret"
            server_metadata_url = "{metadata}"
            """
        )
        with served(store.path, "--sign-in", str(file), port=port, processes=processes):
            yield f"http://localhost:{port}"


def sign_in(watch: Watch, address: str, who: str) -> str:
    """Sign in from the front page; what the page says then."""
    watch.page.goto(address)
    settle(watch)
    watch.page.get_by_role("button", name="Sign in").click()
    watch.page.get_by_role("button", name=who, exact=True).click()
    watch.page.get_by_role("button", name="Sign out").wait_for(timeout=60_000)
    settle(watch)
    return str(watch.page.locator("body").inner_text())


def settle(watch: Watch) -> None:
    watch.page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    watch.page.wait_for_selector("[data-testid=stHeading]")


async def shown(port: int, page: str) -> tuple[int, set[str], list[str]]:
    async with Visitor("127.0.0.1", port) as visitor:
        visit = await visitor.open(page, "turn=d001-0")
        return visit.elements, visit.versions, visit.errors


def test_strangers_see_nothing(scored_store: Store, tmp_path: Path) -> None:
    with guarded(scored_store, tmp_path) as address:
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


def test_each_role_signs_in_and_out(own_canaries: Store, tmp_path: Path) -> None:
    for person, role in PEOPLE.items():
        set_user(own_canaries, person, role)
    with guarded(own_canaries, tmp_path) as address:
        for person, role in PEOPLE.items():
            with browse() as watch:
                frames: list[bytes] = []
                watch.page.on("websocket", partial(_record, frames))
                body = sign_in(watch, address, person)
                assert f"{person}, {role}" in body
                watch.page.get_by_role("link", name="Model", exact=True).wait_for(timeout=60_000)
                offered = OFFERED.get(person, {title for _, title, _ in PAGES})
                for _, title, _ in PAGES:
                    link = watch.page.get_by_role("link", name=title, exact=True)
                    if title in offered:
                        link.wait_for(timeout=60_000)
                    else:
                        assert not link.count(), (person, title)
                watch.page.goto(f"{address}/turn?turn={turn('car', 1)}")
                settle(watch)
                sent = words_in(b"".join(frames)) | words_in(watch.page.content())
                if role == "viewer":
                    assert sent <= {"zqturncarx"}
                    assert "role triager" in watch.page.locator("body").inner_text()
                else:
                    assert "zqheardcarx" in sent
                watch.page.get_by_role("button", name="Sign out").click()
                # The provider asks as well.
                watch.page.wait_for_url("**/oauth2/end_session**", timeout=60_000)
                watch.page.get_by_role("button").first.click()
                watch.page.get_by_role("button", name="Sign in").wait_for(timeout=60_000)
                watch.page.goto(f"{address}/turn?turn={turn('car', 1)}")
                settle(watch)
                assert "Sign in" in watch.page.locator("body").inner_text()
        for stranger in ("bo", "mallory"):
            with browse() as watch:
                body = sign_in(watch, address, stranger)
                assert "may not see this dashboard" in body
                assert "Version" not in body
        # A cookie that this server has not signed is none.
        with browse() as watch:
            forged = "eyJlbWFpbCI6ImFkYUBleGFtcGxlLm9yZyJ9.x"
            watch.page.context.add_cookies(
                [{"name": "_streamlit_user", "value": forged, "url": address}]
            )
            watch.page.goto(address)
            settle(watch)
            assert "Sign in" in watch.page.locator("body").inner_text()
    noted = {(row["who"], row["what"]) for row in audited(own_canaries)}
    for person in PEOPLE:
        assert {(person, "sign-in"), (person, "sign-out")} <= noted
    assert ("bo@example.org", "refused") in noted


@NEEDS_HAPROXY
def test_a_sign_in_holds_for_all_processes(own_canaries: Store, tmp_path: Path) -> None:
    set_user(own_canaries, "ann@example.org", "analyst")
    with guarded(own_canaries, tmp_path, processes=2) as address:
        for person, admitted in [("ann@example.org", True), ("bo", False)]:
            with browse() as watch:
                body = sign_in(watch, address, person)
                assert ("ann@example.org, analyst" in body) == admitted
                assert ("may not see this dashboard" in body) != admitted


def _record(kept: list[bytes], socket: WebSocket) -> None:
    def frame(payload: bytes | str) -> None:
        kept.append(payload if isinstance(payload, bytes) else payload.encode())

    socket.on("framereceived", frame)
