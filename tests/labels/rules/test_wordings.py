"""Which wordings are one and which are two, by locale: a table of pairs, and what holds for all."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from labels.rules.normalise import joined, key, normalise, value_words

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
    # No wake phrase is logged.
    assert (key(left, locale, "") == key(right, locale, "")) is equal


def test_the_table_covers_what_it_promises() -> None:
    assert len(PAIRS) >= 500
    assert len({locale.split("-")[0] for locale in LOCALES}) >= 40
    assert sum(not equal for _, equal, _, _ in PAIRS) >= 150


TEXTS = st.sampled_from(sorted({text for *_, left, right in PAIRS for text in (left, right)}))
ANY = TEXTS | st.text(max_size=30) | st.lists(TEXTS, max_size=3).map(" ".join)


@settings(max_examples=150)
@given(ANY, st.sampled_from([None, *LOCALES]))
@example("½ İ ﬁ e\u200d\u0301 ª", None)
@example("am 2. Mai um halb acht", "de-DE")
@example("7:00 19:30 00:15", "en-US")
def test_normalising_twice_changes_nothing(text: str, locale: str | None) -> None:
    once = normalise(text, locale)
    assert normalise(once, locale) == once
    assert joined(once) == key(text, locale)
    assert once == " ".join(once.split())
    value = value_words(text, locale)
    assert value_words(value, locale) == value


@settings(max_examples=150)
@given(ANY, st.sampled_from([None, *LOCALES]), st.sampled_from(["NFC", "NFD"]))
@example("ºÇ", None, "NFD")
def test_the_unicode_form_says_nothing(text: str, locale: str | None, form: str) -> None:
    assert key(unicodedata.normalize(form, text), locale) == key(text, locale)  # type: ignore[arg-type]  # a literal, drawn


@settings(max_examples=200)
@given(st.data(), st.sampled_from([None, *LOCALES]))
def test_another_digit_or_sign_is_another_text(data: st.DataObject, locale: str | None) -> None:
    digits = data.draw(st.text("0123456789", min_size=1, max_size=6))
    place = data.draw(st.integers(0, len(digits) - 1))
    other = data.draw(st.sampled_from("0123456789"))
    assume(other != digits[place])
    frame = data.draw(
        st.sampled_from(["{}", "{}%", "x {} y", "{}°C", "{},5", "${}", "{}:30", "a{}"])
    )
    changed = digits[:place] + other + digits[place + 1 :]
    # A clock has no hour 07 beside 7, nor 24 beside 0.
    assume(
        ":" not in frame
        or (digits[0] != "0" and changed[0] != "0" and int(digits) < 13 > int(changed))
    )
    assert key(frame.format(digits), locale) != key(frame.format(changed), locale)
    assert value_words(digits, locale) != value_words(changed, locale)
    number = digits.lstrip("0") or "1"
    assert key(f"x -{number} y", locale) != key(f"x {number} y", locale)
    assert value_words(f"-{number}", locale) != value_words(number, locale)


@given(st.integers(1, 10**9), st.sampled_from([None, *LOCALES]))
def test_figures_stay(number: int, locale: str | None) -> None:
    assert key(str(number), locale) == str(number)
