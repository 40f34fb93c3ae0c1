"""Words of a text with their places, and the numbers that a network knows them by."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from data.schema.scripts import MARKS, UNSPACED

# In scripts that are written without spaces a character is a word.
_WORD = re.compile(
    rf"[{UNSPACED}][{MARKS}]*|(?![{UNSPACED}])\w(?:(?![{UNSPACED}])\w|[{MARKS}])*|[^\w\s]"
)

# A word is the sum of so many vectors: itself, its beginning, its end, its shape.
PARTS = 4
# Numbers that beginnings, ends and shapes, and words never seen, are hashed to.
_HASHED = 2_000
_UNKNOWN = 200

Token = tuple[str, int, int]


def tokens(text: str, most: int | None = None) -> list[Token]:
    """Words of `text` as (word, start, end), at most `most`."""
    found = [(m.group(), m.start(), m.end()) for m in _WORD.finditer(text)]
    return found if most is None else found[:most]


def lower(text: str) -> list[str]:
    """The words of `text` in lower case."""
    return [word.lower() for word, _, _ in tokens(text)]


@lru_cache(maxsize=1 << 16)
def _hash(text: str) -> int:
    return zlib.crc32(text.encode())


@lru_cache(maxsize=1 << 16)
def _shape(word: str) -> str:
    if word.isdigit():
        return f"digits{min(len(word), 5)}"
    if any(c.isdigit() for c in word):
        return "mixed"
    if not word.isalpha():
        return "mark"
    return "upper" if word[:1].isupper() else "lower"


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The words and symbols that a network has vectors for, by number.

    Number 0 is the gap between texts. Then come hashed parts of words, hashed unknown words, and
    the words themselves.
    """

    numbers: dict[str, int]

    @classmethod
    def learn(cls, words: Iterable[str], least: int = 2) -> Lexicon:
        """Words that occur at least `least` times."""
        counts = Counter(words)
        known = sorted(word for word, n in counts.items() if n >= least)
        first = 1 + _HASHED + _UNKNOWN
        return cls({word: first + i for i, word in enumerate(known)})

    @property
    def size(self) -> int:
        return 1 + _HASHED + _UNKNOWN + len(self.numbers)

    def symbol(self, symbol: str) -> int:
        """The number of a word or symbol."""
        number = self.numbers.get(symbol)
        return 1 + _HASHED + _hash(symbol) % _UNKNOWN if number is None else number

    def parts(self, word: str) -> tuple[int, int, int, int]:
        """The numbers whose vectors add up to that of `word`."""
        small = word.lower()
        return (
            self.symbol(small),
            1 + _hash("^" + small[:3]) % _HASHED,
            1 + _hash("$" + small[-3:]) % _HASHED,
            1 + _hash("shape " + _shape(word)) % _HASHED,
        )


def forgotten(parts: np.ndarray) -> np.ndarray:
    """`parts` (tokens, PARTS) with every word itself unknown; its beginning and so on stay."""
    out = parts.copy()
    out[:, 0] = 1 + _HASHED + parts[:, 1] % _UNKNOWN
    return out
