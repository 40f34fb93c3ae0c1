"""The stages of the assistant: their inputs and outputs, and what a replacement must offer.

Every stage is a callable with a `version`. It gets the output of the stage before and, if it is
random, a seeded generator; it never sees the truth. A replacement is any callable with the same
signature (`docs/assistant.md` shows one for each stage).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import numpy as np

LOCALES = ("en-US", "en-GB", "en-IN", "en-AU")
# Where a sound comes from; only the user speaks to the assistant.
SOURCES = ("user", "television", "side_talk")


@dataclass(frozen=True, slots=True)
class Entity:
    """Something that a request can be about.

    Attributes
    ----------
    kind: ``song``, ``artist``, ``film``, ``series``, ``audiobook``, ``town``, ``place``, … : the
        kinds that `assistant.intents.intents` asks for.
    popularity: share of the requests for this kind, relative to its most popular one, in (0, 1].
    facts: whatever else the catalogue knows: ``artist``, ``region``, ``regions`` (where it may be
        played), ``edition``, ``answer`` …
    """

    id: str
    kind: str
    name: str
    aliases: tuple[str, ...] = ()
    popularity: float = 1.0
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Device:
    """A device that listens. `state`: its own and of the room's appliances (``oven: on``)."""

    id: str
    type: str  # speaker, display, tv, phone, car
    room: str
    has_screen: bool
    far_field: bool
    near_television: bool
    state: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Context:
    """What the assistant knows of the situation when a request arrives.

    Attributes
    ----------
    home: entities of this household: its contacts, lamps, rooms, lists.
    town: id of the household's town.
    before: NLU's frame of the previous turn of the dialogue, if there is one.
    prompt: what the assistant said last in this dialogue.
    user: whom the device takes the speaker for, as logged; "" if it does not know.
    """

    device: Device
    locale: str
    moment: datetime
    home: tuple[Entity, ...] = ()
    town: str = ""
    before: Frame | None = None
    prompt: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class Sound:
    """What reaches the microphones.

    Attributes
    ----------
    words: what was really said, in lower case, without punctuation.
    phrase: the wake phrase, or whatever was said that sounds like it.
    snr_db: signal-to-noise ratio at the device. loudness: 0 normal, 1 clearly raised.
    rate: words per second. accent: a locale; how the words are pronounced.
    distance_m: from mouth to device.
    """

    words: tuple[str, ...]
    source: str
    accent: str
    snr_db: float
    rate: float
    distance_m: float
    far_field: bool
    phrase: str = "hey juno"
    loudness: float = 0.0


@dataclass(frozen=True, slots=True)
class Heard:
    """Output of the wake stage: it fires when `score` reaches `threshold`."""

    score: float
    threshold: float
    phrase: str
    latency_ms: float
    signals: Mapping[str, float]

    @property
    def fired(self) -> bool:
        return self.score >= self.threshold


@dataclass(frozen=True, slots=True)
class Transcript:
    """ASR's n-best list, best first: (text, posterior). `endpoint`: why it stopped listening."""

    hypotheses: tuple[tuple[str, float], ...]
    audio_ms: float
    endpoint: str
    latency_ms: float
    signals: Mapping[str, float]

    @property
    def text(self) -> str:
        return self.hypotheses[0][0] if self.hypotheses else ""


@dataclass(frozen=True, slots=True)
class Frame:
    """A hypothesis of NLU: domain, intent, and slot values in the words of the text.

    `intent` is "" if NLU understood nothing. Slot values are surface words ("twenty minutes",
    "hunger games"), in the order of the text.
    """

    domain: str
    intent: str
    confidence: float = 1.0
    slots: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Understood:
    """NLU's n-best list, best first."""

    hypotheses: tuple[Frame, ...]
    latency_ms: float
    signals: Mapping[str, float]

    @property
    def frame(self) -> Frame:
        return self.hypotheses[0] if self.hypotheses else Frame("", "")


@dataclass(frozen=True, slots=True)
class Candidate:
    id: str
    name: str
    score: float


@dataclass(frozen=True, slots=True)
class Mention:
    """A slot that names an entity, and its candidates, best first; none if it is unresolved."""

    slot: str
    text: str
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Resolved:
    """Mentions with candidates. `entities` go to the result stage: the best of each mention."""

    mentions: tuple[Mention, ...]
    latency_ms: float
    signals: Mapping[str, float]

    @property
    def entities(self) -> dict[str, str]:
        return {m.slot: m.candidates[0].id for m in self.mentions if m.candidates}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the assistant did.

    Attributes
    ----------
    action: what was carried out, e.g. ``play_audiobook``. items: ids of the entities involved (what
        plays, which lamp, which town's weather): the outcome is correct if action, status, items
        and cause are.
    status: ``ok``, ``error``, ``no_match``, ``unsupported``. cause: why it is not ``ok``
        (``timeout``, ``no_screen`` …), since one error is not as good as another; not logged.
    acts: dialogue acts of the response; ``request SLOT`` when it asks for a slot.
    """

    action: str
    status: str
    response: str
    items: tuple[str, ...]
    latency_ms: float
    signals: Mapping[str, float]
    acts: tuple[str, ...] = ()
    cause: str = ""


class WakeStage(Protocol):
    version: str

    def __call__(self, sound: Sound, context: Context, rng: np.random.Generator) -> Heard: ...


class AsrStage(Protocol):
    version: str

    def __call__(self, sound: Sound, context: Context, rng: np.random.Generator) -> Transcript: ...


class NluStage(Protocol):
    """Deterministic, as replays require: the same answer for the same text and context."""

    version: str

    def __call__(self, text: str, context: Context) -> Understood: ...


class ErStage(Protocol):
    """Deterministic, as `NluStage`."""

    version: str

    def __call__(self, frame: Frame, context: Context) -> Resolved: ...


class ResultStage(Protocol):
    """Deterministic given the moment: what is down at `context.moment` is down in a replay, too."""

    version: str

    def __call__(self, frame: Frame, entities: Mapping[str, str], context: Context) -> Outcome: ...


class TtsStage(Protocol):
    version: str

    def __call__(self, response: str, rng: np.random.Generator) -> float:
        """Milliseconds until the first sound."""
        ...


@dataclass(frozen=True, slots=True)
class Stages:
    """One release of the whole assistant."""

    wake: WakeStage
    asr: AsrStage
    nlu: NluStage
    er: ErStage
    result: ResultStage
    tts: TtsStage

    def versions(self) -> dict[str, str]:
        return {name: getattr(self, name).version for name in self.__slots__}
