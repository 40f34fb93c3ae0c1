"""The teaching dialogue: a small state machine that asks, confirms, stores, cancels and times out.

`hear` is a function of a state and of what was said; it reads no clock and keeps nothing, so that
the same dialogue runs in a terminal, on a page, in the reference assistant, and in a replay. What
is not for it, it leaves to the assistant.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from labels.teaching import phrases
from labels.teaching.phrases import Act, is_like, meaning_of, parse, plain

Stage = Literal["idle", "offered", "what", "phrase", "meaning", "confirm", "forgetting"]
Did = Literal["nothing", "asked", "offered", "stored", "cancelled", "timed out", "forgot", "listed"]
# Without an answer for so long, a dialogue is over; what the assistant says meanwhile takes a part.
TIMEOUT_S = 60.0
# How often something is asked again before it is given up.
TRIES = 2
# The longest phrase, topic or value in characters: longer ones are run together from something
# else, and are refused.
LONGEST_PART = 120
_TOO_LONG = (
    "That is too long for me to remember: a phrase, and what it means, may have at most "
    f"{LONGEST_PART} characters each."
)
_OVER = "That would be over at once; say it again with a longer time, or with none to keep it."


@dataclass(frozen=True, slots=True)
class Lesson:
    """What was taught, as it goes into the table `preferences`.

    Attributes
    ----------
    kind: ``preference`` or ``concept``. name: topic or phrase. value: what is preferred or meant.
    scope: "user" or a device type. lasts: None if it does not expire. said: how the user put it.
    turn_ids: the turns it was taught in.
    """

    kind: Literal["preference", "concept"]
    name: str
    value: str
    scope: str = "user"
    lasts: timedelta | None = None
    said: str = ""
    turn_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """Where a dialogue is.

    Attributes
    ----------
    lesson: what has been said of it so far. at: when the user last spoke. tries: how often the same
        has been asked again.
    """

    stage: Stage = "idle"
    lesson: Lesson = field(default_factory=lambda: Lesson("concept", "", ""))
    at: datetime | None = None
    tries: int = 0


IDLE = State()


@dataclass(frozen=True, slots=True)
class Reply:
    """What the dialogue makes of something said.

    Attributes
    ----------
    did: ``nothing`` if it is for the assistant. text: what to answer, "" for nothing.
    lesson: what to store, or what to forget (its name).
    """

    did: Did
    text: str = ""
    lesson: Lesson | None = None

    @property
    def handled(self) -> bool:
        """Whether this was for the teaching dialogue, so that the assistant does nothing."""
        return self.did not in ("nothing", "timed out")


def offer(request: str, at: datetime) -> tuple[State, Reply]:
    """Offer to learn what a request means, at a teachable moment.

    Nothing is offered where the request is too long to be taught.
    """
    words = phrases.phrase_key(request)
    if len(words) > LONGEST_PART:
        return IDLE, Reply("nothing")
    state = State("offered", Lesson("concept", words, ""), at)
    text = f"I keep getting '{words}' wrong. Would you like to teach me what you mean by it?"
    return state, Reply("offered", text)


def hear(state: State, text: str, at: datetime, turn_id: str | None = None) -> tuple[State, Reply]:
    """The state after something was said, and what to answer.

    Parameters
    ----------
    text: what was heard, in any script; "" for nothing.
    at: when. turn_id: of the turn in the logs, kept as provenance.
    """
    late = state.at is not None and (at - state.at).total_seconds() > TIMEOUT_S
    if state.stage != "idle" and late:
        # What is said now is said afresh.
        after, reply = hear(IDLE, text, at, turn_id)
        return after, reply if reply.handled else Reply("timed out", "")
    act = parse(text)
    lesson = replace(
        state.lesson, turn_ids=(*state.lesson.turn_ids, *([turn_id] if turn_id else []))
    )
    state = replace(state, at=at, lesson=lesson)
    if state.stage == "idle":
        return _begin(replace(state, lesson=Lesson("concept", "", "", turn_ids=lesson.turn_ids)),
                      act)  # fmt: skip
    if act.kind == "cancel" or is_like(text, "cancel"):
        return IDLE, Reply("cancelled", "Okay, I'll leave it.")
    if act.kind in ("concept", "preference", "phrase", "too long", "forget", "list", "learn"):
        # They start over: what they say now is what they want.
        return _begin(state, act)
    return _ANSWERS[state.stage](state, act)


def tick(state: State, at: datetime) -> tuple[State, Reply]:
    """The state after some time in which nothing was said."""
    late = state.at is not None and (at - state.at).total_seconds() > TIMEOUT_S
    if state.stage == "idle" or not late:
        return state, Reply("nothing")
    return IDLE, Reply("timed out", "")


def question(state: State) -> str:
    """What the dialogue waits for an answer to, "" if for nothing."""
    lesson = state.lesson
    if state.stage == "offered":
        return f"Would you like to teach me what '{lesson.name}' means?"
    if state.stage == "what":
        return "What should I remember? Say, for example: my favourite station is Jazz FM."
    if state.stage == "phrase":
        return "What will you say?"
    if state.stage == "meaning":
        return (
            f"What should I do when you say '{lesson.name}'?"
            if lesson.kind == "concept"
            else f"What should your {lesson.name} be?"
        )
    if state.stage == "forgetting":
        return f"Shall I forget '{lesson.name}'?"
    return f"{summary(lesson)} Is that right?" if state.stage == "confirm" else ""


def summary(lesson: Lesson) -> str:
    """What is taught, in a sentence to the one who teaches it."""
    name, value = lesson.name, lesson.value
    where = (
        "" if lesson.scope == "user" else f" {_PLACES.get(lesson.scope, f'on the {lesson.scope}')}"
    )
    if lesson.kind == "concept":
        return f"When you say '{name}'{where}, I'll take it for '{value}'."
    if name == phrases.FAN:
        return f"You are a fan of {value}."
    if name == phrases.NAME:
        return f"I'll call you {value}."
    if name == phrases.NOTE:
        return f"I'll remember{where}: {value}."
    return f"Your {name}{where} is {value}."


_PLACES = {"car": "in the car", "phone": "on your phone", "watch": "on your watch"}


def _begin(state: State, act: Act) -> tuple[State, Reply]:
    if act.kind == "too long" or max(len(act.name), len(act.value)) > LONGEST_PART:
        return IDLE, Reply("cancelled", _TOO_LONG)
    if act.lasts is not None and act.lasts <= timedelta():
        return IDLE, Reply("cancelled", _OVER)
    if act.kind in ("concept", "preference") and act.name and act.value:
        lesson = replace(
            state.lesson,
            kind=act.kind,
            name=act.name,
            value=act.value,
            scope=act.scope,
            lasts=act.lasts,
            said=act.text,
        )
        return _ask(replace(state, stage="confirm", lesson=lesson, tries=0))
    if act.kind == "phrase":
        lesson = replace(state.lesson, kind="concept", name=act.name, value="", said=act.text)
        return _ask(replace(state, stage="meaning", lesson=lesson, tries=0))
    if act.kind == "learn":
        return _ask(replace(state, stage="what", tries=0))
    if act.kind == "forget":
        lesson = replace(state.lesson, name=act.name, value="", said=act.text)
        return _ask(replace(state, stage="forgetting", lesson=lesson, tries=0))
    if act.kind == "list":
        return IDLE, Reply("listed")
    return IDLE, Reply("nothing")


def _ask(state: State, before: str = "") -> tuple[State, Reply]:
    text = f"{before} {question(state)}".strip()
    return state, Reply("asked", text)


def _again(state: State, before: str = "Sorry, I didn't get that.") -> tuple[State, Reply]:
    """The question once more, or the end of it."""
    if state.tries >= TRIES:
        return IDLE, Reply("cancelled", "Let's leave it for now.")
    return _ask(replace(state, tries=state.tries + 1), before)


def _offered(state: State, act: Act) -> tuple[State, Reply]:
    if act.kind == "yes" or is_like(act.text, "yes"):
        return _ask(replace(state, stage="meaning", tries=0))
    if act.kind == "no" or is_like(act.text, "no"):
        return IDLE, Reply("cancelled", "All right.")
    if act.kind == "correction":
        return _meant(state, act.value, act.text)
    # They went on to something else.
    return IDLE, Reply("nothing")


def _what(state: State, act: Act) -> tuple[State, Reply]:
    if act.kind == "no":
        return IDLE, Reply("cancelled", "All right.")
    if act.kind == "yes":
        # To the question what: they are willing, but it tells nothing.
        return _again(state, "")
    taught = parse(f"remember that {act.text}")
    if taught.kind in ("concept", "preference") and taught.name != phrases.NOTE:
        return _begin(state, replace(taught, text=act.text))
    return _again(state)


def _phrase(state: State, act: Act) -> tuple[State, Reply]:
    words = phrases.phrase_key(act.text)
    if not words:
        return _again(state)
    if len(words) > LONGEST_PART:
        return _again(state, _TOO_LONG)
    return _ask(replace(state, stage="meaning", lesson=replace(state.lesson, name=words), tries=0))


def _meaning(state: State, act: Act) -> tuple[State, Reply]:
    if act.kind == "no":
        return IDLE, Reply("cancelled", "All right.")
    if act.kind == "yes":
        return _again(state)
    # "Make it 40" may be the very thing to do, when no value is there to be corrected.
    said = act.value if act.kind == "correction" and _opens(act.text) else act.text
    return _meant(state, said, act.text)


def _opens(text: str) -> bool:
    """Whether a text opens as an answer ("no, …", "I mean …"), not as a command."""
    return plain(text).split()[0] not in ("make", "change", "rather")


def _meant(state: State, value: str, said: str) -> tuple[State, Reply]:
    meaning = meaning_of(value)
    if not meaning:
        return _again(state)
    if len(meaning) > LONGEST_PART:
        return _again(state, _TOO_LONG)
    if phrases.phrase_key(meaning) == phrases.phrase_key(state.lesson.name):
        return _again(state, "That is what you say already.")
    lesson = replace(state.lesson, value=meaning, said=said)
    return _ask(replace(state, stage="confirm", lesson=lesson, tries=0))


def _confirm(state: State, act: Act) -> tuple[State, Reply]:
    if act.kind == "yes" or (act.kind == "other" and is_like(act.text, "yes")):
        return IDLE, Reply("stored", "Got it.", state.lesson)
    if act.kind == "no" or (act.kind == "other" and is_like(act.text, "no")):
        if state.tries >= TRIES:
            return IDLE, Reply("cancelled", "Let's leave it for now.")
        return _ask(replace(state, stage="meaning", tries=state.tries + 1))
    if act.kind == "correction":
        value = corrected(state.lesson.value, meaning_of(act.value))
        return _meant(state, value, act.text)
    return _again(state)


_NUMBER = re.compile(r"(?:(?<!\w)[-−+])?\d+(?:[.,]\d+)?")


def corrected(value: str, correction: str) -> str:
    """A value after "no, 40" or "make it 40": a number alone replaces the only number.

    >>> corrected("dim the lights to 30", "40")
    'dim the lights to 40'
    """
    bare = re.sub("^to ", "", correction, flags=re.IGNORECASE)
    if _NUMBER.fullmatch(bare) and len(_NUMBER.findall(value)) == 1:
        return _NUMBER.sub(bare, value)
    return correction


def _forgetting(state: State, act: Act) -> tuple[State, Reply]:
    if act.kind == "yes" or is_like(act.text, "yes"):
        return IDLE, Reply("forgot", "Forgotten.", state.lesson)
    if act.kind in ("no", "correction") or is_like(act.text, "no"):
        return IDLE, Reply("cancelled", "I'll keep it.")
    return _again(state)


_ANSWERS: dict[Stage, Callable[[State, Act], tuple[State, Reply]]] = {
    "offered": _offered,
    "what": _what,
    "phrase": _phrase,
    "meaning": _meaning,
    "confirm": _confirm,
    "forgetting": _forgetting,
}
