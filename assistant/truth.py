"""What really went wrong on a turn: the truth, by running the stages again with right input.

The simulation knows what the user wanted, so a turn's failure point is not guessed from what was
logged: the right output is put in stage after stage, and the first stage whose error changed what
came after it is the failure point (docs/failure-points.md). Nobody chooses a class: every failure
is one that the components had.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from assistant.stages import (
    Context,
    Frame,
    Outcome,
    Stages,
)
from labels.normalise import key

Slots = tuple[tuple[str, str], ...]
_key = lru_cache(maxsize=200_000)(key)


NOTHING = Frame("", "")


@dataclass(frozen=True, slots=True)
class Meant:
    """What was really said, and what every stage should have made of it.

    Attributes
    ----------
    addressed: whether the assistant was spoken to; if not, only the transcript means anything.
    frame: the right frame, with the slots as they were said; those that a follow-up leaves as they
        were ("and tomorrow": the town), as they were said before. entities: slot to entity id.
    ideal: what a flawless result stage does for them.
    supported: whether the assistant can do what was asked for.
    """

    addressed: bool
    transcript: str
    frame: Frame = NOTHING
    entities: Mapping[str, str] | None = None
    ideal: Outcome | None = None
    supported: bool = True


@dataclass(frozen=True, slots=True)
class Logged:
    """What the stages put out."""

    text: str
    frame: Frame
    entities: Mapping[str, str]
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Truth:
    """The failure point of a turn, and what shows it.

    Attributes
    ----------
    right: whether the outcome was what the user wanted; null where nobody wanted anything.
    replay: what NLU answers when it is given the transcript.
    """

    failure_point: str
    right: bool | None
    replay: Frame | None


def judge(meant: Meant, logged: Logged, context: Context, stages: Stages) -> Truth:
    """The failure point, from replays through the stages that handled the turn."""
    if not meant.addressed:
        acted = bool(logged.frame.intent or logged.frame.slots)
        return Truth("false_wake" if acted else "correct", None, None)
    heard_right = logged.text == meant.transcript
    replay = logged.frame if heard_right else stages.nlu(meant.transcript, context).frame
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


def same_outcome(one: Outcome, other: Outcome) -> bool:
    """Whether the same was done, or failed for the same cause, whatever was said about it."""
    return (one.action, one.status, one.items, one.cause) == (
        other.action,
        other.status,
        other.items,
        other.cause,
    )


def same_frame(one: Frame, other: Frame) -> bool:
    return one.intent == other.intent and same_slots(one.slots, other.slots)


def same_intent(one: Frame, other: Frame) -> bool:
    return (one.domain, one.intent) == (other.domain, other.intent)


def same_slots(one: Slots, other: Slots) -> bool:
    """Whether the slots agree, in any order, in words that are the same once normalised."""
    return one == other or _bag(one) == _bag(other)


def _bag(slots: Slots) -> list[tuple[str, str]]:
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
