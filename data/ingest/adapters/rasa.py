"""Trackers and event brokers of Rasa.

A tracker is an object with `sender_id` and `events`, as `GET /conversations/ID/tracker` and
exports of tracker stores give it: one per file or line, or several in an array. An event broker
sends one event with its `sender_id` at a time; rows of the SQL tracker store hold it as text in
`data`. Both may be mixed: equal events are one.

A turn is a user's message and what happens until the next one. A sender has one tracker for ever:
`session_started` and `restart` begin a dialogue, which is named by the sender and that time, so
that it has the same name whatever part of a log is read (but for a session whose beginning is
missing: it has the sender's name alone).

source → trace
user: message_id → turn_id; timestamp → started_at; text → asr.hypotheses; metadata.asr_confidence
→ its confidence; input_channel → device.type; sender_id → user_id
parse_data: intent, intent_ranking → nlu.hypotheses; entities → slots of the first; commands (of
flows) → intents where there are none
bot → result.response, and prompt of the next turn; the first action → result.action
nlu_fallback, action_default_fallback, an action that asks to rephrase → result.status no_match;
otherwise it is not known
metadata: assistant_id → assistant; model_id → versions.model

Commands (/restart, /session_start) and events of other systems (EXTERNAL: …) are no turns; an
intent that was sent as text (/greet), as buttons do, is a turn without speech.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, BinaryIO

import ijson
from ijson.common import ObjectBuilder

from data.ingest.adapters.adapter import Assembled, Piece, Reading, Rejected, Settings
from data.ingest.adapters.common import (
    as_text,
    decoded,
    iso,
    mapping,
    number_or_none,
    objects,
    pack,
    seconds,
    text_or_none,
    truth,
    unpack,
    without_nulls,
)
from data.ingest.adapters.json_documents import (
    Document,
    one_per_line,
    parsed,
)
from data.ingest.validation import Fault

_MARKS = (
    b'"action_listen"',
    b'"action_session_start"',
    b'"session_started"',
    b'"parse_data"',
    b'"latest_event_time"',
    b'"user_featurization"',
)
# Kinds of events that turns are made of; of one time in this order.
_RANKS = {"restart": 0, "session_started": 1, "user": 2, "action": 3, "bot": 4}
_COMMANDS = ("/restart", "/session_start")
_EXTERNAL = "EXTERNAL: "
# What Rasa does on its own account.
_INTERNAL = (
    "action_listen",
    "action_session_start",
    "action_restart",
    "action_extract_slots",
    "action_unlikely_intent",
)
_FALLBACK = "nlu_fallback"
# What channels call the confidence of the text that they pass on.
_CONFIDENCES = ("asr_confidence", "stt_confidence", "speech_confidence")
# Events of a tracker that are held until its `sender_id`, where that stands behind them.
_MOST_HELD = 100_000


class Rasa:
    """Reads events of Rasa; see `data.ingest.adapters.adapter.Adapter`."""

    name = "rasa"
    title = "Rasa trackers and event broker messages"
    cannot_know: tuple[str, ...] = (
        "the wake word",
        "what speech recognition heard besides, and its confidence unless the channel passes it on",
        "how entities were resolved",
        "whether an action did what was asked",
        "expect weaker verdicts on ASR and results, and none of false wake or entity resolution",
    )

    def recognises(self, head: bytes) -> bool:
        text = head.replace(b"\\", b"")
        return b'"sender_id"' in text and any(mark in text for mark in _MARKS)

    def reading(self, head: bytes) -> Reading:
        return Reading.LINES if one_per_line(head) else Reading.WHOLE

    def records(self, stream: BinaryIO) -> Iterator[tuple[int, Any]]:
        document = Document(stream)
        return document.records(_Reader().events(document))

    def pieces(self, record: Any) -> Iterable[Piece]:
        value = decoded(record)
        faults: list[Fault] = []
        for each in value if isinstance(value, list) else [value]:
            yield from _pieces(each, faults)
        if faults:
            raise faults[0]

    def turns(self, pieces: Iterator[Piece], settings: Settings) -> Iterator[Assembled | Rejected]:
        sender = _Sender()
        for piece in pieces:
            yield from sender.add(piece, unpack(piece.data))
        yield from sender.ended()


# -- records → pieces ------------------------------------------------------------------------------


class _Reader:
    """Cuts trackers into events, each with its `sender_id`, without holding a whole tracker."""

    def __init__(self) -> None:
        self._depth = 0
        # Of the record that is being read: how deep its members lie, the name of the present one,
        # what it holds besides events, and events that are held until its sender is known.
        self._members: int | None = None
        self._name = ""
        self._rest = ObjectBuilder()
        self._held: list[dict[str, Any]] = []
        self._has_events = False
        self._inside = False
        self._event: ObjectBuilder | None = None

    def events(self, stream: Document) -> Iterator[dict[str, Any]]:
        """The events of trackers; and objects that are none."""
        for event, value in parsed(ijson.basic_parse_coro, stream):
            opens, closes = event.startswith("start_"), event.startswith("end_")
            self._depth -= closes
            if self._members is not None:
                yield from self._told(event, value)
            elif event == "start_map" and self._depth <= 1:
                self._members = self._depth + 1
                self._rest, self._has_events = ObjectBuilder(), False
                self._rest.event(event, value)
            self._depth += opens

    def _told(self, event: str, value: Any) -> Iterator[dict[str, Any]]:
        deeper = self._depth - (self._members or 0)
        if self._inside:
            yield from self._told_of_events(event, value, deeper)
        elif deeper == 0 and event == "start_array" and self._name == "events":
            self._inside = self._has_events = True
        else:
            if deeper == 0 and event == "map_key":
                self._name = value
            self._rest.event(event, value)
            if deeper == -1:
                yield from self._released()
                if not self._has_events:
                    yield self._rest.value
                self._members = None

    def _told_of_events(self, event: str, value: Any, deeper: int) -> Iterator[dict[str, Any]]:
        if deeper == 0:
            self._inside = False
        elif deeper == 1 and event == "start_map":
            self._event = ObjectBuilder()
        if self._event is None:
            return
        self._event.event(event, value)
        if deeper == 1 and event == "end_map":
            self._held.append(self._event.value)
            self._event = None
            if "sender_id" in self._rest.value or len(self._held) > _MOST_HELD:
                yield from self._released()

    def _released(self) -> Iterator[dict[str, Any]]:
        held, self._held = self._held, []
        for each in held:
            yield {**each, "sender_id": self._rest.value.get("sender_id")}


def _pieces(record: Any, faults: list[Fault]) -> Iterator[Piece]:
    """The pieces of a tracker or an event; what is wrong is added to `faults`."""
    if not isinstance(record, dict):
        faults.append(Fault("", "expected a tracker or an event, a JSON object"))
        return
    events = record.get("events")
    if isinstance(events, list):
        for index, each in enumerate(events):
            try:
                yield from _piece(record.get("sender_id"), each)
            except Fault as fault:
                field = f"events[{index}].{fault.field}".rstrip(".")
                faults.append(
                    Fault(field if fault.field != "sender_id" else "sender_id", fault.reason)
                )
        return
    try:
        event = record
        if isinstance(record.get("data"), str) and "type_name" in record:
            event = mapping(decoded(record["data"].encode()))
        yield from _piece(record.get("sender_id"), event)
    except Fault as fault:
        faults.append(fault)


def _piece(sender: Any, event: Any) -> Iterator[Piece]:
    kind = mapping(event).get("event")
    if not isinstance(kind, str):
        raise Fault("event", "missing; expected an event of a tracker or its broker")
    if kind not in _RANKS:
        return
    name = as_text(sender) if isinstance(sender, (str, int)) else ""
    if not name.strip():
        raise Fault("sender_id", "missing; an event without it belongs to no conversation")
    at = seconds(event.get("timestamp"), "timestamp")
    # A time that is none is the fault of this record, not of the conversation.
    iso(at)
    data = pack({"event": kind, **_kept(kind, event)})
    digest = blake2b(data, digest_size=8).hexdigest()
    yield Piece(name, at, f"{_RANKS[kind]} {digest}", data)


def _kept(kind: str, event: dict[str, Any]) -> dict[str, Any]:
    if kind == "action":
        return {"name": event.get("name")}
    if kind == "bot":
        return {"text": event.get("text")}
    if kind != "user":
        return {}
    parsed = mapping(event.get("parse_data"))
    metadata = mapping(event.get("metadata"))
    return {
        "text": event.get("text"),
        "message_id": event.get("message_id") or parsed.get("message_id"),
        "input_channel": event.get("input_channel"),
        "parsed": {
            name: parsed[name]
            for name in ("intent", "intent_ranking", "entities", "commands")
            if name in parsed
        },
        "metadata": {
            name: metadata[name]
            for name in (*_CONFIDENCES, "is_external", "assistant_id", "model_id")
            if name in metadata
        },
    }


# -- pieces → turns --------------------------------------------------------------------------------


class _Sender:
    """The dialogues of a sender, of which only the latest turn is held."""

    def __init__(self) -> None:
        self._session: int | None = None
        self._index = 0
        self._turn: dict[str, Any] | None = None
        self._origin: Piece | None = None
        self._said: list[str] = []

    def add(self, piece: Piece, event: dict[str, Any]) -> Iterator[Assembled]:
        kind = event["event"]
        if kind in ("session_started", "restart"):
            yield from self.ended()
            self._session, self._index, self._said = piece.at, 0, []
        elif kind == "user":
            yield from self.ended()
            if not _is_turn(event):
                return
            self._turn, self._origin = self._begun(piece, event), piece
            self._said = []
        elif kind == "bot":
            if text := text_or_none(event["text"]):
                self._said.append(text)
        elif self._turn is not None:
            _act(self._turn["result"], event["name"])

    def ended(self) -> Iterator[Assembled]:
        """The turn that is over, if there is one."""
        if self._turn is None or self._origin is None:
            return
        self._turn["result"]["response"] = "\n".join(self._said) or None
        turn, self._turn = self._turn, None
        yield Assembled(without_nulls(turn), self._origin)
        self._index += 1

    def _begun(self, piece: Piece, event: dict[str, Any]) -> dict[str, Any]:
        session = f":{iso(self._session)}" if self._session is not None else ""
        metadata = event["metadata"]
        understood = _understood(event["parsed"])
        return {
            "turn_id": text_or_none(event["message_id"]) or f"{piece.group}:{iso(piece.at)}",
            "dialogue_id": f"{piece.group}{session}",
            "turn_index": self._index,
            "started_at": iso(piece.at),
            "assistant": text_or_none(metadata.get("assistant_id")),
            "user_id": piece.group,
            "device": {"type": text_or_none(event["input_channel"])},
            "versions": {"model": text_or_none(metadata.get("model_id"))},
            "prompt": {"text": "\n".join(self._said) or None},
            "asr": _heard(event["text"], metadata),
            "nlu": {"hypotheses": understood},
            "result": {
                "status": "no_match" if _is_fallback(understood) else None,
            },
        }


def _is_turn(event: dict[str, Any]) -> bool:
    text = event["text"] if isinstance(event["text"], str) else ""
    external = text.startswith(_EXTERNAL) or truth(event["metadata"].get("is_external"))
    return not external and text.strip() not in _COMMANDS


def _heard(text: Any, metadata: dict[str, Any]) -> dict[str, Any] | None:
    """The text as a hypothesis; None for an intent that was sent as text."""
    if isinstance(text, str) and text.startswith("/"):
        return None
    given = (number_or_none(metadata.get(name)) for name in _CONFIDENCES)
    confidence = next((each for each in given if each is not None), None)
    heard = text_or_none(text)
    return {"hypotheses": [{"text": heard, "confidence": confidence}] if heard else []}


def _understood(parsed: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The ranking, what was chosen first; None where nothing was parsed."""
    if not parsed:
        return None
    chosen = mapping(parsed.get("intent"))
    ranking = [each for each in objects(parsed.get("intent_ranking")) if _named(each)]
    if _named(chosen):
        ranking = [chosen, *(each for each in ranking if each["name"] != chosen["name"])]
    hypotheses: list[dict[str, Any]] = [
        {"intent": each["name"], "confidence": number_or_none(each.get("confidence"))}
        for each in ranking
    ]
    if not hypotheses:
        commands = (
            text_or_none(each.get("flow")) or text_or_none(each.get("command"))
            for each in objects(parsed.get("commands"))
        )
        hypotheses = [{"intent": name} for name in commands if name]
    if hypotheses:
        hypotheses[0]["slots"] = _slots(parsed)
    return hypotheses


def _named(intent: dict[str, Any]) -> bool:
    return text_or_none(intent.get("name")) is not None


def _slots(parsed: dict[str, Any]) -> list[dict[str, str]]:
    """The entities, each once: extractors may agree."""
    slots: dict[tuple[str, str], None] = {}
    for each in objects(parsed.get("entities")):
        name, role = text_or_none(each.get("entity")), text_or_none(each.get("role"))
        if name and each.get("value") is not None:
            slots[f"{name}.{role}" if role else name, as_text(each["value"])] = None
    return [{"name": name, "value": value} for name, value in slots]


def _is_fallback(hypotheses: list[dict[str, Any]] | None) -> bool:
    return bool(hypotheses and hypotheses[0]["intent"] == _FALLBACK)


def _act(result: dict[str, Any], name: Any) -> None:
    """Note an action: the first one is that of the turn, and some say that nothing matched."""
    action = text_or_none(name)
    if action is None or action in _INTERNAL:
        return
    result.setdefault("action", action)
    if action == "action_default_fallback" or action.endswith("_ask_rephrase"):
        result["status"] = "no_match"


ADAPTER = Rasa()
