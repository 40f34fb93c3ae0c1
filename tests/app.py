"""Running pages of the dashboard without a browser; the fixture `opened` opens them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from streamlit.components.v2 import manifest_scanner
from streamlit.runtime.pages_manager import PagesManager
from streamlit.runtime.scriptrunner.script_cache import ScriptCache
from streamlit.testing.v1 import AppTest, app_test

ROOT = Path(__file__).parents[1]
Open = Callable[..., AppTest]

_init = PagesManager.__init__
# As a server has them: pages compiled once, and what is installed looked for once. AppTest would do
# both for every page that it opens.
_scripts = ScriptCache()
_scanned = cache(manifest_scanner.scan_component_manifests)


def _navigated(self: PagesManager, *args: Any, **kwargs: Any) -> None:
    # As in a server once `st.navigation` has run; AppTest forgets that before every run, and would
    # then run a page of the folder `pages` without `app.py`.
    PagesManager.uses_pages_directory = False
    _init(self, *args, **kwargs)


def opener(monkeypatch: pytest.MonkeyPatch, claims: dict[str, Any] | None = None) -> Open:
    """A function that opens a page of a store's dashboard, with URL parameters.

    `claims` are those of whoever has signed in, where the server asks for it.
    """

    def run(store: Path, page: str | None = None, **query: str) -> AppTest:
        monkeypatch.setenv("FAULTLINE_STORE", str(store))
        monkeypatch.setattr(PagesManager, "__init__", _navigated)
        monkeypatch.setattr(app_test, "ScriptCache", lambda: _scripts)
        monkeypatch.setattr(manifest_scanner, "scan_component_manifests", _scanned)
        at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        at.user = dict(claims or {})
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


def turn_rows(at: AppTest) -> list[dict[str, str]]:
    """The rows of the tables of turns: each cell by its head, and the address as "href"."""
    rows = []
    for block in at.get("html"):
        if '<div class="turns">' not in block.proto.body:
            continue
        heads = [_words(head) for head in _HEAD.findall(block.proto.body)]
        for row in _ROW.findall(block.proto.body):
            cells = dict(zip(heads, map(_words, _CELL.findall(row)), strict=True))
            rows.append({**cells, "href": unescape(_HREF.findall(row)[0])})
    return rows


def links(at: AppTest) -> dict[str, str]:
    """The addresses of the links in the HTML of a page, by their words."""
    return {_words(words): unescape(href) for href, words in _LINK.findall(html(at))}


def follow(at: AppTest, href: str) -> AppTest:
    """Follow a link of a page, in the same session."""
    path, _, query = href.partition("?")
    if path:
        at.switch_page(f"pages/{path.rpartition('/')[2] or 'overview'}.py")
    at.query_params.clear()
    for key, values in parse_qs(query, keep_blank_values=True).items():
        at.query_params[key] = values
    at.run()
    assert not at.exception
    return settled(at)


def _words(markup: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", "", markup)).split())


_HEAD = re.compile(r"<th [^>]*>(.*?)</th>", re.DOTALL)
_ROW = re.compile(r'<tr class="openable">(.*?)</tr>', re.DOTALL)
_CELL = re.compile(r"<td [^>]*>(.*?)</td>", re.DOTALL)
_HREF = re.compile(r'<a href="([^"]*)"')
_LINK = re.compile(r'<a [^>]*?href="([^"]*)"[^>]*>(.*?)</a>', re.DOTALL)


def press(at: AppTest, label: str) -> AppTest:
    """Press the first button whose label begins with `label`."""
    next(button for button in at.button if button.label.startswith(label)).click().run()
    assert not at.exception
    return at


def turns_shown(at: AppTest) -> int:
    """The number of turns in the first number on top of a page."""
    return int(at.metric[0].value.replace("\u2009", ""))
