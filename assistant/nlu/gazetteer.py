"""Names that NLU knows, and where they occur in a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from assistant.er.index import said
from assistant.stages import Entity

# Kinds that share a name beyond so many tell nothing.
MOST_KINDS = 4


class Gazetteer:
    """Which kinds of entity go by a name, for all names and aliases of some entities."""

    def __init__(self, entities: Iterable[Entity] = ()) -> None:
        kinds: dict[str, dict[str, None]] = {}
        for entity in entities:
            for name in (entity.name, *entity.aliases):
                kinds.setdefault(said(name), {})[entity.kind] = None
        self._kinds = {name: tuple(sorted(found)) for name, found in kinds.items()}
        self._longest = max((len(name.split()) for name in kinds), default=0)

    def cues(self, words: Sequence[str], prefix: str = "names") -> list[str]:
        """Which kinds are named, after which words, and whether nothing else is said.

        Longer names win over names within them.
        """
        found: list[str] = []
        start, count = 0, len(words)
        while start < count:
            for end in range(min(count, start + self._longest), start, -1):
                kinds = self._kinds.get(" ".join(words[start:end]))
                if kinds and len(kinds) <= MOST_KINDS:
                    before = words[start - 1] if start else "^"
                    for kind in kinds:
                        found += [f"{prefix} {kind}", f"{before} {prefix} {kind}"]
                        if end - start == count:
                            found.append(f"only {prefix} {kind}")
                    start = end
                    break
            else:
                start += 1
        return found
