"""Numbers, signs, units and money, from figures and symbols to words with figures."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache

from labels.rules.normalisation import english_numbers
from labels.rules.normalisation.language import Language
from labels.rules.normalisation.numbers import numerals

_MACHINE = re.compile(r"\s*([+-]?)(\d{1,40}(?:\.\d{1,40})?(?:[eE][+-]?\d{1,2})?)\s*", re.ASCII)
_SIGN = re.compile(r"(?<![\w)\]])([-+\u2212])(?=[.,]?\d)")
_BETWEEN = re.compile(r"(?<=\d) - (?=\d)")
_MINUS_AFTER = re.compile(r"(?<=\d)\u2212(?=\d)")
_SHARP = re.compile(r"(?<![^\W\d_])([a-g])#(?!\w)")
_NUMBER_SIGN = re.compile(r"#\s?(?=\d)")
_ABBREVIATED_NUMBER = re.compile(r"\bno\.\s?(?=\d)")
# A mark such as A-, at the end: elsewhere it is a word cut short.
_MINUS_MARK = re.compile(r"(?<![^\W_])([a-fo]|ab)-(?=\s*$)")
_HASHTAG = re.compile(r"#(?=[^\W\d_])")
_PLUS = re.compile(r"\+")
_COMPARED = re.compile(r"([<>])(?=\s?\d)")
_DOMAIN = re.compile(
    r"(?<=[\w])\.(?=(?:com|net|org|edu|gov|info|io|ai|app|dev|js|tv|fm|co|uk|us|de|at|ch|fr|es|it|nl|eu|pl|ru|br|jp|cn|in|se|no|dk|fi)\b)"
)
_WWW = re.compile(r"\bwww\.(?=\w)")
_DOT_FIRST = re.compile(r"(?<![\w.])\.(?=[^\W\d_]{2})")
_DOT = {"de": "punkt", "fr": "point", "es": "punto", "it": "punto", "pt": "ponto", "nl": "punt"}
_DATE = re.compile(r"(?<![\d.])(\d{1,2})\.\s?(\d{1,2})\.(?=\s?\d{4}|\s|$)")
_BARE_POINT = re.compile(r"(?<![\w.,])\.(?=\d)")
_MONEY_SIGNS = r"[$£€¥₹₽₴₺₩₪฿₫₦₱]|zł|r\$"
_AMOUNT = r"\d+(?:[.,]\d+)*"
_MONEY_BEFORE = re.compile(rf"({_MONEY_SIGNS})\s?({_AMOUNT}(?:\s(?:thousand|million|billion)\b)?)")
_MONEY_AFTER = re.compile(rf"(?<![\d.,])({_AMOUNT})\s?({_MONEY_SIGNS})(?!\w)")
_CENTS = re.compile(r"(\d+)[.,](\d\d)(?!\d)")
_HUNDREDTHS = {"dollars": "cents", "euros": "cents", "pounds": "pence"}
_HALVES = [
    (re.compile(rf"(?<![\d/⁄]){a}[/⁄]{b}(?![\d/⁄])"), word)
    for a, b, word in ((1, 2, " half "), (1, 4, " quarter "), (3, 4, " 3 quarters "))
]
_AND_FRACTION = re.compile(r"(?<=\d)\s+([13][/⁄][24])(?![\d/⁄])")
_AND_HALF = re.compile(r"(?<=\d) and (?:a )?half\b(?! past)")
_ONE_HALF = re.compile(r"\b(?:1|a) half\b(?! past)")
_AND_CENTS = re.compile(
    r"(?:(?<=dollar)|(?<=dollars)|(?<=pound)|(?<=pounds)|(?<=euros)) and "
    r"(?=\d\d? (?:cents|pence)\b)"
)
_POWERS = {"2": " squared ", "3": " cubed "}
_POWER = re.compile(r"\^([23])(?!\d)")
_SECONDS = re.compile(
    r"\bsecond(?= (?:timer|countdown|delay|interval|clip|video|break|pause|silence|rest|alarm)\b)"
)
_DIGIT = re.compile(r"\d").search


def as_number(text: str, language: Language) -> str:
    """A number as programs write it, in the words of `normalise`; empty if `text` is none.

    Without the zeros that say nothing; one that begins with a zero is a code and stays.
    """
    match = _MACHINE.fullmatch(text)
    if match is None or (match[2][0] == "0" and match[2][1:2].isdigit()):
        return ""
    number = Decimal(match[2])
    whole, _, fraction = f"{number:f}".partition(".")
    fraction = fraction.rstrip("0")
    sign = f"{language.sign('minus')} " if match[1] == "-" and number else ""
    if sign.startswith("\u2212"):
        sign = "\u2212"
    return f"{sign}{whole}" + (f" {language.sign('point')} {fraction}" if fraction else "")


def in_text(text: str, language: Language) -> str:
    """Folded `text` with signs, units and decimal marks as words."""
    if language.english:
        text = _fractions(text)
    text = _money(text, language)
    if language.written_ordinal:
        text = _DATE.sub(r"\1 \2 ", text)
        text = language.written_ordinal.sub(
            lambda match: f"{match[1]}{language.ordinal_ending(match[2])}", text
        )
    text = _units(text, language)
    text = _decimals(text, language)
    return _signs(text, language)


def _fractions(text: str) -> str:
    if "/" in text or "\u2044" in text:
        for pattern, word in _HALVES:
            text = pattern.sub(word, _AND_FRACTION.sub(r" and \1", text))
    if "^" in text:
        text = _POWER.sub(lambda match: _POWERS[match[1]], text)
    return text


def _money(text: str, language: Language) -> str:
    def spoken(sign: str, amount: str) -> str:
        word = language.money.get(sign, language.money.get(sign.upper(), sign))
        cents = _CENTS.fullmatch(amount)
        if cents and not language.english and word != sign:
            rest = f" {cents[2]}" if int(cents[2]) else ""
            return f" {cents[1]} {word}{rest} "
        if cents and word in _HUNDREDTHS:
            # `.00` is not said.
            rest = f" {int(cents[2])} {_HUNDREDTHS[word]}" if int(cents[2]) else ""
            return f" {cents[1]} {_counted(word, cents[1], language)}{rest} "
        word = _counted(word, amount, language)
        return f" {amount} {word} "

    text = _MONEY_BEFORE.sub(lambda match: spoken(match[1], match[2]), text)
    return _MONEY_AFTER.sub(lambda match: spoken(match[2], match[1]), text)


def _counted(unit: str, amount: str, language: Language) -> str:
    """The name of a unit after `amount`; in English it has a singular."""
    if not language.english or amount != "1":
        return unit
    first, _, rest = unit.partition(" ")
    singular = {"feet": "foot", "inches": "inch", "hertz": "hertz"}.get(
        first, first.removesuffix("s")
    )
    return f"{singular} {rest}".rstrip()


_PERCENT_FIRST = re.compile(rf"(?<!\d)(?<!\d )%\s?({_AMOUNT})")


@lru_cache(maxsize=256)
def _unit_pattern(language: Language) -> re.Pattern[str]:
    signs = sorted(language.unit_symbols, key=len, reverse=True)
    end = "(?![a-z])" if language.unspaced else r"(?!\w)"
    names = "|".join(map(re.escape, signs)) or "(?!)"
    return re.compile(rf"(?:(?<![\d.,])(1)|(?<=\d))\s?({names})\.?{end}")


def _units(text: str, language: Language) -> str:
    if "%" in text:
        text = _PERCENT_FIRST.sub(r"\1%", text)
    if language.percent_first:
        amount = r"(?<![\d.,])(\d+(?:[.,]\d+)?)\s?%"
        text = re.sub(amount, rf" {language.percent_first} \1 ", text)

    def named(match: re.Match[str]) -> str:
        one, name = match[1] or "", language.unit_symbols[match[2]]
        return f"{one} {_counted(name, one, language)} "

    text = _unit_pattern(language).sub(named, text)
    return text.replace("%", f" {language.unit_symbols.get('%', '%')} ")


@lru_cache(maxsize=256)
def _grouped(language: Language) -> re.Pattern[str]:
    pair = rf"(?:{language.grouping}\d\d)*" if language.grouping == "[,]" else ""
    return re.compile(rf"(?<![\d.,])\d{{1,3}}{pair}(?:{language.grouping}\d{{3}})+(?![\d])")


def _decimals(text: str, language: Language) -> str:
    text = _grouped(language).sub(lambda match: re.sub(r"\D", "", match[0]), text)
    point = f" {language.sign('point')} "
    text = _BARE_POINT.sub(f"0{point}", text)
    mark = r"\." if language.decimal == "." else "[.,]"
    return re.sub(rf"(?<=\d){mark}(?=\d)", point, text)


def _signs(text: str, language: Language) -> str:
    minus, plus = language.sign("minus"), language.sign("plus")
    minus = minus if minus == "\u2212" else f" {minus} "
    text = _SIGN.sub(lambda match: f" {plus} " if match[1] == "+" else minus, text)
    if minus != "\u2212":
        text = text.replace("\u2212", "-")
        text = _BETWEEN.sub(minus, text)
    if language.english:
        text = _SHARP.sub(r"\1 sharp ", text)
        text = _MINUS_MARK.sub(r"\1 minus ", _ABBREVIATED_NUMBER.sub("number ", text))
    if "number" in language.known:
        text = _NUMBER_SIGN.sub(f" {language.number_word} ", text)
    if language.english:
        text = _HASHTAG.sub(" hashtag ", text)
    text = _COMPARED.sub(r" \1 ", text)
    text = re.sub(r"[<>](?!\s?\d)", " ", text)
    text = _PLUS.sub(f" {plus} ", text)
    dot = f" {_DOT.get(language.code, 'dot')} "
    text = _DOT_FIRST.sub(dot, _DOMAIN.sub(dot, _WWW.sub(f"www{dot}", text)))
    for sign, word in language.symbols.items():
        text = text.replace(sign, f" {word} ")
    return text


def in_figures(words: list[str], language: Language) -> list[str]:
    """The words with number words, and the units and signs that go with them, in one form."""
    if language.english:
        if "second" in words:
            words = _SECONDS.sub("seconds", " ".join(words)).split()
        words = english_numbers.in_figures(_ohs(words))
    elif not language.unspaced:
        table = numerals(language)
        if table:
            counted = {name.split()[0] for name in language.units} | _clock_words(language)
            words = table.in_figures(words, counted)
    if not _DIGIT(" ".join(words)):
        return words
    words = _digits_dictated(words) if language.english else _runs(words)
    words = _signs_beside_numbers(words, language)
    # English inflects units for number alone, which symbols know too.
    return _english_idioms(words) if language.english else _units_after_numbers(words, language)


@lru_cache(maxsize=256)
def _clock_words(language: Language) -> frozenset[str]:
    return frozenset(
        word.rstrip("s?")
        for phrase, *_ in language.known.get("clock", ())
        for word in re.findall(r"\{h\} ([^\W\d_]+)", language.fold(phrase))
    ) | frozenset(language.hour_word.split())


def _signs_beside_numbers(words: list[str], language: Language) -> list[str]:
    """Other words for a sign as the canonical one: `negative 5`, `2 coma 5`."""
    signs = language.signs
    if signs.keys().isdisjoint(words):
        return words
    point = language.sign("point")
    found: list[str] = []
    for place, word in enumerate(words):
        following = words[place + 1] if place + 1 < len(words) else ""
        if word in signs and following[:1].isdigit():
            after_number = bool(found) and found[-1].isdigit()
            if word == point == signs[word] and language.english and not found:
                found.append("0")
            elif signs[word] != point or after_number:
                word = signs[word]
        # Decimals are said digit by digit.
        decimal = len(found) > 1 and found[-2] == point and found[-1].isdigit()
        if decimal and _is_digit(word):
            found[-1] += word
        else:
            found.append(word)
    return found


def _units_after_numbers(words: list[str], language: Language) -> list[str]:
    """Unit names after a number in one form, whether singular, plural or of another case."""
    units = _unit_starts(language)
    found: list[str] = []
    place = 0
    while place < len(words):
        if found and found[-1].isdigit() and words[place] in units:
            for name, canonical in units[words[place]]:
                if words[place : place + len(name)] == name:
                    found.extend(canonical)
                    place += len(name)
                    break
            else:
                found.append(words[place])
                place += 1
        else:
            found.append(words[place])
            place += 1
    return found


@lru_cache(maxsize=256)
def _unit_starts(language: Language) -> dict[str, list[tuple[list[str], list[str]]]]:
    table: dict[str, list[tuple[list[str], list[str]]]] = {}
    for name in sorted(language.units, key=len, reverse=True):
        table.setdefault(name.split()[0], []).append((name.split(), language.units[name].split()))
    return table


# -- English ---------------------------------------------------------------------------------------

_SINGLE = english_numbers.DIGITS | frozenset("0123456789")
_TWICE = {"double": 2, "triple": 3}


def _ohs(words: list[str]) -> list[str]:
    """Spelled numbers: `double five` is `five five`, `oh` between digits is `zero`."""
    if not _TWICE.keys().isdisjoint(words):
        doubled: list[str] = []
        for word in words:
            if doubled and doubled[-1] in _TWICE and (word in _SINGLE or word == "oh"):
                doubled[-1:] = [word] * _TWICE[doubled[-1]]
            else:
                doubled.append(word)
        words = doubled
    if "oh" not in words:
        return words
    return [
        "zero" if word == "oh" and _amid_digits(words, place) else word
        for place, word in enumerate(words)
    ]


def _amid_digits(words: list[str], place: int) -> bool:
    """Whether an `oh` has digits on both sides, and is not the minutes of a time as in `7 oh 5`."""
    before = words[place - 1] if place else ""
    after = words[place + 1] if place + 1 < len(words) else ""
    digits = _SINGLE | {"oh"}
    if after not in digits and before not in digits:
        return False
    run = 1
    for step in (-1, 1):
        at = place + step
        while 0 <= at < len(words) and words[at] in digits:
            run, at = run + 1, at + step
    return run > 3 or (run == 3 and before == "oh")


def _digits_dictated(words: list[str]) -> list[str]:
    """Minutes and years after `oh`, years in two halves, and runs of digits."""
    found: list[str] = []
    for place, word in enumerate(words):
        following = words[place + 1] if place + 1 < len(words) else ""
        if _is_digit(word) and len(found) > 1 and found[-1] == "oh" and found[-2].isdigit():
            found.pop()
            word = f"0{word}"
        if _is_year(found, word, following):
            found[-1] += word
        else:
            found.append(word)
    return _runs(found)


def _is_digit(word: str) -> bool:
    return len(word) == 1 and word.isdigit()


def _is_year(before: list[str], word: str, following: str) -> bool:
    """Whether `word` is the second half of a year, as in `19 84`, and no time or number."""
    return (
        bool(before)
        and before[-1] in ("19", "20")
        and word.removesuffix("s").isdigit()
        and len(word.removesuffix("s")) == 2
        and following not in ("am", "pm", "a", "p")
        and not following[:1].isdigit()
        and not (len(before) > 1 and before[-2][-1:].isdigit())
    )


def _runs(words: list[str]) -> list[str]:
    """Digits dictated one by one, three or more, as one number; a telephone number as one too."""
    if sum(word.isdigit() for word in words) < 2:
        return words
    found: list[str] = []
    place = 0
    while place < len(words):
        end = place
        while end < len(words) and words[end].isdigit() and words[end].isascii():
            end += 1
        run = words[place:end]
        single = len(run) > 2 and all(len(word) == 1 for word in run)
        if run and (single or (len(run) > 1 and len("".join(run)) >= 7)):
            found.append("".join(run))
        else:
            found.extend(run or words[place : place + 1])
        place = max(end, place + 1)
    return found


def _english_idioms(words: list[str]) -> list[str]:
    """`5 dollars and 50 cents` has no `and`; `2 1/2` and `2 and a half` are `2 and half`."""
    if "half" not in words and "and" not in words:
        return words
    text = _AND_CENTS.sub(" ", " ".join(words))
    return _AND_HALF.sub(" and half", _ONE_HALF.sub("half", text)).split()
