"""What is known of a locale's spelling: `languages.toml`, and the CLDR through Babel.

A locale that is not stated, or cannot be read, is read as English as far as that touches English
words only: accents stay, but for a few loan words; see `english.is_evident`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from babel import Locale, UnknownLocaleError
from babel.numbers import get_currency_name

from labels.rules.normalisation import characters
from labels.rules.normalisation.files import table

_LANGUAGES = table("languages.toml")
# Codes that are written for the same language.
_ALIASES = {
    "no": "nb", "nn": "nb", "iw": "he", "in": "id", "cmn": "zh", "mo": "ro", "sh": "sr",
    "prs": "fa", "arb": "ar", "arz": "ar-EG", "eng": "en", "deu": "de", "ger": "de", "fra": "fr",
    "spa": "es", "ita": "it", "por": "pt", "tur": "tr", "jpn": "ja", "kor": "ko", "zho": "zh",
    "wuu": "zh", "hak": "zh",
}  # fmt: skip
_TURKIC = frozenset(("tr", "az", "gag", "crh"))
# Undetermined, several, none, the computer's own: no locale.
_NONE = frozenset(("", "und", "mul", "zxx", "c", "posix", "root"))
_SUBTAGS = re.compile(r"[-_.@]")
# Units that are written as symbols after a number, by their names in CLDR.
_UNITS = (
    "temperature-celsius", "temperature-fahrenheit", "temperature-generic", "concentr-percent",
    "length-kilometer", "length-centimeter", "length-millimeter", "length-meter", "length-mile",
    "length-foot", "length-inch", "speed-kilometer-per-hour", "speed-mile-per-hour",
    "duration-hour", "duration-minute", "duration-second", "mass-kilogram", "mass-gram",
    "mass-milligram", "mass-pound", "mass-ounce", "volume-liter", "volume-milliliter",
    "power-watt", "power-kilowatt", "energy-kilowatt-hour", "digital-gigabyte", "digital-megabyte",
    "frequency-hertz", "frequency-kilohertz", "frequency-megahertz",
)  # fmt: skip
# Read in every language after a number; `in`, `m` and `C` are words or letters too often.
_SYMBOLS = {
    "°c": "temperature-celsius", "° c": "temperature-celsius", "°f": "temperature-fahrenheit",
    "° f": "temperature-fahrenheit", "%": "concentr-percent", "km/h": "speed-kilometer-per-hour",
    "kmh": "speed-kilometer-per-hour", "km": "length-kilometer", "cm": "length-centimeter",
    "mm": "length-millimeter", "kg": "mass-kilogram", "mg": "mass-milligram",
    "ml": "volume-milliliter", "kw": "power-kilowatt", "kwh": "energy-kilowatt-hour",
    "gb": "digital-gigabyte", "mb": "digital-megabyte", "hz": "frequency-hertz",
    "khz": "frequency-kilohertz", "mhz": "frequency-megahertz",
}  # fmt: skip
_ENGLISH_SYMBOLS = {
    "mph": "speed-mile-per-hour", "hr": "duration-hour", "hrs": "duration-hour",
    "min": "duration-minute", "mins": "duration-minute", "sec": "duration-second",
    "secs": "duration-second", "ft": "length-foot", "lb": "mass-pound", "lbs": "mass-pound",
    "oz": "mass-ounce",
}  # fmt: skip

_CURRENCIES = {"$": "USD", "£": "GBP", "€": "EUR", "¥": "JPY", "₹": "INR"}
# Stand for words that are not known; see `characters.Spoken`.
_SIGNS = {"minus": "\u2212", "plus": "+", "point": "·"}


@dataclass(frozen=True, eq=False)
class Language:
    """The spelling of one locale. `code`: its language, "" for none; `region`: as in BCP 47."""

    code: str
    region: str = ""
    known: Mapping[str, Any] = field(default_factory=dict)

    @property
    def english(self) -> bool:
        return self.code in ("en", "")

    @property
    def turkic(self) -> bool:
        return self.code in _TURKIC

    @property
    def unspaced(self) -> bool:
        """Whether numbers stand inside the text, without spaces around them."""
        return self.code in ("zh", "yue", "ja", "ko", "th")

    @cached_property
    def sharp_s(self) -> frozenset[str]:
        return frozenset() if self.region in ("CH", "LI") else self._folded("sharp_s", plain=True)

    @cached_property
    def _spellings(self) -> list[tuple[re.Pattern[str], str]]:
        pairs = self.known.get("spellings", ())
        return [(re.compile(pattern), replacement) for pattern, replacement in pairs]

    @cached_property
    def _homographs(self) -> frozenset[str]:
        words = self.known.get("homographs", "").split()
        return frozenset(characters.lower(characters.compatible(w), turkic=False) for w in words)

    def fold(self, text: str) -> str:
        """`text` in lower case and in the one spelling of its characters; digits are European."""
        text = characters.lower(
            characters.compatible(text), turkic=self.turkic, sharp_s=self.sharp_s
        )
        if text.isascii() and not self._spellings:
            return text
        text = characters.without_optional_marks(text)
        for pattern, replacement in self._spellings:
            text = pattern.sub(replacement, text)
        if self.code == "en":
            text = characters.without_latin_accents(text)
        elif self.code == "el":
            text = characters.without_greek_accents(text, self._homographs)
        elif self.code in ("zh", "yue"):
            text = text.translate(characters.simplified())
        elif self.code == "ja":
            text = text.translate(characters.HIRAGANA)
        elif self.code in ("sr", "bs"):
            text = text.translate(characters.SERBIAN)
        return text

    def _folded(self, name: str, *, plain: bool = False) -> frozenset[str]:
        words = str(self.known.get(name, "")).split()
        return frozenset(words if plain else map(self.fold, words))

    # -- words ---------------------------------------------------------------------------------

    @cached_property
    def fillers(self) -> frozenset[str]:
        return self._folded("fillers")

    @cached_property
    def bare(self) -> dict[str, str]:
        """Words by the form without accents in which they are often written."""
        words = self._folded("bare")
        return {word: characters.without_latin_accents(word) for word in words}

    @cached_property
    def words(self) -> dict[str, str]:
        """Canonical spellings by word."""
        spelled = {}
        for canonical, *others in self.known.get("words", ()):
            for other in others:
                spelled[self._token(other)] = self.fold(canonical)
        return spelled

    def _token(self, word: str) -> str:
        return self.fold(word).replace("'", "")

    @cached_property
    def hour_word(self) -> str:
        """The word after a full hour; empty where it is left out."""
        return self.fold(self.known.get("hour", ""))

    @cached_property
    def number_word(self) -> str:
        """The word for # before a number."""
        return self.fold(self.known["number"])

    @cached_property
    def hour_names(self) -> list[str]:
        """The names of the hours from 1 to 12, in one case after the other: `wpół do ósmej`."""
        return [self.fold(name) for name in self.known.get("hours_of", "").split()]

    @cached_property
    def _sign_words(self) -> dict[str, str]:
        known = ((name, self.known.get(name)) for name in _SIGNS)
        return {name: self.fold(words[0]) if words else _SIGNS[name] for name, words in known}

    def sign(self, name: str) -> str:
        """The word for `minus`, `plus` or `point`; the sign itself where no word is known."""
        return self._sign_words[name]

    @cached_property
    def signs(self) -> dict[str, str]:
        """Words for signs, with the canonical one of each."""
        return {
            self.fold(word): self.sign(name)
            for name in ("minus", "plus", "point")
            for word in self.known.get(name, ())
        }

    @cached_property
    def symbols(self) -> dict[str, str]:
        return {sign: self.fold(word) for sign, word in self.known.get("symbols", {}).items()}

    @cached_property
    def money(self) -> dict[str, str]:
        return {sign: self.fold(word) for sign, word in self.known.get("money", {}).items()}

    def ordinal_ending(self, form: str) -> str:
        """What follows the figures of an ordinal, in words or as written.

        The gender stays where it makes another word: Portuguese `segunda` is Monday.
        """
        if self.code in ("es", "pt", "it"):
            return "a" if form.endswith("a") else "o"
        return {"de": "te", "ru": "й"}.get(self.code, "e")

    @cached_property
    def written_ordinal(self) -> re.Pattern[str] | None:
        """Ordinals in figures; group 1 is the number, group 2 the ending if there is one."""
        style = self.known.get("ordinal")
        if style is None:
            return None
        if style == "dot":
            return re.compile(r"(?<![\w.,:])(\d{1,2})(\.)(?=\s+[^\W\d_])")
        return re.compile(rf"(?<![\w.,:])(\d{{1,3}})({style})(?!\w)")

    # -- CLDR ----------------------------------------------------------------------------------

    @cached_property
    def _cldr(self) -> Locale | None:
        if not self.code:
            return Locale("en")
        for region in (self.region or None, None):
            try:
                return Locale(self.code, region)
            except (UnknownLocaleError, ValueError):
                continue
        return None

    @cached_property
    def decimal(self) -> str:
        """The decimal mark of numbers in figures."""
        return self._number_symbols.get("decimal", ".")

    @cached_property
    def grouping(self) -> str:
        """The characters that part thousands, as a regular expression."""
        mark = self._number_symbols.get("group", ",")
        marks = {"'"} if mark in "’'" else {" "} if mark.isspace() else {mark}
        if self.decimal == ",":
            marks.add(".")
        return "[" + "".join(map(re.escape, sorted(marks - {self.decimal}))) + "]"

    @property
    def _number_symbols(self) -> Mapping[str, str]:
        if self._cldr is None:
            return {}
        symbols: Mapping[str, Any] = self._cldr.number_symbols
        latin: Mapping[str, str] = symbols.get("latn", symbols)
        return latin

    @cached_property
    def units(self) -> dict[str, str]:
        """Unit names in words, singular or plural, with the canonical one of each."""
        table: dict[str, str] = {}
        for canonical, *others in self._unit_names.values():
            table.update(dict.fromkeys((canonical, *others), canonical))
        for sign, canonical in self.money.items():
            # `euro` and `euros`, as the CLDR knows them; of `US dollars`, the one word.
            for count in (1, 2, 5) if sign in _CURRENCIES and self._cldr else ():
                name = get_currency_name(_CURRENCIES[sign], count, self._cldr)
                for word in self.fold(name).split():
                    if word[:3] == canonical[:3] and " " not in canonical:
                        table[word] = canonical
        return table

    @cached_property
    def unit_symbols(self) -> dict[str, str]:
        """Symbols of units, as they are written after a number, with the name of each."""
        symbols = _SYMBOLS | (_ENGLISH_SYMBOLS if self.english else {})
        table = {
            sign: self._unit_names[unit][0]
            for sign, unit in symbols.items()
            if unit in self._unit_names
        }
        if self.code in ("zh", "yue", "ja", "ko") and "°" in self.symbols:
            # Degrees of a thermostat are Celsius there, and not said.
            table |= dict.fromkeys(("°c", "° c"), self.symbols["°"])
        for unit in _UNITS:
            for form in self._patterns(unit, "short"):
                if len(form) > 1 and not form.isascii() and unit in self._unit_names:
                    table.setdefault(form, self._unit_names[unit][0])
        return table

    @cached_property
    def _unit_names(self) -> dict[str, list[str]]:
        names = {}
        for unit in _UNITS:
            forms = self._patterns(unit, "long")
            if forms and not self.unspaced:
                names[unit] = forms
        if "percent" in self.known:
            names["concentr-percent"] = [self.fold(name) for name in self.known["percent"]]
        return names

    def _patterns(self, unit: str, length: str) -> list[str]:
        """What follows the number in the names of `unit`; the form of "other" numbers first."""
        if self._cldr is None:
            return []
        # Babel has no public access to all plural forms of a unit.
        patterns: Mapping[str, Any] = (
            self._cldr._data["unit_patterns"].get(unit, {}).get(length, {})
        )
        forms = sorted((name != "other", text) for name, text in patterns.items() if name != "per")
        found = []
        for _, text in forms:
            before, number, after = text.partition("{0}")
            if number and not before.strip() and after.strip():
                found.append(" ".join(self.fold(after).replace(".", "").split()))
        return list(dict.fromkeys(found))

    @cached_property
    def percent_first(self) -> str:
        """The word for percent where it stands before the number, as in Turkish; else empty."""
        if self._cldr is None or "percent" in self.known or self.unspaced:
            return ""
        patterns = self._cldr._data["unit_patterns"].get("concentr-percent", {}).get("long", {})
        before, _, after = str(patterns.get("other", "")).partition("{0}")
        return "" if after.strip() else self.fold(before.strip())


@lru_cache(maxsize=1024)
def language(locale: str | None) -> Language:
    """What is known of `locale`: BCP 47, or as systems write it (`en_US.UTF-8`).

    >>> language("de_CH").decimal, language("de-DE").decimal, language(None).code
    ('.', ',', '')
    """
    subtags = _SUBTAGS.split((locale or "").strip())
    code = subtags[0].lower()
    if code in _NONE:
        return _of("", "")
    code, _, implied = _ALIASES.get(code, code).partition("-")
    region = next((tag.upper() for tag in subtags[1:] if _is_region(tag)), implied)
    return _of(code, region)


def _is_region(tag: str) -> bool:
    return (len(tag) == 2 and tag.isalpha()) or (len(tag) == 3 and tag.isdigit())


@lru_cache(maxsize=256)
def _of(code: str, region: str) -> Language:
    return Language(code, region, _LANGUAGES.get(code or "en", {}))
