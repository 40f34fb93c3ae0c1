"""Rhasspy's messages on MQTT, in the Hermes protocol, as `mosquitto_sub` writes them.

The messages have no times, so that a recorder must write them: `-F '%I %t %p'` (time, topic and
payload on a line), seconds since 1970 (`%U`) in place of the time, or JSON (`%j`, `%J`). Lines
without a time go to quarantine. Audio is binary and full of line ends; what is left of it on lines
of its own is passed over, as are topics of others.

A session is a dialogue. A turn begins with the wake word, which is joined by the site because it
comes before the session has an id; with `sessionStarted` where there was none; and, as the session
goes on, with `startListening`. Requests without a session (typed on the web page) are dialogues of
their site, divided by pauses.

source → trace
sessionId → dialogue_id, turn_id; siteId → device.id; lang → locale
hotword/ID/detected → started_at; modelId, else ID → wake.phrase
asr/textCaptured: text, likelihood, seconds → asr.hypotheses, asr.latency_ms
nlu/query, intent/NAME → nlu: intent, confidenceScore, slots, alternatives; times
intentNotRecognized → no hypotheses, result.status no_match
tts/say, continueSession, endSession → result.response, and prompt of the next turn
sessionEnded: timeout, error → result.status error; the reason, unless nominal → result.acts
error/… → result.status error, result.acts
a wake word while the site is speaking → feedback.barge_in of that turn
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, BinaryIO

from data.ingest.adapters.adapter import Assembled, Piece, Reading, Rejected, Settings
from data.ingest.adapters.common import (
    as_text,
    iso,
    json_object,
    mapping,
    microseconds,
    number_or_none,
    objects,
    pack,
    seconds,
    text_or_none,
    unpack,
    without_nulls,
)
from data.ingest.validation import Fault

# A session is known by its id in some messages and by its site in others.
_GROUP = "rhasspy"
_RECOGNISED = re.compile(
    rb"(?m)^(?:[^\s{]{1,40} ){0,3}hermes/(?:hotword|dialogueManager|asr|nlu|tts|intent"
    rb"|audioServer)/"
    rb'|^\{.{0,300}"topic" ?: ?"hermes/'
)
_LINE = re.compile(
    rb"(?P<time>[0-9][0-9T:.,+\-Z/]*(?: [0-9:.,+\-Z]+)?) (?P<topic>\S+)(?: (?P<payload>.*))?", re.S
)
_TIMELESS = re.compile(rb"(?:\S+ ){0,4}hermes/\w+")
_ADVICE = "no time before the topic; record with: mosquitto_sub -t 'hermes/#' -F '%I %t %p'"
# In seconds since 1970: a smaller number before the topic is something else, as its quality (%q).
_EARLIEST = 100_000_000
# What audio leaves on a line of its own may look like text, if it is short.
_SHORT = 16
_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")

# Topics that turns are made of, of one time in this order; what is kept of their payload.
_ALL = ("siteId", "sessionId")
_TOPICS: dict[str, tuple[str, ...]] = {
    "hotword/+/detected": ("modelId",),
    "dialogueManager/sessionStarted": ("lang",),
    "asr/startListening": ("lang", "wakewordId"),
    "asr/textCaptured": ("text", "likelihood", "seconds", "lang", "wakewordId"),
    "nlu/query": ("input", "lang"),
    "intent/+": ("input", "intent", "slots", "alternatives", "lang"),
    "nlu/intentNotRecognized": ("input",),
    "dialogueManager/intentNotRecognized": ("input",),
    "dialogueManager/continueSession": ("text",),
    "dialogueManager/endSession": ("text",),
    "tts/say": ("text",),
    "tts/sayFinished": (),
    "error/+": (),
    "dialogueManager/sessionEnded": ("termination",),
}
_RANKS = {topic: f"{rank:02}" for rank, topic in enumerate(_TOPICS)}
_FAILED = ("timeout", "error")

_GRACE_US = 10_000_000
# The end of a longer response has not been recorded.
_SPEECH_US = 30_000_000
# Longer than the dialogue manager waits for anybody.
_ABANDONED_US = 600_000_000
_SWEEP_US = 1_000_000
_MOST_OPEN = 10_000


class Rhasspy:
    """Reads Hermes messages; see `data.ingest.adapters.adapter.Adapter`."""

    name = "rhasspy-hermes"
    title = "Rhasspy (Hermes) messages on MQTT"
    cannot_know: tuple[str, ...] = (
        "the wake word's score",
        "what speech recognition heard besides",
        "how slots were resolved",
        "whether what was asked for was done",
        "expect weaker verdicts on results, and none of entity resolution",
    )

    def recognises(self, head: bytes) -> bool:
        return _RECOGNISED.search(head) is not None

    def reading(self, head: bytes) -> Reading:
        return Reading.LINES

    def records(self, stream: BinaryIO) -> Iterator[tuple[int, Any]]:
        yield from enumerate(stream, 1)

    def pieces(self, record: Any) -> Iterable[Piece]:
        message = _message(record)
        if message is None:
            return
        time, topic, payload = message
        kind, of = _kind(topic)
        if topic.startswith("hermes/") and payload in (None, b""):
            raise Fault("payload", f"missing under {topic}; the line may have been cut off")
        if kind is None:
            return
        payload = json_object(payload) if isinstance(payload, bytes) else payload
        if not isinstance(payload, dict):
            raise Fault("payload", f"expected a JSON object under {topic}")
        at = _time(time)
        data = {name: payload[name] for name in (*_ALL, *_TOPICS[kind]) if name in payload}
        packed = pack({"kind": kind, "of": of, **data})
        digest = blake2b(packed, digest_size=8).hexdigest()
        yield Piece(_GROUP, at, f"{_RANKS[kind]} {digest}", packed)

    def turns(self, pieces: Iterator[Piece], settings: Settings) -> Iterator[Assembled | Rejected]:
        sessions = _Sessions(settings)
        for piece in pieces:
            yield from sessions.until(piece.at)
            yield from sessions.add(piece, unpack(piece.data))
        yield from sessions.close()


# -- lines → messages ------------------------------------------------------------------------------


def _message(line: bytes) -> tuple[Any, str, Any] | None:
    """Time, topic and payload of a line; None for remains of audio, and for what others sent."""
    line = line.strip(b"\r\n")
    if line.startswith(b"{") and b'"topic"' in line:
        record = json_object(line)
        payload = record.get("payload")
        payload = payload.encode() if isinstance(payload, str) else payload
        return record.get("tst"), as_text(record.get("topic")), payload
    parts = _LINE.match(line)
    if parts:
        topic = parts["topic"].decode("utf-8", "replace")
        return parts["time"].decode(), topic, parts["payload"] or b""
    if _TIMELESS.match(line):
        if b"hermes/audioServer/" in line[:200]:
            return None
        raise Fault("", _ADVICE)
    if len(line) < _SHORT or _NO_TEXT.search(line):
        return None
    try:
        line.decode()
    except UnicodeDecodeError:
        return None
    raise Fault("", "expected a time, a topic and its payload")


def _kind(topic: str) -> tuple[str | None, str]:
    """The topic without what is named in it, and that name; None for one that tells nothing."""
    root, _, below = topic.partition("/")
    if root != "hermes":
        return None, ""
    first, _, rest = below.partition("/")
    if first in ("intent", "error") and rest:
        return f"{first}/+", rest
    if first == "hotword" and rest.endswith("/detected"):
        return "hotword/+/detected", rest.removesuffix("/detected")
    return (below, "") if below in _TOPICS else (None, "")


def _time(value: Any) -> int:
    """Seconds since 1970, or a date and time."""
    number = number_or_none(value)
    if number is not None and number < _EARLIEST:
        raise Fault("", _ADVICE)
    at = seconds(value, "time") if number is not None else microseconds(value, "time")
    iso(at)
    return at


# -- messages → turns ------------------------------------------------------------------------------


@dataclass(slots=True)
class _Turn:
    """A turn as far as it is known. `asked`: somebody was listened to, or typed."""

    origin: Piece
    began: int
    prompt: str | None
    listened: int | None = None
    text: str | None = None
    confidence: float | None = None
    took: float | None = None
    queried: int | None = None
    answered: int | None = None
    hypotheses: list[dict[str, Any]] | None = None
    said: list[str] = field(default_factory=list)
    status: str | None = None
    acts: list[str] = field(default_factory=list)
    barge_in: bool = False
    # Captured text, perhaps an empty one.
    captured: bool = False

    @property
    def answerable(self) -> bool:
        """Whether a request has been made, so that the next one is another turn's."""
        return self.captured or self.queried is not None or self.hypotheses is not None


@dataclass(slots=True)
class _Session:
    """`name`: its id, None for requests without one; `last`: time of its latest message;
    `speaking`: since when it is."""

    name: str | None
    dialogue: str
    last: int
    site: str | None = None
    phrase: str | None = None
    locale: str | None = None
    started: bool = False
    ended: bool = False
    speaking: int | None = None
    index: int = 0
    turn: _Turn | None = None
    said: str | None = None


class _Sessions:
    """The sessions that are open, and wake words that no session has been started by yet."""

    def __init__(self, settings: Settings) -> None:
        self._idle = settings.idle_us
        self._open: OrderedDict[str, _Session] = OrderedDict()
        self._woken: OrderedDict[str, tuple[Piece, str | None]] = OrderedDict()
        self._swept: int | None = None

    def add(self, piece: Piece, message: dict[str, Any]) -> Iterator[Assembled]:
        kind = message["kind"]
        site = text_or_none(message.get("siteId"))
        if kind == "hotword/+/detected":
            self._wake(piece, site, message)
            return
        session = self._session(piece, site, message)
        session.last = max(session.last, piece.at)
        session.site = session.site or site
        session.locale = session.locale or text_or_none(message.get("lang"))
        if kind in ("asr/startListening", "asr/textCaptured", "nlu/query"):
            turn = session.turn
            if turn is not None and turn.answerable and _is_new(turn, kind):
                yield from _over(session)
        if kind == "dialogueManager/sessionStarted":
            session.started = True
            self._join(session)
        turn = session.turn
        if turn is None and kind in _BEGINNING:
            turn = session.turn = _Turn(piece, piece.at, session.said)
        if turn is not None:
            _tell(turn, session, kind, piece.at, message)

    def _wake(self, piece: Piece, site: str | None, message: dict[str, Any]) -> None:
        for session in self._open.values():
            if session.site != site or session.turn is None or session.speaking is None:
                continue
            session.turn.barge_in = piece.at - session.speaking <= _SPEECH_US
            session.speaking = None
        phrase = text_or_none(message.get("modelId")) or text_or_none(message["of"])
        self._woken[site or ""] = (piece, phrase)
        if len(self._woken) > _MOST_OPEN:
            self._woken.popitem(last=False)

    def _join(self, session: _Session) -> None:
        """A session begins with the wake word of its site, if that has just been heard."""
        origin, phrase = self._woken.pop(session.site or "", (None, None))
        if origin is not None and session.last - origin.at <= _GRACE_US:
            session.phrase = phrase
            if session.turn is None:
                session.turn = _Turn(origin, origin.at, None)

    def _session(self, piece: Piece, site: str | None, message: dict[str, Any]) -> _Session:
        name = text_or_none(message.get("sessionId"))
        key = f"s{name}" if name else f"@{site}"
        session = self._open.get(key)
        if session is None:
            dialogue = name or f"{site or 'default'}:{iso(piece.at)}"
            session = self._open[key] = _Session(name, dialogue, piece.at)
        return session

    def until(self, now: int) -> Iterator[Assembled]:
        """The turns of sessions that are over at this time."""
        if len(self._open) > _MOST_OPEN:
            yield from _over(self._open.popitem(last=False)[1])
        if self._swept is not None and now - self._swept < _SWEEP_US:
            return
        self._swept = now
        for key, session in list(self._open.items()):
            limit = _GRACE_US if session.ended else _ABANDONED_US
            if now - session.last > (limit if session.name else self._idle):
                del self._open[key]
                yield from _over(session)

    def close(self) -> Iterator[Assembled]:
        """The turns that are left."""
        for session in self._open.values():
            yield from _over(session)


# Messages by which a turn begins, where none has.
_BEGINNING = (
    "dialogueManager/sessionStarted",
    "asr/startListening",
    "asr/textCaptured",
    "nlu/query",
    "intent/+",
    "nlu/intentNotRecognized",
)


def _is_new(turn: _Turn, kind: str) -> bool:
    """Whether a message asks for something else than the turn already does: its own text is also
    the query."""
    if kind == "nlu/query":
        return turn.queried is not None or turn.hypotheses is not None
    return True


def _tell(turn: _Turn, session: _Session, kind: str, at: int, message: dict[str, Any]) -> None:
    """Add to a turn what a message tells."""
    if kind == "asr/startListening":
        turn.listened = at
        session.phrase = session.phrase or text_or_none(message.get("wakewordId"))
    elif kind == "asr/textCaptured":
        turn.captured = True
        turn.text = text_or_none(message.get("text"))
        turn.confidence = number_or_none(message.get("likelihood"))
        took = number_or_none(message.get("seconds"))
        turn.took = took * 1_000 if took is not None and took >= 0 else None
    elif kind == "nlu/query":
        turn.queried = at
        turn.text = turn.text or text_or_none(message.get("input"))
    elif kind == "intent/+":
        turn.answered = at
        turn.text = turn.text or text_or_none(message.get("input"))
        turn.hypotheses = _understood(message)
    elif kind.endswith("/intentNotRecognized"):
        turn.answered = turn.answered or at
        turn.text = turn.text or text_or_none(message.get("input"))
        turn.hypotheses, turn.status = [], "no_match"
    elif kind == "tts/sayFinished":
        session.speaking = None
    elif kind == "error/+":
        turn.status = "error"
        turn.acts.append(message["of"])
    elif kind == "dialogueManager/sessionEnded":
        session.ended = True
        _end(turn, text_or_none(mapping(message.get("termination")).get("reason")))
    else:
        if kind == "tts/say":
            session.speaking = at
        text = text_or_none(message.get("text"))
        if text and text not in turn.said:
            turn.said.append(text)


def _end(turn: _Turn, reason: str | None) -> None:
    if reason in _FAILED:
        turn.status = "error"
    elif reason == "intentNotRecognized":
        turn.status = turn.status or "no_match"
    if reason and reason != "nominal":
        turn.acts.append(reason)


def _understood(message: dict[str, Any]) -> list[dict[str, Any]]:
    intent = mapping(message.get("intent"))
    chosen = {
        "intent": text_or_none(intent.get("intentName")) or message["of"],
        "confidence": number_or_none(intent.get("confidenceScore")),
        "slots": _slots(message),
    }
    others = [
        {
            "intent": text_or_none(each.get("intentName")),
            "confidence": number_or_none(each.get("confidenceScore")),
            "slots": _slots(each),
        }
        for each in objects(message.get("alternatives"))
    ]
    return [chosen, *(each for each in others if each["intent"])]


def _slots(message: dict[str, Any]) -> list[dict[str, str]]:
    slots = []
    for each in objects(message.get("slots")):
        name = text_or_none(each.get("slotName")) or text_or_none(each.get("entity"))
        value = each.get("value")
        if isinstance(value, dict) and "value" in value:
            value = value["value"]
        value = each.get("rawValue") if value is None else value
        if name and value is not None:
            slots.append({"name": name, "value": as_text(value)})
    return slots


def _over(session: _Session) -> Iterator[Assembled]:
    """The turn of a session that is over, if anybody asked for anything in it; as long as nothing
    is known of what was said, only the end of the session tells that nothing was."""
    turn, session.turn, session.speaking = session.turn, None, None
    if turn is None:
        return
    session.said = "\n".join(turn.said) or None
    if not turn.answerable and (turn.listened is None or not session.ended):
        return
    name = session.name or session.site or "default"
    first = session.started and session.index == 0 and session.name is not None
    record = {
        "turn_id": name if first else f"{name}:{iso(turn.began)}",
        "dialogue_id": session.dialogue,
        "turn_index": session.index,
        "started_at": iso(turn.began),
        "locale": session.locale,
        "device": {"id": session.site},
        "prompt": {"text": turn.prompt},
        "wake": {"phrase": session.phrase if session.index == 0 else None},
        "asr": {
            "hypotheses": [{"text": turn.text, "confidence": turn.confidence}] if turn.text else [],
            "latency_ms": turn.took,
        },
        "nlu": {
            "hypotheses": turn.hypotheses,
            "start_ms": _between(turn.began, turn.queried),
            "latency_ms": _between(turn.queried, turn.answered),
        },
        "result": {
            "status": turn.status,
            "response": session.said,
            "acts": [{"act": act} for act in turn.acts] or None,
        },
        "feedback": {
            "barge_in": turn.barge_in,
            "terminated": True if "abortedByUser" in turn.acts else None,
        },
    }
    session.index += 1
    yield Assembled(without_nulls(record), turn.origin)


def _between(start: int | None, end: int | None) -> float | None:
    if start is None or end is None or end < start:
        return None
    return (end - start) / 1_000


ADAPTER = Rhasspy()
