"""Number words of other languages as figures, from the number spelling rules of the CLDR.

The words are generated (Unicode's RBNF, with every gender and case that it knows) and looked up
without the spaces between them: `fünfundsiebzig` and `fünf und siebzig` are 75.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import lru_cache

from unicode_rbnf import FormatPurpose, RbnfEngine
from unicode_rbnf.engine import RbnfError

from labels.rules.normalisation.characters import without_latin_accents
from labels.rules.normalisation.language import Language

# Words per number at most, as in "neuf cent quatre vingt dix neuf mille ...".
_LONGEST = 12
_PARTS = re.compile(r"[\s\-\u00ad\u200b']+")
# One of them is a number, and no article.
_MILLIONS = ("mill", "mili", "milj", "milhã")
# Ordinals up to this day of the month, or floor.
_ORDINALS = 31
# Their number words are written without accents too.
_OFTEN_BARE = frozenset(("fr", "es", "it", "pt", "ca", "gl", "nl", "nb"))
# neunzehnhundertvierundachtzig
_YEARS_IN_HUNDREDS = frozenset(("de", "nl", "sv", "da", "nb"))


class Numerals:
    """The number words of one language."""

    def __init__(self, language: Language) -> None:
        self._language = language
        self._cardinals: dict[str, int] = {}
        self._ordinals: dict[str, str] = {}
        self._thousands: frozenset[str] = frozenset()
        self._articles: frozenset[str] = frozenset()
        for engine in _engines(language):
            self._generate(engine)
        for word, value in language.known.get("number_words", {}).items():
            self._cardinals["".join(_PARTS.split(language.fold(word)))] = value
        self._add_inverted()
        self._forms = sorted({*self._cardinals, *self._ordinals})
        self.resolve = lru_cache(maxsize=65_536)(self._resolve)

    def __bool__(self) -> bool:
        return bool(self._forms)

    def _generate(self, engine: RbnfEngine) -> None:
        # Cardinals last: where one word is both, it counts.
        for value in range(1, _ORDINALS + 1):
            for form in self._spelled(engine, value, FormatPurpose.ORDINAL):
                self._ordinals.setdefault(form, self._ordinal(value, form))
        if self._language.code in _YEARS_IN_HUNDREDS:
            for value in range(1100, 2000):
                for form in self._spelled(engine, value, FormatPurpose.YEAR):
                    self._cardinals[form] = value
        for value in range(999, -1, -1):
            for form in self._spelled(engine, value, FormatPurpose.CARDINAL):
                self._cardinals[form] = value
        self._add_bare_hundreds()
        if self._language.known.get("article"):
            single = {form for form, value in self._cardinals.items() if value == 1}
            self._articles = frozenset(
                single - {self._language.fold(self._language.known.get("one", ""))}
            )
        self._thousands |= frozenset(self._thousand_words(engine))
        for form in self._cardinals:
            self._ordinals.pop(form, None)

    def _add_bare_hundreds(self) -> None:
        """`hundert` beside the CLDR's `einhundert`."""
        ones = [form for form, value in self._cardinals.items() if value == 1]
        for form, value in list(self._cardinals.items()):
            for one in ones if 100 <= value < 200 else ():
                if form.startswith(one) and len(form) > len(one):
                    self._cardinals.setdefault(form[len(one) :], value)

    def _add_inverted(self) -> None:
        """`enogtyve` beside the CLDR's `tjueen`."""
        ones = self._language.known.get("inverted", {})
        tens = [
            (form, value)
            for form, value in self._cardinals.items()
            if 20 <= value < 100 and value % 10 == 0
        ]
        for one, value in ones.items():
            for form, ten in tens:
                self._cardinals.setdefault(self._language.fold(one) + form, ten + value)

    def _thousand_words(self, engine: RbnfEngine) -> Iterator[str]:
        for factor in (1, 2, 5, 21):
            for form in self._spelled(engine, 1000 * factor, FormatPurpose.CARDINAL):
                if factor == 1:
                    yield form
                    continue
                for length in range(len(form) - 1, 0, -1):
                    if self._cardinals.get(form[:length]) == factor:
                        yield form[length:]
                        break

    def _spelled(self, engine: RbnfEngine, value: int, purpose: FormatPurpose) -> set[str]:
        """The forms of a number, without spaces."""
        try:
            forms = engine.format_number(value, purpose).text_by_ruleset.values()
        except (ValueError, RbnfError):
            return set()
        joiner = self._language.known.get("and")
        folded = set()
        for form in forms:
            parts = _PARTS.split(self._language.fold(form))
            folded.add("".join(parts))
            folded.add("".join(part for part in parts if part != joiner))
        if self._language.code in _OFTEN_BARE:
            folded |= {without_latin_accents(form) for form in folded}
        return {form for form in folded if form and not any(c.isdigit() for c in form)}

    def _ordinal(self, value: int, form: str) -> str:
        if "ordinal" not in self._language.known:
            return ""
        return f"{value}{self._language.ordinal_ending(form)}"

    def _resolve(self, form: str) -> str | None:
        """The figures of a number without spaces; None if it is none."""
        value = self._cardinals.get(form)
        if value is not None:
            return str(value)
        if self._ordinals.get(form):
            return self._ordinals[form]
        if self._language.code in _OFTEN_BARE and not form.isascii():
            bare = without_latin_accents(form)
            return self._resolve(bare) if bare != form else None
        for word in self._thousands:
            before, found, after = form.partition(word)
            if not found:
                continue
            factor = self._cardinals.get(before) if before else 1
            rest = self._below_thousand(after)
            if factor and rest is not None:
                return str(factor * 1000 + rest)
        return None

    def _below_thousand(self, form: str) -> int | None:
        if not form:
            return 0
        if form in self._cardinals:
            return self._cardinals[form]
        # An "and" between them: `dois mil e vinte e seis`, `totusindogseks`.
        for length in (1, 2, 3):
            if form[length:] in self._cardinals and not self._starts(form[:length]):
                return self._cardinals[form[length:]]
        return None

    def _starts(self, text: str) -> bool:
        """Whether some number begins with `text`."""
        place = bisect_left(self._forms, text)
        return place < len(self._forms) and self._forms[place].startswith(text)

    def in_figures(self, words: list[str], counted: Iterable[str]) -> list[str]:
        """The words with number words as figures. `counted`: words that follow a number.

        The indefinite article is a number before these only.
        """
        figures: list[str] = []
        start = 0
        after_number = frozenset(counted)
        while start < len(words):
            found = None
            joined = ""
            for end in range(start, min(start + _LONGEST, len(words))):
                joined += words[end]
                figure = self.resolve(joined)
                if figure is not None:
                    found = figure, end + 1
                elif not self._goes_on(joined):
                    break
            if found and found[1] == start + 1 and words[start] in self._articles:
                following = words[start + 1] if start + 1 < len(words) else ""
                before = words[start - 1] if start else ""
                counts = following in after_number or following.startswith(_MILLIONS)
                if not counts and before not in self._language.signs:
                    found = None
            if found is None:
                figures.append(words[start])
                start += 1
            else:
                figures.append(found[0])
                start = found[1]
        return figures

    def _goes_on(self, joined: str) -> bool:
        if self._starts(joined):
            return True
        for word in self._thousands:
            before, found, after = joined.partition(word)
            if found and (not before or before in self._cardinals):
                return (
                    not after or len(after) <= 3 or self._starts(after) or self._starts(after[1:])
                )
        return False


def _engines(language: Language) -> list[RbnfEngine]:
    """The CLDR's rules for the language, and for regions that have other words for numbers."""
    if language.english or language.unspaced:
        return []
    code = "no" if language.code == "nb" else language.code
    codes = {"fr": ["fr", "fr_BE", "fr_CH"], "pt": ["pt", "pt_PT"]}.get(code, [code])
    supported = RbnfEngine.get_supported_languages()
    return [RbnfEngine.for_language(code) for code in codes if code in supported]


@lru_cache(maxsize=256)
def _numerals(code: str, region: str, language: Language) -> Numerals:
    return Numerals(language)


def numerals(language: Language) -> Numerals:
    """The number words of `language`, generated once."""
    return _numerals(language.code, language.region, language)
