"""Composing names and handing out ids: what all the makers of entities share."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from assistant.stages import Entity
from assistant.world import names


class Composer:
    """Draws words and names from the word material, and counts entities of each kind."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.entities: list[Entity] = []
        self._taken: dict[str, set[str]] = {}
        self._count: dict[str, int] = {}

    def pick(self, words: Sequence[str]) -> str:
        return words[int(self.rng.random() * len(words))]

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def fresh(self, kind: str, compose: Callable[[], str]) -> str:
        """A name that no other entity of this kind has."""
        taken = self._taken.setdefault(kind, set())
        for _ in range(200):
            name = compose()
            if name not in taken:
                taken.add(name)
                return name
        raise ValueError(f"the word material is too poor for another {kind}")

    def add(
        self,
        kind: str,
        name: str,
        aliases: Sequence[str] = (),
        popularity: float = 1.0,
        facts: Mapping[str, str] | None = None,
    ) -> Entity:
        """One more entity; its name is written in capitals, its aliases as they are spoken."""
        self._taken.setdefault(kind, set()).add(name)
        self._count[kind] = self._count.get(kind, 0) + 1
        entity = Entity(
            f"{kind}-{self._count[kind]:04d}",
            kind,
            title_case(name),
            tuple(dict.fromkeys(alias for alias in aliases if alias != name)),
            round(float(popularity), 5),
            dict(facts or {}),
        )
        self.entities.append(entity)
        return entity

    def amend(self, entity: Entity, facts: Mapping[str, str], aliases: Sequence[str]) -> None:
        """More facts and aliases for an entity that was added before."""
        place = next(i for i, one in enumerate(self.entities) if one.id == entity.id)
        self.entities[place] = replace(
            entity, facts={**entity.facts, **facts}, aliases=(*entity.aliases, *aliases)
        )

    def zipf(self, count: int, exponent: float = 0.9) -> list[float]:
        """Popularities of `count` entities, in random order."""
        ranks = self.rng.permutation(count) + 1
        return [float(p) for p in ranks**-exponent]

    def person(self) -> str:
        if self.chance(0.15):
            return f"{self.pick(names.INDIAN_FIRST)} {self.pick(names.INDIAN_LAST)}"
        return f"{self.pick(names.FIRST)} {self.pick(names.LAST)}"

    def nickname(self, kind: str, popularity: float) -> list[str]:
        """What the well known are called, unlike their name: one nickname or none."""
        if popularity < names.NICKNAMED[kind]:
            return []

        def compose() -> str:
            return self.pick(names.NICKNAMES[kind]).format(
                first=self.pick(names.FIRST),
                noun=self.pick(names.NOUNS),
                colour=self.pick(names.COLOURS),
            )

        return [self.fresh(f"nickname of {kind}", compose)]

    def title(self) -> str:
        """A title of one to six words."""
        adjective, noun = self.pick(names.ADJECTIVES), self.pick(names.NOUNS)
        other, doing = self.pick(names.NOUNS), self.pick(names.DOING)
        being = self.pick(names.BEING)
        title = self.pick((
            f"the {adjective} {noun}", f"{adjective} {noun}", f"{adjective} {noun}",
            f"the {noun} of {other}", f"the {noun} and the {other}", f"{noun} {other}",
            f"{doing} the {noun}", f"{doing} me", f"{being} in the {noun}", f"a {noun} for {other}",
            f"the {noun}", noun, f"{doing} my {adjective} {noun}", f"{being} away",
            f"don't {doing} the {noun}", f"{being} with me", f"my {adjective} {noun}",
            f"how to {doing} a {noun}", f"the last {noun} in {other} street", f"{being}",
        ))  # fmt: skip
        return _ARTICLE.sub("an ", title)


_ARTICLE = re.compile(r"\ba (?=[aeio])")
_SMALL = frozenset(
    ["a", "an", "and", "for", "in", "me", "my", "of", "on", "or", "the", "to", "with"]
)


def title_case(name: str) -> str:
    """``the sun of york`` is "The Sun of York"; lower case gives the spoken words back."""
    words = name.split()
    return " ".join(
        "FM" if word == "fm" else word if place and word in _SMALL else word[:1].upper() + word[1:]
        for place, word in enumerate(words)
    )
