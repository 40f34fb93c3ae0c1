"""Redaction of texts: what is personal in them → one token for each.

By patterns, and by `phonenumbers` (validity of phone numbers by country) and `stdnum` (check digits
of cards and IBANs). A recogniser may mishear a digit or write digits as words, so that in speech a
long number is taken for personal whether or not its check digits are right; with `strict`, as in
ids and unknown fields, it has to be valid.

Patterns look at a folded text: digits of any script, full-width letters and all dashes as in ASCII,
characters without width left out. What they cannot find: names that are in no list, and numbers
that are said in words of languages other than those of `_DIGIT_WORDS`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import langcodes
import phonenumbers
from stdnum import iban, luhn, numdb

from data.store.privacy import PLACEHOLDERS

# Texts and how they were redacted; most texts of a log come again.
_REMEMBERED = 1 << 16
# Longer texts are not remembered.
_LONGEST = 2_000


class Hit(NamedTuple):
    """Something that was redacted: its kind and, as it was written, the text."""

    kind: str
    text: str


class Redacted(NamedTuple):
    """A text after redaction, and what was taken out of it."""

    text: str
    hits: tuple[Hit, ...]


class _Span(NamedTuple):
    start: int
    end: int
    kind: str


class Redactor:
    """Redacts texts.

    Parameters
    ----------
    kinds: of `data.store.privacy.KINDS`. names: to be found as whole words, in any spelling of
    upper and lower case and accents. region: ISO 3166 code of the country whose phone numbers are
    meant where the locale does not say.
    """

    def __init__(
        self, kinds: Sequence[str], names: Sequence[str] = (), region: str | None = None
    ) -> None:
        self._kinds = frozenset(kinds)
        self._names = _Names(names) if "name" in self._kinds else None
        self._region = region
        self._cached = lru_cache(maxsize=_REMEMBERED)(self._redacted)

    def redact(self, text: str, locale: str | None = None, strict: bool = False) -> Redacted:
        """`text` with a placeholder for each thing of the kinds; `locale` is in BCP 47."""
        if len(text) > _LONGEST:
            return self._redacted(text, locale, strict)
        return self._cached(text, locale, strict)

    def _redacted(self, text: str, locale: str | None, strict: bool) -> Redacted:
        folded, origins = _folded(text)
        spans: list[_Span] = []
        taken = bytearray(len(folded))
        for span in self._found(folded, locale, strict):
            if 1 not in taken[span.start : span.end]:
                taken[span.start : span.end] = b"\1" * (span.end - span.start)
                spans.append(span)
        if not spans:
            return Redacted(text, ())
        spans.sort()
        parts: list[str] = []
        hits: list[Hit] = []
        last = 0
        for start, end, kind in spans:
            if origins is not None:
                start, end = origins[start], origins[end - 1] + 1
            parts += (text[last:start], PLACEHOLDERS[kind])
            hits.append(Hit(kind, text[start:end]))
            last = end
        return Redacted("".join(parts) + text[last:], tuple(hits))

    def _found(self, text: str, locale: str | None, strict: bool) -> Iterator[_Span]:
        """What is personal in a folded text; of two things in one place the first counts."""
        digits = _DIGIT.search(text) is not None
        if digits and "iban" in self._kinds:
            yield from _ibans(text, strict)
        if "email" in self._kinds:
            yield from _emails(text, strict)
        if "phone" in self._kinds or "card" in self._kinds:
            region = _region(locale) or self._region
            numbers = list(_written_numbers(text, region, strict)) if digits else []
            if not strict:
                numbers += _spoken_numbers(text)
            yield from (span for span in numbers if span.kind in self._kinds)
        if "street" in self._kinds and not strict:
            yield from _house_numbers(text, _language(locale))
        if self._names is not None:
            yield from self._names.found(text)


# -- folding ---------------------------------------------------------------------------------------

_DIGIT = re.compile("[0-9]")
_DASHES = dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d", "-")
# Not shown, though Unicode counts them as letters or marks (Default_Ignorable_Code_Point).
_UNSEEN = {
    *"\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0",
    *map(chr, range(0xFE00, 0xFE10)),
}
# They are part of words in Persian and in scripts of India, and nowhere else.
_JOINERS = "\u200c\u200d"


@lru_cache(maxsize=1 << 14)
def _fold(letter: str) -> str:
    """A character as the patterns know it; empty for one without width."""
    if letter in _DASHES:
        return "-"
    if letter in _UNSEEN:
        return ""
    if letter == "\ufe6b":
        return "@"
    if "\uff01" <= letter <= "\uff5e":
        return chr(ord(letter) - 0xFEE0)
    category = unicodedata.category(letter)
    if category == "Nd":
        return str(unicodedata.decimal(letter))
    if category == "Zs":
        return " "
    return "" if category == "Cf" and letter not in _JOINERS else letter


def _folded(text: str) -> tuple[str, list[int] | None]:
    """A text for the patterns, and where each of its characters stands in `text` (None: there)."""
    if text.isascii():
        return text, None
    letters = [
        (folded, at)
        for at, letter in enumerate(text)
        if (folded := _fold(letter))
        and (letter not in _JOINERS or _takes_joiner(text[at - 1 : at]))
    ]
    return "".join(letter for letter, _ in letters), [at for _, at in letters]


def _takes_joiner(letter: str) -> bool:
    return not letter.isascii() and unicodedata.category(letter)[0] in "LM"


# -- numbers ---------------------------------------------------------------------------------------

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


def _written_numbers(text: str, region: str | None, strict: bool) -> Iterator[_Span]:
    for match in _NUMBER.finditer(text):
        for start, end in _without_dates(text, *match.span()):
            written = text[start:end]
            kind = _kind_of_number(written, region, strict)
            if kind:
                # A bracket that is not closed is the sentence's.
                open_bracket = written.startswith("(") and ")" not in written
                yield _Span(start + open_bracket, end, kind)
    for match in _GROUPED.finditer(text):
        digits = re.sub("[^0-9]", "", match[0].replace("%20", ""))
        if _YEARS.fullmatch(re.sub("[^0-9]+", " ", match[0])) or len(set(digits)) == 1:
            continue
        if len(digits) == 10 and (not strict or _is_phone(digits, region)):
            yield _Span(*match.span(), "phone")
        elif len(digits) == 16 and _is_card(digits, strict):
            yield _Span(*match.span(), "card")


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
_TEENS = (
    *("ten", "eleven", "twelve", "thirteen", "fourteen"),
    *("fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_REPEATED = {"double": 2, "triple": 3, "treble": 3}
_SAID = "|".join([*_DIGIT_WORDS, "o", *_TEENS, *_TENS, *_REPEATED])
_SPOKEN = re.compile(
    rf"(?<![\w'])(?:{_SAID}|[0-9]+)(?:[ ,\-]{{1,2}}(?:{_SAID}|[0-9]+)(?!['\w]))+", re.IGNORECASE
)
# So many digit words are one number; the words that also mean something else do not count.
_VAGUE = {"oh", "o", "um", "un", "une", "due", "sei", "sept", "double", "triple", "treble"}


def _spoken_numbers(text: str) -> Iterator[_Span]:
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
            yield _Span(*match.span(), "card" if _is_card(digits, strict=False) else "phone")


def _digits(words: Sequence[str]) -> str:
    digits: list[str] = []
    times = 1
    for before, word in zip([None, *words], words, strict=False):
        if word in _REPEATED:
            times = _REPEATED[word]
            continue
        if word in _TENS:
            part = f"{_TENS.index(word) + 2}0"
        elif word in _TEENS:
            part = str(_TEENS.index(word) + 10)
        else:
            part = "0" if word == "o" else str(_DIGIT_WORDS.get(word, word))
        if before in _TENS and len(part) == 1 and part != "0":
            # Fifty five is 55.
            digits[-1] = digits[-1][0] + part
        else:
            digits.append(part * times)
        times = 1
    return "".join(digits)


# -- IBANs -----------------------------------------------------------------------------------------

_IBAN = re.compile(
    r"(?<!\w)[A-Z]{2} ?[0-9]{2}(?:[ \-]?[A-Z0-9]{4}){2,7}(?:[ \-]?[A-Z0-9]{1,3})?(?!\w)",
    re.IGNORECASE,
)
# Digits of a number that is taken for an IBAN although its check digits are wrong.
_IBAN_DIGITS = 12


def _ibans(text: str, strict: bool) -> Iterator[_Span]:
    for match in _IBAN.finditer(text):
        # Words behind it look like its last groups.
        ends = [match.end(), *(match.start() + cut.start() for cut in _gaps(match[0]))]
        for end in sorted(ends, reverse=True):
            if iban.is_valid(text[match.start() : end]):
                yield _Span(match.start(), end, "iban")
                break
        else:
            groups = list(re.finditer(r"[^ \-]+", match[0]))
            while groups and not _DIGIT.search(groups[-1][0]):
                groups.pop()
            end = match.start() + groups[-1].end() if groups else match.start()
            found = text[match.start() : end]
            known = numdb.get("iban").info(found[:2].upper())[0][1]
            if not strict and known and len(re.findall("[0-9]", found)) >= _IBAN_DIGITS:
                yield _Span(match.start(), end, "iban")


def _gaps(text: str) -> Iterator[re.Match[str]]:
    return re.finditer(r"[ \-]", text)


# -- e-mail ----------------------------------------------------------------------------------------

# Characters before an @ that may be the address's.
_BEFORE = 130
_LOCAL_PART = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}")
_HOST = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_][\w-]{0,61}[^\W_]")
_AT_SIGN = re.compile(
    r" ?(?:@|%40|&#0*64;|&#x0*40;|&commat;|\\u0040|[\[(] ?at ?[\])]) ?", re.IGNORECASE
)
_AT = re.compile(r" (?:at|arobase|arroba|chiocciola) ", re.IGNORECASE)
_DOT = "(?:dot|punkt|point|punto|ponto)"
_SIGN = "(?:dot|punkt|point|punto|ponto|underscore|dash|hyphen|minus|plus)"
_SAID_LOCAL = re.compile(
    rf"(?<!\w)(?:(?:[^\W_] ){{2,40}}[^\W_]{{1,30}}|[\w.+\-]{{1,40}})"
    rf"(?: {_SIGN} (?:(?:[^\W_] ){{2,20}}[^\W_]{{1,30}}|[\w.+\-]{{1,40}})){{0,5}}$",
    re.IGNORECASE,
)
_SAID_HOST = re.compile(
    rf"(?:[^\W_] ){{0,12}}[\w\-]{{1,40}}(?: {_DOT} [^\W\d_][\w\-]{{1,30}}){{1,3}}(?!\w)",
    re.IGNORECASE,
)
# A host with a written dot may be one to visit; with these, people write to each other.
_MAIL_HOST = re.compile(
    r"(?:gmail|googlemail|yahoo|hotmail|outlook|icloud|aol|gmx|web|proton|protonmail)"
    r"\.[a-z]{2,3}(?:\.[a-z]{2})?(?!\w)",
    re.IGNORECASE,
)


def _emails(text: str, strict: bool) -> Iterator[_Span]:
    for sign in _AT_SIGN.finditer(text):
        at = sign.start()
        # With spaces, an id or a value of something else.
        if strict and " " in sign[0]:
            continue
        if host := _HOST.match(text, sign.end()):
            # Backwards, from the sign on.
            local = _LOCAL_PART.match(text[max(0, at - 65) : at][::-1])
            name = local[0].rstrip(".'`{|}") if local else ""
            if name:
                yield _Span(at - len(name), host.end(), "email")
    if strict:
        return
    for match in _AT.finditer(text):
        host = _SAID_HOST.match(text, match.end()) or _MAIL_HOST.match(text, match.end())
        if host is None:
            continue
        window = text[max(0, match.start() - _BEFORE) : match.start()]
        if local := _SAID_LOCAL.search(window):
            yield _Span(match.start() - len(local[0]), host.end(), "email")


# -- house numbers ---------------------------------------------------------------------------------

_WORD = r"[^\W\d_][\w'.\-]{0,30}"
# Words between a number and "street" that are not a street's name, so that the number is none of a
# house: take the 61 to fifth avenue.
_NOT_A_NAME = (
    "to|at|on|and|or|from|in|into|of|for|near|by|via|with|then|the|a|an|is|are|was|bus|buses|train|"
    "route|line|minutes?|hours?|days?|weeks?|months?|years?|seconds?|miles?|km|kilometers?|"
    "kilometres?|meters?|metres?|blocks?|stops?|pm|am|o'clock|oclock|percent|degrees?|way|one|two|"
    "three|four|five|six|seven|eight|nine|more|star|dollars?|times?|per|new|people|persons?|tickets?|"
    # A route's letter; streets have those of directions.
    "[a-df-mo-rt-vx-z]"
)
_SURE = "street|st|avenue|ave|road|rd|lane|ln|boulevard|blvd|terrace|crescent"
_UNSURE = "drive|dr|court|ct|way|place|pl|square|sq|close|gardens|highway|parkway|pkwy"
_NAMED = rf"(?:(?!(?:{_NOT_A_NAME})\b){_WORD} ){{1,3}}?"
_TENS_AND_ONES = f"(?:{'|'.join(_TENS)})(?:[ -](?:one|two|three|four|five|six|seven|eight|nine))?"
_ONES = "one|two|three|four|five|six|seven|eight|nine"
_COUNT = (
    f"(?:(?:{_ONES}|{'|'.join(_TEENS)}|{_TENS_AND_ONES})(?: (?:hundred|oh|{_ONES}|"
    f"{'|'.join(_TEENS)}|{_TENS_AND_ONES})){{0,4}})"
)
_NO_ORDINAL = r"(?!(?:first|second|third|fourth|forth|fifth|sixth|seventh|eighth|ninth)\b)"
_ENGLISH = re.compile(
    rf"(?<![\w.,:#$-])(?P<number>(?:[0-9]{{1,5}} ?- ?)?[0-9]{{1,5}}[a-d]?) "
    rf"{_NAMED}(?:{_SURE}|{_UNSURE})(?!\w)",
    re.IGNORECASE,
)
_ENGLISH_SAID = re.compile(
    rf"(?<![\w'-])(?P<number>{_COUNT}) {_NO_ORDINAL}{_NAMED}(?:street|avenue|road|lane|boulevard)"
    r"(?!\w)",
    re.IGNORECASE,
)
_HOUSE = re.compile(
    r"(?<!\w)(?:house|flat|apartment|apt|suite|hausnummer) ?(?:number|no\.?|nr\.?|#)? ?"
    r"(?P<number>[0-9]{1,5}[a-z]?)(?!\w)",
    re.IGNORECASE,
)
_COMPOUND = re.compile(
    r"(?<!\w)[^\W\d_]{2,30}(?:straße|strasse|str\.|weg|platz|allee|gasse|damm|ufer|straat|laan|plein"
    r"|gracht|kade|gatan|gade|vägen) ?(?P<number>[0-9]{1,4} ?[a-h]?)(?![\w:%])",
    re.IGNORECASE,
)
_FRENCH = re.compile(
    r"(?<![\w.,:])(?P<number>[0-9]{1,4}(?: ?(?:bis|ter))?),? (?:rue|avenue|boulevard|chemin|"
    r"impasse|allée|quai|place|cours) (?:d|l|[^\W\d_])",
    re.IGNORECASE,
)
_ROMANCE = re.compile(
    rf"(?<!\w)(?:calle|avenida|paseo|plaza|carrer|via|viale|piazza|corso|rua|praça)"
    rf"(?: {_WORD}){{1,4}},?"
    r" (?:número |numero |nº ?|n\. ?)?(?P<number>[0-9]{1,4})(?![\w:%])",
    re.IGNORECASE,
)
# Where the words mean a street in this language alone.
_OF_LANGUAGES = {"fr": _FRENCH, "es": _ROMANCE, "it": _ROMANCE, "pt": _ROMANCE, "ca": _ROMANCE}
_ROUTE = re.compile(
    r"(?:bus|route|line|number|exit|the|gate|platform|channel|take) $", re.IGNORECASE
)


def _house_numbers(text: str, language: str | None) -> Iterator[_Span]:
    patterns = [_ENGLISH, _ENGLISH_SAID, _HOUSE, _COMPOUND]
    if language in _OF_LANGUAGES:
        patterns.append(_OF_LANGUAGES[language])
    for pattern in patterns:
        for match in pattern.finditer(text):
            start, end = match.span("number")
            if not _ROUTE.search(text[max(0, start - 10) : start]):
                yield _Span(start, end, "street")


# -- names -----------------------------------------------------------------------------------------

# Scripts that put no spaces between words, where a name is any part of a text.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_BETWEEN = re.compile(r"[ \t\n'’.\-_+]{1,3}|%20|&nbsp;")


_ASCII_WORDS = re.compile(r"[^\W_]+")


@lru_cache(maxsize=1)
def _any_words() -> re.Pattern[str]:
    """Whole words of any script: a vowel sign is no letter to `re`, but part of one."""
    marks = "".join(chr(code) for code in range(0x300, 0x20000)
                    if unicodedata.category(chr(code)) in ("Mn", "Mc"))  # fmt: skip
    return re.compile(rf"(?:[^\W_]|[{marks}\u200c\u200d])+")


def _words(text: str) -> Iterator[re.Match[str]]:
    # The class of marks makes the other pattern some ten times slower.
    return (_ASCII_WORDS if text.isascii() else _any_words()).finditer(text)


def _key(word: str) -> str:
    """A word without case, and without accents as recognisers leave them out."""
    if word.isascii():
        return word.lower()
    decomposed = unicodedata.normalize("NFKD", word.casefold())
    plain = "".join(letter for letter in decomposed if not "\u0300" <= letter <= "\u036f")
    return unicodedata.normalize("NFC", plain)


class _Names:
    """Finds names, the longest first."""

    def __init__(self, names: Iterable[str]) -> None:
        by_first: dict[str, set[tuple[str, ...]]] = {}
        parts: set[str] = set()
        for name in names:
            folded, _ = _folded(name)
            if _UNSPACED.search(folded):
                parts.add(folded)
            elif words := tuple(_key(word[0]) for word in _words(folded)):
                by_first.setdefault(words[0], set()).add(words)
        self._by_first = {
            first: sorted(found, key=len, reverse=True) for first, found in by_first.items()
        }
        inside = sorted(parts, key=len, reverse=True)
        self._inside = re.compile("|".join(map(re.escape, inside))) if inside else None

    def found(self, text: str) -> Iterator[_Span]:
        if self._inside is not None:
            yield from (_Span(*match.span(), "name") for match in self._inside.finditer(text))
        if not self._by_first:
            return
        words = list(_words(text))
        keys = [_key(word[0]) for word in words]
        at = 0
        while at < len(words):
            length = self._length(text, words, keys, at)
            if length:
                yield _Span(words[at].start(), words[at + length - 1].end(), "name")
            at += max(1, length)

    def _length(
        self, text: str, words: Sequence[re.Match[str]], keys: Sequence[str], at: int
    ) -> int:
        """How many words from `at` on are a name."""
        for name in self._by_first.get(keys[at], ()):
            size = len(name)
            if tuple(keys[at : at + size]) == name and all(
                _BETWEEN.fullmatch(text[one.end() : two.start()])
                for one, two in zip(words[at : at + size], words[at + 1 : at + size], strict=False)
            ):
                return size
        return 0


# -- locales ---------------------------------------------------------------------------------------


def is_region(code: str) -> bool:
    """Whether a code (ISO 3166) is that of a country with phone numbers."""
    return code in phonenumbers.SUPPORTED_REGIONS


@lru_cache(maxsize=4_096)
def _language(locale: str | None) -> str | None:
    return re.split("[-_]", locale)[0].lower() if locale else None


@lru_cache(maxsize=4_096)
def _region(locale: str | None) -> str | None:
    """The country of a locale; of a language alone, the one where most of its speakers live."""
    if not locale:
        return None
    try:
        region = langcodes.get(locale).maximize().territory
    except (langcodes.tag_parser.LanguageTagError, ValueError):
        return None
    return region if region and is_region(region) else None
