"""From spoken words to what the recogniser's front end makes of them.

Words become phones with the speaker's accent, phones become points of articulatory space with noise
added; hurried and unstressed sounds go missing, noises turn up that nobody made. What comes out is
the only thing that a recogniser sees.
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

# Words that are said without stress.
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
    level: how much is garbled overall; everything grows with it, 0 is a perfect channel.
    noise: deviation of the noise in articulatory space, in good conditions.
    voice: deviation of what a voice has of its own on the day, the same in the whole utterance.
    swallowed: probability that an unstressed word is not said at all.
    lost, added: probability that a phone goes missing, or that one is heard in between.
    cut: probability that the endpointer cuts the request's last word or words off.
    far_field: what a metre of distance adds to the noise on far-field devices, per accent; the
        entry ``""`` holds for accents that have none. A front end that has lost its adaptation to
        an accent's rooms has a higher value there.
    """

    level: float = 1.0
    noise: float = 0.23
    voice: float = 0.11
    lost: float = 0.016
    added: float = 0.012
    swallowed: float = 0.03
    cut: float = 0.04
    far_field: Mapping[str, float] = field(default_factory=lambda: {"": 0.06})


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """What is left of an utterance: one point per segment, and what the endpointer did.

    `snr_db` is the front end's estimate.
    """

    points: Array
    snr_db: float
    endpoint: str
    seconds: float


@cache
def _ways(word: str, locale: str) -> tuple[NDArray[np.int64], ...]:
    return tuple(indices(phones) for phones in spoken(word, locale))


@cache
def _rare(word: str) -> bool:
    return not known(word)


def endpoint_of(sound: Sound, rng: np.random.Generator) -> str:
    """Why the microphone closes: in loud rooms the silence that it waits for does not come."""
    snr = sound.snr_db + 4.0 * sound.loudness
    if rng.random() < min(0.5, max(0.0, 0.45 - 0.05 * snr)) * (snr < 6.0):
        return "timeout"
    return "silence"


def listen(sound: Sound, channel: Channel, rng: np.random.Generator) -> Observed:
    """Pass `sound` through `channel`."""
    # A raised voice stands out of the noise.
    snr = sound.snr_db + 4.0 * sound.loudness
    words = sound.words
    endpoint = endpoint_of(sound, rng)
    if len(words) > 3 and rng.random() < channel.cut * channel.level:
        words = words[: -int(rng.integers(1, min(4, len(words) - 1)))]

    swallowed = channel.swallowed * channel.level * (max(sound.rate, 0.5) / 2.8) ** 1.5
    if swallowed:
        gone = rng.random(len(words)) < swallowed
        words = tuple(w for w, out in zip(words, gone, strict=True) if not (out and w in WEAK))

    ids: list[NDArray[np.int64]] = []
    weak: list[NDArray[np.float64]] = []
    for word in words:
        ways = _ways(word, sound.accent)
        way = ways[0] if len(ways) == 1 or rng.random() < 0.7 else ways[rng.integers(len(ways))]
        ids.append(way)
        strength = 2.2 if word in WEAK else 1.6 if _rare(word) else 1.0
        weak.append(np.full(len(way), strength))
    phones = np.concatenate(ids) if ids else np.zeros(0, np.int64)
    weakness = np.concatenate(weak) if weak else np.zeros(0)
    hurry = max(sound.rate, 0.5) / 2.8

    room = 1.0
    if sound.far_field:
        per_metre = channel.far_field.get(sound.accent, channel.far_field.get("", 0.0))
        room += per_metre * sound.distance_m
    quality = 0.6 + 10.0 ** ((6.0 - snr) / 20.0)
    trouble = float(np.exp(rng.normal(0.0, 0.25)))
    deviation = channel.level * channel.noise * quality * room * trouble * hurry**0.5

    # Speech is quickest and softest where it says least.
    unstressed = (weakness == 2.2) & _FULL[phones] & (rng.random(len(phones)) < 0.3)
    phones = np.where(unstressed, _SCHWA, phones)
    keep = rng.random(len(phones)) >= np.minimum(
        channel.lost * channel.level * weakness * hurry**1.5 * quality * room, 0.6
    )
    phones, weakness = phones[keep], weakness[keep]
    each = deviation * weakness**0.3
    if len(phones) and rng.random() < 0.12:
        # Something falls over: a stretch of the request is much worse than the rest.
        at = int(rng.integers(len(phones)))
        each[at : at + int(rng.integers(2, 7))] *= 2.2
    voice = rng.normal(size=SPACE.shape[1]) * channel.level * channel.voice
    points = SPACE[phones] + voice + rng.normal(size=(len(phones), SPACE.shape[1])) * each[:, None]

    chance = min(channel.added * channel.level * quality * room, 0.3)
    places = np.flatnonzero(rng.random(len(phones) + 1) < chance)
    if endpoint == "timeout":
        # The microphone stayed open for the room's noise.
        places = np.concatenate((places, np.full(int(rng.integers(1, 6)), len(phones))))
    if len(places):
        noises = SPACE[rng.integers(len(PHONES), size=len(places))]
        noises = noises + rng.normal(size=noises.shape) * 0.5
        points = np.insert(points, places, noises, axis=0)
    pause = 4.0 if endpoint == "timeout" else 0.75
    return Observed(
        points=points,
        snr_db=float(snr + rng.normal(0.0, 2.0)),
        endpoint=endpoint,
        seconds=len(words) / max(sound.rate, 0.5) + 0.35 + pause * float(rng.uniform(0.8, 1.2)),
    )
