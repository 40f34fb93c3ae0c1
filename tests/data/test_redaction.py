"""What is found in a text and what is not; whatever it is, a text is never spoilt otherwise."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.ingest.redaction import Redactor
from data.store.privacy import KINDS, PLACEHOLDERS
from labels.rules.normalise import normalise

NAMES = ("Mary Smith", "José", "O'Brien", "王伟", "राहुल", "محمد")
REDACTOR = Redactor(KINDS, NAMES)

# Text, locale, text after redaction.
PERSONAL = [
    ("mail john.smith@example.com please", "en-US", "mail [EMAIL] please"),
    ("ｊｏｈｎ＠ｅｘａｍｐｌｅ．ｃｏｍ", "ja-JP", "[EMAIL]"),
    ("jo\u200bhn@exa\u200bmple.com", "en-US", "[EMAIL]"),
    ("my email is j o h n at example dot com", "en-US", "my email is [EMAIL]"),
    ("john punkt smith at beispiel punkt de", "de-DE", "[EMAIL]"),
    ("call (412) 268-3000 now", "en-US", "call [PHONE] now"),
    ("call 555-1212", "en-US", "call [PHONE]"),
    ("call +44 20 7946 0958", None, "call [PHONE]"),
    ("four one two two six eight three zero zero zero", "en-US", "[PHONE]"),
    ("double five five one two three four", "en-US", "[PHONE]"),
    ("zéro six un deux trois quatre cinq six sept huit", "fr-FR", "[PHONE]"),
    ("+९१ ९८७६५ ४३२१०", "hi-IN", "[PHONE]"),
    ("+٩٧١ ٥٠ ١٢٣ ٤٥٦٧", "ar-AE", "[PHONE]"),
    ("０９０－１２３４－５６７８", "ja-JP", "[PHONE]"),
    ("06 12 34 56 78", "fr-FR", "[PHONE]"),
    ("card 4111 1111 1111 1111", "en-US", "card [CARD]"),
    # One digit was misheard, so that its check digit is wrong.
    ("card 4111 1111 1111 1112", "en-US", "card [CARD]"),
    ("four one one one one one one one one one one one one one one one", "en-US", "[CARD]"),
    ("de89 3704 0044 0532 0130 00 please", "de-DE", "[IBAN] please"),
    ("DE89 3704 0044 0532 0130 01 with money", "de-DE", "[IBAN] with money"),
    ("12 main street", "en-US", "[HOUSENUMBER] main street"),
    ("it is on 21 - 24 Northampton Street", "en-GB", "it is on [HOUSENUMBER] Northampton Street"),
    ("twelve main street", "en-US", "[HOUSENUMBER] main street"),
    ("Hauptstraße 12", "de-DE", "Hauptstraße [HOUSENUMBER]"),
    ("12 rue de Rivoli", "fr-FR", "[HOUSENUMBER] rue de Rivoli"),
    ("calle mayor 5", "es-ES", "calle mayor [HOUSENUMBER]"),
    ("call MARY  SMITH's phone", "en-US", "call [NAME]'s phone"),
    ("jose and o'brien", "en-US", "[NAME] and [NAME]"),
    ("王伟打电话", "zh-CN", "[NAME]打电话"),
    ("राहुल को कॉल करो", "hi-IN", "[NAME] को कॉल करो"),
    ("call محمد", "ar-EG", "call [NAME]"),
    # As a key or a name, a link or a page has them.
    ("contact.mary_smith", "en-US", "contact.[NAME]"),
    ("mailto:joe%40example.com", None, "mailto:[EMAIL]"),
    ("joe&#64;example.com", None, "[EMAIL]"),
    ("write to joe @ example.com", "en-US", "write to [EMAIL]"),
    ("tel:4122683000,4122683001", "en-US", "tel:[PHONE],[PHONE]"),
    ("call?to=%2B14122683000", "en-US", "call?to=%2B[PHONE]"),
    ("06.12.34.56.78", "fr-FR", "[PHONE]"),
    ("card 4111, 1111, 1111, 1111", "en-US", "card [CARD]"),
    # Beside other numbers.
    ("4111 1111 1111 1111 12/27 123", "en-US", "[CARD]"),
    ("4122683000 4122683001", "en-US", "[PHONE]"),
    ("2026-11-30 412 268 3000 18.30", "en-US", "2026-11-30 [PHONE]"),
    # With characters that nobody sees.
    ("412\u200d268\u200d3000", "en-US", "[PHONE]"),
    ("joe\u034f@exam\ufe0fple.com", "en-US", "[EMAIL]"),
]
# As they are said to assistants every day.
NOT_PERSONAL = [
    "take the 61c to fifth avenue", "the 28x to fifth avenue", "sixty one c forbes avenue",
    "route 51 brownsville road", "forty second street", "one way street", "20 minute drive",
    "wake me at 5:30", "seven thirty a m", "on 2024-05-01 09:30", "30.04.2024 18.30", "20240501",
    "from 1999 to 2000", "1990 2000", "40.4406248", "1 2 3 4 5 6 7", "one two three four five six "
    "seven", "twenty three degrees", "play 99 luftballons", "look at example.com", "marys smithy",
    "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12", "415,555,267", "30.04.24 18.30", "meet @ home",
    "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", "5:30, 6:45", "1990, 1991, 1992, 1993",
    "oh oh oh oh oh oh oh", "volume 10", "add 2 500 000", "[PHONE] and [EMAIL]", "@home", "a@b", "",
]  # fmt: skip


@pytest.mark.parametrize(("text", "locale", "redacted"), PERSONAL)
def test_personal_texts(text: str, locale: str | None, redacted: str) -> None:
    assert REDACTOR.redact(text, locale).text == redacted


@pytest.mark.parametrize("text", NOT_PERSONAL)
def test_what_is_said_every_day_stays(text: str) -> None:
    assert REDACTOR.redact(text, "en-US").text == text


def test_only_the_kinds_that_were_chosen() -> None:
    text = "mail a@example.com or call 412 268 3000"
    assert Redactor(["email"]).redact(text, "en-US").text == "mail [EMAIL] or call 412 268 3000"
    assert Redactor(["card"]).redact(text, "en-US").text == text


@pytest.mark.parametrize("text", ["1717171717171", "1717171717", "61c", "100 200 300", "a-12-b"])
def test_ids_and_times_are_no_phone_numbers(text: str) -> None:
    assert REDACTOR.redact(text, "en-US", strict=True).text == text


def test_a_valid_number_is_personal_as_an_id_too() -> None:
    assert REDACTOR.redact("+14122683000", None, strict=True).text == "[PHONE]"


@pytest.mark.parametrize("placeholder", PLACEHOLDERS.values())
@pytest.mark.parametrize("locale", ["en-US", "hi-IN", "ja-JP", None])
def test_a_placeholder_is_one_word_to_whoever_compares(
    placeholder: str, locale: str | None
) -> None:
    word = normalise(placeholder, locale)
    assert word.isalpha()
    assert normalise(f"call {placeholder}.", locale) == f"call {word}"


_LETTERS = st.sampled_from([*"ab 1 2 4 9 +()-@.,٣५０\u200b\n", " at ", " dot ", "one ", "é"])


@given(st.lists(_LETTERS, max_size=60).map("".join))
def test_what_is_left_of_any_text_is_as_it_was(text: str) -> None:
    redacted = REDACTOR.redact(text, "en-US")
    # The hits in place of the placeholders give the text again; there is nothing else to find.
    again = redacted.text
    for kind, found in redacted.hits:
        again = again.replace(PLACEHOLDERS[kind], found, 1)
    assert again == text


@pytest.mark.parametrize(
    "unit",
    [
        "1 ",
        "a",
        "a at ",
        "@",
        "one ",
        "a dot ",
        "12 a ",
        "DE12 ",
        "a@",
        "x ",
        "1-",
        "é1 ",
        "1234, ",
        "1.1.24 ",
    ],
)
def test_a_hostile_text_takes_no_more_than_its_length(unit: str) -> None:
    def seconds(letters: int) -> float:
        """Of this thread alone, the least of three: nothing else that the process does."""
        times = []
        for _ in range(3):
            began = time.thread_time()
            REDACTOR.redact(unit * (letters // len(unit)), "es-ES")
            times.append(time.thread_time() - began)
        return min(times)

    seconds(4_000)
    # Quadratic time would be 64 times as much.
    assert seconds(32_000) < 24 * seconds(4_000) + 0.2
