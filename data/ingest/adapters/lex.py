"""Conversation logs of Amazon Lex V2.

One entry per response; entries of one `sessionId` are a dialogue, those of one `requestId` a turn
(the first response, and what a fulfilment says later). They come in these envelopes: as they are,
one per line; as `aws logs filter-log-events` and `aws logs tail` print them; as an export to S3
writes them, behind their time; and as a subscription delivers them, documents of several entries
without line ends.

| entry | trace |
|---|---|
| requestId, sessionId, timestamp | turn_id, dialogue_id, started_at |
| bot.name (else bot.id), localeId, version | assistant, locale, versions.bot |
| inputTranscript, then transcriptions | asr.hypotheses; confidence of speech alone |
| audioProperties.duration.total | asr.audio_ms |
| interpretations | nlu.hypotheses; slots with their interpreted, else original value |
| slots of the first interpretation | er.mentions: originalValue, resolvedValues |
| missedUtterance, or FallbackIntent first | result.status no_match |
| sessionState.intent.state Failed | result.status error, act Failed |
| sessionState.dialogAction.type, messages | result.acts, result.response |
| bargeIn | feedback.barge_in of the turn before, whose response was interrupted |

What is known of the shape is from the service's guide and one published entry: confidences may be
numbers, texts or objects with a score, truth values may be texts, and fields come without a change
of version. A value that the service has masked (`***`, or `{Name}` for an obfuscated slot) is no
value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import msgspec

from data.ingest.adapters.adapter import Assembled, Piece, Reading, Rejected, Settings
from data.ingest.adapters.common import (
    as_text,
    decoded,
    iso,
    items,
    mapping,
    microseconds,
    number_or_none,
    objects,
    pack,
    shown,
    text_or_none,
    truth,
    unpack,
)
from data.ingest.adapters.json_cut import cut_json, lines_or_cut
from data.ingest.validation import Fault
from data.schema.trace import (
    Act,
    Asr,
    AsrHypothesis,
    Candidate,
    Er,
    Mention,
    Nlu,
    NluHypothesis,
    Record,
    Result,
    Slot,
)

_VERSION = "2.0"
_FALLBACK = ("FallbackIntent", "AMAZON.FallbackIntent")
# Responses that no request of a user caused.
_NOT_ASKED = ("StartTimeout",)
# What stands before an entry in an export to S3, and in what `aws logs tail` prints: its time, and
# the name of the stream.
_TIME = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?"
_PREFIX = re.compile(_TIME + rb"\s+(?:[^\s{]\S*\s+)?(?=\{)")
_ALONE = re.compile(_TIME + rb"(?:\s+\S+)?")
_MARKS = (b'"inputTranscript"', b'"messageVersion"', b'"message-version"', b'"missedUtterance"')
# What a subscription sends to see whether somebody listens: the type, and its only message.
_CONTROL = "CONTROL_MESSAGE"
_CHECK = "CWL CONTROL MESSAGE"
# Under which name a document has its entries.
_LISTS = (b"events", b"logEvents")
# Turns of a session that wait for what their fulfilment says later.
_WAITING = 64
# The longest that a session can be idle; behind it, its id is used again.
_LONGEST_IDLE = 24 * 3_600_000_000
# Envelopes around an entry: an event, a document of events, and what stores these.
_DEEPEST = 4
_MASKED = re.compile(r"\*+|\{[\w.-]+\}")


class _Entry(msgspec.Struct, gc=False):
    """What is read of an entry, or of an envelope of entries."""

    messageVersion: Any = None
    other_version: Any = msgspec.field(default=None, name="message-version")
    bot: Any = None
    messages: Any = None
    sessionId: Any = None
    requestId: Any = None
    timestamp: Any = None
    inputMode: Any = None
    responseReason: Any = None
    missedUtterance: Any = None
    bargeIn: Any = None
    inputTranscript: Any = None
    transcriptions: Any = None
    interpretations: Any = None
    sessionState: Any = None
    audioProperties: Any = None
    messageType: Any = None
    events: Any = None
    logEvents: Any = None
    message: Any = None


class _Parts(Record):
    """What an entry says of a turn, in the parts of a trace, which are written without nulls."""

    turn_id: str
    started_at: str
    result: Result
    assistant: str | None = None
    locale: str | None = None
    versions: dict[str, str | None] | None = None
    asr: Asr | None = None
    nlu: Nlu | None = None
    er: Er | None = None


_decode = msgspec.json.Decoder(_Entry).decode


class LexV2:
    """Reads conversation logs of Lex V2; see `data.ingest.adapters.adapter.Adapter`."""

    name = "lex-v2"
    title = "Amazon Lex V2 conversation logs"
    cannot_know: tuple[str, ...] = (
        "the wake word",
        "scores of entity candidates",
        "latencies",
        "failures of a fulfilment that calls itself fulfilled",
        "expect weaker verdicts on results, and none of false wake",
    )

    def recognises(self, head: bytes) -> bool:
        text = head.replace(b"\\", b"")
        return b'"sessionId"' in text and sum(mark in text for mark in _MARKS) >= 2

    def reading(self, head: bytes) -> Reading:
        return lines_or_cut(head, _PREFIX)

    def records(self, stream: BinaryIO) -> Iterator[tuple[int, Any]]:
        return cut_json(stream, _LISTS, _ALONE)

    def pieces(self, record: Any) -> Iterable[Piece]:
        faults: list[Fault] = []
        yield from _pieces(_entry(record), faults)
        if faults:
            more = f"; so are {len(faults) - 1:,} more of its events" if faults[1:] else ""
            raise Fault(faults[0].field, faults[0].reason + more)

    def turns(self, pieces: Iterator[Piece], settings: Settings) -> Iterator[Assembled | Rejected]:
        waiting: dict[str, tuple[dict[str, Any], Piece]] = {}
        last: dict[str, Any] | None = None
        dialogue, number, before = "", 0, 0
        for piece in pieces:
            turn, barged_in = unpack(piece.data)
            request = turn["turn_id"]
            if request in waiting:
                _append(waiting[request][0], turn)
                continue
            if not dialogue:
                dialogue = piece.group
            elif piece.at - before > _LONGEST_IDLE:
                yield from _done(waiting)
                dialogue, number, last = f"{piece.group} {turn['started_at']}", 0, None
            before = piece.at
            if last is not None:
                last["feedback"] = {"barge_in": barged_in}
            turn["dialogue_id"], turn["turn_index"] = dialogue, number
            turn["feedback"] = {"barge_in": False}
            last = turn
            number += 1
            waiting[request] = (turn, piece)
            if len(waiting) > _WAITING:
                yield Assembled(*waiting.pop(next(iter(waiting))))
        yield from _done(waiting)


def _done(waiting: dict[str, tuple[dict[str, Any], Piece]]) -> Iterator[Assembled]:
    for turn, piece in waiting.values():
        yield Assembled(turn, piece)
    waiting.clear()


def _entry(record: bytes) -> _Entry:
    if not record.startswith(b"{"):
        record = record.strip()
        record = _PREFIX.sub(b"", record, count=1)
    try:
        return _decode(record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    value = decoded(record)
    if not isinstance(value, dict):
        raise Fault("", "expected a JSON object")
    return msgspec.convert(value, _Entry)


def _pieces(entry: _Entry, faults: list[Fault], depth: int = 0) -> Iterator[Piece]:
    """The pieces of an entry, or of those that it is an envelope of; what is wrong with one of
    several events is added to `faults`."""
    if depth > _DEEPEST:
        raise Fault("", "nested too deeply")
    if entry.messageType == _CONTROL:
        return
    for events in (entry.logEvents, entry.events):
        if isinstance(events, list):
            for each in events:
                try:
                    event = _event(mapping(each).get("message"))
                    yield from _pieces(event, faults, depth + 1)
                except Fault as fault:
                    faults.append(fault.with_traceback(None))
            return
    if entry.messageVersion is None and entry.sessionId is None and entry.message is not None:
        yield from _pieces(_event(entry.message), faults, depth + 1)
        return
    version = entry.other_version if entry.messageVersion is None else entry.messageVersion
    if version != _VERSION:
        raise Fault("messageVersion", f"expected {_VERSION!r}, got {shown(version)}")
    session, request = text_or_none(entry.sessionId), text_or_none(entry.requestId)
    if not session or not request:
        missing = "requestId" if session else "sessionId"
        raise Fault(missing, "missing; an entry without it belongs to no turn")
    at = microseconds(entry.timestamp, "timestamp")
    reason = entry.responseReason
    if reason in _NOT_ASKED:
        return
    data = pack((_turn(entry, request, at), bool(truth(entry.bargeIn))))
    yield Piece(session, at, f"{request} {text_or_none(reason) or ''}", data)


def _event(message: Any) -> _Entry:
    """The entry in an event, which is JSON as a text (or, where a tool has read it, an object)."""
    if isinstance(message, str):
        if message.startswith(_CHECK):
            return _Entry(messageType=_CONTROL)
        return _entry(message.encode())
    if isinstance(message, dict):
        return _entry(as_text(message).encode())
    raise Fault("message", "expected the text of an entry")


def _turn(entry: _Entry, request: str, at: int) -> _Parts:
    bot = mapping(entry.bot)
    locale, version = text_or_none(bot.get("localeId")), text_or_none(bot.get("version"))
    speech = entry.inputMode.lower() if isinstance(entry.inputMode, str) else ""
    hypotheses, mentions = _understood(entry)
    return _Parts(
        request,
        iso(at),
        Result(status=_status(entry, hypotheses), response=_said(entry), acts=_acts(entry)),
        text_or_none(bot.get("name")) or text_or_none(bot.get("id")),
        locale.replace("_", "-") if locale else None,
        {"bot": version} if version else None,
        None if speech == "dtmf" else _heard(entry, speech == "speech"),
        Nlu(hypotheses),
        Er(mentions) if mentions else None,
    )


def _heard(entry: _Entry, spoken: bool) -> Asr:
    """The hypotheses, what was passed on first; typed text has a confidence that means nothing."""
    passed_on = entry.inputTranscript
    heard = [
        AsrHypothesis(
            each["transcription"],
            _score(each.get("transcriptionConfidence")) if spoken else None,
        )
        for each in objects(entry.transcriptions)
        if _is_known(each.get("transcription"))
    ]
    if _is_known(passed_on):
        heard.sort(key=lambda each: each.text != passed_on)
        if not heard or heard[0].text != passed_on:
            heard.insert(0, AsrHypothesis(passed_on))
    duration = mapping(mapping(entry.audioProperties).get("duration"))
    return Asr(heard, number_or_none(duration.get("total")))


def _understood(entry: _Entry) -> tuple[list[NluHypothesis], list[Mention]]:
    """The interpretations as hypotheses, and the slots of the first one as mentions."""
    hypotheses: list[NluHypothesis] = []
    mentions: list[Mention] = []
    for index, each in enumerate(objects(entry.interpretations)):
        intent = mapping(each.get("intent"))
        name = text_or_none(intent.get("name"))
        if name is None:
            continue
        slots = [
            (slot, value)
            for slot, given in sorted(mapping(intent.get("slots")).items())
            for value in _values(given)
        ]
        confidence = _score(each.get("nluConfidence"))
        named = [Slot(slot, _meant(value)) for slot, value in slots]
        hypotheses.append(NluHypothesis(None, name, confidence, named))
        if index == 0:
            mentions = [
                Mention(
                    slot,
                    text_or_none(value.get("originalValue")),
                    [Candidate(name=name) for name in _resolved(value)],
                )
                for slot, value in slots
                if not _is_masked(value)
            ]
    return hypotheses, mentions


def _score(confidence: Any) -> float | None:
    """A confidence: a number, its text, or an object that holds it."""
    return number_or_none(confidence.get("score") if isinstance(confidence, dict) else confidence)


def _values(slot: Any) -> Iterator[dict[str, Any]]:
    """The values of a slot: of a list, each one."""
    slot = mapping(slot)
    listed = objects(slot.get("values"))
    if listed:
        for each in listed:
            yield from _values(each)
    elif value := mapping(slot.get("value")):
        yield value


def _meant(value: dict[str, Any]) -> str | None:
    meant = value.get("interpretedValue")
    meant = value.get("originalValue") if meant is None else meant
    return None if meant is None or _is_masked(value) else as_text(meant)


def _is_masked(value: dict[str, Any]) -> bool:
    """Whether the service has replaced what the user said by something else."""
    said = value.get("originalValue", value.get("interpretedValue"))
    return isinstance(said, str) and _MASKED.fullmatch(said) is not None


def _is_known(text: Any) -> bool:
    """Whether a transcript says anything, not masked as a whole."""
    return isinstance(text, str) and bool(text.strip()) and _MASKED.fullmatch(text) is None


def _resolved(value: dict[str, Any]) -> list[str]:
    """What a value was resolved to; no resolved values beside an interpreted one are not a failure
    to resolve: slots without a list of values have none."""
    names = [as_text(each) for each in items(value.get("resolvedValues")) if each is not None]
    meant = value.get("interpretedValue")
    return names or ([as_text(meant)] if meant is not None else [])


def _state(entry: _Entry) -> Any:
    return mapping(mapping(entry.sessionState).get("intent")).get("state")


def _status(entry: _Entry, hypotheses: list[NluHypothesis]) -> str:
    if truth(entry.missedUtterance) or (hypotheses and hypotheses[0].intent in _FALLBACK):
        return "no_match"
    return "error" if _state(entry) == "Failed" else "ok"


def _acts(entry: _Entry) -> list[Act]:
    """What the bot does next, such as `ElicitSlot`; the state `Failed`, which is all it says of an
    error."""
    action = mapping(mapping(entry.sessionState).get("dialogAction")).get("type")
    names = [text_or_none(action), "Failed" if _state(entry) == "Failed" else None]
    return [Act(name) for name in names if name]


def _said(entry: _Entry) -> str | None:
    texts = [text_or_none(each.get("content")) for each in objects(entry.messages)]
    return "\n".join(text for text in texts if text) or None


def _append(turn: dict[str, Any], later: dict[str, Any]) -> None:
    """Add what a later response of the same request says."""
    result, more = turn["result"], later["result"]
    texts = [text for text in (result.get("response"), more.get("response")) if text]
    if texts:
        result["response"] = "\n".join(texts)
    if more["status"] == "error":
        result["status"] = "error"
        result["acts"].append({"act": "Failed"})


ADAPTER = LexV2()
