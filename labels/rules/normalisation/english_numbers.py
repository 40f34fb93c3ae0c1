"""English number words as figures: `twenty third` is `23rd`, `sixty one c` is `61 c`."""

from __future__ import annotations


def _counted(words: str, start: int) -> dict[str, int]:
    return {word: value for value, word in enumerate(words.split(), start)}


_SMALL = _counted(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen",
    start=0,
)
DIGITS = frozenset(word for word, value in _SMALL.items() if value < 10)
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


def in_figures(words: list[str]) -> list[str]:
    """The words with number words as figures, taking the longest English number at each word."""
    if _NUMBERS.isdisjoint(words):
        return words
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
