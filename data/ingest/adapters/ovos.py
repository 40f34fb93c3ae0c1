"""Messages of the OpenVoiceOS (and Mycroft) bus, with a recorder's time before each.

The bus is a WebSocket of JSON messages {type, data, context} without times. A recorder writes each
on a line, behind its time: a date and time, or seconds since 1970 (or milli-, micro-, nanoseconds,
which their size tells); or into the message, as `timestamp` or `time`. Times without a zone are
UTC. Lines without a time go to quarantine.

Messages of a session (`context.session.session_id`) are brought together. The session "default"
goes on for ever, so that a pause ends a dialogue; it is named by its session and the time of its
first turn.

source → trace
recognizer_loop:wakeword, else record_begin, else utterance → started_at, turn_id; wake.phrase
recognizer_loop:utterance: utterances → asr.hypotheses (alternatives and spellings alike)
speech.recognition.unknown → no hypotheses
record_begin, record_end → asr.audio_ms; record_end until the utterance → asr.latency_ms
a message whose type is an intent ("skill:intent") → nlu: confidence; other data → slots
complete_intent_failure → no hypotheses in nlu, result.status no_match
mycroft.skill.handler.complete, .error → result.status ok, error; the exception → result.acts
speak → result.response; with expect_response, prompt of the next turn
the wake word while audio is put out → feedback.barge_in of the turn before
session: lang → locale; site_id → device.id
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, BinaryIO

from data.ingest.adapters.adapter import Assembled, Piece, Reading, Rejected, Settings
from data.ingest.adapters.common import (
    as_text,
    iso,
    items,
    json_object,
    mapping,
    microseconds,
    number_or_none,
    pack,
    seconds,
    text_or_none,
    unpack,
    without_nulls,
)
from data.ingest.validation import Fault

_MARKS = (
    b'"recognizer_loop:',
    b'"mycroft.skill.handler.',
    b'"ovos.utterance.handled"',
    b'"complete_intent_failure"',
)
_TIME = re.compile(
    r"\W?(?P<time>\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)? ?(?:Z|UTC|[+-]\d\d:?\d\d)?"
    r"|\d{9,19}(?:\.\d+)?)(?!\w)"
)
_ADVICE = "no time before the message; record the bus with the time before each message"
# From how large a number on a time since 1970 is in finer units: how many of them are a second.
_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
_TIME_FIELDS = ("timestamp", "time")

# Messages that turns are made of, of one time in this order; what is kept of their data.
_INTENT = "an intent"
_TYPES: dict[str, tuple[str, ...]] = {
    "recognizer_loop:wakeword": ("utterance",),
    "recognizer_loop:hotword": ("hotword",),
    "recognizer_loop:record_begin": (),
    "recognizer_loop:record_end": (),
    "recognizer_loop:utterance": ("utterances", "lang"),
    "recognizer_loop:speech.recognition.unknown": (),
    "mycroft.speech.recognition.unknown": (),
    _INTENT: (),
    "complete_intent_failure": (),
    "ovos.utterance.cancelled": (),
    "mycroft.skill.handler.start": (),
    "speak": ("utterance", "expect_response"),
    "mycroft.skill.handler.error": ("exception",),
    "mycroft.skill.handler.complete": (),
    "recognizer_loop:audio_output_start": (),
    "recognizer_loop:audio_output_end": (),
    "ovos.utterance.handled": (),
}
_RANKS = {kind: f"{rank:02}" for rank, kind in enumerate(_TYPES)}
_WAKING = ("recognizer_loop:wakeword", "recognizer_loop:hotword")
_UNKNOWN = ("recognizer_loop:speech.recognition.unknown", "mycroft.speech.recognition.unknown")
# Beginnings of types that are no skill's name.
_SYSTEM = ("recognizer_loop", "mycroft", "ovos", "gui", "enclosure", "intent.service", "hive")
# Data of a match that is not one of its slots.
_NO_SLOTS = ("utterance", "utterances", "lang", "confidence", "conf", "intent_type", "target")
# What is said this long after the end of a request still belongs to it.
_LATE_US = 2_000_000
# An intent's data is small; more is something else.
_MOST_SLOTS = 50


class Ovos:
    """Reads messages of the OVOS bus; see `data.ingest.adapters.adapter.Adapter`."""

    name = "ovos"
    title = "OpenVoiceOS bus messages"
    cannot_know: tuple[str, ...] = (
        "the wake word's score",
        "ASR confidence",
        "other intents that were considered",
        "how entities were resolved",
        "whether a skill that did not fail found what was asked for",
        "expect weaker verdicts on ASR and results, and none of entity resolution",
    )

    def recognises(self, head: bytes) -> bool:
        return any(mark in head for mark in _MARKS)

    def reading(self, head: bytes) -> Reading:
        return Reading.LINES

    def records(self, stream: BinaryIO) -> Iterator[tuple[int, Any]]:
        yield from enumerate(stream, 1)

    def pieces(self, record: Any) -> Iterable[Piece]:
        time, message = _message(record)
        kind = message.get("type")
        if not isinstance(kind, str):
            raise Fault("type", "missing; expected a message of the bus")
        data = mapping(message.get("data"))
        kept = _kept(kind, data)
        if kept is None:
            return
        session = mapping(mapping(message.get("context")).get("session"))
        name = text_or_none(session.get("session_id")) or text_or_none(data.get("session"))
        packed = pack({"site": session.get("site_id"), "lang": session.get("lang"), **kept})
        digest = blake2b(packed, digest_size=8).hexdigest()
        yield Piece(name or "default", _at(time), f"{_RANKS[kept['kind']]} {digest}", packed)

    def turns(self, pieces: Iterator[Piece], settings: Settings) -> Iterator[Assembled | Rejected]:
        session = _Session(settings.idle_us)
        for piece in pieces:
            yield from session.add(piece, unpack(piece.data))
        yield from session.over()


# -- lines → messages ------------------------------------------------------------------------------


def _message(line: bytes) -> tuple[Any, dict[str, Any]]:
    """Time and message of a line."""
    begin = line.find(b"{")
    if begin < 0:
        raise Fault("", "expected a time and a message of the bus, a JSON object")
    time: Any = _TIME.match(line[:begin].decode("utf-8", "replace"))
    record = json_object(line[begin:].rstrip())
    message = record["message"] if isinstance(record.get("message"), dict) else record
    if time is not None:
        return time["time"], message
    for name in _TIME_FIELDS:
        if record.get(name) is not None:
            return record[name], message
    raise Fault("", _ADVICE)


def _at(value: Any) -> int:
    number = number_or_none(value)
    if number is not None:
        finer = next((unit for least, unit in _UNITS if number >= least), 1.0)
        at = seconds(number / finer, "time")
    else:
        at = microseconds(value, "time")
    iso(at)
    return at


def _kept(kind: str, data: dict[str, Any]) -> dict[str, Any] | None:
    """What is kept of a message; None for one that tells nothing of a turn."""
    if kind in _TYPES:
        return {"kind": kind, **{name: data[name] for name in _TYPES[kind] if name in data}}
    if ":" not in kind or kind.startswith(_SYSTEM):
        return None
    if not {"utterance", "utterances", "intent_type"} & data.keys():
        return None
    confidence = data.get("confidence", data.get("conf"))
    slots = [
        {"name": name, "value": as_text(value)}
        for name, value in data.items()
        if name not in _NO_SLOTS and not name.startswith("_") and _is_value(value)
    ]
    return {
        "kind": _INTENT,
        "intent": kind,
        "confidence": number_or_none(confidence),
        "slots": slots[:_MOST_SLOTS],
    }


def _is_value(value: Any) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool) and value != ""


# -- messages → turns ------------------------------------------------------------------------------


@dataclass(slots=True)
class _Turn:
    """A turn as far as it is known. `times`: of its messages, the first of each kind."""

    origin: Piece
    prompt: str | None = None
    phrase: str | None = None
    heard: list[str] | None = None
    intent: dict[str, Any] | None = None
    matched: bool | None = None
    said: list[str] = field(default_factory=list)
    expects: bool = False
    status: str | None = None
    acts: list[str] = field(default_factory=list)
    handled: int | None = None
    barge_in: bool = False
    times: dict[str, int] = field(default_factory=dict)


class _Session:
    """The dialogues of a session, of which only the latest turn is held."""

    def __init__(self, idle_us: int) -> None:
        self._idle = idle_us
        self._turn: _Turn | None = None
        self._dialogue = ""
        self._last: int | None = None
        self._index = 0
        self._prompt: str | None = None
        self._speaking = False
        self._site: str | None = None
        self._locale: str | None = None

    def add(self, piece: Piece, message: dict[str, Any]) -> Iterator[Assembled]:
        kind = message["kind"]
        if kind == "recognizer_loop:audio_output_start":
            self._speaking = True
        elif kind == "recognizer_loop:audio_output_end":
            self._speaking = False
        if kind in _WAKING and self._speaking and self._turn is not None:
            self._turn.barge_in = self._turn.heard is not None
        if self._begins(kind):
            yield from self.over()
            self._turn = _Turn(piece, self._prompt)
            self._prompt = None
        turn = self._turn
        if turn is None or (kind == "speak" and _is_late(turn, piece.at)):
            return
        self._site = text_or_none(message["site"]) or self._site
        locale = message.get("lang")
        self._locale = text_or_none(locale) or self._locale
        turn.times.setdefault(kind, piece.at)
        _tell(turn, kind, piece.at, message)

    def _begins(self, kind: str) -> bool:
        """Whether a message begins a turn."""
        if kind in _WAKING:
            return True
        if kind == "recognizer_loop:utterance" or kind in _UNKNOWN:
            return self._turn is None or self._turn.heard is not None
        if kind == "recognizer_loop:record_begin":
            turn = self._turn
            return turn is None or turn.heard is not None or kind in turn.times
        return False

    def over(self) -> Iterator[Assembled]:
        """The turn that is over, if anybody asked for anything."""
        turn, self._turn, self._speaking = self._turn, None, False
        if turn is None or turn.heard is None:
            return
        began = turn.origin.at
        if self._last is None or began - self._last > self._idle:
            self._dialogue, self._index = f"{turn.origin.group}:{iso(began)}", 0
            turn.prompt = None
        self._last = max(turn.times.values(), default=began)
        response = "\n".join(turn.said) or None
        self._prompt = response if turn.expects else None
        record = _record(turn, response)
        record |= {
            "dialogue_id": self._dialogue,
            "turn_index": self._index,
            "locale": self._locale,
            "device": {"id": self._site if self._site != "unknown" else None},
        }
        self._index += 1
        yield Assembled(without_nulls(record), turn.origin)


def _is_late(turn: _Turn, at: int) -> bool:
    return turn.handled is not None and at - turn.handled > _LATE_US


def _tell(turn: _Turn, kind: str, at: int, message: dict[str, Any]) -> None:
    """Add to a turn what a message tells."""
    if kind in _WAKING:
        turn.phrase = text_or_none(message.get("utterance")) or text_or_none(message.get("hotword"))
    elif kind == "recognizer_loop:utterance":
        texts = (text_or_none(text) for text in items(message.get("utterances")))
        turn.heard = list(dict.fromkeys(text for text in texts if text))
    elif kind in _UNKNOWN:
        turn.heard = []
    elif turn.heard is None:
        # What comes before the request is of the one before it.
        return
    elif kind == _INTENT:
        if turn.intent is None:
            turn.intent, turn.matched = message, True
    elif kind == "complete_intent_failure":
        turn.matched, turn.status = turn.matched or False, turn.status or "no_match"
    elif kind == "ovos.utterance.cancelled":
        turn.acts.append("cancelled")
    elif kind == "speak":
        turn.expects = message.get("expect_response") is True
        if text := text_or_none(message.get("utterance")):
            turn.said.append(text)
    elif kind == "mycroft.skill.handler.error":
        turn.status = "error"
        # The name of the exception: its text may hold what was said.
        name = re.match(r"\w+", as_text(message.get("exception") or ""))
        turn.acts.append(name[0] if name else "error")
    elif kind == "mycroft.skill.handler.complete":
        turn.status = turn.status or "ok"
    elif kind == "ovos.utterance.handled":
        turn.handled = at


def _record(turn: _Turn, response: str | None) -> dict[str, Any]:
    """The turn, without what it has of its session."""
    heard = turn.heard or []
    intent = turn.intent
    return {
        "turn_id": f"{turn.origin.group}:{iso(turn.origin.at)}",
        "started_at": iso(turn.origin.at),
        "prompt": {"text": turn.prompt},
        "wake": {"phrase": turn.phrase},
        "asr": {
            "hypotheses": [{"text": text} for text in heard],
            "audio_ms": _between(
                turn, "recognizer_loop:record_begin", "recognizer_loop:record_end"
            ),
            "start_ms": _after(turn, "recognizer_loop:record_end"),
            "latency_ms": _between(turn, "recognizer_loop:record_end", "recognizer_loop:utterance"),
        },
        "nlu": {
            "hypotheses": [
                {
                    "intent": intent["intent"],
                    "confidence": intent["confidence"],
                    "slots": intent["slots"],
                }
            ]
            if intent
            else ([] if turn.matched is False else None),
            "start_ms": _after(turn, "recognizer_loop:utterance"),
            "latency_ms": _between(
                turn,
                "recognizer_loop:utterance",
                _INTENT if intent else "complete_intent_failure",
            ),
        },
        "result": {
            "status": turn.status,
            "response": response,
            "acts": [{"act": act} for act in turn.acts] or None,
            "start_ms": _after(turn, "mycroft.skill.handler.start"),
            "latency_ms": _between(
                turn, "mycroft.skill.handler.start", "mycroft.skill.handler.complete"
            ),
        },
        "feedback": {"barge_in": turn.barge_in},
    }


def _after(turn: _Turn, kind: str) -> float | None:
    return (turn.times[kind] - turn.origin.at) / 1_000 if kind in turn.times else None


def _between(turn: _Turn, first: str, second: str) -> float | None:
    if first not in turn.times or second not in turn.times:
        return None
    duration = turn.times[second] - turn.times[first]
    return duration / 1_000 if duration >= 0 else None


ADAPTER = Ovos()
