"""Users who teach: what they say in a teaching dialogue, and what they expect of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jellyfish import metaphone

from assistant.language.wording import IMPERATIVES as COMMANDS
from labels.rules.normalise import normalise
from labels.teaching.dialogue import Did, Reply, State
from labels.teaching.phrases import meaning_of

_YES = ("yes", "yes", "yes please", "yeah", "that's right", "sure", "correct")
_NO = ("no", "no", "nope", "that's wrong")
# How people say what a phrase means; the last is only for what begins with a command.
_TEACH = (
    "when i say {phrase} i mean {meaning}",
    "when i say {phrase} i mean {meaning}",
    "remember that when i say {phrase} i mean {meaning}",
    "when i say {phrase} {meaning}",
    "when i say {phrase} i want you to {meaning}",
)
_MEAN = ("{meaning}", "{meaning}", "i mean {meaning}")
_CORRECT = ("no i said {meaning}", "no {meaning}", "no i meant {meaning}")
_PREFER = ("my favourite {topic} is {value}", "remember that my favourite {topic} is {value}")
# Turns after which anybody gives up, and how often they begin again at most.
LONGEST, BEGINNINGS = 8, 3


def sentences(examples: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Teaching sentences for the language model of ASR, around examples of requests."""
    made = [tuple(words.split()) for words in (*_YES, *_NO, "never mind", "cancel that")] * 12
    for number, example in enumerate(examples):
        other = examples[(number * 7 + 1) % len(examples)]
        templates = (*_TEACH, *_CORRECT, *_MEAN)
        text = templates[number % len(templates)].format(
            phrase=" ".join(other), meaning=" ".join(example)
        )
        made.append(tuple(text.split()))
    return made


@dataclass(frozen=True, slots=True)
class Said:
    """What a user says in teaching, and what it should lead to.

    `expects`: what the dialogue should do. value: what it should hold for the meaning then; "" if
    that does not matter.
    """

    words: str
    expects: Did
    value: str = ""


@dataclass
class Teacher:
    """A user who teaches what a phrase means, or what they prefer.

    Parameters
    ----------
    phrase: as the assistant hears it; the topic of a preference. meaning: what should be done, or
        is preferred. preference: whether it is one.
    """

    phrase: str
    meaning: str
    rng: np.random.Generator
    preference: bool = False
    said: int = 0
    begun: int = 0

    def opening(self) -> Said | None:
        """Teach without being asked, or begin again; None when they give up."""
        if self.begun >= BEGINNINGS:
            return None
        self.said += 1
        self.begun += 1
        if self.preference:
            words = self._one(_PREFER).format(topic=self.phrase, value=self.meaning)
        else:
            commands = self.meaning.split()[0] in COMMANDS
            words = self._one(_TEACH if commands else _TEACH[:-1])
            words = words.format(phrase=self.phrase, meaning=self.meaning)
        return Said(words, "asked", self.meaning)

    def answer(self, state: State, reply: Reply) -> Said | None:
        """What to say next; None where there is nothing more to say."""
        if reply.did not in ("asked", "offered") or self.said >= LONGEST:
            return None
        self.said += 1
        if state.stage in ("offered", "forgetting"):
            return Said(self._one(_YES), "asked")
        if state.stage == "confirm":
            right = same(state.lesson.value, self.meaning)
            named = same(state.lesson.name, self.phrase)
            if right and named:
                return Said(self._one(_YES), "stored", self.meaning)
            if not named:
                # The phrase cannot be corrected: begin again.
                self.said -= 1
                return self.opening()
            if self.rng.random() < 0.4:
                return Said(self._one(_NO), "asked")
            words = self._one(_CORRECT).format(meaning=self.meaning)
            return Said(words, "asked", self.meaning)
        if state.stage == "meaning":
            return Said(self._one(_MEAN).format(meaning=self.meaning), "asked", self.meaning)
        self.said -= 1
        return self.opening()

    def _one(self, sentences: tuple[str, ...]) -> str:
        return sentences[int(self.rng.random() * len(sentences))]


def as_expected(said: Said, state: State, reply: Reply) -> bool:
    """Whether the dialogue does what the user expects of what they said."""
    if reply.did != said.expects:
        return False
    lesson = reply.lesson or state.lesson
    return not said.value or same(lesson.value, said.value)


def same(value: str, other: str) -> bool:
    """Whether two meanings sound the same when read out, but for courtesies in front."""
    return _sound(value) == _sound(other)


@lru_cache(maxsize=10_000)
def _sound(text: str) -> str:
    words = normalise(meaning_of(text)).split()
    return "".join(metaphone(word) or word for word in words)


def without_fillers(text: str) -> str:
    """What a user says on purpose of what they say: without "uh" and "um"."""
    return " ".join(word for word in text.split() if word not in _FILLERS)


_FILLERS = frozenset(("uh", "um", "er", "hm", "hmm"))
