"""The assistant as its users can teach it: stages that apply what was taught, and what it keeps.

A taught phrase is read as what it means, before NLU; a preference fills a required slot that the
request leaves open, and decides between entities that are about as likely. All of it holds for the
user who taught it alone, from the next request on.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from assistant.intents.intents import INTENTS
from assistant.record import ASSISTANT
from assistant.stages import Candidate, Context, ErStage, Frame, NluStage, Stages
from labels.teaching.dialogue import Lesson
from labels.teaching.logged import USED
from labels.teaching.moments import EVERY_DAYS, TIMES, WITHIN_DAYS
from labels.teaching.phrases import phrase_key
from labels.teaching.preferences import row_of
from labels.teaching.taught import Taught

if TYPE_CHECKING:
    from collections.abc import Mapping

    from assistant.stages import Entity, Resolved, Understood

# Signals of NLU and ER: how alike the request was to the phrase it was taken for; slots filled, and
# ties decided, by preferences.
TAUGHT, FILLED, DECIDED = USED, "filled_slots", "preferred"
# Scores of candidates that differ by less are a tie.
TIE = 0.06


class TaughtNlu:
    """An `NluStage` that applies what users taught; see the module."""

    def __init__(self, nlu: NluStage, taught: Taught) -> None:
        self.nlu, self.taught, self.version = nlu, taught, nlu.version

    def __call__(self, text: str, context: Context) -> Understood:
        about = (context.user, context.device.type, context.moment, ASSISTANT)
        meaning = self.taught.meaning(text, *about) if context.user else None
        if meaning is None:
            understood = self.nlu(text, context)
        else:
            # What was taught is said in full: it goes on with nothing.
            understood = self.nlu(meaning.text, replace(context, before=None))
            signals = {**understood.signals, TAUGHT: round(meaning.similarity, 4)}
            understood = replace(understood, signals=signals)
        return self._filled(understood, about) if context.user else understood

    def _filled(self, understood: Understood, about: tuple[str, str, datetime, str]) -> Understood:
        frame = understood.frame
        added = tuple(
            (slot, value.text)
            for slot in missing(frame)
            if (value := self.taught.value(slot, *about)) is not None
        )
        if not added:
            return understood
        first = replace(frame, slots=(*frame.slots, *added))
        signals = {**understood.signals, FILLED: float(len(added))}
        return replace(understood, hypotheses=(first, *understood.hypotheses[1:]), signals=signals)


class TaughtEr:
    """An `ErStage` that decides ties by what its user prefers."""

    def __init__(self, er: ErStage, taught: Taught, entities: Mapping[str, Entity]) -> None:
        self.er, self.taught, self.entities, self.version = er, taught, entities, er.version

    def __call__(self, frame: Frame, context: Context) -> Resolved:
        resolved = self.er(frame, context)
        if not context.user:
            return resolved
        about = (context.user, context.device.type, context.moment, ASSISTANT)
        mentions, decided = [], 0
        for mention in resolved.mentions:
            top = mention.candidates[0].score if mention.candidates else 0.0
            tied = [one for one in mention.candidates if one.score >= top - TIE]
            chosen = self.taught.preferred([self._name(one) for one in tied], *about)
            if chosen is None or chosen[0] == 0:
                mentions.append(mention)
                continue
            best = tied[chosen[0]]
            rest = tuple(one for one in mention.candidates if one is not best)
            # It is first now, and says so.
            best = replace(best, score=min(1.0, top + 0.01))
            mentions.append(replace(mention, candidates=(best, *rest)))
            decided += 1
        if not decided:
            return resolved
        signals = {**resolved.signals, DECIDED: float(decided)}
        return replace(resolved, mentions=tuple(mentions), signals=signals)

    def _name(self, candidate: Candidate) -> str:
        entity = self.entities.get(candidate.id)
        return entity.facts.get("qualified", candidate.name) if entity else candidate.name


def teachable(stages: Stages, taught: Taught, entities: Mapping[str, Entity]) -> Stages:
    """Stages that apply what was taught, also what is taught later."""
    return replace(
        stages, nlu=TaughtNlu(stages.nlu, taught), er=TaughtEr(stages.er, taught, entities)
    )


def missing(frame: Frame) -> tuple[str, ...]:
    """The required slots that a frame leaves open."""
    intent = INTENTS.get(frame.intent)
    present = {name for name, _ in frame.slots}
    slots = intent.slots if intent else ()
    return tuple(slot.name for slot in slots if slot.required and slot.name not in present)


@dataclass
class Lessons:
    """What an assistant has been taught, and what it goes by in offering to learn.

    A simulation does not run in the order of time throughout, so everything is asked for with the
    moment at hand, and what happened later does not count.
    """

    taught: Taught = field(default_factory=Taught)
    _failed: dict[tuple[str, str], list[datetime]] = field(
        default_factory=lambda: defaultdict(list)
    )
    _offered: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))

    def learn(self, lesson: Lesson, user: str, at: datetime) -> dict[str, Any]:
        """Take over what was taught; returns the row."""
        row = row_of(lesson, user, at, ASSISTANT)
        self.taught.add(row)
        return row

    def due(self, user: str, heard: str, at: datetime) -> bool:
        """Whether to offer to learn what a request means that has just failed."""
        request = phrase_key(heard)
        if not user or not request:
            return False
        failed = self._failed[user, request]
        failed.append(at)
        since = at - timedelta(days=WITHIN_DAYS)
        times = sum(since <= moment <= at for moment in failed)
        pause = timedelta(days=EVERY_DAYS)
        rested = all(abs(at - moment) >= pause for moment in self._offered[user])
        known = self.taught.meaning(heard, user, None, at, ASSISTANT)
        if times < TIMES or not rested or known:
            return False
        self._offered[user].append(at)
        return True
