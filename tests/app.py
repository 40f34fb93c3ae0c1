"""Running pages of the dashboard without a browser; the fixture `opened` opens them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).parents[1]
Open = Callable[..., AppTest]

_init = PagesManager.__init__


def _navigated(self: PagesManager, *args: Any, **kwargs: Any) -> None:
    # As in a server once `st.navigation` has run; AppTest forgets that before every run, and would
    # then run a page of the folder `pages` without `app.py`.
    PagesManager.uses_pages_directory = False
    _init(self, *args, **kwargs)


def opener(monkeypatch: pytest.MonkeyPatch) -> Open:
    """A function that opens a page of a store's dashboard, with URL parameters."""

    def run(store: Path, page: str | None = None, **query: str) -> AppTest:
        monkeypatch.setenv("FAULTLINE_STORE", str(store))
        monkeypatch.setattr(PagesManager, "__init__", _navigated)
        at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        if page:
            # Before the first run, which would draw the Overview. Streamlit then knows a page by
            # the name of its file, which is its URL path here.
            at.switch_page(f"pages/{page}.py")
        for key, value in query.items():
            at.query_params[key] = value
        at.run()
        assert not at.exception
        return settled(at)

    return run


def settled(at: AppTest) -> AppTest:
    """The page once the job that it waits for has ended; a browser would look again by itself."""
    until = time.monotonic() + 60
    while at.get("progress") and time.monotonic() < until:
        time.sleep(0.1)
        at.run()
        assert not at.exception
    return at


def texts(at: AppTest) -> str:
    """Headers, texts, captions, code and Markdown of a page, one per line."""
    kinds = (at.header, at.subheader, at.text, at.caption, at.code, at.markdown)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def html(at: AppTest) -> str:
    """The HTML of a page that the templates wrote."""
    return "".join(block.proto.body for block in at.get("html"))


def press(at: AppTest, label: str) -> AppTest:
    """Press the first button whose label begins with `label`."""
    next(button for button in at.button if button.label.startswith(label)).click().run()
    assert not at.exception
    return at


def turns_shown(at: AppTest) -> int:
    """The number of turns in the first number on top of a page."""
    return int(at.metric[0].value.replace("\u2009", ""))
