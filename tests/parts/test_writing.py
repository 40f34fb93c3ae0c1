"""A change of the store that cannot be made is a sentence, whatever is in its way."""

from __future__ import annotations

import errno

import pytest

from data.errors import UsageError
from data.store import workspace
from data.store.store import Store
from parts.shared.writing import refused


def test_a_change_that_is_made_needs_no_words(store: Store) -> None:
    assert refused(lambda: workspace.set_target(store, "asr", 0.1), str(store.path)) is None
    assert workspace.targets(store.snapshot()) == {"asr": 0.1}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (UsageError("Give a name."), "Give a name."),
        (OSError(errno.ENOSPC, "No space left on device"), "is full"),
        (OSError(errno.EIO, "Input/output error"), "cannot be written to (Input/output error)"),
    ],
)
def test_one_that_is_not_is_said_in_a_sentence(store: Store, error: Exception, words: str) -> None:
    def change() -> None:
        raise error

    said = refused(change, str(store.path))
    assert said is not None
    assert words in said
    assert "\n" not in said
