"""What a page looks at: where the store is found, and the links to other pages."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest

from data.queries.filters import Filter
from data.store.store import Store
from parts.shared import turn_links
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


def test_times_of_summer_and_winter_have_their_own_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn_links, "reader_zone", lambda: ZoneInfo("Europe/London"))
    winter, summer = (datetime(2026, month, 5, 12, tzinfo=UTC) for month in (1, 7))
    assert turn_links.local_times([winter]) == ("When (GMT)", ["5 Jan 2026, 12:00:00"])
    title, texts = turn_links.local_times([summer, winter])
    assert title == "When"
    assert texts == ["5 Jul 2026, 13:00:00 BST", "5 Jan 2026, 12:00:00 GMT"]
    assert turn_links.local_times([]) == ("When", [])
