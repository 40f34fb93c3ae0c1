"""Natural language understanding: which intent, with which slots, and how sure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from assistant.nlu.cues import Situation, sentence_cues, token_cues
from assistant.nlu.follow_ups import FollowUps
from assistant.nlu.gazetteer import Gazetteer
from assistant.nlu.intent_classifier import Linear
from assistant.nlu.slot_tagger import Tagger, slots_of
from assistant.stages import Context, Frame, Understood

# Length of the n-best list, and the probability that an intent after the first needs to get its own
# tagging.
READINGS = 4
LIKELY = 0.03
# Intent of speech that is not meant for the assistant.
NOTHING = ""


def situate(
    words: Sequence[str], context: Context, catalogue: Gazetteer, home: Gazetteer
) -> Situation:
    """The situation with the names of the catalogue and the household that occur in `words`."""
    named = (*catalogue.cues(words), *home.cues(words, "has"))
    return Situation.of(context, named)


Slots = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Reading:
    """NLU's answer to a sentence in a situation, without the latency."""

    hypotheses: tuple[Frame, ...]
    signals: Mapping[str, float]


class Nlu:
    """An `assistant.stages.NluStage`: a linear intent classifier and a CRF slot tagger.

    The confidence of a frame is the probability of its intent times that of its tagging. The frame
    of a follow-up has its own slots first, then those that stay as they were in the turn before.

    Parameters
    ----------
    domains: domain of each intent. allowed: slots of each intent. gazetteer: names that NLU knows.
    follow_ups: recognises and completes follow-ups. cached: how many answers are cached.
    """

    def __init__(
        self,
        classifier: Linear,
        tagger: Tagger,
        domains: Mapping[str, str],
        allowed: Mapping[str, frozenset[str]],
        version: str,
        gazetteer: Gazetteer,
        follow_ups: FollowUps,
        *,
        cached: int = 100_000,
    ) -> None:
        self.version = version
        self.classifier = classifier
        self.tagger = tagger
        self.domains = domains
        self.allowed = allowed
        self.gazetteer = gazetteer
        self.follow_ups = follow_ups
        self._homes: dict[tuple[str, ...], Gazetteer] = {}
        self.read = lru_cache(maxsize=cached)(self._read)

    def __reduce__(self) -> tuple[object, ...]:
        parts = (self.classifier, self.tagger, self.domains, self.allowed, self.version)
        return (type(self), (*parts, self.gazetteer, self.follow_ups))

    def __call__(self, text: str, context: Context) -> Understood:
        words = text.split()
        reading = self.read(text, self.situation(words, context))
        # Longer texts take longer, and so do uncertain ones.
        latency = 14.0 + 1.3 * reading.signals["words"] + 9.0 * reading.signals["entropy"]
        hypotheses = reading.hypotheses
        if context.before is not None:
            before = context.before
            hypotheses = tuple(
                self.follow_ups.complete(words, frame, before) for frame in hypotheses
            )
        added = len(hypotheses[0].slots) - len(reading.hypotheses[0].slots)
        signals = {**reading.signals, "kept_slots": float(added)}
        return Understood(hypotheses, round(latency, 1), signals)

    def situation(self, words: Sequence[str], context: Context) -> Situation:
        """What NLU uses of the context for a sentence."""
        key = tuple([thing.id for thing in context.home])
        home = self._homes.get(key)
        if home is None:
            home = self._homes[key] = Gazetteer(context.home)
        return situate(words, context, self.gazetteer, home)

    def _read(self, text: str, situation: Situation) -> Reading:
        words = text.split()
        cues = sentence_cues(words, situation)
        shares = self.classifier.probabilities(cues)
        order = (-shares).argsort(kind="stable")[:READINGS].tolist()
        rows = token_cues(words)
        frames: list[Frame] = []
        tagged = 1.0
        best: Slots = ()
        for rank, i in enumerate(order):
            intent, share = self.classifier.classes[i], float(shares[i])
            if intent == NOTHING or not words:
                frames.append(Frame("", "", round(share, 4)))
                continue
            if rank == 0 or share >= LIKELY:
                tags, sure = self.tagger.tags(words, rows, intent)
                slots = self._allowed(intent, slots_of(words, tags))
                if not best:
                    best, tagged = slots, sure
            else:
                slots, sure = self._allowed(intent, best), tagged
            frames.append(Frame(self.domains[intent], intent, round(share * sure, 4), slots))
        frames.sort(key=lambda frame: -frame.confidence)
        vocabulary = self.classifier.vocabulary
        signals = {
            "words": float(len(words)),
            "entropy": round(-float(shares.dot(np.log(shares + 1e-9))), 4),
            "margin": round(frames[0].confidence - frames[1].confidence, 4),
            "tagging": round(tagged, 4),
            "unknown_words": float(sum(word not in vocabulary for word in words)),
        }
        return Reading(tuple(frames), signals)

    def _allowed(self, intent: str, slots: Sequence[tuple[str, str]]) -> Slots:
        """The slots that the intent has, the first of each name."""
        values: dict[str, str] = {}
        for name, value in slots:
            if name in self.allowed[intent]:
                values.setdefault(name, value)
        return tuple(values.items())
