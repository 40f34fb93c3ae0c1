"""The phones of English and their articulatory features.

A phone is one character, so that a pronunciation is a string. Its position in articulatory space is
a row of `SPACE`. A microphone picks up such a point with noise added, so that the nearer two phones
are, the more easily they are confused.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# ARPAbet name → its character. Vowels first.
SYMBOLS = {
    "IY": "i", "IH": "I", "EY": "e", "EH": "E", "AE": "@", "AA": "a", "AO": "c", "OW": "o",
    "UH": "U", "UW": "u", "AH": "A", "ER": "R", "AY": "Y", "AW": "W", "OY": "O",
    "P": "p", "B": "b", "T": "t", "D": "d", "K": "k", "G": "g", "CH": "C", "JH": "J",
    "F": "f", "V": "v", "TH": "T", "DH": "D", "S": "s", "Z": "z", "SH": "S", "ZH": "Z",
    "HH": "h", "M": "m", "N": "n", "NG": "N", "L": "l", "R": "r", "W": "w", "Y": "y",
}  # fmt: skip
PHONES = "".join(SYMBOLS.values())
INDEX = {symbol: i for i, symbol in enumerate(PHONES)}
VOWELS = frozenset(PHONES[:15])
CONSONANTS = frozenset(PHONES[15:])

# Height (0 open, 1 close), backness, rounding, rhoticity, glide towards front, glide towards back.
_VOWELS = {
    "i": (1.00, 0.00, 0.0, 0, 0.0, 0.0), "I": (0.80, 0.18, 0.0, 0, 0.0, 0.0),
    "e": (0.60, 0.05, 0.0, 0, 0.6, 0.0), "E": (0.45, 0.12, 0.0, 0, 0.0, 0.0),
    "@": (0.15, 0.10, 0.0, 0, 0.0, 0.0), "a": (0.00, 0.80, 0.0, 0, 0.0, 0.0),
    "c": (0.30, 0.95, 0.7, 0, 0.0, 0.0), "o": (0.55, 0.90, 1.0, 0, 0.0, 0.5),
    "U": (0.80, 0.80, 0.6, 0, 0.0, 0.0), "u": (1.00, 0.90, 1.0, 0, 0.0, 0.0),
    "A": (0.35, 0.55, 0.0, 0, 0.0, 0.0), "R": (0.50, 0.50, 0.2, 1, 0.0, 0.0),
    "Y": (0.10, 0.50, 0.0, 0, 1.0, 0.0), "W": (0.10, 0.50, 0.3, 0, 0.0, 1.0),
    "O": (0.35, 0.90, 0.8, 0, 1.0, 0.0),
}  # fmt: skip
# Place (0 lips, 1 glottis), voice, nasal, friction, hiss, closure, lateral, rhotic, glide.
_CONSONANTS = {
    "p": (0.0, 0, 0, 0.0, 0, 1.0, 0, 0, 0), "b": (0.0, 1, 0, 0.0, 0, 1.0, 0, 0, 0),
    "t": (0.4, 0, 0, 0.0, 0, 1.0, 0, 0, 0), "d": (0.4, 1, 0, 0.0, 0, 1.0, 0, 0, 0),
    "k": (0.8, 0, 0, 0.0, 0, 1.0, 0, 0, 0), "g": (0.8, 1, 0, 0.0, 0, 1.0, 0, 0, 0),
    "C": (0.55, 0, 0, 0.6, 1, 0.6, 0, 0, 0), "J": (0.55, 1, 0, 0.6, 1, 0.6, 0, 0, 0),
    "f": (0.1, 0, 0, 1.0, 0, 0.0, 0, 0, 0), "v": (0.1, 1, 0, 0.8, 0, 0.0, 0, 0, 0),
    "T": (0.25, 0, 0, 1.0, 0, 0.0, 0, 0, 0), "D": (0.25, 1, 0, 0.7, 0, 0.2, 0, 0, 0),
    "s": (0.4, 0, 0, 1.0, 1, 0.0, 0, 0, 0), "z": (0.4, 1, 0, 1.0, 1, 0.0, 0, 0, 0),
    "S": (0.6, 0, 0, 1.0, 1, 0.0, 0, 0, 0), "Z": (0.6, 1, 0, 1.0, 1, 0.0, 0, 0, 0),
    "h": (1.0, 0, 0, 0.7, 0, 0.0, 0, 0, 0),
    "m": (0.0, 1, 1, 0.0, 0, 0.5, 0, 0, 0), "n": (0.4, 1, 1, 0.0, 0, 0.5, 0, 0, 0),
    "N": (0.8, 1, 1, 0.0, 0, 0.5, 0, 0, 0), "l": (0.4, 1, 0, 0.0, 0, 0.0, 1, 0, 0),
    "r": (0.5, 1, 0, 0.0, 0, 0.0, 0, 1, 0), "w": (0.1, 1, 0, 0.0, 0, 0.0, 0, 0, 1),
    "y": (0.6, 1, 0, 0.0, 0, 0.0, 0, 0, 1),
}  # fmt: skip


def _space() -> Array:
    rows = np.zeros((len(PHONES), 14))
    for symbol, (height, back, rounded, rhotic, front, rear) in _VOWELS.items():
        rows[INDEX[symbol], :7] = (
            1.0,
            1.5 * height,
            1.1 * back,
            0.6 * rounded,
            rhotic,
            front,
            rear,
        )
        rows[INDEX[symbol], 7] = 1.0
    for symbol, values in _CONSONANTS.items():
        place, voice, nasal, friction, hiss, closure, lateral, rhotic, glide = values
        row = rows[INDEX[symbol]]
        row[0] = 0.4 * glide + 0.2 * (nasal + lateral + rhotic) - 0.6 * (friction + closure > 0.4)
        row[4] = 0.8 * rhotic
        row[7:] = (0.7 * voice, 1.6 * place, nasal, friction, 0.8 * hiss, closure, 0.9 * lateral)
    # A glide is the start of the vowel it resembles.
    rows[INDEX["w"], 1:4] = (1.2, 0.9, 0.5)
    rows[INDEX["y"], 1:4] = (1.3, 0.0, 0.0)
    return rows


SPACE = _space()


def indices(phones: str) -> NDArray[np.int64]:
    """Rows of `SPACE` for a pronunciation."""
    return np.array([INDEX[phone] for phone in phones], dtype=np.int64)


def from_arpabet(names: str) -> str:
    """``"HH EY1"`` as a string of phones, ``"he"``. Stress is dropped."""
    return "".join(SYMBOLS[name.rstrip("012")] for name in names.split())
