"""Names that NLU knows, and where they occur in a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from assistant.er.index import spoken_name
from assistant.stages import Entity

# A name that more kinds of entity share tells nothing.
MOST_KINDS = 4


class Gazetteer:
    """The kinds of entity that share a name, for all names and aliases of some entities."""

    def __init__(self, entities: Iterable[Entity] = ()) -> None:
        kinds: dict[str, dict[str, None]] = {}
        for entity in entities:
            for name in (entity.name, *entity.aliases):
                kinds.setdefault(spoken_name(name), {})[entity.kind] = None
        self._kinds = {name: tuple(sorted(sharing)) for name, sharing in kinds.items()}
        self._longest = max((len(name.split()) for name in kinds), default=0)

    def cues(self, words: Sequence[str], prefix: str = "names") -> list[str]:
        """The kinds named in a sentence, the words before the names, and whether a name is all.

        Longer names win over names within them.
        """
        cues: list[str] = []
        start, count = 0, len(words)
        while start < count:
            for end in range(min(count, start + self._longest), start, -1):
                kinds = self._kinds.get(" ".join(words[start:end]))
                if kinds and len(kinds) <= MOST_KINDS:
                    before = words[start - 1] if start else "^"
                    for kind in kinds:
                        cues += [f"{prefix} {kind}", f"{before} {prefix} {kind}"]
                        if end - start == count:
                            cues.append(f"only {prefix} {kind}")
                    start = end
                    break
            else:
                start += 1
        return cues
