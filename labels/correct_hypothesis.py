"""Which hypothesis was correct: by the gold transcript, an annotator's, or the next requests."""

from __future__ import annotations

from collections.abc import Sequence

from labels.normalise import normalise

# Number of turns after this one that may repeat it.
_LATER = 2


def proven(
    hypotheses: Sequence[str], transcript: str | None, later: Sequence[str | None] = ()
) -> tuple[int, str] | None:
    """Index (from 0) of the hypothesis that the user really said, and the evidence for it.

    The evidence is "transcript", a transcript by a person; or without one, "said again": a later
    turn of the dialogue in which another hypothesis than the first, which was heard already, is
    recognised. None where there is no evidence for any hypothesis.
    """
    plain = [normalise(text) for text in hypotheses]
    if transcript is not None:
        spoken = normalise(transcript)
        return (plain.index(spoken), "transcript") if spoken in plain else None
    for text in later[:_LATER]:
        again = normalise(text) if text else ""
        if again and again in plain[1:] and again != plain[0]:
            return plain.index(again), "said again"
    return None
