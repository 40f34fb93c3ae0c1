"""Text normalisation: when two wordings count as the same, as in "ASR text equals the transcript".

Transcribers and recognisers write the same words differently. What is normalised here, and why:

- letter case, accents on Latin letters, Unicode compatibility forms (NFKC, Unicode annex 15) and
  punctuation: they are not spoken;
- apostrophes, so that `i'm` is `im` and `today 's` is `todays`;
- spelling: British and American (the classes of the Oxford guide: -our, -re, -ise, -yse, -ogue, and
  a list where no rule is safe), and informal spellings of yes, no and okay;
- number words, read as one would write them: `twenty third` is `23rd`, `sixty one c` is `61 c`;
- a few symbols that stand for a word: `&`, `%`, `$5`.

Not normalised: hesitations, articles, word order, contractions written out (`what's`, `what is`):
these are differences in the words spoken. Number words and spelling are English; other languages
get the Unicode part only.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# Only pairs that no rule below covers, and only where both are pronounced as the same word.
_SPELLINGS = {
    "alright": "allright",
    "aluminium": "aluminum",
    "artefact": "artifact",
    "ave": "avenue",
    "ageing": "aging",
    "cheque": "check",
    "cosy": "cozy",
    "defence": "defense",
    "doughnut": "donut",
    "dr": "doctor",
    "draught": "draft",
    "enrol": "enroll",
    "enrolment": "enrollment",
    "fulfil": "fulfill",
    "grey": "gray",
    "jewellery": "jewelry",
    "judgement": "judgment",
    "kerb": "curb",
    "licence": "license",
    "maths": "math",
    "mould": "mold",
    "moustache": "mustache",
    "mr": "mister",
    "mum": "mom",
    "mummy": "mommy",
    "nah": "no",
    "nope": "no",
    "offence": "offense",
    "ok": "okay",
    "omelette": "omelet",
    "plough": "plow",
    "practise": "practice",
    "pretence": "pretense",
    "programme": "program",
    "pyjamas": "pajamas",
    "sceptical": "skeptical",
    "skilful": "skillful",
    "storey": "story",
    "thru": "through",
    "tyre": "tire",
    "vs": "versus",
    "whisky": "whiskey",
    "yeah": "yes",
    "yep": "yes",
    "yoghurt": "yogurt",
    "yup": "yes",
}
# -lled to -led only for verbs with an unstressed last syllable: `filled` and `filed` are two words.
_DOUBLED_L = re.compile(
    r"(cancel|travel|label|level|model|signal|total|fuel|dial|channel|pencil|counsel|marvel|panel"
    r"|quarrel|shovel|tunnel|equal|rival|initial|medal|towel|cruel)l(?=ed$|ing$|ers?$|ation)"
)
# At least three letters before -our keeps `four`, `hours`, `flour` and `tours` as they are.
_OUR = re.compile(r"(?<=[a-z]{3})our(?=$|s$|ed$|ing$|ites?$|ful|able|less|ly$|y$|ers?$|hood)")
_RE = re.compile(r"(?<=[a-z]{2}t)re(?=s?$)|(?<=li[bt])re(?=s?$)")
# Harmless on `promise` and `exercise`: no English pair of this length differs in s and z alone.
_ISE = re.compile(r"(?<=[a-z]{3}[iy])s(?=e$|es$|ed$|ing$|ers?$|ations?$)")
_OGUE = re.compile(r"(?<=[a-z]{3}og)ue(?=s?$)")


def _counted(words: str, start: int) -> dict[str, int]:
    return {word: value for value, word in enumerate(words.split(), start)}


_SMALL = _counted(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen",
    start=0,
)
_TENS = {
    word: 10 * value
    for word, value in _counted("twenty thirty forty fifty sixty seventy eighty ninety", 2).items()
}
_SCALES = {"hundred": 100, "thousand": 1_000, "million": 10**6, "billion": 10**9}
_ORDINALS = _counted(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth "
    "fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth",
    start=1,
) | {f"{word[:-1]}ieth": value for word, value in _TENS.items()}
_ORDINAL_SCALES = {f"{word}th": value for word, value in _SCALES.items()}
_NUMBERS = frozenset({**_SMALL, **_TENS, **_SCALES, **_ORDINALS, **_ORDINAL_SCALES})

_MONEY = re.compile(r"([$£€])\s?(\d+(?:[.,]\d+)*)")
_CURRENCY = {"$": "dollars", "£": "pounds", "€": "euros"}
_SYMBOLS = {"&": " and ", "%": " percent ", "°": " degrees "}
# Needs spelling and numbers only, as most of what recognisers write.
_PLAIN = re.compile(r"[a-z0-9\s]*").fullmatch
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_DECIMAL = re.compile(r"(?<=\d)\.(?=\d)")
_LATIN_ACCENT = re.compile(r"(?<=[a-z])[\u0300-\u036f]+")
_POSSESSIVE = re.compile(r"(?<=\w)\s+(?=['\u2019]s\b)")
# Straight, curly (both), modifier letter, backtick, acute, prime, full width.
_APOSTROPHES = "'\u2019\u2018\u02bc`\u00b4\u2032\uff07"
_GAP = re.compile(r"(?<![0-9]) | (?![0-9])")


class _Characters(dict[int, str | None]):
    """Translation of characters: unchanged, dropped, or a space; filled in on first use."""

    def __missing__(self, code: int) -> str | None:
        character = chr(code)
        category = unicodedata.category(character)
        # None, not "": CPython translates ASCII text at full speed only then.
        replacement: str | None = None
        if character not in _APOSTROPHES and category != "Cf":
            # Marks (M*) are parts of letters in most scripts; only L*, M* and N* are spoken.
            replacement = character if category[0] in "LMN" else " "
        self[code] = replacement
        return replacement


_CHARACTERS = _Characters()


def normalise(text: str) -> str:
    """`text` in normalised spelling: lower-case words separated by single spaces.

    Idempotent. English spelling and number rules; see the module.

    >>> normalise("Turn the colour to 25 %, it's GREY!")
    'turn the color to 25 percent its gray'
    >>> normalise("arrive by twenty five past five")
    'arrive by 25 past 5'
    """
    if text.isascii():
        return _once(text)
    # Case folding, composition and dropping may each enable another; three rounds are enough.
    while (settled := _once(text)) != text:
        text = settled
    return settled


def key(text: str) -> str:
    """`normalise` without spaces between words, to compare wordings for equality.

    `gastro pub` and `gastropub`, `7 a.m.` and `7am` have the same key. A space between two digits
    stays: `six one` is not `sixty one`.

    >>> key("seven thirty a m") == key("7:30 AM"), key("six one c") == key("sixty one c")
    (True, False)
    """
    return joined(normalise(text))


def joined(words: str) -> str:
    """The `key` of a text that is already normalised."""
    return _GAP.sub("", words)


def _once(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
        bare = _LATIN_ACCENT.sub("", unicodedata.normalize("NFD", text))
        text = unicodedata.normalize("NFKC", bare)
    text = text.lower()
    if not _PLAIN(text):
        text = _MONEY.sub(lambda match: f"{match[2]} {_CURRENCY[match[1]]} ", text)
        text = _DECIMAL.sub(" point ", _THOUSANDS.sub("", text))
        for symbol, word in _SYMBOLS.items():
            text = text.replace(symbol, word)
        text = _POSSESSIVE.sub("", text).translate(_CHARACTERS)
    words = list(map(_spelling, text.split()))
    if not _NUMBERS.isdisjoint(words):
        words = _numerals(words)
    return " ".join(words)


@lru_cache(maxsize=65_536)
def _spelling(word: str) -> str:
    previous = ""
    while word != previous:
        previous = word
        word = _SPELLINGS.get(word, word)
        word = _DOUBLED_L.sub(r"\1", word)
        word = _OUR.sub("or", word)
        word = _RE.sub("er", word)
        word = _ISE.sub("z", word)
        word = _OGUE.sub("", word)
    return word


def _numerals(words: list[str]) -> list[str]:
    """The words with number words as figures, taking the longest English number at each word."""
    figures = []
    start = 0
    while start < len(words):
        value, after, ordinal = _number(words, start)
        if after == start:
            figures.append(words[start])
            start += 1
        else:
            figures.append(f"{value}{_suffix(value) if ordinal else ''}")
            start = after
    return figures


def _number(words: list[str], start: int) -> tuple[int, int, bool]:
    """The number at `start`: its value, the index after it, and whether it is an ordinal.

    The index is `start` if there is no number.
    """
    total, limit, index = 0, 10**12, start
    while True:
        group, after, ordinal = _below_thousand(words, index, first=index == start)
        if ordinal:
            return total + group, after, True
        scale = words[after] if after < len(words) else ""
        name = scale.removesuffix("th") if scale in _ORDINAL_SCALES else scale
        factor = _SCALES.get(name, 0)
        if 1_000 <= factor < limit and (after > index or index == start):
            # A bare `thousand` is one thousand.
            total += (group if after > index else 1) * factor
            limit, index = factor, after + 1
            if scale in _ORDINAL_SCALES:
                return total, index, True
            continue
        return total + group, after, False


def _below_thousand(words: list[str], start: int, first: bool) -> tuple[int, int, bool]:
    position = start

    def word(index: int) -> str:
        return words[index] if index < len(words) else ""

    if word(position) == "and" and not first and _is_below_hundred(word(position + 1)):
        position += 1
    if first and word(position) == "a" and word(position + 1) in _SCALES:
        value, position, ordinal = 1, position + 1, False
    elif (
        first and len(word(position)) <= 3 and word(position).isascii() and word(position).isdigit()
    ):
        # `5 million` is `five million`; figures alone stay as they are.
        if word(position + 1) not in _SCALES:
            return 0, start, False
        value, position, ordinal = int(word(position)), position + 1, False
    else:
        value, after, ordinal = _below_hundred(words, position)
        if after == position and word(position) not in ("hundred", "hundredth"):
            return 0, start, False
        value, position = (value, after) if after > position else (1, position)
    if ordinal:
        return value, position, True
    if word(position) == "hundredth":
        return value * 100, position + 1, True
    if word(position) == "hundred":
        value, position = value * 100, position + 1
        rest = position + 1 if word(position) == "and" else position
        more, after, ordinal = _below_hundred(words, rest)
        if after > rest:
            return value + more, after, ordinal
    return value, position, False


def _is_below_hundred(word: str) -> bool:
    return word in _SMALL or word in _TENS or word in _ORDINALS


def _below_hundred(words: list[str], position: int) -> tuple[int, int, bool]:
    word = words[position] if position < len(words) else ""
    if word in _TENS:
        unit = words[position + 1] if position + 1 < len(words) else ""
        if 1 <= _SMALL.get(unit, 0) <= 9:
            return _TENS[word] + _SMALL[unit], position + 2, False
        if 1 <= _ORDINALS.get(unit, 0) <= 9:
            return _TENS[word] + _ORDINALS[unit], position + 2, True
        return _TENS[word], position + 1, False
    if word in _SMALL:
        return _SMALL[word], position + 1, False
    if word in _ORDINALS:
        return _ORDINALS[word], position + 1, True
    return 0, position, False


def _suffix(value: int) -> str:
    if value % 100 in (11, 12, 13):
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th")
