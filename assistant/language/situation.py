"""What the hour, the device and its state make likely, and which bare wordings they explain."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from assistant.contract import Device


@lru_cache(maxsize=4096)
def boosts(hour: int, device: str, state: tuple[tuple[str, str], ...]) -> Mapping[str, float]:
    """Factor on each intent's weight; 1 where none is given."""
    factors: dict[str, float] = {}
    if ("oven", "on") in state:
        factors["OvenTemperature"] = 25.0
    else:
        factors["OvenTemperature"] = 0.1
    return factors


def fits(intent: str, device: Device) -> bool:
    """Whether the situation tells what a bare wording of this intent means."""
    if intent == "OvenTemperature":
        return device.state.get("oven") == "on"
    if intent == "PlayVideo":
        return device.has_screen
    return intent in ("PlayMusic", "PlayArtist")
