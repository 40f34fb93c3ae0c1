"""Vectors of texts by which similar requests are retrieved: of letters, of sounds, of meaning.

Letters and sounds are character n-grams, hashed, weighted by inverse document frequency and
projected onto random signs (Achlioptas 2003), which keeps cosines to within about 1 / √size. They
need no training, take about 0.2 ms a text, and know misheard words from how they are spelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, Protocol

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.utils import murmurhash3_32

from features.frame import sound
from features.similarity import LONGEST
from labels.rules.normalise import normalise

SIZE = 128
# Buckets of n-grams, as a power of two.
_BITS = 16
_BLOCK = 20_000

Kind = Literal["letters", "sounds"]


class Vectors(Protocol):
    """Whatever turns texts into unit vectors, float32 (n, size)."""

    @property
    def size(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> np.ndarray: ...


class NGrams:
    """Hashed n-grams of letters, or of the Metaphone codes of the words.

    `rarity`: inverse document frequency of each bucket, float32 (2¹⁶,), from `NGrams.of`.
    """

    def __init__(self, kind: Kind, rarity: np.ndarray) -> None:
        self.kind, self.rarity = kind, rarity.astype(np.float32)
        self._hashed = HashingVectorizer(
            analyzer="char_wb" if kind == "letters" else "char",
            ngram_range=(2, 4),
            n_features=2**_BITS,
            alternate_sign=False,
            norm=None,
            dtype=np.float32,
            lowercase=False,
        )
        self._grams = self._hashed.build_analyzer()

    @classmethod
    def of(cls, kind: Kind, texts: Sequence[str]) -> NGrams:
        """With the document frequencies of these distinct texts."""
        plain = cls(kind, np.ones(2**_BITS))
        times = np.zeros(2**_BITS)
        for start in range(0, len(texts), _BLOCK):
            found = plain._hashed.transform(plain._said(texts[start : start + _BLOCK]))
            times += np.bincount(found.indices, minlength=2**_BITS)
        return cls(kind, np.log((1 + len(texts)) / (1 + times)) + 1)

    @property
    def size(self) -> int:
        return SIZE

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors, float32 (n, size); zero for a text without a letter."""
        vectors = np.zeros((len(texts), SIZE), np.float32)
        if len(texts) == 1:
            # The library takes ten times as long to begin as one text needs.
            codes = self._codes(texts[0])
            if len(codes):
                vectors[0] = self.rarity[codes] @ _signs(self.kind)[codes]
            texts = []
        for start in range(0, len(texts), _BLOCK):
            block = self._hashed.transform(self._said(texts[start : start + _BLOCK]))
            block.data *= self.rarity[block.indices]
            vectors[start : start + _BLOCK] = block @ _signs(self.kind)
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: np.ndarray = vectors / np.maximum(length, 1e-9)
        return unit

    def _codes(self, text: str) -> np.ndarray:
        """The buckets of the n-grams of a text, as the vectoriser finds them."""
        return np.array(
            [abs(murmurhash3_32(gram)) % 2**_BITS for gram in self._grams(self._said([text])[0])],
            np.int64,
        )

    def _said(self, texts: Sequence[str]) -> list[str]:
        if self.kind == "letters":
            return [text[:LONGEST] for text in texts]
        return [sounds(text) for text in texts]


def sounds(text: str) -> str:
    """The Metaphone codes of the words as one string: where words part is often misheard."""
    return (sound(normalise(text[:LONGEST], None)) or "").replace(" ", "")


@lru_cache(maxsize=2)
def _signs(kind: Kind) -> np.ndarray:
    """The random projection, float32 (2¹⁶, size): the same for ever, so it is not stored."""
    raw = np.random.PCG64(len(kind)).random_raw(2**_BITS * SIZE // 64)
    bits = np.unpackbits(raw.astype("<u8").view(np.uint8))
    signs: np.ndarray = bits.reshape(2**_BITS, SIZE).astype(np.float32) * 2 - 1
    return signs
