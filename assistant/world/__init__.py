"""The world that the assistant lives in: a catalogue, households, and the people in them."""

from __future__ import annotations

from dataclasses import dataclass

from assistant.world.build import build_catalogue
from assistant.world.catalogue import Catalogue
from assistant.world.homes import Home, User, build_homes, device_at

__all__ = [
    "Catalogue",
    "Home",
    "User",
    "World",
    "build_catalogue",
    "build_homes",
    "build_world",
    "device_at",
]


@dataclass(frozen=True, slots=True)
class World:
    """Everything that does not depend on who speaks; another seed is another world."""

    seed: int
    catalogue: Catalogue
    homes: tuple[Home, ...]


def build_world(seed: int, homes: int = 300) -> World:
    """A catalogue and `homes` households.

    Raises
    ------
    ValueError: fewer than one home.
    """
    if homes < 1:
        raise ValueError(f"a world needs at least one home, not {homes}")
    catalogue = build_catalogue(seed)
    return World(seed, catalogue, build_homes(seed, catalogue, homes))
