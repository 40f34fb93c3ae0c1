"""Follow-ups, and what they leave out: "and tomorrow" is about the town of the turn before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log

from assistant.stages import Frame

Words = Sequence[str]


@dataclass(frozen=True)
class FollowUps:
    """Tells follow-ups from requests that stand alone, and completes them.

    Attributes
    ----------
    log_odds: for each cue of a sentence, the log odds that the sentence is a follow-up.
    kept_slots: intent to the slots that stay as they were when a follow-up does not name them.
    """

    log_odds: Mapping[str, float]
    kept_slots: Mapping[str, frozenset[str]]

    def follows(self, words: Words) -> bool:
        """Whether a sentence, after a sentence with the same intent, is a follow-up of it."""
        return sum(self.log_odds.get(cue, 0.0) for cue in _cues(words)) > 0.0

    def complete(self, words: Words, frame: Frame, before: Frame) -> Frame:
        """The frame with the slots that it leaves to the frame of the turn before."""
        if not frame.intent or frame.intent != before.intent:
            return frame
        names = self.kept_slots.get(frame.intent, frozenset()) - {name for name, _ in frame.slots}
        missing = tuple(slot for slot in before.slots if slot[0] in names)
        if not missing or not self.follows(words):
            return frame
        return replace(frame, slots=(*frame.slots, *missing))


def fit_follow_ups(
    sentences: Iterable[tuple[Words, bool]], kept_slots: Mapping[str, frozenset[str]]
) -> FollowUps:
    """Learn from sentences after one with the same intent, and whether each was a follow-up.

    Naive Bayes with add-one smoothing.
    """
    counts: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    totals = [0, 0]
    for words, follows in sentences:
        counts[follows].update(_cues(words))
        totals[follows] += 1
    log_odds = {
        cue: log((counts[1][cue] + 1) / (totals[1] + 2))
        - log((counts[0][cue] + 1) / (totals[0] + 2))
        for cue in sorted(counts[0].keys() | counts[1].keys())
    }
    return FollowUps(log_odds, kept_slots)


def _cues(words: Words) -> tuple[str, ...]:
    """How a sentence opens, how it ends, and how long it is."""
    return (
        f"^{' '.join(words[:1])}",
        f"^{' '.join(words[:2])}",
        f"{' '.join(words[-1:])}$",
        f"#{min(len(words), 10)}",
    )
