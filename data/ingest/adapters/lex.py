"""Conversation logs of Amazon Lex V2.

One entry per response; entries of one `sessionId` are a dialogue, those of one `requestId` a turn
(the first response, and what a fulfilment says later). They come in four envelopes: as they are,
one per line; as `aws logs filter-log-events` prints them; as an export to S3 writes them, behind
their time; and as a subscription delivers them, documents of several entries without line ends.

What is known of the shape is from the service's guide and one published entry: confidences may be
numbers, texts or objects with a score, truth values may be texts, and fields come without a change
of version. `bargeIn` says that this utterance interrupted the response before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from data.ingest.adapters.adapter import Assembled, Piece, Reading, Rejected, Settings
from data.ingest.adapters.common import (
    as_text,
    decoded,
    iso,
    items,
    json_items,
    json_object,
    mapping,
    microseconds,
    number_or_none,
    objects,
    pack,
    text_or_none,
    truth,
    unpack,
    without_nulls,
)
from data.ingest.validation import Fault

_VERSION = "2.0"
_FALLBACK = ("FallbackIntent", "AMAZON.FallbackIntent")
# Responses that no request of a user caused.
_NOT_ASKED = ("StartTimeout",)
# What stands before an entry in an export to S3.
_TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z\s+(?=\{)")
_MARKS = (b'"inputTranscript"', b'"messageVersion"', b'"message-version"', b'"missedUtterance"')
# Turns of a session that wait for what their fulfilment says later.
_WAITING = 8


class LexV2:
    """Reads conversation logs of Lex V2; see `data.ingest.adapters.adapter.Adapter`."""

    name = "lex-v2"
    title = "Amazon Lex V2 conversation logs"
    cannot_know = (
        "the wake word",
        "scores of entity candidates",
        "latencies",
        "failures of a fulfilment that calls itself fulfilled",
        "expect weaker verdicts on results, and none of false wake",
    )

    def recognises(self, head: bytes) -> bool:
        text = head[: 64 << 10].replace(b"\\", b"")
        return b'"sessionId"' in text and sum(mark in text for mark in _MARKS) >= 2

    def reading(self, head: bytes) -> Reading:
        # Some line of a log is an entry as a whole, whatever stands before it.
        lines = (_TIME.sub(b"", line.strip(), count=1) for line in head.split(b"\n"))
        return Reading.LINES if any(map(_is_entry, lines)) else Reading.WHOLE

    def records(self, stream: BinaryIO) -> Iterator[tuple[int, Any]]:
        number = 0
        for _, document in json_items(stream):
            if not isinstance(document, dict):
                number += 1
                yield number, Fault("", "expected a JSON object")
                continue
            events = document.get("events", document.get("logEvents"))
            if not isinstance(events, list):
                number += 1
                yield number, document
                continue
            for event in events:
                number += 1
                message = mapping(event).get("message")
                yield number, message.encode() if isinstance(message, str) else event

    def pieces(self, record: Any) -> Iterable[Piece]:
        entry = record
        if isinstance(record, bytes):
            entry = json_object(_TIME.sub(b"", record.strip(), count=1))
        if not isinstance(entry, dict):
            raise Fault("", "expected a JSON object")
        if entry.get("messageType") == "CONTROL_MESSAGE":
            return
        for inner in objects(entry.get("logEvents", entry.get("events"))):
            yield from self.pieces(as_text(inner.get("message")).encode())
        if "logEvents" in entry or "events" in entry:
            return
        version = entry.get("messageVersion", entry.get("message-version"))
        if version != _VERSION:
            raise Fault("messageVersion", f"expected {_VERSION!r}, got {version!r}")
        session, request = (text_or_none(entry.get(name)) for name in ("sessionId", "requestId"))
        if not session or not request:
            missing = "requestId" if session else "sessionId"
            raise Fault(missing, "missing; an entry without it belongs to no turn")
        at = microseconds(entry.get("timestamp"), "timestamp")
        reason = entry.get("responseReason")
        if reason in _NOT_ASKED:
            return
        yield Piece(session, at, f"{request} {reason}", pack(entry))

    def turns(self, pieces: Iterator[Piece], settings: Settings) -> Iterator[Assembled | Rejected]:
        waiting: dict[str, tuple[dict[str, Any], Piece]] = {}
        last: dict[str, Any] | None = None
        number = 0
        for piece in pieces:
            entry = unpack(piece.data)
            request = entry["requestId"]
            if request in waiting:
                _append(waiting[request][0], entry)
                continue
            if last is not None:
                last["feedback"]["barge_in"] = bool(truth(entry.get("bargeIn")))
            last = _turn(entry, piece, number)
            number += 1
            waiting[request] = (last, piece)
            if len(waiting) > _WAITING:
                yield _done(*waiting.pop(next(iter(waiting))))
        for turn, piece in waiting.values():
            yield _done(turn, piece)


def _is_entry(line: bytes) -> bool:
    """Whether a line is an entry of its own, not a document that holds some."""
    if not line.startswith(b"{") or not line.endswith(b"}"):
        return False
    try:
        return mapping(decoded(line)).keys() >= {"sessionId", "requestId"}
    except Fault:
        return False


def _turn(entry: dict[str, Any], piece: Piece, number: int) -> dict[str, Any]:
    bot = mapping(entry.get("bot"))
    locale = text_or_none(bot.get("localeId"))
    speech = str(entry.get("inputMode", "")).lower()
    hypotheses, mentions = _understood(entry)
    return {
        "turn_id": entry["requestId"],
        "dialogue_id": piece.group,
        "turn_index": number,
        "started_at": iso(piece.at),
        "assistant": text_or_none(bot.get("name")) or text_or_none(bot.get("id")),
        "locale": locale.replace("_", "-") if locale else None,
        "versions": {"bot": text_or_none(bot.get("version"))},
        "asr": None if speech == "dtmf" else _heard(entry, speech == "speech"),
        "nlu": {"hypotheses": hypotheses},
        "er": {"mentions": mentions} if mentions else None,
        "result": {
            "status": _status(entry),
            "response": _said(entry),
            "acts": _acts(entry),
        },
        "feedback": {"barge_in": False},
    }


def _heard(entry: dict[str, Any], spoken: bool) -> dict[str, Any]:
    """The hypotheses, what was passed on first; typed text has a confidence that means nothing."""
    passed_on = entry.get("inputTranscript")
    heard = [
        {
            "text": each.get("transcription"),
            "confidence": number_or_none(each.get("transcriptionConfidence")) if spoken else None,
        }
        for each in objects(entry.get("transcriptions"))
        if isinstance(each.get("transcription"), str)
    ]
    heard.sort(key=lambda each: each["text"] != passed_on)
    if isinstance(passed_on, str) and not any(each["text"] == passed_on for each in heard):
        heard.insert(0, {"text": passed_on, "confidence": None})
    duration = mapping(mapping(entry.get("audioProperties")).get("duration"))
    return {"hypotheses": heard, "audio_ms": number_or_none(duration.get("total"))}


def _understood(entry: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The interpretations as hypotheses, and the slots of the first one as mentions."""
    hypotheses: list[dict[str, Any]] = []
    mentions: list[dict[str, Any]] = []
    for index, each in enumerate(objects(entry.get("interpretations"))):
        intent = mapping(each.get("intent"))
        name = text_or_none(intent.get("name"))
        if name is None:
            continue
        slots = [
            (str(slot), value)
            for slot, given in sorted(mapping(intent.get("slots")).items())
            for value in _values(given)
        ]
        score = each.get("nluConfidence")
        score = score.get("score") if isinstance(score, dict) else score
        hypotheses.append(
            {
                "intent": name,
                "confidence": number_or_none(score),
                "slots": [{"name": slot, "value": _meant(value)} for slot, value in slots],
            }
        )
        if index == 0:
            mentions = [
                {
                    "slot": slot,
                    "text": text_or_none(value.get("originalValue")),
                    "candidates": [{"name": name} for name in _resolved(value)],
                }
                for slot, value in slots
            ]
    return hypotheses, mentions


def _values(slot: Any) -> Iterator[dict[str, Any]]:
    """The values of a slot: of a list, each one."""
    slot = mapping(slot)
    listed = objects(slot.get("values"))
    if listed:
        for each in listed:
            yield from _values(each)
    elif value := mapping(slot.get("value")):
        yield value


def _meant(value: dict[str, Any]) -> str:
    meant = value.get("interpretedValue")
    return as_text(value.get("originalValue", "") if meant is None else meant)


def _resolved(value: dict[str, Any]) -> list[str]:
    """What a value was resolved to; no resolved values beside an interpreted one are not a failure
    to resolve: slots without a list of values have none."""
    names = [as_text(each) for each in items(value.get("resolvedValues")) if each is not None]
    meant = value.get("interpretedValue")
    return names or ([as_text(meant)] if meant is not None else [])


def _state(entry: dict[str, Any]) -> Any:
    return mapping(mapping(entry.get("sessionState")).get("intent")).get("state")


def _status(entry: dict[str, Any]) -> str | None:
    first = next(iter(objects(entry.get("interpretations"))), {})
    if truth(entry.get("missedUtterance")) or mapping(first.get("intent")).get("name") in _FALLBACK:
        return "no_match"
    return "error" if _state(entry) == "Failed" else "ok"


def _acts(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """What the bot does next, such as `ElicitSlot`; the state `Failed`, which is all it says of an
    error."""
    action = mapping(mapping(entry.get("sessionState")).get("dialogAction")).get("type")
    names = [text_or_none(action), "Failed" if _state(entry) == "Failed" else None]
    return [{"act": name} for name in names if name]


def _said(entry: dict[str, Any]) -> str | None:
    texts = [text_or_none(each.get("content")) for each in objects(entry.get("messages"))]
    return "\n".join(text for text in texts if text) or None


def _append(turn: dict[str, Any], entry: dict[str, Any]) -> None:
    """Add what a later response of the same request says."""
    result = turn["result"]
    texts = [text for text in (result["response"], _said(entry)) if text]
    result["response"] = "\n".join(texts) or None
    if _state(entry) == "Failed":
        result["status"] = "error"
        result["acts"].append({"act": "Failed"})


def _done(turn: dict[str, Any], piece: Piece) -> Assembled:
    return Assembled(without_nulls(turn), piece)


ADAPTER = LexV2()
