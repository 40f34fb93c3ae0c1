"""What a page looks at: where the store is found."""

from __future__ import annotations

import pytest

from parts.shared.view import STORE, store_path


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
