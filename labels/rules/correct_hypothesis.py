"""Which hypothesis was correct: by the gold transcript, an annotator's, or the next requests."""

from __future__ import annotations

from collections.abc import Sequence

from labels.rules.normalise import key

# Number of turns after this one that may repeat it.
_LATER = 2


def proven(
    hypotheses: Sequence[str],
    transcript: str | None,
    later: Sequence[str | None] = (),
    locale: str | None = None,
) -> tuple[int, str] | None:
    """Index (from 0) of the hypothesis that the user really said, and the evidence for it.

    The evidence is "transcript", a transcript by a person; or without one, "said again": a later
    turn of the dialogue in which another hypothesis than the first, which was heard already, is
    recognised. None where there is no evidence for any hypothesis. `locale`: that of the turn.
    """
    keys = [key(text, locale) for text in hypotheses]
    if transcript is not None:
        spoken = key(transcript, locale)
        return (keys.index(spoken), "transcript") if spoken in keys else None
    for text in later[:_LATER]:
        again = key(text, locale) if text else ""
        if again and again in keys[1:] and again != keys[0]:
            return keys.index(again), "said again"
    return None
