"""The pages in a real browser: nothing breaks, nothing is fetched from another host."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from data.store.store import Store
from tests.browser import Watch, browse, chromium, served

pytestmark = pytest.mark.skipif(
    chromium() is None and os.environ.get("CI") != "true", reason="Chromium is not installed"
)


@pytest.fixture(scope="module")
def address(scored_store: Store) -> Iterator[str]:
    with served(scored_store.path) as url:
        yield url


def check(watch: Watch) -> None:
    """No exception, no request to another host, no error but the two of Streamlit itself."""
    watch.settle()
    assert watch.page.locator("[data-testid=stException]").count() == 0
    assert watch.strangers == []
    # Opened below the root, Streamlit first looks for its server there.
    missing = [url for url in watch.missing if "/_stcore/h" not in url]
    assert missing == []
    assert [e for e in watch.errors if "status of 404" not in e] == []


# First, while the server is fresh and nobody has opened the front page.
@pytest.mark.parametrize(("width", "dark"), [(1440, False), (400, True)])
def test_pages_draw_without_errors_and_fit_the_screen(address: str, width: int, dark: bool) -> None:
    pages = {"/turn?turn=d001-0": 3, "/turn?turn=nasty": 3, "/turn": 0, "/": 3}
    with browse(width=width, dark=dark) as watch:
        for path, charts in pages.items():
            watch.page.goto(address + path)
            check(watch)
            assert watch.page.locator(".js-plotly-plot .main-svg").count() >= charts, path
            # The page itself never scrolls sideways.
            overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert watch.page.evaluate(overflow) <= 0, path


@pytest.mark.long
def test_filters_and_turn_travel_in_the_url(address: str) -> None:
    with browse() as watch:
        page = watch.page
        page.goto(f"{address}/?device=phone")
        check(watch)
        before = page.get_by_test_id("stMetricValue").first.inner_text()
        page.locator("tr.openable").first.click()
        page.wait_for_url("**/turn?**turn=**")
        check(watch)
        assert "device=phone" in page.url
        page.get_by_text("All defects").click()
        page.wait_for_selector("[data-testid=stMetricValue]")
        check(watch)
        assert page.url.count("device=phone") == 1
        assert page.get_by_test_id("stMetricValue").first.inner_text() == before


@pytest.mark.long
def test_further_filters_are_drawn_when_opened(address: str) -> None:
    with browse() as watch:
        page = watch.page
        page.goto(address)
        check(watch)
        status = page.get_by_role("combobox", name="Status", exact=True)
        assert status.count() == 0
        page.get_by_text("More", exact=True).click()
        status.wait_for()
        verdict = page.get_by_role("combobox", name="Predicted failure point")
        verdict.click()
        page.get_by_role("option", name="NLU").click()
        watch.settle()
        page.wait_for_url("**failure_point=nlu**")
        # The list stays open for another choice, and hides the page from readers of the screen.
        page.keyboard.press("Escape")
        page.get_by_role("button", name="predicted NLU").wait_for()
        page.get_by_role("link", name="Explore").click()
        watch.settle()
        page.wait_for_url("**/explore?**failure_point=nlu**")
        assert page.get_by_role("button", name="predicted NLU").is_visible()
        page.get_by_role("button", name="predicted NLU").click()
        watch.settle()
        page.wait_for_function("!location.search.includes('failure_point=')")
        check(watch)


@pytest.mark.long
def test_nothing_in_a_logged_text_is_interpreted(address: str) -> None:
    with browse() as watch:
        watch.page.goto(f"{address}/turn?turn=nasty")
        check(watch)
        main = watch.page.get_by_test_id("stMain")
        assert main.locator("img").count() == 0
        assert main.locator("a[href*='x.example']").count() == 0
        assert main.locator(".katex").count() == 0
        assert "**bold**" in watch.page.locator("h2").first.inner_text()
