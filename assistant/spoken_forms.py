"""Numbers, times and names as people say them."""

from __future__ import annotations

import re
from functools import lru_cache

from assistant.text_files import read_sections

_NUMBERS = read_sections("assistant", "numbers.txt", ("ones", "tens"))
_ONES, _TENS = (_NUMBERS[name].words for name in ("ones", "tens"))
_NOT_SPOKEN = re.compile(r"[^a-z' ]+")


def number(n: int) -> str:
    """``42`` is "forty two"; from 0 to 9,999."""
    if n < 20:
        return _ONES[n]
    if n < 100:
        return _TENS[n // 10 - 2] + (f" {_ONES[n % 10]}" if n % 10 else "")
    if n < 1000:
        return f"{_ONES[n // 100]} hundred" + (f" and {number(n % 100)}" if n % 100 else "")
    return f"{number(n // 1000)} thousand" + (f" {number(n % 1000)}" if n % 1000 else "")


def year(n: int) -> str:
    """``1984`` is "nineteen eighty four", ``2007`` is "two thousand and seven"."""
    if 2000 <= n < 2010:
        return "two thousand" + (f" and {number(n - 2000)}" if n > 2000 else "")
    rest = n % 100
    tail = "hundred" if rest == 0 else f"oh {number(rest)}" if rest < 10 else number(rest)
    return f"{number(n // 100)} {tail}"


@lru_cache(maxsize=50_000)
def spoken(name: str) -> str:
    """A name as words: lower case letters, apostrophes and single spaces."""
    words = re.sub(r"\d+", lambda digits: f" {number(int(digits[0]))} ", name.lower())
    return " ".join(_NOT_SPOKEN.sub(" ", words.replace("&", " and ")).split())
