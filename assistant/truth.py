"""What really went wrong on a turn: the truth, by running the stages again with correct input.

The simulation knows what the user wanted, so the failure point of a turn is not guessed from the
log: one stage after the other gets the correct input, and the first stage whose error changed the
rest of the turn is the failure point (docs/failure-points.md). Nobody chooses a class: the
components really failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from assistant.stages import Context, Frame, Outcome, Stages
from labels.rules.normalise import key

Slots = tuple[tuple[str, str], ...]
_key = lru_cache(maxsize=200_000)(key)


NOTHING = Frame("", "")


@dataclass(frozen=True, slots=True)
class Meant:
    """What the user really said, and the correct output of every stage.

    Attributes
    ----------
    addressed: whether the user spoke to the assistant; if not, only the transcript is valid.
    frame: the correct frame, with slots in the user's words; the slots that a follow-up keeps ("and
        tomorrow": the town) in the words of the earlier turn. entities: slot to entity id.
    ideal: what a flawless result stage does for them.
    supported: whether the assistant can do what the user asked for.
    """

    addressed: bool
    transcript: str
    frame: Frame = NOTHING
    entities: Mapping[str, str] | None = None
    ideal: Outcome | None = None
    supported: bool = True


@dataclass(frozen=True, slots=True)
class Logged:
    """The output of the stages."""

    text: str
    frame: Frame
    entities: Mapping[str, str]
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Truth:
    """The failure point of a turn, and the evidence.

    Attributes
    ----------
    right: whether the outcome was what the user wanted; None where nobody wanted anything.
    replay: NLU's answer to the correct transcript.
    """

    failure_point: str
    right: bool | None
    replay: Frame | None


def judge(meant: Meant, logged: Logged, context: Context, stages: Stages) -> Truth:
    """The failure point, from replays through the stages that handled the turn."""
    if not meant.addressed:
        acted = bool(logged.frame.intent or logged.frame.slots)
        return Truth("false_wake" if acted else "correct", None, None)
    transcribed = logged.text == meant.transcript
    replay = logged.frame if transcribed else stages.nlu(meant.transcript, context).frame
    if meant.ideal is None or same_outcome(logged.outcome, meant.ideal):
        return Truth("correct", True, replay)
    return Truth(_first_material(meant, logged, replay, context, stages), False, replay)


def _first_material(
    meant: Meant, logged: Logged, replay: Frame, context: Context, stages: Stages
) -> str:
    if _key(logged.text) != _key(meant.transcript) and not same_frame(logged.frame, replay):
        return "asr"
    entities = meant.entities or {}
    if not same_intent(logged.frame, meant.frame):
        resolved = stages.er(meant.frame, context).entities
        outcome = stages.result(meant.frame, resolved, context)
        if resolved != logged.entities or not same_outcome(outcome, logged.outcome):
            return "nlu"
    if not same_slots(logged.frame.slots, meant.frame.slots) or any(
        logged.entities.get(slot) != entity for slot, entity in entities.items()
    ):
        outcome = stages.result(meant.frame, entities, context)
        if not same_outcome(outcome, logged.outcome):
            return "er"
    return "result"


def same_outcome(a: Outcome, b: Outcome) -> bool:
    """Whether both did the same, or failed for the same cause; the response does not matter."""
    return (a.action, a.status, a.items, a.cause) == (b.action, b.status, b.items, b.cause)


def same_frame(a: Frame, b: Frame) -> bool:
    return a.intent == b.intent and same_slots(a.slots, b.slots)


def same_intent(a: Frame, b: Frame) -> bool:
    return (a.domain, a.intent) == (b.domain, b.intent)


def same_slots(a: Slots, b: Slots) -> bool:
    """Whether the slots have the same normalised words, in any order."""
    return a == b or _normalised(a) == _normalised(b)


def _normalised(slots: Slots) -> list[tuple[str, str]]:
    return sorted((name, _key(value)) for name, value in slots)


def gold(meant: Meant, truth: Truth, annotator: str | None = None) -> dict[str, Any]:
    """The annotation of a turn, as in `data.schema.trace.Gold`."""
    record: dict[str, Any] = {"addressed": meant.addressed, "transcript": meant.transcript}
    if meant.addressed and meant.ideal and truth.replay:
        record |= {
            "domain": meant.frame.domain,
            "intent": meant.frame.intent,
            "slots": slot_records(meant.frame.slots),
            "entities": dict(meant.entities or {}),
            "action": meant.ideal.action,
            "result_ok": truth.right,
            "unsupported": not meant.supported,
            "replay": {
                "intent": truth.replay.intent,
                "slots": slot_records(truth.replay.slots),
            },
        }
    record["failure_point"] = truth.failure_point
    if annotator:
        record["annotator"] = annotator
    return record


def slot_records(slots: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in slots]
