"""Days in the life of an assistant: households, their dialogues, and the trace of every turn.

The period is divided into shards of at most a few hundred turns, each with its own generator, so
that the same seed gives the same turns whatever the number of processes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import accumulate
from typing import Any
from zlib import crc32

import numpy as np

from assistant.background import overheard
from assistant.intents.intents import INTENTS
from assistant.language.goals import Goal, draw_goal, fill
from assistant.language.wording import Style, Utterance, say
from assistant.lesson_turns import lesson_ran, lesson_truth
from assistant.record import ASSISTANT, Ran, trace
from assistant.releases import Assembly
from assistant.result.fulfilment import chance
from assistant.second_device import second_device
from assistant.stages import Context, Device, Frame, Sound, Stages
from assistant.teachable import Lessons, teachable
from assistant.teachers import Said, Teacher, without_fillers
from assistant.truth import Logged, Meant, Slots, gold, judge, same_outcome
from assistant.tts import length_ms
from assistant.users import Experience, Reaction, react, speak
from assistant.world import Home, World, device_at
from labels.feedback.asking import ASKED, MARGINAL, PROPENSITY, Asker
from labels.teaching.dialogue import IDLE, Reply, State, hear, offer
from labels.teaching.logged import OFFER
from labels.teaching.phrases import parse, phrase_key

LONGEST = 8  # turns of a dialogue
# Moments, per dialogue, in which something like the wake phrase may be heard that is not meant for
# the assistant; and how often people say it rather than a television.
OVERHEARD = 1.05
SIDE_TALK = 0.012
ASKED_SHARE = 0.06
SATISFIED = "Did I answer your question?"
ANNOTATORS = 6
HABITS = 8  # requests that a user makes again and again
# Time zone of each locale, without summer time.
_CLOCKS = {
    "en-US": timezone(timedelta(hours=-6)),
    "en-GB": timezone(timedelta(0)),
    "en-IN": timezone(timedelta(hours=5, minutes=30)),
    "en-AU": timezone(timedelta(hours=10)),
}
# Relative number of requests in each hour of the local day.
_NIGHT, _MORNING = (2, 1, 1, 1, 2, 5), (14, 26, 28, 20, 16, 16)
_AFTERNOON, _EVENING = (20, 18, 15, 16, 21, 30), (36, 35, 32, 27, 17, 7)
_HOURS = list(accumulate(_NIGHT + _MORNING + _AFTERNOON + _EVENING))
_STOP = Goal("Stop", (), {})


@dataclass(frozen=True, slots=True)
class Simulated:
    """One turn: its trace record, and the truth about it (`assistant.demo.TRUTH`)."""

    at: datetime
    record: dict[str, Any]
    truth: dict[str, Any]


# Replaces stages: gets those of the release, returns those to use.
Adapt = Callable[[Stages], Stages]


class Simulation:
    """Households and the assistant's releases, to simulate the turns of any day.

    Parameters
    ----------
    gold: share of the dialogues that are annotated.
    adapt: replaces stages; called for every release.
    habit: share of the first requests of dialogues that users say as they always do: one of their
        `HABITS` habitual requests, in the same words.
    paired: every dialogue has its own generator, so that two simulations that differ in their
        stages only have the same dialogues, up to where the assistant acts differently.
    teaching: share of the users who teach the assistant; None where it cannot be taught.
    asker: decides when to ask "did I answer your question?"; by default that is asked at random.
    """

    def __init__(
        self,
        world: World,
        assembly: Assembly,
        seed: int,
        gold: float = 0.08,
        adapt: Adapt | None = None,
        *,
        habit: float = 0.0,
        paired: bool = False,
        asker: Asker | None = None,
        teaching: float | None = None,
    ) -> None:
        self.world = world
        self.assembly = assembly
        self.seed = seed
        self.gold = gold
        self.adapt = adapt
        self.habit = habit
        self.paired = paired
        self.asker = asker
        self.teaching = teaching
        self.lessons = None if teaching is None else Lessons()
        self._adapted: dict[int, tuple[Stages, Stages]] = {}
        rng = np.random.default_rng([seed, 41])
        # Some homes talk to the assistant all day, some hardly ever.
        self._busy = list(accumulate(rng.gamma(1.5, 1.0, len(world.homes)) + 0.05))

    def shard(self, days: range, number: int, turns: int, name: str = "run") -> list[Simulated]:
        """`turns` turns of dialogues that begin on `days`, in order of time.

        The ids of the dialogues begin with `name`.
        """
        rng = np.random.default_rng([self.seed, 42, days.start, number])
        shares = list(accumulate(day_weight(self.assembly.timeline.start, day) for day in days))
        simulated: list[Simulated] = []
        elsewhere: list[Simulated] = []
        dialogues = drawn = 0
        while len(simulated) < turns:
            day = days[_draw(shares, rng)]
            midnight = self.assembly.timeline.start + timedelta(days=day)
            home = self.world.homes[_draw(self._busy, rng)]
            moment = _moment(midnight, home, rng)
            dialogue_id = f"{name}-{days.start:03d}-{number}-{dialogues:04d}"
            own = rng
            if self.paired:
                # Numbered as they are drawn: whether a dialogue has turns may differ.
                own = np.random.default_rng([self.seed, 42, days.start, number, drawn])
                dialogue_id = f"{name}-{days.start:03d}-{number}-{drawn:04d}"
            drawn += 1
            dialogue = _Dialogue(self, home, moment, dialogue_id, own)
            if own.random() < OVERHEARD / (1 + OVERHEARD):
                dialogue.overhear()
            else:
                dialogue.talk(min(LONGEST, turns - len(simulated)))
            dialogue.settle()
            dialogues += bool(dialogue.turns)
            simulated += dialogue.turns[: turns - len(simulated)]
            if dialogue.elsewhere and len(simulated) < turns:
                elsewhere.append(dialogue.elsewhere)
        # They take the place of the last turns, so that the others stay as they are.
        simulated = simulated[: turns - len(elsewhere)] + elsewhere
        return sorted(simulated, key=lambda turn: (turn.at, turn.record["turn_id"]))

    def stages(self, moment: datetime) -> Stages:
        stages = self.assembly.at(moment)
        if self.adapt is None and self.lessons is None:
            return stages
        if id(stages) not in self._adapted:
            adapted = self.adapt(stages) if self.adapt else stages
            if self.lessons is not None:
                entities = self.world.catalogue.by_id
                adapted = teachable(adapted, self.lessons.taught, entities)
            self._adapted[id(stages)] = stages, adapted
        return self._adapted[id(stages)][1]

    def teaches(self, user_id: str) -> bool:
        """Whether a user is one of those who teach."""
        return chance("teaches", self.seed, user_id) < (self.teaching or 0.0)


def day_weight(start: datetime, day: int) -> float:
    """Relative number of requests on a day of the period: more at weekends, growing slowly."""
    weekend = (start + timedelta(days=day)).weekday() >= 5
    return (1.2 if weekend else 1.0) * (1.0 + 0.0015 * day)


def _draw(cumulative: Sequence[float], rng: np.random.Generator) -> int:
    """An index, drawn by cumulative weights."""
    return min(bisect_right(cumulative, rng.random() * cumulative[-1]), len(cumulative) - 1)


def _moment(midnight: datetime, home: Home, rng: np.random.Generator) -> datetime:
    """A moment of the day that starts at `midnight`, in the home's time zone, by the hour."""
    clock = _CLOCKS[home.locale]
    hour = _draw(_HOURS, rng)
    offset = clock.utcoffset(None)
    seconds = (hour * 3600 + rng.random() * 3600 - offset.total_seconds()) % 86400
    # Whole milliseconds, as in logs.
    return (midnight + timedelta(milliseconds=round(seconds * 1000))).astimezone(clock)


def _logged(ran: Ran) -> Logged:
    return Logged(ran.transcript.text, ran.understood.frame, ran.resolved.entities, ran.outcome)


class _Dialogue:
    """A dialogue that is being simulated."""

    def __init__(
        self,
        simulation: Simulation,
        home: Home,
        moment: datetime,
        name: str,
        rng: np.random.Generator,
    ) -> None:
        self.turns: list[Simulated] = []
        # What another device of the home heard of the first turn.
        self.elsewhere: Simulated | None = None
        self._sim = simulation
        self._home = home
        self._moment = moment
        self._name = name
        self._rng = rng
        self._user = home.users[int(rng.random() * len(home.users))]
        self._user_id = f"s{simulation.seed}-{self._user.id}"
        device = home.devices[int(rng.random() * len(home.devices))]
        self._device = device_at(home, device, moment, rng)
        self._before: Frame | None = None
        # What the user meant by their last request, for the slots that a follow-up keeps.
        self._last: Meant | None = None
        self._content = True
        self._prompt: tuple[str, tuple[str, ...]] = ("", ())
        annotated = rng.random() < simulation.gold
        annotator = int(rng.integers(ANNOTATORS)) + 1
        self._annotator = f"annotator-{annotator}" if annotated else None
        self._goals = 0
        # The teaching dialogue: open after the assistant has offered to learn.
        self._lesson: State = IDLE

    def overhear(self) -> None:
        """A television or a conversation, which rarely wakes the assistant."""
        device, rng = self._device, self._rng
        if rng.random() < SIDE_TALK:
            source = "side_talk"
        elif device.state.get("television") == "on":
            source = "television"
        else:
            return
        sound = overheard(source, self._home.locale, rng, far_field=device.far_field)
        if not self._turn(sound, None, 1, "plain"):
            return
        hypotheses = self.turns[-1].record["nlu"]["hypotheses"]
        if not hypotheses or not hypotheses[0].get("intent"):
            return
        # If somebody is there to notice, they stop it.
        if rng.random() < 0.35:
            self._wait(float(rng.uniform(1.5, 6.0)))
            self._pursue(_STOP, LONGEST)

    def talk(self, most: int) -> None:
        """A user with one goal, or several in turn."""
        before: Goal | None = None
        if self._sim.habit and self._rng.random() < self._sim.habit:
            goal, words = self._habitual()
            if not self._pursue(goal, most, words) or self._rng.random() > 0.42:
                return
            before = goal if self._can_follow_up(goal) else None
        while len(self.turns) < most:
            goal = draw_goal(
                self._rng, self._sim.world, self._home, self._user, self._device, self._moment,
                before,
            )  # fmt: skip
            if not self._pursue(goal, most) or self._rng.random() > 0.42:
                return
            # Nobody follows up on a request that failed, unless the assistant asked for a slot.
            before = goal if self._can_follow_up(goal) else None

    def _habitual(self) -> tuple[Goal, Utterance]:
        """One of the requests that the user makes again and again, and how they always say it."""
        weights = list(accumulate(1 / (rank + 1) for rank in range(HABITS)))
        number = _draw(weights, self._rng)
        own = np.random.default_rng([self._sim.seed, 45, crc32(self._user.id.encode()), number])
        goal = draw_goal(
            own, self._sim.world, self._home, self._user, self._home.devices[0], self._moment
        )
        return goal, say(goal, self._user, own, "plain", "")

    def _can_follow_up(self, goal: Goal) -> bool:
        last = self._last
        prompted = self._asked_for()
        return bool(last and last.frame.intent == goal.intent and (self._content or prompted))

    def _asked_for(self) -> str:
        """The slot that the assistant has just asked for; empty if none."""
        act = next((act for act in self._prompt[1] if act.startswith("request ")), "")
        return act.removeprefix("request ")

    def settle(self) -> None:
        """Say of every turn whether its goal was reached, as everything that was said is known."""
        reached: dict[str, bool] = {}
        for turn in (turns := [*self.turns, *filter(None, [self.elsewhere])]):
            goal = turn.truth["goal"]
            reached[goal] = reached.get(goal, False) or turn.truth.pop("satisfied")
        for turn in turns:
            for record in (turn.truth["gold"], turn.record.get("gold")):
                if record is not None and record["addressed"]:
                    record["goal_reached"] = reached[turn.truth["goal"]]

    def _pursue(self, goal: Goal, most: int, words: Utterance | None = None) -> bool:
        """Ask until it is done or the user gives up; returns whether they go on talking.

        `words`: how they say it first; by default as it comes.
        """
        style: Style = "follow_up" if goal.follows else "plain"
        previous: Utterance | str = ""
        # An answer to what the assistant asked for goes on with what the user wants.
        self._goals += not (goal.follows and self._asked_for() and self._goals)
        tries = 0
        learned: dict[str, Any] | None = None
        while len(self.turns) < most:
            tries += 1
            utterance = words or say(goal, self._user, self._rng, style, previous)
            words = None
            reaction = self._speak(goal, utterance, tries, style)
            if reaction is None:
                return False
            self._wait(reaction.seconds)
            if learned is not None:
                # It was taught, tried, and does not do what was meant.
                if not reaction.content:
                    self._unteach(learned, most)
                learned = None
            elif self._teaches(reaction, tries):
                learned = self._teach(goal, utterance, most)
                if learned is not None:
                    # Say it again, to see whether it works now.
                    words = utterance
                    continue
            if reaction.next == "stop" and goal.intent != "Stop":
                return self._pursue(_STOP, most) and self._rng.random() < 0.4
            if reaction.next != "again":
                return reaction.next == "done"
            extended = self._answering(self._in_full(goal, reaction.style))
            if extended is not goal:
                goal, previous = extended, utterance.text
            elif style != "correction":
                previous = utterance
            style = reaction.style
        return False

    def _in_full(self, goal: Goal, style: Style) -> Goal:
        """A failed follow-up with the slots that it left out, if a phrase has all of them."""
        left_out, entities = self._kept_slots(goal, goal.slots)
        slots = goal.slots + left_out
        names = tuple(sorted(name for name, _ in slots))
        rephrases = style in ("explicit", "other_words", "correction")
        if not left_out or not rephrases or names not in INTENTS[goal.intent].by_slots:
            return goal
        return replace(goal, slots=slots, entities={**goal.entities, **entities}, follows=False)

    def _kept_slots(self, goal: Goal, slots: Slots) -> tuple[Slots, dict[str, str]]:
        """What a follow-up keeps beside its `slots`: slots in their earlier words, and entities."""
        if not goal.follows or self._last is None or self._last.frame.intent != goal.intent:
            return (), {}
        names = INTENTS[goal.intent].kept_slots - {name for name, _ in slots}
        kept = tuple(slot for slot in self._last.frame.slots if slot[0] in names)
        before = self._last.entities or {}
        return kept, {name: before[name] for name, _ in kept if name in before}

    def _answering(self, goal: Goal) -> Goal:
        """The goal with the slot that the assistant asked for, if a phrase has all its slots."""
        requested = self._asked_for()
        if not requested or any(name == requested for name, _ in goal.slots):
            return goal
        for _ in range(12):
            other = fill(
                self._rng, INTENTS[goal.intent], self._sim.world.catalogue, self._home, self._user,
                self._device,
            )  # fmt: skip
            if other and {name for name, _ in goal.slots} < {name for name, _ in other.slots}:
                values = dict(other.slots) | dict(goal.slots)
                return replace(
                    other,
                    slots=tuple(values.items()),
                    entities={**other.entities, **goal.entities},
                    names={**other.names, **goal.names},
                )
        return goal

    def _speak(self, goal: Goal, utterance: Utterance, tries: int, style: Style) -> Reaction | None:
        """Say it, louder if nothing happens; None if the assistant never wakes."""
        for _ in range(3):
            sound = speak(self._user, utterance, self._device, style, self._rng, tries)
            reaction = self._turn(sound, (goal, utterance), tries, style)
            if reaction:
                return reaction
            style = "louder"
            self._wait(float(self._rng.uniform(2.0, 4.0)))
        return None

    def _turn(
        self, sound: Sound, request: tuple[Goal, Utterance] | None, tries: int, style: Style
    ) -> Reaction | None:
        """A sound through all stages; None if it does not wake the assistant.

        `request`: what the user means by it; None if nobody speaks to the assistant.
        """
        context = self._context(self._device, self._moment)
        ran = self._run(sound, context, self._rng)
        if ran is None:
            return None
        meant = self._meant(sound, request, context)
        asked = bool(request) and self._rng.random() < ASKED_SHARE
        ran, asked = self._asking(ran, asked, bool(request))
        reaction = self._reaction(meant, _logged(ran), tries, asked)
        ran = self._offering(ran, reaction, bool(request))
        turn = (self._name, len(self.turns), f"{self._name}-g{self._goals}", tries, style)
        self.turns.append(self._simulated(ran, meant, context, reaction, turn, sound))
        if len(self.turns) == 1 and request:
            self._hear_elsewhere(sound, request)
        understood, outcome = ran.understood, ran.outcome
        self._before = understood.frame if understood.frame.intent else None
        self._last = meant
        self._content = reaction.content
        self._prompt = (outcome.response, outcome.acts)
        duration = ran.response_at_ms + (reaction.barge_in_ms or length_ms(outcome.response))
        self._moment += timedelta(milliseconds=round(duration))
        return reaction

    def _asking(self, ran: Ran, asked: bool, spoken_to: bool) -> tuple[Ran, bool]:
        """Whether to ask "did I answer your question?", by the plan if there is one.

        What is asked by a plan is said, and logged with its propensities.
        """
        asker = self._sim.asker
        if asker is None or not spoken_to:
            return ran, asked
        frame, outcome = ran.understood.frame, ran.outcome
        intent = f"{frame.domain}|{frame.intent}" if frame.intent else ""
        turn_id = f"{self._name}-{len(self.turns)}"
        decided = asker.decide(turn_id, self._user_id, self._moment, ASSISTANT, intent)
        signals = {
            **outcome.signals,
            ASKED: float(decided.ask),
            PROPENSITY: round(decided.propensity, 6),
            MARGINAL: round(decided.marginal, 9),
        }
        outcome = replace(outcome, signals=signals)
        if decided.ask:
            response = f"{outcome.response} {SATISFIED}".strip()
            outcome = replace(outcome, response=response, acts=(*outcome.acts, "ask_satisfaction"))
        return replace(ran, outcome=outcome), decided.ask

    def _offering(self, ran: Ran, reaction: Reaction, spoken_to: bool) -> Ran:
        """Offer to learn what a request means that keeps failing, as far as the assistant sees."""
        lessons, outcome = self._sim.lessons, ran.outcome
        self._lesson = IDLE
        failed = (
            outcome.status != "ok"
            or reaction.barge_in_ms is not None
            or reaction.explicit == "no"
            or reaction.next == "again"
        )
        if lessons is None or not spoken_to or not failed:
            return ran
        heard = ran.transcript.text
        # Of a correction, what it says it should have been.
        act = parse(heard)
        heard = act.value if act.kind == "correction" else heard
        if not lessons.due(self._user_id, heard, self._moment):
            return ran
        self._lesson, reply = offer(heard, self._moment)
        if not reply.handled:
            return ran
        response = f"{outcome.response} {reply.text}".strip()
        acts = (*outcome.acts, OFFER)
        return replace(ran, outcome=replace(outcome, response=response, acts=acts))

    def _teaches(self, reaction: Reaction, tries: int) -> bool:
        """Whether the user teaches now: they were asked to, or give up on a request."""
        if self._sim.lessons is None or reaction.content or not self._sim.teaches(self._user_id):
            return False
        gives_up = tries > 1 and reaction.next != "again"
        return self._lesson.stage != "idle" or gives_up

    def _teach(self, goal: Goal, utterance: Utterance, most: int) -> dict[str, Any] | None:
        """Teach what the last request means; returns what was learned, if anything."""
        lessons, offered = self._sim.lessons, self._lesson.stage != "idle"
        # Who is asked knows what the assistant has heard; who is not, what they said.
        phrase = (
            self._lesson.lesson.name if offered else phrase_key(without_fillers(utterance.text))
        )
        if lessons is None or not phrase or goal.follows or parse(phrase).kind != "other":
            return None
        # Of its own, so that what the user does otherwise stays as it is.
        key = crc32(f"{self._name}-{len(self.turns)}".encode())
        rng = np.random.default_rng([self._sim.seed, 46, key])
        # Which entity they mean, they say in full.
        meaning = without_fillers(say(goal, self._user, rng, "explicit").text)
        if phrase_key(meaning) == phrase:
            return None
        teacher = Teacher(phrase, meaning, rng)
        state, reply = self._lesson, Reply("offered")
        said = teacher.answer(state, reply) if offered else teacher.opening()
        while said is not None and len(self.turns) < most:
            state, reply = self._lesson_turn(said, state, rng)
            if reply.did == "stored" and reply.lesson:
                return lessons.learn(reply.lesson, self._user_id, self._moment)
            said = teacher.answer(state, reply)
        return None

    def _unteach(self, learned: dict[str, Any], most: int) -> None:
        """Have it forgotten again."""
        key = crc32(f"{self._name}-{len(self.turns)}-forget".encode())
        rng = np.random.default_rng([self._sim.seed, 46, key])
        state, reply = IDLE, Reply("nothing")
        for said in (Said(f"forget {learned['name']}", "asked"), Said("yes", "forgot")):
            if len(self.turns) >= most:
                return
            state, reply = self._lesson_turn(said, state, rng)
        lesson = reply.lesson
        same = lesson is not None and phrase_key(lesson.name) == phrase_key(learned["name"])
        if reply.did == "forgot" and same and self._sim.lessons is not None:
            self._sim.lessons.taught.drop(learned["preference_id"])

    def _lesson_turn(
        self, said: Said, state: State, rng: np.random.Generator
    ) -> tuple[State, Reply]:
        """A turn of a teaching dialogue, through wake and ASR like any other."""
        utterance = Utterance(tuple(said.words.split()), ("O",) * len(said.words.split()))
        sound = speak(self._user, utterance, self._device, "plain", rng, 2)
        context = self._context(self._device, self._moment)
        stages = self._sim.stages(context.moment)
        heard = stages.wake(sound, context, rng)
        self._moment += timedelta(milliseconds=round(1000 * float(rng.uniform(1.0, 2.5))))
        if not heard.fired:
            return state, Reply("asked")
        transcript = stages.asr(sound, context, rng)
        turn_id = f"{self._name}-{len(self.turns)}"
        after, reply = hear(state, transcript.text, context.moment, turn_id)
        truth = lesson_truth(said, state, (after, reply), context.moment)
        ran = lesson_ran(heard, transcript, reply, stages.tts(reply.text, rng))
        record = trace(ran, context, stages.versions(), Reaction("done"), self._prompt)
        goal = f"{self._name}-g{self._goals}"
        record |= {
            "turn_id": turn_id,
            "dialogue_id": self._name,
            "turn_index": len(self.turns),
            "user_id": self._user_id,
        }
        gold = truth.pop("gold") | {"goal_id": goal.rpartition("-")[2]}
        if self._annotator:
            record["gold"] = gold | {"annotator": self._annotator}
        truth |= {"turn_id": turn_id, "dialogue_id": self._name, "goal": goal, "gold": gold}
        self.turns.append(Simulated(context.moment.astimezone(UTC), record, truth))
        self._prompt = (reply.text, ())
        self._moment += timedelta(milliseconds=round(ran.response_at_ms + length_ms(reply.text)))
        return after, reply

    def _context(self, device: Device, moment: datetime) -> Context:
        return Context(
            device=device,
            locale=self._home.locale,
            moment=moment,
            home=self._home.things,
            town=self._home.town,
            before=self._before,
            prompt=self._prompt[0],
            user=self._user_id,
        )

    def _run(self, sound: Sound, context: Context, rng: np.random.Generator) -> Ran | None:
        """What all stages make of a sound; None if it does not wake the assistant."""
        stages = self._sim.stages(context.moment)
        heard = stages.wake(sound, context, rng)
        if not heard.fired:
            return None
        transcript = stages.asr(sound, context, rng)
        understood = stages.nlu(transcript.text, context)
        resolved = stages.er(understood.frame, context)
        outcome = stages.result(understood.frame, resolved.entities, context)
        spoken_ms = stages.tts(outcome.response, rng)
        return Ran(heard, transcript, understood, resolved, outcome, spoken_ms)

    def _simulated(
        self,
        ran: Ran,
        meant: Meant,
        context: Context,
        reaction: Reaction,
        turn: tuple[str, int, str, int, Style],
        sound: Sound,
    ) -> Simulated:
        """The record of a turn and the truth; `turn`: dialogue, index, goal, tries and style."""
        name, index, goal, tries, style = turn
        stages = self._sim.stages(context.moment)
        truth = judge(meant, _logged(ran), context, stages)
        record = trace(ran, context, stages.versions(), reaction, self._prompt)
        record |= {
            "turn_id": f"{name}-{index}",
            "dialogue_id": name,
            "turn_index": index,
            "user_id": self._user_id,
        }
        goal_id = goal.rpartition("-")[2]
        if self._annotator:
            record["gold"] = gold(meant, truth, self._annotator) | {"goal_id": goal_id}
        outcome = ran.outcome
        done = outcome.status == "ok" and not outcome.action.startswith("ask_")
        truth_record = {
            "turn_id": f"{name}-{index}",
            "dialogue_id": name,
            "failure_point": truth.failure_point,
            "unsupported": not meant.supported,
            "goal": goal,
            "tries": tries,
            "style": style if meant.addressed else "",
            "source": sound.source,
            "gold": gold(meant, truth) | {"goal_id": goal_id},
            "satisfied": bool(truth.right and meant.supported and done),
        }
        return Simulated(context.moment.astimezone(UTC), record, truth_record)

    def _hear_elsewhere(self, sound: Sound, request: tuple[Goal, Utterance]) -> None:
        """The same request on another device of the home, which nobody reacts to."""
        second = second_device(self._home, self._device, sound, f"{self._name}-0")
        if second is None:
            return
        device, there, delay_ms, rng = second
        moment = self._moment + timedelta(milliseconds=delay_ms)
        context = self._context(device_at(self._home, device, moment, rng), moment)
        ran = self._run(there, context, rng)
        if ran is not None:
            meant = self._meant(there, request, context)
            # A dialogue of its own.
            plain: Style = "plain"
            turn = (f"{self._name}b", 0, f"{self._name}b-g1", 1, plain)
            self.elsewhere = self._simulated(ran, meant, context, Reaction("done"), turn, there)

    def _wait(self, seconds: float) -> None:
        """Let time pass, in whole milliseconds, as in logs."""
        self._moment += timedelta(milliseconds=round(1000 * seconds))

    def _meant(
        self, sound: Sound, request: tuple[Goal, Utterance] | None, context: Context
    ) -> Meant:
        if request is None:
            return Meant(addressed=False, transcript=" ".join(sound.words))
        goal, utterance = request
        kept, before = self._kept_slots(goal, utterance.slots)
        slots = utterance.slots + kept
        names = {name for name, _ in utterance.slots}
        entities = before | {slot: item for slot, item in goal.entities.items() if slot in names}
        ideal = self._sim.assembly.flawless.ideal(goal.intent, slots, entities, context)
        frame = Frame(INTENTS[goal.intent].domain, goal.intent, 1.0, slots)
        return Meant(True, utterance.text, frame, entities, ideal, goal.supported)

    def _reaction(self, meant: Meant, logged: Logged, tries: int, asked: bool) -> Reaction:
        outcome = logged.outcome
        if meant.ideal is None:
            return Reaction("done", terminated=bool(self._rng.random() < 0.1))
        wrong = ""
        if not same_outcome(outcome, meant.ideal):
            similar = outcome.action == meant.ideal.action and outcome.status == "ok"
            failed = outcome.status != "ok" or outcome.action.startswith("ask_")
            wrong = "failed" if failed else "similar" if similar else "other"
        elif outcome.status == "error" or outcome.action.startswith("ask_"):
            # Correct, since it cannot be done here or lacks a slot; but the user is not satisfied.
            wrong = "failed"
        declined = outcome.status == "unsupported"
        response_ms = length_ms(outcome.response)
        experience = Experience(wrong, declined, tries, asked, response_ms)
        return react(self._user, experience, self._rng)
