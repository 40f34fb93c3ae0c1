"""Rephrase detection: which later turn says a failed turn's want again and is understood.

`turns` (what was heard) → `pairs` and their `features` (`in_common`, `around`), or `encoders`
(fine-tuned networks) → `methods` (scores) → `detector` (a link or none; `saved` on disk) →
`stored` (all turns of a store).
"""

from rewrites.rephrase.detector import DEFAULT, REPHRASES, Detector
from rewrites.rephrase.methods import METHODS, Means
from rewrites.rephrase.stored import dialogues, export, judgements, rephrases

__all__ = [
    "DEFAULT",
    "METHODS",
    "REPHRASES",
    "Detector",
    "Means",
    "dialogues",
    "export",
    "judgements",
    "rephrases",
]
