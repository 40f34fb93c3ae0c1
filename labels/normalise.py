"""When two wordings are one: the normalisation behind "the ASR text equals the transcript".

Transcribers and recognisers write the same words differently. What is levelled here, and why:

- letter case, accents on Latin letters, Unicode compatibility forms (NFKC, Unicode annex 15) and
  punctuation: nobody speaks them;
- apostrophes, so that `i'm` is `im` and `today 's` is `todays`;
- spelling: British and American (the classes of the Oxford guide: -our, -re, -ise, -yse, -ogue, and
  a list where no rule is safe), and informal spellings of yes, no and okay;
- number words, read as one would write them: `twenty third` is `23rd`, `sixty one c` is `61 c`;
- a few symbols that stand for a word: `&`, `%`, `$5`.

Not levelled: hesitations, articles, word order, contractions written out (`what's`, `what is`):
those are words somebody said or did not say. Number words and spelling are English; other languages
get the Unicode part only.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# Only pairs that no rule below reaches, and only where both are one word to a listener.
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
# -lled against -led only for verbs whose last syllable is weak: `filled` and `filed` are two words.
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
# Nothing to do but spelling and numbers: the bulk of what recognisers write.
_PLAIN = re.compile(r"[a-z0-9\s]*").fullmatch
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_DECIMAL = re.compile(r"(?<=\d)\.(?=\d)")
_LATIN_ACCENT = re.compile(r"(?<=[a-z])[\u0300-\u036f]+")
_POSSESSIVE = re.compile(r"(?<=\w)\s+(?=['\u2019]s\b)")
# Straight, curly (both), modifier letter, backtick, acute, prime, full width.
_APOSTROPHES = "'\u2019\u2018\u02bc`\u00b4\u2032\uff07"
_GAP = re.compile(r"(?<![0-9]) | (?![0-9])")


class _Characters(dict[int, str | None]):
    """What becomes of a character, filled as characters are met: kept, dropped, or a space."""

    def __missing__(self, code: int) -> str | None:
        character = chr(code)
        category = unicodedata.category(character)
        # None, not "": CPython translates ASCII text at full speed only then.
        kept: str | None = None
        if character not in _APOSTROPHES and category != "Cf":
            # Marks (M*) are letters' parts in most scripts; only L*, M*, N* are ever spoken.
            kept = character if category[0] in "LMN" else " "
        self[code] = kept
        return kept


_CHARACTERS = _Characters()


def normalise(text: str) -> str:
    """One spelling for all the spellings of `text`: lower-case words with single spaces between.

    Applying it twice changes nothing. English spelling and number rules; see the module.

    >>> normalise("Turn the colour to 25 %, it's GREY!")
    'turn the color to 25 percent its gray'
    >>> normalise("arrive by twenty five past five")
    'arrive by 25 past 5'
    """
    if text.isascii():
        return _once(text)
    # Folding, composing and dropping can each make work for the others; three rounds settle it.
    while (settled := _once(text)) != text:
        text = settled
    return settled


def key(text: str) -> str:
    """`normalise` without its word gaps, for asking "are these the same words?".

    `gastro pub` and `gastropub`, `7 a.m.` and `7am` have one key. The gap between two digits stays:
    `six one` is not `sixty one`.

    >>> key("seven thirty a m") == key("7:30 AM"), key("six one c") == key("sixty one c")
    (True, False)
    """
    return joined(normalise(text))


def joined(words: str) -> str:
    """The `key` of a text that is normalised already."""
    return _GAP.sub("", words)


def _once(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
        bare = _LATIN_ACCENT.sub("", unicodedata.normalize("NFD", text))
        text = unicodedata.normalize("NFKC", bare)
    text = text.lower()
    if not _PLAIN(text):
        text = _MONEY.sub(lambda found: f"{found[2]} {_CURRENCY[found[1]]} ", text)
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
    """Number words to figures: the longest English number that starts at each word."""
    figures = []
    at = 0
    while at < len(words):
        value, after, ordinal = _number(words, at)
        if after == at:
            figures.append(words[at])
            at += 1
        else:
            figures.append(f"{value}{_suffix(value) if ordinal else ''}")
            at = after
    return figures


def _number(words: list[str], start: int) -> tuple[int, int, bool]:
    """Value, index of the first word after it (`start` if there is no number), is it an ordinal."""
    total, limit, at = 0, 10**12, start
    while True:
        group, after, ordinal = _below_thousand(words, at, first=at == start)
        if ordinal:
            return total + group, after, True
        scale = words[after] if after < len(words) else ""
        name = scale.removesuffix("th") if scale in _ORDINAL_SCALES else scale
        factor = _SCALES.get(name, 0)
        if 1_000 <= factor < limit and (after > at or at == start):
            # A bare `thousand` is one of them.
            total += (group if after > at else 1) * factor
            limit, at = factor, after + 1
            if scale in _ORDINAL_SCALES:
                return total, at, True
            continue
        return total + group, after, False


def _below_thousand(words: list[str], start: int, first: bool) -> tuple[int, int, bool]:
    at = start

    def word(index: int) -> str:
        return words[index] if index < len(words) else ""

    if word(at) == "and" and not first and _is_below_hundred(word(at + 1)):
        at += 1
    if first and word(at) == "a" and word(at + 1) in _SCALES:
        value, at, ordinal = 1, at + 1, False
    elif first and len(word(at)) <= 3 and word(at).isascii() and word(at).isdigit():
        # `5 million` is `five million`; figures alone stay as they are.
        if word(at + 1) not in _SCALES:
            return 0, start, False
        value, at, ordinal = int(word(at)), at + 1, False
    else:
        value, after, ordinal = _below_hundred(words, at)
        if after == at and word(at) not in ("hundred", "hundredth"):
            return 0, start, False
        value, at = (value, after) if after > at else (1, at)
    if ordinal:
        return value, at, True
    if word(at) == "hundredth":
        return value * 100, at + 1, True
    if word(at) == "hundred":
        value, at = value * 100, at + 1
        rest = at + 1 if word(at) == "and" else at
        more, after, ordinal = _below_hundred(words, rest)
        if after > rest:
            return value + more, after, ordinal
    return value, at, False


def _is_below_hundred(word: str) -> bool:
    return word in _SMALL or word in _TENS or word in _ORDINALS


def _below_hundred(words: list[str], at: int) -> tuple[int, int, bool]:
    word = words[at] if at < len(words) else ""
    if word in _TENS:
        unit = words[at + 1] if at + 1 < len(words) else ""
        if 1 <= _SMALL.get(unit, 0) <= 9:
            return _TENS[word] + _SMALL[unit], at + 2, False
        if 1 <= _ORDINALS.get(unit, 0) <= 9:
            return _TENS[word] + _ORDINALS[unit], at + 2, True
        return _TENS[word], at + 1, False
    if word in _SMALL:
        return _SMALL[word], at + 1, False
    if word in _ORDINALS:
        return _ORDINALS[word], at + 1, True
    return 0, at, False


def _suffix(value: int) -> str:
    if value % 100 in (11, 12, 13):
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th")
