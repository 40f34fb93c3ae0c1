"""Composing names and ids: what all modules that make entities share."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from assistant.stages import Entity
from assistant.world.words import LOCAL, PATTERNS, WORDS

# The popularity from which on an entity of a kind has a nickname, which has nothing in common with
# its name: fans call an artist by a habit, and a song by the line that everybody sings.
NICKNAMED = {"artist": 0.008, "song": 0.003, "station": 0.1, "team": 0.15}


class Composer:
    """Draws words and names from the text files, and counts the entities of each kind."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.entities: list[Entity] = []
        self._taken: dict[str, set[str]] = {}
        self._count: dict[str, int] = {}

    def pick(self, words: Sequence[str]) -> str:
        return words[int(self.rng.random() * len(words))]

    def word(self, name: str) -> str:
        """A word of the list of this name in words.txt."""
        return self.pick(WORDS[name])

    def local(self, name: str, locale: str) -> str:
        """A word of the list of this name in locales.txt."""
        return self.pick(LOCAL[name][locale])

    def pattern(self, name: str, **fields: str) -> str:
        """A name after one of the patterns of this kind in patterns.txt."""
        return self.pick(PATTERNS[name]).format(**fields)

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def fresh(self, kind: str, compose: Callable[[], str]) -> str:
        """A name that no other entity of this kind has."""
        names = self._taken.setdefault(kind, set())
        for _ in range(200):
            name = compose()
            if name not in names:
                names.add(name)
                return name
        raise ValueError(f"the word lists are too short for another {kind}")

    def add(
        self,
        kind: str,
        name: str,
        aliases: Sequence[str] = (),
        popularity: float = 1.0,
        facts: Mapping[str, str] | None = None,
    ) -> Entity:
        """Add an entity; its name is written in title case, its aliases as they are spoken."""
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
        """Add facts and aliases to an entity that was added before."""
        index = next(i for i, added in enumerate(self.entities) if added.id == entity.id)
        self.entities[index] = replace(
            entity, facts={**entity.facts, **facts}, aliases=(*entity.aliases, *aliases)
        )

    def zipf(self, count: int, exponent: float = 0.9) -> list[float]:
        """Popularities of `count` entities, in random order."""
        ranks = self.rng.permutation(count) + 1
        return [float(p) for p in ranks**-exponent]

    def person(self) -> str:
        locale = "en-IN" if self.chance(0.15) else "en-US"
        return f"{self.local('first names', locale)} {self.local('last names', locale)}"

    def nickname(self, kind: str, popularity: float) -> list[str]:
        """One nickname for the well known, none for the others."""
        if popularity < NICKNAMED[kind]:
            return []
        patterns = PATTERNS[f"nickname of {'an' if kind == 'artist' else 'a'} {kind}"]

        def compose() -> str:
            # The pattern is drawn first, then the words.
            return self.pick(patterns).format(
                first=self.local("first names", "en-US"),
                noun=self.word("nouns"),
                colour=self.word("colours"),
            )

        return [self.fresh(f"nickname of {kind}", compose)]

    def title(self) -> str:
        """A title of one to six words."""
        title = self.pattern(
            "title",
            adjective=self.word("adjectives"),
            noun=self.word("nouns"),
            other=self.word("nouns"),
            transitive=self.word("transitive verbs"),
            intransitive=self.word("intransitive verbs"),
        )
        return _ARTICLE.sub("an ", title)


_ARTICLE = re.compile(r"\ba (?=[aeio])")
_SMALL = frozenset(
    ["a", "an", "and", "for", "in", "me", "my", "of", "on", "or", "the", "to", "with"]
)


def title_case(name: str) -> str:
    """``the sun of york`` is "The Sun of York"; in lower case it is the spoken words again."""
    words = name.split()
    return " ".join(
        "FM" if word == "fm" else word if index and word in _SMALL else word[:1].upper() + word[1:]
        for index, word in enumerate(words)
    )
