"""The Triage page in a real browser: it draws, fits a phone, and can be used by keyboard."""

from __future__ import annotations

import os

import pytest

from data.store.store import Store
from tests.browser import browse, chromium, served
from tests.pages.test_browser import check

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        chromium() is None and os.environ.get("CI") != "true", reason="Chromium is not installed"
    ),
]


def test_an_owner_reaches_a_slice_by_keyboard_on_any_screen(phones_fail: Store) -> None:
    with served(phones_fail.path) as address:
        for width, dark in ((1440, False), (390, True)):
            with browse(width=width, dark=dark) as watch:
                page = watch.page
                page.goto(f"{address}/triage?failing=asr")
                page.get_by_text("Ownership and status").wait_for(timeout=60_000)
                check(watch)
                overflow = (
                    "document.documentElement.scrollWidth - document.documentElement.clientWidth"
                )
                assert page.evaluate(overflow) <= 0
                page.get_by_role("button", name="phone").last.focus()
                page.keyboard.press("Enter")
                page.wait_for_url("**slice=asr*")
                check(watch)
