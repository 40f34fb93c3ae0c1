"""Redaction of texts: what is personal in them → one token for each.

By patterns (e-mail addresses and names here, the rest in `personal_numbers` and `house_numbers`). A
recogniser may mishear a digit or write digits as words, so that in speech a long number is taken
for personal whether or not its check digits are right; with `strict`, as in ids and unknown fields,
it has to be valid.

Patterns look at a folded text: digits of any script, full-width letters and all dashes as in ASCII,
characters without width left out. What they cannot find: names that are in no list, and numbers
that are said in words of languages other than those of `personal_numbers`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import langcodes
import phonenumbers

from data.ingest.house_numbers import house_numbers
from data.ingest.personal_numbers import DIGIT, Span, ibans, spoken_numbers, written_numbers
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
        spans: list[Span] = []
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

    def _found(self, text: str, locale: str | None, strict: bool) -> Iterator[Span]:
        """What is personal in a folded text; of two things in one place the first counts."""
        digits = DIGIT.search(text) is not None
        if digits and "iban" in self._kinds:
            yield from ibans(text, strict)
        if "email" in self._kinds:
            yield from _emails(text, strict)
        if "phone" in self._kinds or "card" in self._kinds:
            region = _region(locale) or self._region
            numbers = list(written_numbers(text, region, strict)) if digits else []
            if not strict:
                numbers += spoken_numbers(text)
            yield from (span for span in numbers if span.kind in self._kinds)
        if "street" in self._kinds and not strict:
            yield from house_numbers(text, _language(locale))
        if self._names is not None:
            yield from self._names.found(text)


# -- folding ---------------------------------------------------------------------------------------

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


def _emails(text: str, strict: bool) -> Iterator[Span]:
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
                yield Span(at - len(name), host.end(), "email")
    if strict:
        return
    for match in _AT.finditer(text):
        host = _SAID_HOST.match(text, match.end()) or _MAIL_HOST.match(text, match.end())
        if host is None:
            continue
        window = text[max(0, match.start() - _BEFORE) : match.start()]
        if local := _SAID_LOCAL.search(window):
            yield Span(match.start() - len(local[0]), host.end(), "email")


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

    def found(self, text: str) -> Iterator[Span]:
        if self._inside is not None:
            yield from (Span(*match.span(), "name") for match in self._inside.finditer(text))
        if not self._by_first:
            return
        words = list(_words(text))
        keys = [_key(word[0]) for word in words]
        at = 0
        while at < len(words):
            length = self._length(text, words, keys, at)
            if length:
                yield Span(words[at].start(), words[at + length - 1].end(), "name")
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
