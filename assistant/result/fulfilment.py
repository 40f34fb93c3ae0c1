"""The result stage: carries a frame out, or says why it cannot."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from math import exp
from statistics import NormalDist
from zlib import crc32

from assistant.er.resolver import Catalogue
from assistant.intents.intents import INTENTS, Intent, SlotSpec
from assistant.result.responses import declined, done, message, question
from assistant.stages import Context, Entity, Frame, Outcome
from labels.rules.normalise import key

# Domains that play something, and the slots whose value is a time.
PLAYS = frozenset({"music", "books", "video", "radio"})
TIMES = frozenset({"time", "duration"})
# Times that the parser of the back end does not know, "half seven" among them.
_UNREADABLE = re.compile(r"lunch ?time|dinner ?time|sunrise|^half (?!past|an )")
# "An hour" and "one hour" are the same time.
_ARTICLE = re.compile(r"^an? (?=hour|minute|second)")

# How long the assistant waits for a back end.
LIMIT_MS = 4000.0
# How long back ends take, by the cause of an error: median in milliseconds, and standard deviation
# of the logarithm. Errors are slower or quicker on average, but the time alone does not tell them.
_TOOK: Mapping[str, tuple[float, float]] = {
    "": (170.0, 0.5), "stale": (220.0, 0.6), "unreachable": (420.0, 0.7), "refused": (150.0, 0.6),
}  # fmt: skip
# Share of the answers that come late, between this many milliseconds and the limit.
_LATE, _LATE_FROM = 0.025, 500.0
_NORMAL = NormalDist()


@lru_cache(maxsize=100_000)
def _key(value: str) -> str:
    return key(_ARTICLE.sub("one ", value))


@dataclass(frozen=True, slots=True)
class Outage:
    """A back end that fails a share of the requests of a kind for some time.

    device_type and domains: which requests; "" and () mean all.
    """

    start: datetime
    end: datetime
    device_type: str = ""
    domains: tuple[str, ...] = ()
    share: float = 1.0

    def hits(self, domain: str, context: Context, draw: float) -> bool:
        """Whether a request fails; `draw` is the request's own random number in [0, 1)."""
        return (
            self.start <= context.moment < self.end
            and self.device_type in ("", context.device.type)
            and (not self.domains or domain in self.domains)
            and draw < self.share
        )


def chance(*parts: object) -> float:
    """A number in [0, 1) that depends on `parts` alone: what fails once fails in a replay, too."""
    # Two rounds: CRC alone maps neighbouring texts to neighbouring numbers.
    first = crc32("|".join(map(str, parts)).encode())
    return crc32(first.to_bytes(4) + b"*") / 2**32


class Fulfilment:
    """An `assistant.stages.ResultStage` with the faults of real ones.

    Every fault is a fixed function of version, moment, device and request, so it is the same in a
    replay; `ideal` has no faults.

    Parameters
    ----------
    outages: planted failures of back ends.
    timeouts: share of requests whose back end does not answer in time.
    stale: share of the catalogue's entries with a dead link.
    unreachable: share of the hours in which a lamp or an appliance is not connected.
    mislocated: share of the devices that are registered in the wrong room and town.
    newest: play the newest film of a title, whichever was resolved.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        version: str = "result-5.0",
        *,
        outages: Sequence[Outage] = (),
        timeouts: float = 0.009,
        stale: float = 0.016,
        unreachable: float = 0.025,
        mislocated: float = 0.04,
        newest: bool = True,
        intents: Mapping[str, Intent] = INTENTS,
    ) -> None:
        self.version = version
        self.catalogue = catalogue
        self.outages = tuple(outages)
        self.timeouts = timeouts
        self.stale = stale
        self.unreachable = unreachable
        self.mislocated = mislocated
        self.newest = newest
        self.intents = intents
        self._newest: dict[str, str] | None = None

    def __call__(self, frame: Frame, entities: Mapping[str, str], context: Context) -> Outcome:
        intent = self.intents.get(frame.intent)
        if intent and intent.supported:
            failure = self._failure(intent, frame, entities, context)
            if failure:
                return _timed(failure, frame.intent, context)
            if self.newest and intent.domain == "video":
                entities = {slot: self._edition(item) for slot, item in entities.items()}
            context = self._registered(context)
        outcome = self.ideal(frame.intent, frame.slots, entities, context)
        return _timed(outcome, frame.intent, context)

    def ideal(
        self,
        intent: str,
        slots: Sequence[tuple[str, str]],
        entities: Mapping[str, str],
        context: Context,
    ) -> Outcome:
        """What a flawless result stage does with the right frame and entities.

        ``items`` are ids of entities, and ``slot:words`` for other values. The latency is 0.
        """
        spec = self.intents.get(intent)
        if spec is None:
            text = message("not understood")
            return _outcome("", "no_match", text, (), ("repeat",), "not_understood")
        action = spec.action
        if not spec.supported:
            return _outcome("decline", "unsupported", declined(spec), (), ("sorry",))
        values = dict(slots)
        names: dict[str, str] = {}
        items: list[str] = []
        answers: list[str] = []
        for slot in spec.slots:
            if slot.name in values and not slot.names_entity:
                items.append(f"{slot.name}:{_key(values[slot.name])}")
                names[slot.name] = values[slot.name]
                continue
            if slot.name not in values and slot.required:
                acts = (f"request {slot.name}",)
                return _outcome(f"ask_{slot.name}", "ok", question(slot), (), acts)
            item = entities.get(slot.name) if slot.name in values else _usual(slot, context)
            if not item:
                if slot.name not in values:
                    continue
                text = message("not found", name=values[slot.name])
                return _outcome(action, "no_match", text, (), ("sorry",), "not_found")
            entity = self._entity(item, context)
            problem = _obstacle(entity, context) if entity else None
            if problem:
                return _outcome(action, "error", problem[1], (item,), ("sorry",), problem[0])
            items.append(item)
            names[slot.name] = entity.name if entity else values.get(slot.name, "it")
            answers.append(entity.facts.get("answer", "") if entity else "")
        if spec.domain == "video" and not context.device.has_screen:
            return _failed(action, "no_screen", message("no screen"))
        response = done(spec, names, answers, context)
        return _outcome(action, "ok", response, tuple(items), ("inform",))

    def _failure(
        self, intent: Intent, frame: Frame, entities: Mapping[str, str], context: Context
    ) -> Outcome | None:
        """The failure of this request at this moment, if there is one."""
        draw = chance(context.moment.isoformat(), context.device.id, frame.intent)
        for outage in self.outages:
            if outage.hits(intent.domain, context, draw):
                # A back end that is down refuses at once, or does not answer at all.
                cause = "timeout" if draw < 0.6 * outage.share else "refused"
                return _failed(intent.action, cause, message("trouble"))
        if intent.domain not in ("dialogue", "chat") and draw > 1 - self.timeouts:
            return _failed(intent.action, "timeout", message("trouble"))
        for slot, value in frame.slots:
            if slot in TIMES and _UNREADABLE.search(value):
                return _failed(intent.action, "unreadable", message("unreadable"))
        for item in entities.values():
            if intent.domain == "home" and self._lost(item, context.moment):
                entity = self._entity(item, context)
                text = message("unreachable", name=entity.name if entity else "the device")
                return _failed(intent.action, "unreachable", text)
            if intent.domain in PLAYS and self._dead(item):
                return _failed(intent.action, "stale", message("stale"))
        return None

    def _lost(self, item: str, moment: datetime) -> bool:
        return chance("lost", item, moment.strftime("%Y%m%d%H")) < self.unreachable

    def _dead(self, item: str) -> bool:
        return chance(self.version, "stale", item) < self.stale

    def _registered(self, context: Context) -> Context:
        """The context as the back end knows it: a few devices are registered in the wrong room."""
        if chance("mislocated", context.device.id) >= self.mislocated:
            return context
        towns = self.catalogue.of_kind("town")
        town = towns[crc32(context.device.id.encode()) % len(towns)].id if towns else context.town
        rooms = [t.name for t in context.home if t.kind == "room" and t.name != context.device.room]
        device = replace(context.device, room=rooms[0]) if rooms else context.device
        return replace(context, town=town, device=device)

    def _entity(self, item: str, context: Context) -> Entity | None:
        entity = self.catalogue.by_id.get(item)
        return entity or next((thing for thing in context.home if thing.id == item), None)

    def _edition(self, item: str) -> str:
        if self._newest is None:
            self._newest = _newest_editions(self.catalogue)
        return self._newest.get(item, item)


def _newest_editions(catalogue: Catalogue) -> dict[str, str]:
    """Id of each older film to the id of the newest film of its title."""
    editions: dict[str, list[Entity]] = {}
    for film in catalogue.of_kind("film"):
        editions.setdefault(film.name.lower(), []).append(film)
    newest: dict[str, str] = {}
    for group in editions.values():
        latest = max(group, key=lambda film: (film.facts.get("year", ""), film.id))
        newest.update({film.id: latest.id for film in group if film is not latest})
    return newest


def _usual(slot: SlotSpec, context: Context) -> str:
    """What a slot means that is not mentioned: this town, this room, the shopping list."""
    if "town" in slot.kinds:
        return context.town
    if "room" in slot.kinds:
        rooms = (t.id for t in context.home if t.kind == "room" and t.name == context.device.room)
        return next(rooms, "")
    if slot.kinds == ("list",):
        return next((t.id for t in context.home if t.kind == "list"), "")
    return ""


def _obstacle(entity: Entity, context: Context) -> tuple[str, str] | None:
    """Why an entity is not available here and now, as cause and sentence; None if it is."""
    regions = entity.facts.get("regions")
    if regions and context.locale not in regions.split(","):
        return "region", message("not here", name=entity.name)
    if entity.kind != "account" and entity.facts.get("plan") == "premium":
        plans = (thing.facts.get("plan") for thing in context.home if thing.kind == "account")
        if next(plans, "premium") != "premium":
            return "plan", message("not in plan", name=entity.name)
    return None


def _outcome(
    action: str,
    status: str,
    response: str,
    items: tuple[str, ...],
    acts: tuple[str, ...],
    cause: str = "",
) -> Outcome:
    signals = {"items": float(len(items))}
    return Outcome(action, status, response, items, 0.0, signals, acts, cause)


def _failed(action: str, cause: str, response: str) -> Outcome:
    return _outcome(action, "error", response, (), ("sorry",), cause)


def _timed(outcome: Outcome, intent: str, context: Context) -> Outcome:
    """The outcome with how long it took, which depends on moment, device and request alone."""
    return replace(outcome, latency_ms=round(_took(outcome.cause, intent, context), 1))


def _took(cause: str, intent: str, context: Context) -> float:
    draw = chance("took", context.moment.isoformat(), context.device.id, intent)
    if cause == "timeout":
        # A timeout is noticed a little after the limit.
        return LIMIT_MS + 40.0 * exp(0.8 * _normal(draw))
    if draw < _LATE:
        return _LATE_FROM * float((LIMIT_MS / _LATE_FROM) ** (draw / _LATE))
    median, deviation = _TOOK.get(cause, _TOOK[""])
    return min(LIMIT_MS, median * exp(deviation * _normal((draw - _LATE) / (1.0 - _LATE))))


def _normal(share: float) -> float:
    return _NORMAL.inv_cdf(min(max(share, 1e-6), 1.0 - 1e-6))
