"""What the hour, the device and its state make likely, and which bare phrases they explain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from assistant.intents.intents import INTENTS
from assistant.stages import Device

# Factors by domain for the parts of a day: night, morning, day, evening.
_HOURS: Mapping[str, tuple[float, float, float, float]] = {
    "music": (0.5, 0.9, 1.2, 1.2),
    "books": (1.5, 0.5, 0.6, 1.5),
    "radio": (0.4, 1.8, 1.0, 0.6),
    "video": (0.5, 0.2, 0.6, 2.2),
    "home": (1.2, 1.0, 0.6, 1.5),
    "weather": (0.5, 2.2, 0.8, 0.8),
    "news": (0.4, 2.2, 0.9, 0.8),
    "sport": (0.3, 0.8, 1.0, 1.5),
    "clock": (1.5, 1.3, 0.8, 1.1),
    "calendar": (0.4, 1.7, 1.1, 0.8),
    "calls": (0.3, 0.8, 1.3, 1.1),
    "places": (0.2, 1.0, 1.5, 0.9),
    "lists": (0.3, 1.0, 1.2, 1.1),
    "other": (0.5, 0.8, 1.1, 1.2),
}
# Factors by (key, value) of the device's state: people talk about what is going on.
_STATES: Mapping[tuple[str, str], Mapping[str, float]] = {
    ("oven", "on"): {
        "OvenTemperature": 22.0, "SetOven": 2.5, "SetTimer": 2.5, "TimeLeft": 2.0,
        "RoomTemperature": 0.4, "GetTemperature": 0.6,
    },
    ("timer", "running"): {"TimeLeft": 8.0, "CancelTimer": 6.0},
    ("alarm", "ringing"): {"CancelAlarm": 8.0, "Stop": 6.0, "GetTime": 2.0},
    ("playing", "music"): {
        "NextTrack": 5.0, "PreviousTrack": 4.0, "WhatIsPlaying": 5.0, "LikeSong": 5.0,
        "PauseMedia": 4.0, "VolumeUp": 3.0, "VolumeDown": 3.0, "SetVolume": 2.5, "Stop": 2.0,
    },
    ("playing", "radio"): {
        "PlayStation": 2.0, "PauseMedia": 3.0, "VolumeUp": 3.0, "VolumeDown": 3.0, "Stop": 2.0,
        "WhatIsPlaying": 3.0,
    },
    ("playing", "book"): {
        "ReadChapter": 6.0, "BookProgress": 8.0, "PauseMedia": 4.0, "PlayAudiobook": 1.5,
        "VolumeUp": 2.0, "VolumeDown": 2.5, "Stop": 2.0,
    },
    ("playing", "video"): {
        "PlayEpisode": 3.0, "WhoStarsIn": 4.0, "PauseMedia": 5.0, "VolumeUp": 3.0,
        "VolumeDown": 3.0, "Stop": 2.0,
    },
    ("moving", "yes"): {"GetDirections": 6.0, "GetTraffic": 8.0, "CallContact": 3.0},
}  # fmt: skip
# Intents that need something to be going on are rare without it.
_ELSE: Mapping[str, float] = {
    "OvenTemperature": 0.1, "TimeLeft": 0.15, "CancelTimer": 0.15, "NextTrack": 0.3,
    "PreviousTrack": 0.3, "WhatIsPlaying": 0.3, "LikeSong": 0.3, "PauseMedia": 0.4,
    "ReadChapter": 0.25, "BookProgress": 0.15, "VolumeUp": 0.5, "VolumeDown": 0.5, "Stop": 0.5,
}  # fmt: skip
_DEVICES: Mapping[str, Mapping[str, float]] = {
    "tv": {"video": 5.0, "music": 0.4, "books": 0.1, "home": 0.6, "lists": 0.2},
    "display": {"video": 1.6, "books": 0.5, "knowledge": 1.2},
    "speaker": {"video": 0.12, "books": 1.5},
    "phone": {"calls": 2.5, "places": 2.5, "calendar": 1.5, "video": 0.7, "home": 0.6},
    "car": {"video": 0.02, "home": 0.2, "places": 2.5, "calls": 2.0, "lists": 0.3, "music": 1.3},
}
# Answers to a question: nobody begins a dialogue with them.
_ANSWERS = ("Yes", "No", "Cancel", "GoBack", "Repeat")
ANSWER_FACTOR = 0.12


def boosts(hour: int, device: str, state: tuple[tuple[str, str], ...]) -> Mapping[str, float]:
    """Factor on the weight of every intent, by hour, type of device and its state."""
    part = 0 if hour < 6 or hour >= 23 else 1 if hour < 10 else 2 if hour < 17 else 3
    by_domain = _DEVICES.get(device, {})
    factors: dict[str, float] = {}
    for intent in INTENTS.values():
        factor = by_domain.get(intent.domain, 1.0)
        if intent.domain in _HOURS:
            factor *= _HOURS[intent.domain][part]
        if intent.name in _ANSWERS:
            factor *= ANSWER_FACTOR
        factors[intent.name] = factor
    explained: set[str] = set()
    for entry in state:
        for name, factor in _STATES.get(entry, {}).items():
            factors[name] *= factor
            explained.add(name)
    for name, factor in _ELSE.items():
        if name not in explained:
            factors[name] *= factor
    return factors


# Intents that a bare phrase most often means where nothing is going on.
_PLAIN = frozenset({
    "PlayMusic", "PlayArtist", "PlayPlaylist", "PlayGenre", "GetWeather", "GetTemperature",
    "VolumeUp", "VolumeDown", "NextTrack", "SetTimer", "AddItem", "CallContact", "GetFact",
    "GetPerson", "Define", "GetTime", "Stop", "Calculate", "FindPlace", "GetDirections", "GetScore",
    "Repeat", "Yes", "No", "Greeting",
})  # fmt: skip
# Intents whose bare phrases need one of these states.
_NEEDS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "OvenTemperature": (("oven", "on"),),
    "TimeLeft": (("timer", "running"),),
    "CancelTimer": (("timer", "running"),),
    "CancelAlarm": (("alarm", "ringing"),),
    "WhatIsPlaying": (("playing", "music"), ("playing", "radio")),
    "LikeSong": (("playing", "music"),),
    "PreviousTrack": (("playing", "music"),),
    "PauseMedia": (("playing", "music"), ("playing", "book"), ("playing", "video")),
    "BookProgress": (("playing", "book"),),
    "ReadChapter": (("playing", "book"),),
    "SetVolume": (("playing", "music"), ("playing", "radio"), ("playing", "video")),
}


def suited(intent: str, device: Device, draw: float) -> Device:
    """The device in one of the states that the bare phrases of the intent need, if they need any.

    `draw` is in [0, 1).
    """
    states = _NEEDS.get(intent)
    if not states:
        return device
    key, value = states[int(draw * len(states))]
    return replace(device, state={**device.state, key: value})


_TEMPERATURES = ("GetTemperature", "RoomTemperature", "SetThermostat")


def fits(intent: str, device: Device) -> bool:
    """Whether the situation tells what a bare phrase of this intent means."""
    if intent in _TEMPERATURES and device.state.get("oven") == "on":
        return False
    if intent in ("PlayVideo", "PlayEpisode", "FindVideo", "WhoStarsIn"):
        return device.has_screen
    if intent in ("PlayAudiobook", "PlayPodcast", "PlayStation"):
        return not device.has_screen and device.state.get("playing") in ("book", "radio")
    if intent in _NEEDS:
        return any(device.state.get(key) == value for key, value in _NEEDS[intent])
    return intent in _PLAIN
