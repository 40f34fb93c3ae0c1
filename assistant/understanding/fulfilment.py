"""The result stage: carries a frame out, or says why it cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zlib import crc32

from assistant.contract import Context, Entity, Frame, Outcome
from assistant.language.intents import INTENTS, Intent
from assistant.understanding import responses
from assistant.understanding.resolver import Catalogue
from labels.normalise import key

PLAYS = frozenset({"music", "books", "video", "radio"})


@dataclass(frozen=True, slots=True)
class Outage:
    """A back end that fails a share of the requests of one kind for some time.

    device_type and domains: which requests; "" and () mean all.
    """

    start: datetime
    end: datetime
    device_type: str = ""
    domains: tuple[str, ...] = ()
    share: float = 1.0

    def hits(self, domain: str, context: Context, draw: float) -> bool:
        return (
            self.start <= context.moment < self.end
            and self.device_type in ("", context.device.type)
            and (not self.domains or domain in self.domains)
            and draw < self.share
        )


def chance(*parts: object) -> float:
    """A number in [0, 1) that depends on `parts` alone: what fails once fails in a replay too."""
    return crc32("|".join(map(str, parts)).encode()) / 2**32


class Fulfilment:
    """An `assistant.contract.ResultStage`.

    Parameters
    ----------
    outages: planted failures of back ends.
    timeouts: share of requests whose back end does not answer in time.
    stale: share of catalogue entries whose link leads nowhere, until the release after.
    newest: plays the newest edition of a work, whichever was asked for.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        version: str = "result-5.0",
        *,
        outages: Sequence[Outage] = (),
        timeouts: float = 0.006,
        stale: float = 0.008,
        unreachable: float = 0.012,
        newest: bool = True,
        intents: Mapping[str, Intent] = INTENTS,
    ) -> None:
        self.version = version
        self.catalogue = catalogue
        self.outages = tuple(outages)
        self.timeouts = timeouts
        self.stale = stale
        self.unreachable = unreachable
        self.newest = newest
        self.intents = intents
        self._newest: dict[str, str] | None = None

    def __call__(self, frame: Frame, entities: Mapping[str, str], context: Context) -> Outcome:
        intent = self.intents.get(frame.intent)
        if intent and intent.supported:
            failed = self._failure(intent, frame, entities, context)
            if failed:
                return failed
            if self.newest:
                entities = {slot: self._edition(i) for slot, i in entities.items()}
        return self.ideal(frame.intent, frame.slots, entities, context)

    def ideal(
        self,
        intent: str,
        slots: Sequence[tuple[str, str]],
        entities: Mapping[str, str],
        context: Context,
    ) -> Outcome:
        """What a flawless result stage does with the right frame and entities."""
        wanted = self.intents.get(intent)
        if wanted is None:
            return _outcome("", "no_match", responses.NOT_UNDERSTOOD, (), ("repeat",))
        if not wanted.supported:
            return _outcome("decline", "unsupported", responses.declined(wanted), (), ("sorry",))
        said = dict(slots)
        names: dict[str, str] = {}
        items: list[str] = []
        for slot in wanted.slots:
            if slot.name not in said:
                if slot.required:
                    return _outcome(
                        f"ask_{slot.name}",
                        "ok",
                        responses.asked(slot),
                        (),
                        (f"request {slot.name}",),
                    )
                if slot.names_entity and "town" in slot.kinds and context.town:
                    items.append(context.town)
            elif not slot.names_entity:
                items.append(f"{slot.name}:{key(said[slot.name])}")
                names[slot.name] = said[slot.name]
            elif slot.name not in entities:
                text = responses.not_found(said[slot.name])
                return _outcome(wanted.action, "no_match", text, (), ("sorry", slot.name))
            else:
                entity = self._entity(entities[slot.name], context)
                problem = _obstacle(entity, context) if entity else ""
                if entity and problem:
                    return _outcome(wanted.action, "error", problem, (entity.id,), ("sorry",))
                items.append(entities[slot.name])
                names[slot.name] = entity.name if entity else said[slot.name]
        if wanted.domain == "video" and not context.device.has_screen:
            return _outcome(wanted.action, "error", responses.NO_SCREEN, (), ("sorry",))
        response = responses.done(wanted, names, context)
        return _outcome(wanted.action, "ok", response, tuple(items), ("inform",))

    def _failure(
        self, intent: Intent, frame: Frame, entities: Mapping[str, str], context: Context
    ) -> Outcome | None:
        """What goes wrong at this moment, if anything does."""
        draw = chance(context.moment.isoformat(), context.device.id, frame.intent)
        for outage in self.outages:
            if outage.hits(intent.domain, context, draw):
                return _outcome(intent.action, "error", responses.TROUBLE, (), ("sorry",), 4100.0)
        if intent.domain != "dialogue" and draw > 1 - self.timeouts:
            return _outcome(intent.action, "error", responses.TROUBLE, (), ("sorry",), 5200.0)
        for item in entities.values():
            at_home = any(thing.id == item for thing in context.home)
            if at_home and intent.domain == "home":
                hour = context.moment.strftime("%Y%m%d%H")
                if chance(self.version, item, hour) < self.unreachable:
                    entity = self._entity(item, context)
                    text = responses.unreachable(entity.name if entity else "")
                    return _outcome(intent.action, "error", text, (item,), ("sorry",), 2600.0)
            elif (
                not at_home
                and intent.domain in PLAYS
                and chance(self.version, "stale", item) < self.stale
            ):
                return _outcome(intent.action, "error", responses.STALE, (), ("sorry",), 900.0)
        return None

    def _entity(self, item: str, context: Context) -> Entity | None:
        found = self.catalogue.by_id.get(item)
        return found or next((thing for thing in context.home if thing.id == item), None)

    def _edition(self, item: str) -> str:
        """The newest edition of what was asked for; itself where there is one alone."""
        if self._newest is None:
            self._newest = _newest_editions(self.catalogue)
        return self._newest.get(item, item)


def _newest_editions(catalogue: Catalogue) -> dict[str, str]:
    editions: dict[tuple[str, str], list[Entity]] = {}
    for entity in catalogue.by_id.values():
        if "year" in entity.facts:
            editions.setdefault((entity.kind, entity.name), []).append(entity)
    newest = {}
    for group in editions.values():
        best = max(group, key=lambda e: (e.facts["year"], e.id))
        newest.update({e.id: best.id for e in group if e is not best})
    return newest


def _obstacle(entity: Entity, context: Context) -> str:
    """Why an entity cannot be had here and now, "" when it can."""
    regions = entity.facts.get("regions")
    if regions and context.locale not in regions.split(","):
        return responses.not_here(entity.name)
    return ""


def _outcome(
    action: str,
    status: str,
    response: str,
    items: tuple[str, ...],
    acts: tuple[str, ...],
    latency: float = 0.0,
) -> Outcome:
    latency = latency or 60.0 + 240.0 * chance(action, response)
    return Outcome(action, status, response, items, round(latency, 1), {"items": len(items)}, acts)
