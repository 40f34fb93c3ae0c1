"""The catalogue: everything that can be played, visited, bought or asked about."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import accumulate

import numpy as np

from assistant.stages import Entity

# Factors on how often users ask for entities of another locale, and for ones that cannot be played
# in theirs.
ELSEWHERE = 0.06
NOT_HERE = 0.15


class Catalogue:
    """Entities by id and by kind.

    Attributes
    ----------
    by_id: every entity, in the order of the catalogue.
    """

    def __init__(self, entities: Iterable[Entity]) -> None:
        self.by_id: dict[str, Entity] = {entity.id: entity for entity in entities}
        kinds: dict[str, list[Entity]] = {}
        for entity in self.by_id.values():
            kinds.setdefault(entity.kind, []).append(entity)
        self._kinds = {
            kind: tuple(sorted(entities_of_kind, key=lambda e: (-e.popularity, e.id)))
            for kind, entities_of_kind in kinds.items()
        }
        names: dict[str, list[Entity]] = {}
        for entity in self.by_id.values():
            names.setdefault(entity.name.lower(), []).append(entity)
        self._names = {name: tuple(namesakes) for name, namesakes in names.items()}
        self._draws: dict[tuple[str, str, float], tuple[tuple[Entity, ...], list[float]]] = {}

    def __len__(self) -> int:
        return len(self.by_id)

    @property
    def entities(self) -> tuple[Entity, ...]:
        return tuple(self.by_id.values())

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(self._kinds)

    def of_kind(self, kind: str) -> tuple[Entity, ...]:
        """Entities of a kind, the most popular first; none for an unknown kind."""
        return self._kinds.get(kind, ())

    def named(self, name: str) -> tuple[Entity, ...]:
        """Entities of exactly this name, whatever their kind; case does not matter."""
        return self._names.get(name.lower(), ())

    def without_aliases(self, kinds: Iterable[str] | None = None) -> Catalogue:
        """A copy without the aliases of entities of these kinds (None: of all kinds)."""
        affected = None if kinds is None else frozenset(kinds)
        return Catalogue(
            replace(entity, aliases=()) if affected is None or entity.kind in affected else entity
            for entity in self.by_id.values()
        )

    def without(self, ids: Iterable[str]) -> Catalogue:
        """A copy without some entities, as after an incomplete import."""
        missing = frozenset(ids)
        return Catalogue(entity for entity in self.by_id.values() if entity.id not in missing)

    def draw(
        self, rng: np.random.Generator, kind: str, locale: str = "", known: float = 1.0
    ) -> Entity | None:
        """An entity by popularity, preferably of the locale; None if the kind has no entities.

        Parameters
        ----------
        kind: one kind, or several joined by ``|``.
        known: only this share of each kind, its most popular part.
        """
        key = (kind, locale, known)
        if key not in self._draws:
            entities = tuple(
                entity
                for entities_of_kind in map(self.of_kind, kind.split("|"))
                for entity in entities_of_kind[: max(1, round(known * len(entities_of_kind)))]
            )
            weights = [entity.popularity * _demand(entity.facts, locale) for entity in entities]
            self._draws[key] = entities, list(accumulate(weights))
        entities, cumulative = self._draws[key]
        if not entities:
            return None
        index = bisect_right(cumulative, rng.random() * cumulative[-1])
        return entities[min(index, len(entities) - 1)]


def _demand(facts: Mapping[str, str], locale: str) -> float:
    """How often people of a locale ask for an entity with these facts, as a factor."""
    if not locale:
        return 1.0
    demand = ELSEWHERE if facts.get("locale", locale) != locale else 1.0
    if "regions" in facts and locale not in facts["regions"].split(","):
        demand *= NOT_HERE
    return demand
