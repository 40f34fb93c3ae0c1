"""Which hypothesis was right after all: told by gold, by an annotator, or by what was said next."""

from __future__ import annotations

from collections.abc import Sequence

from labels.normalise import normalise

# Turns after this one that may repeat it.
_LATER = 2


def proven(
    hypotheses: Sequence[str], transcript: str | None, later: Sequence[str | None] = ()
) -> tuple[int, str] | None:
    """Place (from 0) of the hypothesis that was really said, and how that is known.

    `transcript` is what a person wrote down; where there is none, a later turn of the dialogue that
    is heard as one of the hypotheses speaks for it, unless that is the first one, which was heard
    already. None where nothing proves any right.
    """
    plain = [normalise(text) for text in hypotheses]
    if transcript is not None:
        said = normalise(transcript)
        return (plain.index(said), "transcript") if said in plain else None
    for text in later[:_LATER]:
        again = normalise(text) if text else ""
        if again and again in plain[1:] and again != plain[0]:
            return plain.index(again), "said again"
    return None
