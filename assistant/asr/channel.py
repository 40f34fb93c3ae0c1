"""From spoken words to the features that the recogniser's front end extracts.

Words become phones in the speaker's accent, and phones become noisy points in articulatory space.
Hurried and unstressed sounds are deleted, and noises are inserted. The recogniser sees nothing but
the resulting points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from assistant.asr.lexicon import known, spoken
from assistant.asr.phones import (
    PHONES,
    SPACE,
    VOWELS,
    indices,
)
from assistant.stages import Sound

Array = NDArray[np.float64]

# Words that are usually unstressed.
_WEAK = """
a an the to of in on at for and or is are it its my me you your please can could would will do does
i i'd i'm some that this with from by be what's there
"""
WEAK = frozenset(_WEAK.split())
_SCHWA = PHONES.index("A")
_FULL = np.array([phone in VOWELS and phone != "A" for phone in PHONES])


@dataclass(frozen=True, slots=True)
class Channel:
    """Room, microphone and front end.

    Attributes
    ----------
    level: scale of all distortion; 0 is a perfect channel.
    noise: standard deviation of the noise in articulatory space, in good conditions.
    voice: standard deviation of the speaker's own offset, constant within an utterance.
    swallowed: probability that an unstressed word is not spoken at all.
    deletion, insertion: probability that a phone is missed, or that a noise is taken for one.
    cut: probability that the endpointer cuts off the last word or words.
    far_field: what a metre of distance adds to the noise on far-field devices, per accent; the
        entry ``""`` is the default. A front end that has lost its adaptation to an accent's rooms
        has a higher value there.
    """

    level: float = 1.0
    noise: float = 0.23
    voice: float = 0.11
    deletion: float = 0.016
    insertion: float = 0.012
    swallowed: float = 0.03
    cut: float = 0.04
    far_field: Mapping[str, float] = field(default_factory=lambda: {"": 0.06})


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """An utterance as the recogniser gets it: one point per segment, and the endpointer's decision.

    Attributes
    ----------
    points: (segments, dimensions of `SPACE`). snr_db: the front end's estimate.
    endpoint: `endpoint_of`. seconds: how long the microphone was open.
    """

    points: Array
    snr_db: float
    endpoint: str
    seconds: float


@cache
def _pronunciations(word: str, locale: str) -> tuple[NDArray[np.int64], ...]:
    return tuple(indices(phones) for phones in spoken(word, locale))


@cache
def _rare(word: str) -> bool:
    return not known(word)


def endpoint_of(sound: Sound, rng: np.random.Generator) -> str:
    """Why the microphone closes, ``silence`` or ``timeout``: loud rooms never fall silent."""
    snr = sound.snr_db + 4.0 * sound.loudness
    if rng.random() < min(0.5, max(0.0, 0.45 - 0.05 * snr)) * (snr < 6.0):
        return "timeout"
    return "silence"


def listen(sound: Sound, channel: Channel, rng: np.random.Generator) -> Observed:
    """Pass `sound` through `channel`; the same `rng` state gives the same result."""
    # A raised voice stands out from the noise.
    snr = sound.snr_db + 4.0 * sound.loudness
    words = sound.words
    endpoint = endpoint_of(sound, rng)
    if len(words) > 3 and rng.random() < channel.cut * channel.level:
        words = words[: -int(rng.integers(1, min(4, len(words) - 1)))]

    swallowed = channel.swallowed * channel.level * (max(sound.rate, 0.5) / 2.8) ** 1.5
    if swallowed:
        omitted = rng.random(len(words)) < swallowed
        words = tuple(
            word for word, omit in zip(words, omitted, strict=True) if not (omit and word in WEAK)
        )

    ids: list[NDArray[np.int64]] = []
    weak: list[NDArray[np.float64]] = []
    for word in words:
        variants = _pronunciations(word, sound.accent)
        variant = variants[0]
        if len(variants) > 1 and rng.random() >= 0.7:
            variant = variants[rng.integers(len(variants))]
        ids.append(variant)
        strength = 2.2 if word in WEAK else 1.6 if _rare(word) else 1.0
        weak.append(np.full(len(variant), strength))
    phones = np.concatenate(ids) if ids else np.zeros(0, np.int64)
    weakness = np.concatenate(weak) if weak else np.zeros(0)
    hurry = max(sound.rate, 0.5) / 2.8

    room = 1.0
    if sound.far_field:
        per_metre = channel.far_field.get(sound.accent, channel.far_field.get("", 0.0))
        room += per_metre * sound.distance_m
    quality = 0.6 + 10.0 ** ((6.0 - snr) / 20.0)
    fluctuation = float(np.exp(rng.normal(0.0, 0.25)))
    deviation = channel.level * channel.noise * quality * room * fluctuation * hurry**0.5

    # Unstressed vowels are often reduced to a schwa.
    unstressed = (weakness == 2.2) & _FULL[phones] & (rng.random(len(phones)) < 0.3)
    phones = np.where(unstressed, _SCHWA, phones)
    keep = rng.random(len(phones)) >= np.minimum(
        channel.deletion * channel.level * weakness * hurry**1.5 * quality * room, 0.6
    )
    phones, weakness = phones[keep], weakness[keep]
    deviations = deviation * weakness**0.3
    if len(phones) and rng.random() < 0.12:
        # A sudden noise: a stretch of the request is much worse than the rest.
        begin = int(rng.integers(len(phones)))
        deviations[begin : begin + int(rng.integers(2, 7))] *= 2.2
    voice = rng.normal(size=SPACE.shape[1]) * channel.level * channel.voice
    noise = rng.normal(size=(len(phones), SPACE.shape[1])) * deviations[:, None]
    points = SPACE[phones] + voice + noise

    chance = min(channel.insertion * channel.level * quality * room, 0.3)
    inserted = np.flatnonzero(rng.random(len(phones) + 1) < chance)
    if endpoint == "timeout":
        # The microphone stayed open and recorded the room's noise.
        inserted = np.concatenate((inserted, np.full(int(rng.integers(1, 6)), len(phones))))
    if len(inserted):
        noises = SPACE[rng.integers(len(PHONES), size=len(inserted))]
        noises = noises + rng.normal(size=noises.shape) * 0.5
        points = np.insert(points, inserted, noises, axis=0)
    pause = 4.0 if endpoint == "timeout" else 0.75
    return Observed(
        points=points,
        snr_db=float(snr + rng.normal(0.0, 2.0)),
        endpoint=endpoint,
        seconds=len(words) / max(sound.rate, 0.5) + 0.35 + pause * float(rng.uniform(0.8, 1.2)),
    )
