"""The catalogue: everything that can be played, visited, bought or asked about."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import accumulate

import numpy as np

from assistant.stages import Entity

# How much less a user asks for what belongs to another locale, or cannot be played in theirs.
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
            kind: tuple(sorted(found, key=lambda e: (-e.popularity, e.id)))
            for kind, found in kinds.items()
        }
        names: dict[str, list[Entity]] = {}
        for entity in self.by_id.values():
            names.setdefault(entity.name.lower(), []).append(entity)
        self._names = {name: tuple(found) for name, found in names.items()}
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
        """A copy whose entities of these kinds (all kinds: None) have lost their aliases."""
        lost = None if kinds is None else frozenset(kinds)
        return Catalogue(
            replace(entity, aliases=()) if lost is None or entity.kind in lost else entity
            for entity in self.by_id.values()
        )

    def without(self, ids: Iterable[str]) -> Catalogue:
        """A copy without some entities, as an incomplete import leaves it."""
        lost = frozenset(ids)
        return Catalogue(entity for entity in self.by_id.values() if entity.id not in lost)

    def draw(
        self, rng: np.random.Generator, kind: str, locale: str = "", known: float = 1.0
    ) -> Entity | None:
        """One entity by popularity, those of the locale preferred; None if there is none.

        Parameters
        ----------
        kind: one kind, or several joined by ``|``.
        known: only this share of each kind, its most popular part.
        """
        key = (kind, locale, known)
        if key not in self._draws:
            found = tuple(
                entity
                for one in kind.split("|")
                for entity in self.of_kind(one)[: max(1, round(known * len(self.of_kind(one))))]
            )
            weights = [entity.popularity * _wanted(entity.facts, locale) for entity in found]
            self._draws[key] = found, list(accumulate(weights))
        found, reached = self._draws[key]
        if not found:
            return None
        return found[min(bisect_right(reached, rng.random() * reached[-1]), len(found) - 1)]


def _wanted(facts: Mapping[str, str], locale: str) -> float:
    if not locale:
        return 1.0
    wanted = ELSEWHERE if facts.get("locale", locale) != locale else 1.0
    if "regions" in facts and locale not in facts["regions"].split(","):
        wanted *= NOT_HERE
    return wanted
