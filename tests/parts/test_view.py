"""What a page looks at: where the store is found, and the links to other pages."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from data.queries.filters import Filter
from data.store.store import Store
from parts.shared.view import STORE, View, store_path
from tests.hostile import TEXTS


@pytest.mark.parametrize(
    ("arguments", "environment", "path"),
    [
        ([], None, "store"),
        ([], "mine", "mine"),
        (["--store", "given"], "mine", "given"),
        (["--other", "--store=given"], "mine", "given"),
        (["--store"], "mine", "mine"),
    ],
)
def test_an_argument_goes_before_the_environment(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], environment: str | None, path: str
) -> None:
    monkeypatch.setattr("sys.argv", ["app.py", *arguments])
    monkeypatch.delenv(STORE, raising=False)
    if environment:
        monkeypatch.setenv(STORE, environment)
    assert store_path() == path
    # The test processes of pytest-xdist have no argument at all, not even a name.
    if not arguments:
        monkeypatch.setattr("sys.argv", [])
        assert store_path() == path


@pytest.mark.parametrize("text", [*TEXTS, "//host/", "/\\host", "javascript:x", "a&b=c#d%00"])
def test_links_stay_in_the_dashboard(scored_store: Store, text: str) -> None:
    """Whatever a turn or a filter is called, its link is a path of this server."""
    with scored_store.snapshot() as snapshot:
        chosen = Filter(domain=(text,))
        view = View(str(scored_store.path), snapshot, False, text, None, chosen)
        link = view.href("turn", turn=text)
    # Nothing in it ends an attribute, or means something to HTML.
    assert link.startswith("/turn?")
    assert not set(link) & set("\"'<>` \\")
    parts = urlsplit(link)
    assert (parts.scheme, parts.netloc, parts.path, parts.fragment) == ("", "", "/turn", "")
    assert parse_qs(parts.query)["turn"] == parse_qs(parts.query)["domain"] == [text]
