"""Which entities a few words may mean, by spelling and by sound."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import jellyfish
import numpy as np
from rapidfuzz import fuzz, process

from assistant.spoken_forms import spoken
from assistant.stages import Entity

# Weights of the three similarities; that of single words of a name ("potter") counts least.
SPELLING, SOUND, WORDS = 0.5, 0.3, 0.2
# Entities whose names are less similar than this are never candidates.
FAR = 0.5

Near = tuple[tuple[Entity, float], ...]

# Households share most of the names of their rooms and lamps.
spoken_name = lru_cache(maxsize=50_000)(spoken)


@lru_cache(maxsize=50_000)
def sound_of(text: str) -> str:
    """Metaphone key without spaces: word boundaries are what a recogniser gets wrong first."""
    return jellyfish.metaphone(text).replace(" ", "")


def likeness(text: str, name: str) -> float:
    """How similar two short texts are, 1 for the same words."""
    if text == name:
        return 1.0
    spelling = fuzz.ratio(text, name)
    sound = fuzz.ratio(sound_of(text), sound_of(name))
    words = fuzz.token_set_ratio(text, name)
    return min(0.99, (SPELLING * spelling + SOUND * sound + WORDS * words) / 100)


class Index:
    """Entities by name and alias.

    Equally similar entities are returned in the order of `entities`.
    """

    def __init__(self, entities: Iterable[Entity], keep: int = 12) -> None:
        self._entities = tuple(entities)
        pairs = [(n, i) for i, e in enumerate(self._entities) for n in _spoken_names(e)]
        self._names = [name for name, _ in pairs]
        self._owners = np.array([owner for _, owner in pairs], dtype=np.int64)
        self._sounds = [sound_of(name) for name in self._names]
        self._exact: dict[str, list[int]] = {}
        for name, owner in pairs:
            owners = self._exact.setdefault(name, [])
            if owner not in owners:
                owners.append(owner)
        self._keep = keep
        self.near = lru_cache(maxsize=20_000)(self._near)

    def __getstate__(self) -> dict[str, object]:
        return {"entities": self._entities, "keep": self._keep}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Index.__init__(self, **state)

    def _near(self, text: str) -> Near:
        """Entities similar to `text` with their `likeness`, the most similar first."""
        if not self._names:
            return ()
        spelling = process.cdist([text], self._names, scorer=fuzz.ratio, dtype=np.float32)[0]
        sound = process.cdist([sound_of(text)], self._sounds, scorer=fuzz.ratio, dtype=np.float32)
        rough = SPELLING * spelling + SOUND * sound[0]
        best = np.argsort(-rough, kind="stable")[: 3 * self._keep]
        alike: dict[int, float] = dict.fromkeys(self._exact.get(text, ()), 1.0)
        for row in best.tolist():
            owner = int(self._owners[row])
            words = fuzz.token_set_ratio(text, self._names[row])
            value = min(0.99, (float(rough[row]) + WORDS * words) / 100)
            if value >= FAR and value > alike.get(owner, 0.0):
                alike[owner] = value
        order = sorted(alike.items(), key=lambda item: (-item[1], item[0]))
        return tuple((self._entities[owner], value) for owner, value in order[: self._keep])


def _spoken_names(entity: Entity) -> tuple[str, ...]:
    """Name and aliases of an entity, in the words that a recogniser writes."""
    return tuple(dict.fromkeys(map(spoken_name, (entity.name, *entity.aliases))))
