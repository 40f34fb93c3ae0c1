"""Letters for patterns of words in any script."""

from __future__ import annotations

import unicodedata

# Combining marks belong to the letter before them, though `\\w` does not say so: else a word of
# Hindi, Tamil or vocalised Arabic falls into pieces.
MARKS = "".join(
    chr(c) for c in range(0x300, 0x11A00) if unicodedata.category(chr(c)).startswith("M")
)
# Scripts that are written without spaces: Thai, Lao, Burmese, Khmer, Japanese, Chinese.
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
