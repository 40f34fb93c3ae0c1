"""Which wordings are one and which are two, by locale: a table of pairs, and what holds for all."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from labels.normalise import joined, key, normalise, value_words

TABLE = Path(__file__).with_name("wordings.tsv")


def _pairs() -> list[tuple[str | None, bool, str, str]]:
    pairs = []
    for line in TABLE.read_text(encoding="utf-8").split("\n"):
        if line and not line.startswith("#"):
            locale, relation, left, right = line.split("\t")
            texts = [
                text.encode("raw_unicode_escape").decode("raw_unicode_escape")
                for text in (left, right)
            ]
            pairs.append((None if locale == "-" else locale, relation == "=", texts[0], texts[1]))
    return pairs


PAIRS = _pairs()
LOCALES = sorted({locale for locale, *_ in PAIRS if locale})


@pytest.mark.parametrize(("locale", "equal", "left", "right"), PAIRS)
def test_pair(locale: str | None, equal: bool, left: str, right: str) -> None:
    assert (key(left, locale) == key(right, locale)) is equal
