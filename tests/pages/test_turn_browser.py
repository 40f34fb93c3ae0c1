"""Labelling on the Turn page in a real browser: nothing that is clicked moves, names are kept."""

from __future__ import annotations

import os

import pytest
from playwright.sync_api import Page

from data.store.store import Store
from tests.browser import browse, chromium, served
from tests.pages.test_turn import TURN, verdicts

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        chromium() is None and os.environ.get("CI") != "true", reason="Chromium is not installed"
    ),
]


def place(page: Page, name: str) -> tuple[float, float]:
    box = page.locator(f"[class*='st-key-say-{name}-'] button:visible").bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def fold_out(page: Page) -> None:
    page.get_by_text("Label this turn").click()
    page.get_by_label("Your name, shown beside your verdicts").wait_for()


@pytest.mark.parametrize("width", [1440, 400])
def test_two_clicks_on_the_same_spot_never_record_two_verdicts(
    own_store: Store, width: int
) -> None:
    with served(own_store.path) as address, browse(width=width) as watch:
        page = watch.page
        page.goto(f"{address}/turn?turn={TURN}")
        page.get_by_text("Human-labelled").wait_for(timeout=60_000)
        fold_out(page)
        page.get_by_label("Your name, shown beside your verdicts").fill("Ada Ø; x=<b>")
        page.keyboard.press("Enter")
        button = page.locator("[class*='st-key-say-nlu-'] button:enabled:visible")
        button.wait_for()
        button.scroll_into_view_if_needed()
        before = place(page, "nlu"), place(page, "er")
        page.mouse.click(*before[0])
        page.get_by_text("Recorded: NLU.").wait_for()
        assert (place(page, "nlu"), place(page, "er")) == before
        page.mouse.click(*before[1])
        page.get_by_text("Record ER instead?").wait_for()
        assert (place(page, "nlu"), place(page, "er")) == before
        page.mouse.click(*before[1])
        page.wait_for_timeout(700)
        assert verdicts(own_store) == ["nlu"]

        page.reload()
        page.get_by_text("Human-labelled").wait_for(timeout=60_000)
        fold_out(page)
        name = page.get_by_label("Your name, shown beside your verdicts")
        assert name.input_value() == "Ada Ø; x=<b>"
        page.get_by_role("button", name="Undo").click()
        page.get_by_text("Taken back.").wait_for()
        assert verdicts(own_store) == []
