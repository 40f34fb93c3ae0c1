"""What a follow-up leaves out: "and tomorrow" is about the town of the turn before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log

from assistant.stages import Frame

Words = Sequence[str]


@dataclass(frozen=True)
class Continuing:
    """Tells follow-ups from requests that stand alone, and completes them.

    Attributes
    ----------
    odds: log odds that each cue of a sentence gives to its being a follow-up.
    kept: intent to the slots that stay as they were when a follow-up does not name them.
    """

    odds: Mapping[str, float]
    kept: Mapping[str, frozenset[str]]

    def follows(self, words: Words) -> bool:
        """Whether a sentence, after one of the same intent, goes on with it."""
        return sum(self.odds.get(cue, 0.0) for cue in _cues(words)) > 0.0

    def complete(self, words: Words, frame: Frame, before: Frame) -> Frame:
        """The frame with what it leaves to be understood from the frame of the turn before."""
        if not frame.intent or frame.intent != before.intent:
            return frame
        kept = self.kept.get(frame.intent, frozenset())
        said = {name for name, _ in frame.slots}
        unsaid = tuple(slot for slot in before.slots if slot[0] in kept and slot[0] not in said)
        if not unsaid or not self.follows(words):
            return frame
        return replace(frame, slots=(*frame.slots, *unsaid))


def fit_continuing(
    sentences: Iterable[tuple[Words, bool]], kept: Mapping[str, frozenset[str]]
) -> Continuing:
    """Learn from sentences after one of the same intent, and whether each was a follow-up.

    Naive Bayes with one sentence of each kind added to every cue's count.
    """
    counts: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    seen = [0, 0]
    for words, follows in sentences:
        counts[follows].update(_cues(words))
        seen[follows] += 1
    odds = {
        cue: log((counts[1][cue] + 1) / (seen[1] + 2)) - log((counts[0][cue] + 1) / (seen[0] + 2))
        for cue in sorted(counts[0].keys() | counts[1].keys())
    }
    return Continuing(odds, kept)


def _cues(words: Words) -> tuple[str, ...]:
    """How it opens, how it ends, and how long it is."""
    return (
        f"^{' '.join(words[:1])}",
        f"^{' '.join(words[:2])}",
        f"{' '.join(words[-1:])}$",
        f"#{min(len(words), 10)}",
    )
