"""Numbers that are personal: of phones, cards and bank accounts, written or said.

By `phonenumbers` (validity by country) and `stdnum` (check digits). All functions take a text that
`data.ingest.redaction` has folded; with `strict`, a number has to be valid.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import phonenumbers
from stdnum import iban, luhn, numdb


class Span(NamedTuple):
    """Where something personal stands in a folded text, and its kind."""

    start: int
    end: int
    kind: str


DIGIT = re.compile("[0-9]")
# Not the end of a time (5:30) or of a decimal, but the next of a list; behind what an address on
# the web encodes (+, space, :, =) a number begins too.
_BEGIN = r"(?:(?<!\w)(?<![0-9][.,:])|(?<=[0-9]{7}[,:])|(?<=%2B)|(?<=%2b)|(?<=%20)|(?<=%3[AaDd]))"
_NUMBER = re.compile(rf"{_BEGIN}[+(]{{0,2}}[0-9](?:[ \t().\-/]{{0,3}}[0-9])*(?![0-9A-Za-z_])")
# The usual groups of cards and of North American phones, with separators that lists have as well.
_APART = r"(?:[ ,_\t\n]{1,2}|%20|\+|&nbsp;)"
_GROUPED = re.compile(
    rf"{_BEGIN}(?:[0-9]{{4}}(?:{_APART}[0-9]{{4}}){{3}}"
    rf"|[2-9][0-9]{{2}}{_APART}[2-9][0-9]{{2}}{_APART}[0-9]{{4}})(?![0-9A-Za-z_])"
)
_DAY, _MONTH = "(?:0?[1-9]|[12][0-9]|3[01])", "(?:0?[1-9]|1[0-2])"
# Dates and the beginnings of times, which stand between the groups of a number.
_DATE = re.compile(
    rf"(?<![0-9.])(?:(?:19|20)[0-9]{{2}}([-./]){_MONTH}\1{_DAY}"
    # In 06.12.34.56.78 there is none.
    rf"|(?:{_DAY}([-./]){_MONTH}|{_MONTH}([-./]){_DAY})(?:\2|\3)"
    rf"(?:(?:19|20)[0-9]{{2}}|[0-9]{{2}}(?![-./][0-9])))(?![0-9])"
)
_YEARS = re.compile(r"(?:(?:19|20)[0-9]{2}[ \-/]*)+")
_DECIMAL = re.compile(r"[0-9]+\.[0-9]+|[0-9]{1,3}(?:\.[0-9]{3})+")
_LOCAL = re.compile(r"[2-9][0-9]{2}[-.][0-9]{4}")
# A number that is long by itself, or in the usual groups, among others.
_AMONG = re.compile(
    r"(?<![0-9])(?:(?P<card>[0-9]{13,19}|[0-9]{4}(?:[ \-][0-9]{4}){3}|3[0-9]{3}[ \-][0-9]{6}[ \-]"
    r"[0-9]{5})|[0-9]{7,12}|[0-9]{3}[ .\-][0-9]{3}[ .\-][0-9]{4})(?![0-9])"
)
_COUNTING = "01234567890123456789"
# The issuers of cards: Visa, Mastercard, American Express, Discover, Diners, JCB, UnionPay.
_ISSUED = re.compile(r"4|5[1-5]|2[2-7]|3[0-9]|6")
# Digits of a number that is personal whether or not it is valid; of a card.
_LONG, _LONGEST_PHONE = 9, 19
_SHORT, _SHORT_CARD = 7, 13


def written_numbers(text: str, region: str | None, strict: bool) -> Iterator[Span]:
    """Numbers of phones and cards in digits; `region`: country of phones (ISO 3166), or None."""
    for match in _NUMBER.finditer(text):
        for start, end in _without_dates(text, *match.span()):
            written = text[start:end]
            kind = _kind_of_number(written, region, strict)
            if kind:
                # A bracket that is not closed is the sentence's.
                open_bracket = written.startswith("(") and ")" not in written
                yield Span(start + open_bracket, end, kind)
    for match in _GROUPED.finditer(text):
        digits = re.sub("[^0-9]", "", match[0].replace("%20", ""))
        if _YEARS.fullmatch(re.sub("[^0-9]+", " ", match[0])) or len(set(digits)) == 1:
            continue
        if len(digits) == 10 and (not strict or _is_phone(digits, region)):
            yield Span(*match.span(), "phone")
        elif len(digits) == 16 and _is_card(digits, strict):
            yield Span(*match.span(), "card")


def _without_dates(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where the numbers are in a run of digits that may have dates in it."""
    for date in _DATE.finditer(text, max(0, start - 2), end):
        if start < date.start():
            yield start, start + len(text[start : date.start()].rstrip(" \t(.-/"))
        start = max(start, date.end())
        start += len(text[start:end]) - len(text[start:end].lstrip(" \t).-/"))
    if start < end:
        yield start, end


def _kind_of_number(written: str, region: str | None, strict: bool) -> str | None:
    digits = re.sub("[^0-9]", "", written)
    if len(digits) < _SHORT or len(set(digits)) == 1:
        return None
    if _is_card(digits, strict):
        return "card"
    if _YEARS.fullmatch(written) or _DECIMAL.fullmatch(written):
        return None
    if _is_phone(written, region) or (_LOCAL.fullmatch(written) and not strict):
        return "phone"
    if strict or digits in _COUNTING:
        return None
    groups = re.findall("[0-9]+", written)
    longest = max(map(len, groups))
    if len(digits) > _LONGEST_PHONE:
        # Several numbers, one behind the other: a card and its date, two phones.
        if len(groups) == 1 or not (among := _AMONG.search(written)):
            return None
        return "card" if among["card"] else "phone"
    if longest == 1:
        # Said digit by digit.
        return "phone"
    if len(digits) >= _LONG and (longest >= 3 or written[0] in "+0"):
        return "phone"
    return None


def _is_card(digits: str, strict: bool) -> bool:
    if not _SHORT_CARD <= len(digits) <= 19 or not _ISSUED.match(digits):
        return False
    if strict:
        return len(digits) in (15, 16) and luhn.is_valid(digits)
    # One digit that was misheard leaves fifteen that were not.
    return len(digits) == 16 or luhn.is_valid(digits)


def _is_phone(written: str, region: str | None) -> bool:
    if region is None and not written.lstrip("(").startswith(("+", "00")):
        return False
    number = re.sub(r"^\(?00", "+", written) if region is None else written
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(number, region))
    except phonenumbers.NumberParseException:
        return False


# English, German, Spanish, French, Italian, Portuguese.
_SAID_DIGITS = (
    "zero oh null cero zéro nought",
    "one eins uno une un um",
    "two zwei zwo dos deux due dois",
    "three drei tres trois tre três",
    "four vier cuatro quatre quattro quatro",
    "five fünf cinco cinq cinque",
    "six sechs seis sei meia",
    "seven sieben siete sept sette sete",
    "eight acht ocho huit otto oito",
    "nine neun nueve neuf nove",
)
_DIGIT_WORDS = {word: value for value, words in enumerate(_SAID_DIGITS) for word in words.split()}
TEENS = (
    *("ten", "eleven", "twelve", "thirteen", "fourteen"),
    *("fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_REPEATED = {"double": 2, "triple": 3, "treble": 3}
_SAID = "|".join([*_DIGIT_WORDS, "o", *TEENS, *TENS, *_REPEATED])
_SPOKEN = re.compile(
    rf"(?<![\w'])(?:{_SAID}|[0-9]+)(?:[ ,\-]{{1,2}}(?:{_SAID}|[0-9]+)(?!['\w]))+", re.IGNORECASE
)
# So many digit words are one number; the words that also mean something else do not count.
_VAGUE = {"oh", "o", "um", "un", "une", "due", "sei", "sept", "double", "triple", "treble"}


def spoken_numbers(text: str) -> Iterator[Span]:
    """Numbers of which at least a part is said in words."""
    for match in _SPOKEN.finditer(text):
        words = re.findall(r"[^ ,\-]+", match[0].lower())
        said = [word for word in words if not word[0].isdigit() and word not in _VAGUE]
        if len(words) < 4 or not said:
            continue
        digits = _digits(words)
        if len(digits) < _SHORT or digits in _COUNTING or len(set(digits)) == 1:
            continue
        if len(digits) <= 2 * len(said) + sum(len(word) for word in words if word.isdigit()):
            yield Span(*match.span(), "card" if _is_card(digits, strict=False) else "phone")


def _digits(words: Sequence[str]) -> str:
    digits: list[str] = []
    times = 1
    for before, word in zip([None, *words], words, strict=False):
        if word in _REPEATED:
            times = _REPEATED[word]
            continue
        if word in TENS:
            part = f"{TENS.index(word) + 2}0"
        elif word in TEENS:
            part = str(TEENS.index(word) + 10)
        else:
            part = "0" if word == "o" else str(_DIGIT_WORDS.get(word, word))
        if before in TENS and len(part) == 1 and part != "0":
            # Fifty five is 55.
            digits[-1] = digits[-1][0] + part
        else:
            digits.append(part * times)
        times = 1
    return "".join(digits)


_IBAN = re.compile(
    r"(?<!\w)[A-Z]{2} ?[0-9]{2}(?:[ \-]?[A-Z0-9]{4}){2,7}(?:[ \-]?[A-Z0-9]{1,3})?(?!\w)",
    re.IGNORECASE,
)
# Digits of a number that is taken for an IBAN although its check digits are wrong.
_IBAN_DIGITS = 12


def ibans(text: str, strict: bool) -> Iterator[Span]:
    """Account numbers (ISO 13616)."""
    for match in _IBAN.finditer(text):
        # Words behind it look like its last groups.
        ends = [match.end(), *(match.start() + cut.start() for cut in _gaps(match[0]))]
        for end in sorted(ends, reverse=True):
            if iban.is_valid(text[match.start() : end]):
                yield Span(match.start(), end, "iban")
                break
        else:
            groups = list(re.finditer(r"[^ \-]+", match[0]))
            while groups and not DIGIT.search(groups[-1][0]):
                groups.pop()
            end = match.start() + groups[-1].end() if groups else match.start()
            found = text[match.start() : end]
            known = numdb.get("iban").info(found[:2].upper())[0][1]
            if not strict and known and len(re.findall("[0-9]", found)) >= _IBAN_DIGITS:
                yield Span(match.start(), end, "iban")


def _gaps(text: str) -> Iterator[re.Match[str]]:
    return re.finditer(r"[ \-]", text)
