"""Entity resolution: which entity of the catalogue or the household a slot's words mean."""

from __future__ import annotations

from collections.abc import Mapping
from math import log10
from typing import Protocol

from assistant.er.index import Index, Near, likeness
from assistant.intents.intents import INTENTS, THING_KINDS, Intent
from assistant.spoken_forms import spoken
from assistant.stages import Candidate, Context, Entity, Frame, Mention, Resolved

CANDIDATES = 5


class Catalogue(Protocol):
    """What the resolver needs of `assistant.world.catalogue.Catalogue`."""

    @property
    def by_id(self) -> Mapping[str, Entity]: ...

    def of_kind(self, kind: str) -> tuple[Entity, ...]: ...


class Resolver:
    """An `assistant.stages.ErStage`: similarity of names first, then popularity and situation.

    Parameters
    ----------
    threshold: a mention whose best candidate scores less stays unresolved.
    popularity: how much more the most popular entity scores than the rarest, for equal similarity.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        version: str = "er-3.0",
        *,
        threshold: float = 0.66,
        popularity: float = 0.10,
        intents: Mapping[str, Intent] = INTENTS,
    ) -> None:
        self.version = version
        self.catalogue = catalogue
        self.threshold = threshold
        self.popularity = popularity
        self.intents = intents
        self._indexes: dict[tuple[str, ...], Index] = {}
        self._homes: dict[tuple[str, ...], Index] = {}

    def __call__(self, frame: Frame, context: Context) -> Resolved:
        intent = self.intents.get(frame.intent)
        mentions = []
        if intent:
            values = dict(frame.slots)
            for slot in intent.slots:
                if slot.names_entity and slot.name in values:
                    text = values[slot.name]
                    candidates = self.candidates(text, slot.kinds, values, context)
                    mentions.append(Mention(slot.name, text, candidates))
        tops = [m.candidates[0].score if m.candidates else 0.0 for m in mentions]
        seconds = [m.candidates[1].score for m in mentions if len(m.candidates) > 1]
        signals = {
            "mentions": float(len(mentions)),
            "unresolved": float(sum(not m.candidates for m in mentions)),
            "candidates": float(sum(len(m.candidates) for m in mentions)),
        }
        if mentions:
            signals["worst_score"] = min(tops)
            signals["closest_rival"] = max(seconds, default=0.0)
        latency = 3.0 + 11.0 * len(mentions) + 0.6 * signals["candidates"]
        return Resolved(tuple(mentions), round(latency, 1), signals)

    def candidates(
        self, text: str, kinds: tuple[str, ...], slots: Mapping[str, str], context: Context
    ) -> tuple[Candidate, ...]:
        """What `text` may mean, best first; empty when nothing reaches the threshold.

        `slots` are all slot values of the frame.
        """
        scored = []
        for entity, similarity in self._near(text, kinds, context):
            score = 0.8 * similarity + self.popularity * _fame(entity)
            score += self._fits(entity, slots, context)
            scored.append((round(min(1.0, max(0.0, score)), 4), entity))
        # Equal scores keep the order of the index: exact before similar, popular before rare.
        scored.sort(key=lambda pair: -pair[0])
        if not scored or scored[0][0] < self.threshold:
            return ()
        return tuple(Candidate(e.id, e.name, score) for score, e in scored[:CANDIDATES])

    def _near(self, text: str, kinds: tuple[str, ...], context: Context) -> Near:
        things = tuple(kind for kind in kinds if kind in THING_KINDS)
        entities_near: Near = ()
        if things:
            entities_near = self._home(things, context).near(text)
        if len(things) < len(kinds):
            if kinds not in self._indexes:
                entities = [e for kind in kinds for e in self.catalogue.of_kind(kind)]
                entities.sort(key=lambda e: -e.popularity)
                self._indexes[kinds] = Index(entities)
            entities_near += self._indexes[kinds].near(text)
        return entities_near

    def _home(self, kinds: tuple[str, ...], context: Context) -> Index:
        entities = [entity for entity in context.home if entity.kind in kinds]
        key = tuple(entity.id for entity in entities)
        if key not in self._homes:
            self._homes[key] = Index(entities)
        return self._homes[key]

    def _fits(self, entity: Entity, slots: Mapping[str, str], context: Context) -> float:
        """What the situation adds to the score of a candidate, or takes from it."""
        facts = entity.facts
        fit = 0.04
        regions = facts.get("regions")
        if regions and context.locale not in regions.split(","):
            fit -= 0.05
        if facts.get("locale") == context.locale:
            fit += 0.04
        if "town" in facts and facts["town"] == context.town:
            fit += 0.05
        if "region" in facts and context.town in self.catalogue.by_id:
            home_region = self.catalogue.by_id[context.town].facts.get("region")
            fit += 0.02 if facts["region"] == home_region else 0.0
        if "room" in facts and facts["room"] == context.device.room:
            fit += 0.04
        if "artist" in slots and "artist_name" in facts:
            fit += 0.12 * (likeness(slots["artist"], spoken(facts["artist_name"])) - 0.5)
        return fit


def _fame(entity: Entity) -> float:
    """Popularity on a logarithmic scale: 1 for the most popular, 0 from a thousandth down."""
    return max(0.0, 1 + log10(max(entity.popularity, 1e-3)) / 3)
