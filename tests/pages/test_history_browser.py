"""Steps in a real browser: rows open by click, key and new tab; Back leads to where one was."""

from __future__ import annotations

import os
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page

from data.store.store import Store
from tests.browser import browse, chromium, served
from tests.pages.test_browser import check

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        chromium() is None and os.environ.get("CI") != "true", reason="Chromium is not installed"
    ),
]


@pytest.fixture(scope="module")
def address(scored_store: Store) -> Iterator[str]:
    with served(scored_store.path) as url:
        yield url


def entries(page: Page) -> int:
    return int(page.evaluate("history.length"))


def scrolled(page: Page) -> int:
    return int(page.evaluate("document.querySelector('[data-testid=stMain]').scrollTop"))


def query(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def test_one_step_is_one_entry_and_back_returns_to_the_place(address: str) -> None:
    with browse() as watch:
        page = watch.page
        page.goto(f"{address}/explore?show=table&device=phone")
        check(watch)
        # The blank page, and this one, although the app has completed its address.
        assert entries(page) == 2
        assert query(page)["at"]
        row = page.locator("tr.openable").nth(30)
        row.scroll_into_view_if_needed()
        page.wait_for_timeout(600)
        place, there = scrolled(page), page.url
        assert place > 200
        # Anywhere on the row, here on its last cell.
        row.locator("td").last.click()
        page.wait_for_url("**/turn?**turn=**")
        check(watch)
        assert entries(page) == 3
        first = query(page)["turn"]
        page.get_by_role("button", name="Next of these turns").click()
        watch.settle()
        page.wait_for_function(f"!location.search.includes('turn={first[0]}&')")
        assert entries(page) == 4
        page.go_back(wait_until="commit")
        watch.settle()
        assert query(page)["turn"] == first
        page.go_back(wait_until="commit")
        page.wait_for_url("**/explore?**")
        watch.settle()
        page.wait_for_function(
            f"Math.abs(document.querySelector('[data-testid=stMain]').scrollTop - {place}) < 5"
        )
        assert page.url == there
        page.go_forward(wait_until="commit")
        page.wait_for_url("**/turn?**")
        watch.settle()
        # The link back finds the place, too.
        page.get_by_role("link", name="← Explore").click()
        page.wait_for_url("**/explore?**")
        watch.settle()
        page.wait_for_function(
            f"Math.abs(document.querySelector('[data-testid=stMain]').scrollTop - {place}) < 5"
        )


def test_a_filter_is_one_step_and_reload_keeps_it(address: str) -> None:
    with browse() as watch:
        page = watch.page
        page.goto(address)
        check(watch)
        page.get_by_role("combobox", name="Predicted failure point").click()
        page.get_by_role("option", name="NLU").click()
        watch.settle()
        page.wait_for_url("**failure_point=nlu**")
        assert entries(page) == 3
        turns = page.get_by_test_id("stMetricValue").first.inner_text()
        page.reload()
        check(watch)
        assert page.get_by_test_id("stMetricValue").first.inner_text() == turns
        page.get_by_role("link", name="Explore").click()
        page.wait_for_url("**/explore?**failure_point=nlu**")
        watch.settle()
        assert entries(page) == 4
        assert page.get_by_test_id("stMetricValue").first.inner_text() == turns
        page.go_back(wait_until="commit")
        page.wait_for_url(f"{address}/?**failure_point=nlu**")
        watch.settle()
        page.go_back(wait_until="commit")
        watch.settle()
        page.wait_for_function("!location.search.includes('failure_point')")
        assert page.get_by_test_id("stMetricValue").first.inner_text() != turns


def test_rows_open_by_keyboard_and_in_a_new_tab(address: str) -> None:
    with browse() as watch:
        page = watch.page
        page.goto(f"{address}/turn?device=phone")
        check(watch)
        page.locator("tr.openable a").first.focus()
        page.keyboard.press("ArrowDown")
        focused = page.evaluate("document.activeElement.getAttribute('href')")
        assert focused == page.locator("tr.openable a").nth(1).get_attribute("href")
        with page.context.expect_page() as opened:
            page.locator("tr.openable").nth(2).click(modifiers=["Control"])
        tab = opened.value
        tab.wait_for_selector("h2", timeout=60_000)
        assert "device=phone" in tab.url
        assert "turn=" in tab.url
        tab.close()
        # The click took the focus away from the links.
        page.locator("tr.openable a").nth(1).focus()
        page.keyboard.press("Enter")
        page.wait_for_url(f"**{focused}")
        check(watch)


def test_the_link_is_copied(address: str) -> None:
    with browse() as watch:
        page = watch.page
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        for path in ("/", "/data", "/model", "/explore?device=phone"):
            page.goto(address + path)
            watch.settle()
            page.get_by_role("button", name="Copy link").click()
            page.get_by_role("button", name="Copied").wait_for()
            assert page.evaluate("navigator.clipboard.readText()") == page.url
            assert "at=" in page.url


def test_a_phone_shows_title_and_navigation(address: str) -> None:
    with browse(width=400, height=800) as watch:
        page = watch.page
        page.goto(f"{address}/triage?failing=asr")
        watch.settle()
        for name in ("Faultline", "Overview", "Data", "Explore", "Annotate"):
            link = page.get_by_role("link", name=name, exact=True)
            box = link.bounding_box()
            assert box is not None
            assert 0 <= box["x"] <= box["x"] + box["width"] <= 400
            assert box["y"] + box["height"] <= 800
        page.get_by_role("link", name="Explore", exact=True).click()
        page.wait_for_url("**/explore?**")
        check(watch)
