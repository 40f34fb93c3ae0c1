"""Homes in which a second device hears some requests, and answers them as well.

Nothing here draws from the generator of the dialogue: the other turns of a seed are the same with
and without second devices.
"""

from __future__ import annotations

from dataclasses import replace
from zlib import crc32

import numpy as np

from assistant.stages import Device, Sound
from assistant.world import Home

# Share of the homes, among those with several devices, whose rooms are open to each other.
OPEN_HOMES = 0.3
# How often the second device hears what begins a dialogue in such a home.
HEARD_TWICE = 0.3
# The second device wakes up to so many milliseconds after the first.
_LATEST_MS = 1200


def second_device(
    home: Home, device: Device, sound: Sound, turn_id: str
) -> tuple[Device, Sound, int, np.random.Generator] | None:
    """Another device of the home that hears a sound, if one does.

    Returns the device without its state, the sound as it arrives there, how much later it wakes
    (ms), and the generator for what else happens there.
    """
    if not device.far_field or crc32(home.id.encode()) % 1000 >= 1000 * OPEN_HOMES:
        return None
    others = [other for other in home.devices if other.far_field and other.id != device.id]
    rng = np.random.default_rng([crc32(turn_id.encode()), 46])
    if not others or rng.random() >= HEARD_TWICE:
        return None
    other = others[int(rng.random() * len(others))]
    farther = float(rng.uniform(0.5, 3.0))
    there = replace(
        sound,
        snr_db=sound.snr_db - 1.2 * farther + float(rng.normal(0.0, 1.0)),
        distance_m=sound.distance_m + farther,
        far_field=True,
    )
    # Most devices of a home wake within milliseconds of each other.
    delay = min(float(rng.exponential(250.0)), _LATEST_MS)
    return other, there, round(delay), rng
