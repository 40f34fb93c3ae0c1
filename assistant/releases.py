"""Which version of each component was live when, and what went wrong with some of them.

Releases come at fixed shares of the period. Four of them and one outage are incidents: real changes
of a component's settings, training data or catalogue, which show only in its output.
`Timeline.incidents` describes them, to check whether an analysis finds them.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from assistant.asr.recogniser import (
    Recogniser,
    build_recogniser,
    release,
)
from assistant.asr.search import Settings
from assistant.asr.training_text import text_for_asr
from assistant.er.resolver import Resolver
from assistant.language.wording import CORRECTIONS, examples, examples_in_context
from assistant.nlu.gazetteer import Gazetteer
from assistant.nlu.nlu import Nlu
from assistant.nlu.train import Damage, situated, train_nlu
from assistant.result.fulfilment import Fulfilment, Outage
from assistant.stages import Context, Sound, Stages
from assistant.teachers import sentences as taught_sentences
from assistant.tts import Tts
from assistant.wake import Wake
from assistant.world import World
from data.errors import UsageError

# How much the audio channel garbles: with this level, 85 to 90 % of all turns are correct.
LEVEL = 0.18
# So little noise suits an acoustic model that trusts the sound, and the names of the household.
_TUNED = Settings(deviation=0.36, at_home=2.0)
# Training sentences for NLU and for the language model of ASR.
NLU_SENTENCES = 16_000
ASR_SENTENCES = 25_000


@dataclass(frozen=True, slots=True)
class Release:
    """A version of a component, live from a share of the period on.

    `settings`: the component's settings other than its defaults. `incident`: id of the planted
    incident that it brings, if any.
    """

    stage: str
    version: str
    since: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    incident: str | None = None


_CONFUSED = (
    Damage("PlayAudiobook", "PlayVideo", 0.75),
    Damage("ResumeAudiobook", "ResumeVideo", 0.75),
)
# How often back ends fail the result stage.
_BACK_ENDS = {"timeouts": 0.007, "stale": 0.008, "unreachable": 0.015}
RELEASES: tuple[Release, ...] = (
    Release("wake", "wake-3.2", 0.0),
    Release("wake", "wake-3.3", 0.61, {"television_bias": 0.6}, "wake-television"),
    Release("wake", "wake-3.4", 0.69, {"television_bias": -2.9}),
    Release("asr", "asr-4.1", 0.0),
    Release("asr", "asr-4.2", 0.18, {"far_field": {"en-GB": 2.4}}, "asr-far-field-en-gb"),
    Release("asr", "asr-4.3", 0.30),
    Release("asr", "asr-4.4", 0.80),
    Release("nlu", "nlu-7.0", 0.0),
    Release("nlu", "nlu-7.1", 0.40, {"without": _CONFUSED}, "nlu-audiobook-video"),
    Release("nlu", "nlu-7.2", 0.51),
    Release("er", "er-3.0", 0.0),
    Release("er", "er-3.1", 0.74, {"aliases": False}, "er-aliases"),
    Release("er", "er-3.2", 0.83),
    Release("result", "result-5.0", 0.0, _BACK_ENDS),
    Release("result", "result-5.1", 0.35, _BACK_ENDS),
    Release("result", "result-5.2", 0.70, _BACK_ENDS),
    Release("tts", "tts-2.0", 0.0),
    Release("tts", "tts-2.1", 0.55, {"base_ms": 80.0}),
)
# The share of the period at which the outage begins; it lasts two days, or less in a short period.
OUTAGE_SINCE = 0.90
OUTAGE_LONGEST = timedelta(days=2)
_FAR_FIELD = ("speaker", "display", "tv")


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that went wrong with a component for a while.

    Attributes
    ----------
    kind: ``release``, ``import`` or ``outage``. version: "" where no release is to blame.
    where: the turns concerned, as values of the columns of `data.schema.tables.PREDICTIONS` that
        the dashboard filters by (``locale``, ``device_type``, ``domain`` …); {} for all turns. The
        values are those that were logged, right or wrong.
    failure_point: the class whose share rises there.
    """

    id: str
    stage: str
    kind: str
    version: str
    start: datetime
    end: datetime
    where: Mapping[str, tuple[str, ...]]
    failure_point: str
    description: str

    def record(self) -> dict[str, Any]:
        """As values that JSON has."""
        record = asdict(self)
        return {
            **record,
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "where": {column: list(values) for column, values in self.where.items()},
        }


@dataclass(frozen=True, slots=True)
class _Fault:
    """An incident without its time."""

    kind: str
    where: Mapping[str, tuple[str, ...]]
    failure_point: str
    description: str


_PLANTED: Mapping[str, _Fault] = {
    "asr-far-field-en-gb": _Fault(
        "release", {"locale": ("en-GB",), "device_type": _FAR_FIELD}, "asr",
        "An ASR release lost its adaptation to British speakers at a distance from the device.",
    ),
    "nlu-audiobook-video": _Fault(
        # The wrong domain, and the right domain of the requests that are not affected.
        "release", {"domain": ("books", "video")}, "nlu",
        "An NLU release was trained with audiobook requests labelled as video requests.",
    ),
    "wake-television": _Fault(
        "release", {"device_type": _FAR_FIELD}, "false_wake",
        "A wake model was trained without televisions in the background, which phones and cars "
        "never have.",
    ),
    "er-aliases": _Fault(
        "import", {"domain": ("music", "radio", "sport")}, "er",
        "A catalogue import dropped the nicknames of artists, songs, stations and teams.",
    ),
}  # fmt: skip
# Releases of the stages that a timeline has no release of.
_FIRST = {entry.stage: entry for entry in reversed(RELEASES)}


class Timeline:
    """The releases of a period; stages without one run the first of `RELEASES`.

    Attributes
    ----------
    incidents: its incidents, in order of time.

    Raises
    ------
    UsageError: a release with an unknown stage or incident, or two with the same stage and version.
    """

    def __init__(self, start: datetime, days: int, releases: Sequence[Release] = RELEASES) -> None:
        self.start = start
        self.period = timedelta(days=days)
        _check(releases)
        in_order = sorted(releases, key=lambda entry: entry.since)
        self._releases = {
            stage: [entry for entry in in_order if entry.stage == stage] or [_FIRST[stage]]
            for stage in Stages.__slots__
        }
        self._since = {
            stage: [(self._at(entry.since), entry) for entry in entries]
            for stage, entries in self._releases.items()
        }
        begin = self._at(OUTAGE_SINCE)
        self.outage = Outage(
            begin, begin + min(OUTAGE_LONGEST, self.period / 20), "display", (), 0.6
        )
        self.incidents = self._incidents()

    def live(self, stage: str, moment: datetime) -> Release:
        """The release of a stage that is live at a moment; the first one before the start."""
        live = self._releases[stage][0]
        for since, entry in self._since[stage]:
            if since <= moment:
                live = entry
        return live

    def of(self, stage: str) -> tuple[Release, ...]:
        """All releases of a stage, the first one first."""
        return tuple(self._releases[stage])

    def _at(self, share: float) -> datetime:
        # Whole hours: nobody releases at 03:17:42.5.
        hours = round(share * self.period / timedelta(hours=1))
        return self.start + timedelta(hours=hours)

    def _incidents(self) -> tuple[Incident, ...]:
        incidents = [
            Incident(
                "result-display-outage", "result", "outage", "",
                self.outage.start, self.outage.end, {"device_type": ("display",)}, "result",
                "The back end for displays failed most requests.",
            )
        ]  # fmt: skip
        for stage, entries in self._releases.items():
            ends = [self._at(entry.since) for entry in entries[1:]] + [self.start + self.period]
            for entry, end in zip(entries, ends, strict=True):
                if entry.incident is not None:
                    fault = _PLANTED[entry.incident]
                    incidents.append(
                        Incident(
                            entry.incident, stage, fault.kind, entry.version,
                            self._at(entry.since), end, fault.where, fault.failure_point,
                            fault.description,
                        )
                    )  # fmt: skip
        return tuple(sorted(incidents, key=lambda incident: incident.start))


def _check(releases: Sequence[Release]) -> None:
    versions: set[tuple[str, str]] = set()
    for entry in releases:
        if entry.stage not in _FIRST:
            raise UsageError(
                f"The release {entry.version} is of the stage '{entry.stage}'; "
                f"there are {', '.join(Stages.__slots__)}."
            )
        if entry.incident is not None and entry.incident not in _PLANTED:
            raise UsageError(
                f"The release {entry.version} names the incident '{entry.incident}'; "
                f"there are {', '.join(_PLANTED)}."
            )
        if (entry.stage, entry.version) in versions:
            raise UsageError(
                f"There are two releases {entry.version} of {entry.stage}; rename one."
            )
        versions.add((entry.stage, entry.version))


# The components that take seconds to train; the others are variants of them.
PARTS = ("asr", "nlu")


def train_part(
    part: str,
    world: World,
    timeline: Timeline,
    seed: int,
    level: float,
    *,
    teaching: bool = False,
) -> bytes:
    """Train one of `PARTS` for `Assembly`; returns it pickled, for other processes.

    `teaching`: whether ASR expects what people say to teach, too.
    """
    if part == "asr":
        return pickle.dumps(_train_asr(world, seed, level, teaching))
    return pickle.dumps(_train_nlus(world, timeline, seed))


def _train_asr(world: World, seed: int, level: float, teaching: bool) -> Recogniser:
    rng = np.random.default_rng([seed, 31])
    sentences = examples(world.catalogue, rng, ASR_SENTENCES)
    things = {
        (thing.kind, thing.name, thing.aliases): thing
        for home in world.homes
        for thing in home.things
    }
    entities = [*world.catalogue.entities, *things.values()]
    text = text_for_asr(sentences, entities, rng)
    # Corrections after a misunderstanding, which the examples lack.
    text += [
        (*CORRECTIONS[index % len(CORRECTIONS)].split(), *utterance.words)
        for index, (utterance, _) in enumerate(sentences[: ASR_SENTENCES // 12])
    ]
    if teaching:
        text += taught_sentences(
            [utterance.words for utterance, _ in sentences[: ASR_SENTENCES // 12]]
        )
    recogniser = build_recogniser(text, version="asr-4.1", level=level, settings=_TUNED)
    _warm_up(recogniser, world, rng)
    return recogniser


def _warm_up(recogniser: Recogniser, world: World, rng: np.random.Generator) -> None:
    """Compile the search here, once, and not in every process that simulates."""
    home = world.homes[0]
    moment = datetime(2026, 3, 2, tzinfo=UTC)
    context = Context(home.devices[0], home.locale, moment, home.things, home.town)
    recogniser(Sound(("hello",), "user", home.locale, 20.0, 2.5, 1.0, False), context, rng)


def _train_nlus(world: World, timeline: Timeline, seed: int) -> dict[str, Nlu]:
    """One NLU per kind of training; the tagger is trained once."""
    rng = np.random.default_rng([seed, 32])
    gazetteer = Gazetteer(world.catalogue.by_id.values())
    sentences = situated(examples_in_context(world.catalogue, rng, NLU_SENTENCES), gazetteer, rng)
    trained: dict[str, Nlu] = {}
    by_settings: dict[str, Nlu] = {}
    tagger = None
    for entry in timeline.of("nlu"):
        settings = repr(sorted(entry.settings.items()))
        if settings not in by_settings:
            by_settings[settings] = train_nlu(
                sentences,
                seed,
                entry.version,
                catalogue=world.catalogue,
                tagger=tagger,
                **entry.settings,
            )
        nlu = copy(by_settings[settings])
        nlu.version = entry.version
        tagger = tagger or nlu.tagger
        trained[entry.version] = nlu
    return trained


class Assembly:
    """Builds the stages that are live at any moment.

    Attributes
    ----------
    flawless: a result stage without faults, which knows the correct outcome.
    """

    def __init__(self, world: World, timeline: Timeline, parts: Mapping[str, bytes]) -> None:
        self.timeline = timeline
        self.flawless = Fulfilment(world.catalogue, "ideal")
        self._world = world
        self._asr: Recogniser = pickle.loads(parts["asr"])
        self._nlus: dict[str, Nlu] = pickle.loads(parts["nlu"])
        self._built: dict[tuple[str, str], Any] = {}
        self._stages: dict[tuple[str, ...], Stages] = {}

    def at(self, moment: datetime) -> Stages:
        """The stages that are live at a moment."""
        live = [self.timeline.live(stage, moment) for stage in Stages.__slots__]
        versions = tuple(entry.version for entry in live)
        if versions not in self._stages:
            self._stages[versions] = Stages(*map(self._stage, live))
        return self._stages[versions]

    def _stage(self, entry: Release) -> Any:
        key = (entry.stage, entry.version)
        if key not in self._built:
            self._built[key] = self._build(entry)
        return self._built[key]

    def _build(self, entry: Release) -> Any:
        settings = dict(entry.settings)
        catalogue = self._world.catalogue
        if entry.stage == "wake":
            return Wake(entry.version, **settings)
        if entry.stage == "asr":
            return release(self._asr, entry.version, **settings)
        if entry.stage == "nlu":
            return self._nlus[entry.version]
        if entry.stage == "er":
            aliases = settings.pop("aliases", True)
            return Resolver(
                catalogue if aliases else catalogue.without_aliases(), entry.version, **settings
            )
        if entry.stage == "result":
            return Fulfilment(catalogue, entry.version, outages=(self.timeline.outage,), **settings)
        return Tts(entry.version, **settings)
