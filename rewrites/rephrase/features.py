"""Features of a pair of turns: the one that failed, and a later one that may rephrase it.

Three groups. *Words*: what both have in common as heard, as understood, and in the hypotheses that
were not passed on. *Context*: what the system asked before each, the time, and what was said in
between. *After*: what follows the later turn, which tells whether it was understood; a rephrase
that fails again is not the answer. The group is left out where replies are logged for some turns
only, as there their absence tells more about the log than about the turn.
"""

from __future__ import annotations

import numpy as np

from rewrites.rephrase.around import after, compared, context
from rewrites.rephrase.in_common import in_common
from rewrites.rephrase.pairs import Pairs, Vectors
from rewrites.rephrase.vocabulary import Words


def features(
    pairs: Pairs, words: Words, *, whole: bool, vectors: Vectors | None = None
) -> dict[str, np.ndarray]:
    """Columns of the three groups, float64 (pairs,); the names of a group begin with its name.

    `whole`: whether the dialogues are logged whole. Of excerpts nothing outside the pair is read:
    neither what precedes the failed turn, nor the reply to the later one, nor what follows. Where
    an excerpt ends was decided by whoever cut it. `vectors`: unit vectors of texts, for a cosine.
    """
    columns = {f"words.{k}": v for k, v in in_common(pairs, words, vectors).items()}
    columns |= {f"context.{k}": v for k, v in context(pairs, words, whole).items()}
    columns |= {f"context.{k}": v for k, v in compared(pairs, columns).items()}
    if whole:
        columns |= {f"after.{k}": v for k, v in after(pairs).items()}
    return columns
